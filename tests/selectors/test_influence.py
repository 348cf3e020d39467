"""Influence equals its slow version: mean within a subtask, highest over subtasks."""

from __future__ import annotations

import numpy as np
import pytest

from curation import selectors
from curation.selectors import Overrides, Problem
from tests.selectors.cases import problem_of


def slow_influence(similarity: np.ndarray, groups: list[str | None]) -> list[int]:
    n_pool = similarity.shape[1]
    value = {}
    for i in range(n_pool):
        means = []
        for group in set(groups):
            own = [float(similarity[q, i]) for q in range(len(groups)) if groups[q] == group]
            means.append(np.float32(sum(own) / len(own)))
        value[i] = max(means)
    return sorted(range(n_pool), key=lambda i: (-value[i], i))


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("groups", [["a", "b", "a", "c", None, "b", None], [None] * 7])
def test_equals_the_slow_version(groups: list[str | None], ties: bool) -> None:
    problem = problem_of(7, 300, 3, ties=ties, query_groups=groups)
    slow = slow_influence(problem.similarity, groups)
    select = selectors.create("influence").select
    assert select(problem, 300).indices.tolist() == slow
    assert select(problem, 50, Overrides((4,), (slow[0],))).indices.tolist() == [
        4,
        *[i for i in slow[1:] if i != 4][:49],
    ]


def test_without_groups_all_queries_are_one_subtask() -> None:
    similarity = np.array([[0.9, 0.5, 0.0], [0.0, 0.5, 0.4]])
    select = selectors.create("influence").select
    assert select(similarity, 3).indices.tolist() == [1, 0, 2]
    assert select(Problem(similarity, query_groups=["a", "b"]), 3).indices.tolist() == [0, 1, 2]
