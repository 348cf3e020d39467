"""MMR equals its plain greedy version."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
import pytest

from curation import selectors
from curation.errors import ConfigError
from curation.selectors import Overrides, Problem
from tests.selectors.cases import features_of, problem_of


def slow(
    problem: Problem, blocked: np.ndarray, *, pinned: list[int], relevance: float = 0.7, **_: object
) -> Iterator[int]:
    """Compare every candidate with every pick at every turn."""
    vectors, chosen, left = problem.vectors.astype(np.float64), list(pinned), np.flatnonzero(~blocked)
    nearest = problem.similarity.max(axis=0).astype(np.float64)
    while len(left):
        alike = (vectors[left] @ vectors[chosen].T).max(axis=1) if chosen else 0.0
        best = int(left[(relevance * nearest[left] - (1 - relevance) * alike).astype(np.float32).argmax()])
        chosen.append(best)
        left = left[left != best]
        yield best


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("relevance", [0.0, 0.3, 1.0])
def test_any_weight_equals_the_slow_version(relevance: float, ties: bool) -> None:
    problem, blocked = problem_of(6, 70, 8, ties=ties), np.isin(np.arange(70), (5, 60, 0, 33))
    subset = selectors.create("mmr", relevance=relevance).select(problem, 40, Overrides((5, 60), (0, 33)))
    assert subset.indices.tolist() == [5, 60, *islice(slow(problem, blocked, pinned=[5, 60], relevance=relevance), 38)]


def test_a_copy_of_a_pick_comes_late() -> None:
    vectors = np.eye(4, dtype=np.float32)[[0, 0, 1, 2]]
    problem = Problem(np.array([[0.9, 0.9, 0.6, 0.5]]), features_of(vectors))
    assert selectors.create("mmr").select(problem, 4).indices.tolist() == [0, 2, 3, 1]
    assert selectors.create("mmr", relevance=1.0).select(problem, 4).indices.tolist() == [0, 1, 2, 3]


def test_a_weight_above_one_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"relevance is 1\.5, expected at most 1\.0"):
        selectors.create("mmr", relevance=1.5)
