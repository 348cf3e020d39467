"""MMR equals its plain greedy version."""

from __future__ import annotations

import numpy as np
import pytest

from curation import selectors
from curation.errors import ConfigError
from curation.selectors import Overrides, Problem
from tests.selectors.cases import features_of, problem_of


def slow_mmr(problem: Problem, n_picks: int, pinned: list[int], banned: set[int], relevance: float = 0.7) -> list[int]:
    """Compare every candidate with every pick at every turn."""
    vectors, chosen = problem.vectors.astype(np.float64), list(pinned)
    while len(chosen) < n_picks:
        worth = {}
        for i in range(problem.n_pool):
            if i in chosen or i in banned:
                continue
            alike = max((float(vectors[i] @ vectors[a]) for a in chosen), default=0.0)
            worth[i] = round(relevance * float(problem.similarity[:, i].max()) - (1 - relevance) * alike, 6)
        chosen.append(max(worth, key=lambda i: (worth[i], -i)))
    return chosen


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("relevance", [0.0, 0.7, 1.0])
@pytest.mark.parametrize(("pinned", "banned"), [((), ()), ((5, 60), (0, 1, 33))])
def test_equals_the_slow_version(
    pinned: tuple[int, ...], banned: tuple[int, ...], relevance: float, ties: bool
) -> None:
    problem = problem_of(6, 70, 8, ties=ties)
    subset = selectors.create("mmr", relevance=relevance).select(problem, 40, Overrides(pinned, banned))
    assert subset.indices.tolist() == slow_mmr(problem, 40, list(pinned), set(banned), relevance)


def test_a_copy_of_a_pick_comes_late() -> None:
    vectors = np.eye(4, dtype=np.float32)[[0, 0, 1, 2]]
    problem = Problem(np.array([[0.9, 0.9, 0.6, 0.5]]), features_of(vectors))
    assert selectors.create("mmr").select(problem, 4).indices.tolist() == [0, 2, 3, 1]
    assert selectors.create("mmr", relevance=1.0).select(problem, 4).indices.tolist() == [0, 1, 2, 3]


def test_a_weight_above_one_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"relevance is 1\.5, expected at most 1\.0"):
        selectors.create("mmr", relevance=1.5)
