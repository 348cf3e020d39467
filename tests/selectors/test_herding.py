"""Herding equals its plain version, and brings the discrepancy down."""

from __future__ import annotations

import numpy as np
import pytest

from curation import selectors
from curation.selectors import Overrides, Problem
from tests.selectors.cases import features_of, problem_of, vectors_of


def slow_herding(problem: Problem, n_picks: int, pinned: list[int], banned: set[int]) -> list[int]:
    """Sum every candidate's cosine to every pick at every turn."""
    vectors, chosen = problem.vectors.astype(np.float64), list(pinned)
    mean = problem.similarity.astype(np.float64).mean(axis=0)
    while len(chosen) < n_picks:
        worth = {}
        for i in range(problem.n_pool):
            if i not in chosen and i not in banned:
                alike = sum(float(vectors[a] @ vectors[i]) for a in chosen)
                worth[i] = round(float(mean[i]) - alike / (len(chosen) + 1), 6)
        chosen.append(max(worth, key=lambda i: (worth[i], -i)))
    return chosen


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(("pinned", "banned"), [((), ()), ((5, 60), (0, 1, 33))])
def test_equals_the_slow_version(pinned: tuple[int, ...], banned: tuple[int, ...], ties: bool) -> None:
    problem = problem_of(6, 70, 8, ties=ties)
    subset = selectors.create("herding").select(problem, 45, Overrides(pinned, banned))
    assert subset.indices.tolist() == slow_herding(problem, 45, list(pinned), set(banned))


def test_no_other_selector_comes_nearer_to_the_mean_of_the_queries() -> None:
    queries, pool = vectors_of(10, 1), vectors_of(2_000, 2)
    problem = Problem(queries @ pool.T, features_of(pool))
    for budget in (20, 100, 400):
        away = {}
        for name in selectors.REGISTRY:
            picked = selectors.create(name).select(problem, budget).indices
            away[name] = np.linalg.norm(pool[picked].mean(axis=0) - queries.mean(axis=0))
        assert min(away, key=lambda name: away[name]) == "herding", (budget, away)
