"""Herding equals its plain version, and brings the discrepancy down."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from curation import selectors
from curation.selectors import Problem
from tests.selectors.cases import features_of, vectors_of


def slow(problem: Problem, blocked: np.ndarray, *, pinned: list[int], **_: object) -> Iterator[int]:
    """Sum every candidate's cosine to every pick at every turn."""
    vectors, chosen, left = problem.vectors.astype(np.float64), list(pinned), np.flatnonzero(~blocked)
    mean = problem.similarity.astype(np.float64).mean(axis=0)
    while len(left):
        alike = (vectors[left] @ vectors[chosen].T).sum(axis=1)
        best = int(left[(mean[left] - alike / (len(chosen) + 1)).astype(np.float32).argmax()])
        chosen.append(best)
        left = left[left != best]
        yield best


def test_no_other_selector_comes_nearer_to_the_mean_of_the_queries() -> None:
    queries, pool = vectors_of(10, 1), vectors_of(2_000, 2)
    problem = Problem(queries @ pool.T, features_of(pool))
    for budget in (20, 100, 400):
        away = {}
        for name in selectors.REGISTRY:
            picked = selectors.create(name).select(problem, budget).indices
            away[name] = np.linalg.norm(pool[picked].mean(axis=0) - queries.mean(axis=0))
        assert min(away, key=lambda name: away[name]) == "herding", (budget, away)
