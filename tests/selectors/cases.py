"""Problems to try selectors on: random ones, and ones in which equals abound and all arithmetic is exact."""

from __future__ import annotations

import numpy as np

from curation.selectors import Problem
from curation.similarity import Features


def features_of(vectors: np.ndarray) -> Features:
    """Features with one checkpoint."""
    return Features(vectors[:, None], np.ones(1, dtype=np.float32), tuple(f"p{i}" for i in range(len(vectors))))


def vectors_of(n: int, seed: int, *, ties: bool = False) -> np.ndarray:
    """Unit vectors, float32: normal ones of 8 dimensions or, with `ties`, some of the 16 of ±½ in 4 dimensions."""
    rng = np.random.default_rng(seed)
    if ties:
        return rng.choice(np.array([-0.5, 0.5], dtype=np.float32), (n, 4))
    values = rng.normal(size=(n, 8))
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def problem_of(n_queries: int, n_pool: int, seed: int, *, ties: bool = False, **columns: object) -> Problem:
    """A problem with features, its similarity the cosine of queries and candidates."""
    queries, pool = vectors_of(n_queries, seed, ties=ties), vectors_of(n_pool, seed + 1000, ties=ties)
    return Problem(queries @ pool.T, features_of(pool), **columns)  # type: ignore[arg-type]
