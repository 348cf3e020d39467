"""Round robin equals its slow and obvious version, ties, pins and bans included."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
import pytest

from curation import selectors
from curation.selectors import Overrides, Problem


def slow(problem: Problem, blocked: np.ndarray, **_: object) -> Iterator[int]:
    """Scan the whole row at every turn."""
    left = ~blocked
    for turn in range(np.count_nonzero(left)):
        row = np.where(left, problem.similarity[turn % problem.n_queries], -np.inf)
        best = int(row.argmax())  # the lower one of equals
        left[best] = False
        yield best


@pytest.mark.parametrize("budget", [5, 40, 390])
@pytest.mark.parametrize("levels", [0, 1, 4])
@pytest.mark.parametrize("seed", range(3))
def test_every_pick_has_the_query_whose_turn_it_was(budget: int, levels: int, seed: int) -> None:
    similarity = np.random.default_rng(seed).normal(size=(3, 400))
    problem = Problem(np.round(similarity * levels) if levels else similarity)
    blocked = np.isin(np.arange(400), (5, 390, 17, 0, 1, 2, 250))
    subset = selectors.create("round_robin").select(problem, 3 + budget, Overrides((5, 390, 17), (0, 1, 2, 250)))
    assert subset.indices.tolist() == [5, 390, 17, *islice(slow(problem, blocked), budget)]
    assert subset.query.tolist() == [-1, -1, -1, *(turn % 3 for turn in range(budget))]


def test_hand_made_case() -> None:
    similarity = np.array([[0.9, 0.8, 0.1, 0.5], [0.9, 0.2, 0.8, 0.5]])
    select = selectors.create("round_robin").select
    assert select(similarity, 4).indices.tolist() == [0, 2, 1, 3]
    assert select(similarity, 4).query.tolist() == [0, 1, 0, 1]
    # a query whose pick was banned gets its next best
    assert select(similarity, 2, Overrides(banned=(0,))).indices.tolist() == [1, 2]
    # a pin takes no turn: query 0 still begins
    assert select(similarity, 2, Overrides(pinned=(3,))).query.tolist() == [-1, 0]


def test_flat_similarity_goes_by_index() -> None:
    assert selectors.create("round_robin").select(np.zeros((3, 300)), 300).indices.tolist() == list(range(300))
