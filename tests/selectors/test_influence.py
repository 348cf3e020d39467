"""Influence equals its slow version: mean within a subtask, highest over subtasks."""

from __future__ import annotations

import numpy as np

from curation import selectors
from curation.selectors import Problem


def slow(problem: Problem, blocked: np.ndarray, **_: object) -> list[int]:
    """Mean within each subtask, those without one together; highest over subtasks, as float32."""
    groups = list(problem.query_groups or [None] * problem.n_queries)
    value = {}
    for i in np.flatnonzero(~blocked).tolist():
        means = []
        for group in set(groups):
            own = [float(problem.similarity[q, i]) for q in range(len(groups)) if groups[q] == group]
            means.append(np.float32(sum(own) / len(own)))
        value[i] = max(means)
    return sorted(value, key=lambda i: (-value[i], i))


def test_without_groups_all_queries_are_one_subtask() -> None:
    similarity = np.array([[0.9, 0.5, 0.0], [0.0, 0.5, 0.4]])
    select = selectors.create("influence").select
    assert select(similarity, 3).indices.tolist() == [1, 0, 2]
    assert select(Problem(similarity, query_groups=["a", "b"]), 3).indices.tolist() == [0, 1, 2]
