"""UOT ranks as POT's `sinkhorn_unbalanced` does, and as a plain Sinkhorn in float64."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from curation import selectors
from curation.selectors import Problem
from curation.selectors import uot as module
from tests.selectors.cases import problem_of


def slow_uot(similarity: np.ndarray, epsilon: float = 0.01, weight: float = 1e-4) -> np.ndarray:
    """Logarithm of the mass that each candidate receives."""
    scores = similarity.astype(np.float64)
    n_queries, n_pool = scores.shape
    fi = weight / (weight + epsilon)
    kernel = -(1 - scores) / 2 / epsilon
    f = np.zeros(n_queries)
    for _ in range(300):
        asked = np.logaddexp.reduce(f[:, None] + kernel, axis=0)
        g = fi * (-np.log(n_pool) - asked)
        f = -np.log(n_queries) - np.logaddexp.reduce(kernel + g[None, :], axis=1)
    return g + np.logaddexp.reduce(f[:, None] + kernel, axis=0)


def slow(problem: Problem, blocked: np.ndarray, **_: object) -> list[int]:
    """Rank by that mass; what differs by rounding alone is equal."""
    mass = np.round(slow_uot(problem.similarity), 9)
    return sorted(np.flatnonzero(~blocked).tolist(), key=lambda i: (-mass[i], i))


@pytest.mark.parametrize("shape", [(1, 60), (7, 300), (40, 200)])
def test_scores_are_the_mass_received(shape: tuple[int, int]) -> None:
    problem = problem_of(*shape, 5)
    subset = selectors.create("uot").select(problem, shape[1])
    np.testing.assert_allclose(subset.scores, np.exp(slow_uot(problem.similarity)[subset.indices]), rtol=1e-4)
    assert subset.scores.sum() == pytest.approx(1, rel=1e-4)


@pytest.mark.parametrize(("epsilon", "weight"), [(0.01, 1e-4), (0.05, 0.1)])
def test_matches_pot(epsilon: float, weight: float) -> None:
    import ot

    problem = problem_of(12, 500, 7)
    cost = (1 - problem.similarity.astype(np.float64)) / 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plan = ot.unbalanced.sinkhorn_unbalanced(
            ot.unif(12), ot.unif(500), cost, epsilon, (float("inf"), weight), stopThr=1e-12
        )
    subset = selectors.create("uot", epsilon=epsilon, pool_weight=weight).select(problem, 500)
    received = plan.sum(axis=0)
    assert subset.indices.tolist() == np.argsort(-received, kind="stable").tolist()
    np.testing.assert_allclose(subset.scores, received[subset.indices], rtol=1e-4)
    assert subset.notes == ()


def test_any_scale_of_similarity_will_do() -> None:
    similarity = np.random.default_rng(0).normal(size=(5, 200)).astype(np.float32) * 20
    mass = slow_uot(similarity)  # logarithms down to −10,000: nothing that float64 could hold
    assert mass.min() < -1000
    order = selectors.create("uot").select(similarity, 200).indices
    assert (np.diff(mass[order]) < 1e-5).all()


def test_that_it_did_not_settle_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ROUNDS", 2)
    similarity = problem_of(3, 50, 0).similarity
    subset = selectors.create("uot", pool_weight=1.0).select(similarity, 5)
    assert subset.notes == ("The transport did not settle; raise epsilon or take another selector.",)
