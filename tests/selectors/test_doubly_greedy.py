"""Doubly greedy equals its slow and obvious version, ties and bans included."""

from __future__ import annotations

import numpy as np

from curation import selectors
from curation.selectors import Problem


def slow(problem: Problem, blocked: np.ndarray, **_: object) -> list[int]:
    """Sort by the maximum over queries."""
    return sorted(np.flatnonzero(~blocked).tolist(), key=lambda i: (-max(problem.similarity[:, i]), i))


def test_every_pick_has_the_query_that_it_is_nearest_to() -> None:
    similarity = np.round(np.random.default_rng(0).normal(size=(5, 200)), 1).astype(np.float32)
    subset = selectors.create("doubly_greedy").select(similarity, 100)
    assert subset.query.tolist() == similarity[:, subset.indices].argmax(axis=0).tolist()
    assert subset.scores.tolist() == similarity[:, subset.indices].max(axis=0).tolist()


def test_one_strong_query_takes_all() -> None:
    similarity = np.array([[0.9, 0.8, 0.7, 0.1], [0.1, 0.1, 0.1, 0.6]])
    assert selectors.create("doubly_greedy").select(similarity, 3).indices.tolist() == [0, 1, 2]
