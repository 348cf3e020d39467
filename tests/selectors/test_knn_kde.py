"""KNN-KDE equals its slow version, which grows K by a heap; near-duplicates share one vote."""

from __future__ import annotations

import heapq

import numpy as np
import pytest

from curation import selectors
from curation.selectors import Problem
from curation.selectors import knn_kde as module
from tests.selectors.cases import features_of, vectors_of


def slow_knn_kde(similarity: np.ndarray, vectors: np.ndarray, sigma: float = 0.75) -> tuple[list[int], bool]:
    """Return the ranking, and whether the rule was met."""
    n_queries, n_pool = similarity.shape
    distance = 1 - similarity.astype(np.float64)
    limit, n_near = max(1, min(5000, n_pool // 10)), max(1, min(1000, n_pool // 10))
    rank = [sorted(range(n_pool), key=lambda i, q=q: (distance[q, i], i))[:limit] for q in range(n_queries)]
    union = sorted({i for near in rank for i in near})
    density = {}
    for i in union:
        away = np.sort(1 - vectors[union].astype(np.float64) @ vectors[i])
        density[i] = round(float(np.maximum(0, 1 - 2 * away[:n_near] / sigma**2).sum()), 5)
    share = [[1 / density[i] for i in near] for near in rank]
    k, s, cost, met = [0] * n_queries, 1.0, [0.0] * n_queries, False
    heap = [(share[q][0], 0, q) for q in range(n_queries)] if limit > 1 else []
    heapq.heapify(heap)
    while heap:
        s, last, q = heapq.heappop(heap)
        own = rank[q][: last + 1]
        cost[q] = distance[q, rank[q][last + 1]] * s - sum(distance[q, i] / density[i] for i in own)
        if 0.01 / 5 * sum(cost) >= 0.99 * n_queries:
            met = True
            break
        k[q] = last + 1
        if last + 1 < limit - 1:
            heapq.heappush(heap, (s + share[q][last + 1], last + 1, q))
    mass = np.zeros(n_pool)
    for q in range(n_queries):
        left = 1 / n_queries
        for i in rank[q][: k[q]]:
            mass[i] += 1 / (n_queries * s * density[i])
            left -= 1 / (n_queries * s * density[i])
        mass[rank[q][k[q]]] += max(left, 0)
    mass = mass.astype(np.float32)  # shares of equal size tie
    nearest = distance.min(axis=0)
    return sorted(range(n_pool), key=lambda i: (-mass[i], nearest[i], i)), met


def slow(problem: Problem, blocked: np.ndarray, **_: object) -> list[int]:
    """That ranking, without the blocked."""
    return [i for i in slow_knn_kde(problem.similarity, problem.vectors)[0] if not blocked[i]]


@pytest.mark.parametrize("scale", [1, 40, 400])
@pytest.mark.parametrize("shape", [(1, 5), (5, 120)])
def test_similarity_of_any_scale_equals_the_slow_version(shape: tuple[int, int], scale: int) -> None:
    vectors = vectors_of(shape[1], 3)
    problem = Problem(scale * vectors_of(shape[0], 2) @ vectors.T, features_of(vectors))
    order, met = slow_knn_kde(problem.similarity, vectors)
    subset = selectors.create("knn_kde").select(problem, shape[1])
    np.testing.assert_allclose(np.sum(subset.scores), 1)
    assert subset.indices.tolist() == order
    assert (subset.notes == ()) == met


def test_density_does_not_depend_on_the_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = np.repeat(vectors_of(100, 1), 3, axis=0)
    whole = module._density(vectors, 0.75, 30)
    monkeypatch.setattr(module, "_TILE", 16)
    tiled = module._density(vectors, 0.75, 30)
    np.testing.assert_allclose(tiled, whole, rtol=1e-5)
    assert (tiled.reshape(100, 3) == tiled[::3, None]).all()  # equal vectors, equal densities


def test_near_duplicates_share_one_vote() -> None:
    rng = np.random.default_rng(0)
    alone, many = np.eye(8, dtype=np.float32)[0], np.eye(8, dtype=np.float32)[1]
    copies = many + 0.001 * rng.normal(size=(9, 8))
    far = np.tile(np.eye(8, dtype=np.float32)[2:], (50, 1))
    vectors = np.concatenate([[alone], copies, far]).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    query = (alone * 0.7 + many * 0.714).astype(np.float32)[None]  # the copies are a little nearer
    problem = Problem(query @ vectors.T, features_of(vectors))
    assert selectors.create("knn_kde").select(problem, 1).indices.tolist() == [0]
    assert selectors.create("knn_uniform").select(problem, 1).indices[0] in range(1, 10)
