"""KNN-uniform equals its slow version, converged or not."""

from __future__ import annotations

import numpy as np
import pytest

from curation import selectors
from curation.selectors import Problem
from tests.selectors.cases import problem_of


def slow_knn_uniform(similarity: np.ndarray) -> tuple[list[int], int, int]:
    """Return the ranking, K and its limit."""
    n_queries, n_pool = similarity.shape
    distance = 1 - similarity.astype(np.float64)
    limit = max(1, min(5000, n_pool // 10))
    rank = [sorted(range(n_pool), key=lambda i, q=q: (distance[q, i], i))[:limit] for q in range(n_queries)]
    k = 1
    while k < limit:
        spread = sum(distance[q, rank[q][k]] - distance[q, i] for q in range(n_queries) for i in rank[q][:k])
        if not 0.01 / 5 * spread < 0.99 * n_queries:
            break
        k += 1
    votes = np.bincount([i for q in range(n_queries) for i in rank[q][:k]], minlength=n_pool)
    nearest = distance.min(axis=0)
    return sorted(range(n_pool), key=lambda i: (-votes[i], nearest[i], i)), k, limit


def slow(problem: Problem, blocked: np.ndarray, **_: object) -> list[int]:
    """That ranking, without the blocked."""
    return [i for i in slow_knn_uniform(problem.similarity)[0] if not blocked[i]]


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("scale", [40, 400])
@pytest.mark.parametrize("shape", [(1, 5), (5, 150)])
def test_steep_similarity_equals_the_slow_version(shape: tuple[int, int], scale: int, ties: bool) -> None:
    similarity = scale * problem_of(*shape, 11, ties=ties).similarity
    order, k, limit = slow_knn_uniform(similarity)
    subset = selectors.create("knn_uniform").select(similarity, shape[1])
    assert subset.indices.tolist() == order
    assert (subset.notes != ()) == (k == limit)


def test_it_converges_where_similarity_falls_off_and_says_where_not() -> None:
    flat = problem_of(3, 400, 0).similarity
    assert slow_knn_uniform(400 * flat)[1] < 40 == slow_knn_uniform(flat)[1]
    select = selectors.create("knn_uniform").select
    assert select(400 * flat, 5).notes == ()
    assert "limit of 40 (not converged)" in select(flat, 5).notes[0]
