"""Random draws are seeded, differ by seed, and favour no candidate."""

from __future__ import annotations

import numpy as np

from curation import selectors
from curation.selectors import Problem


def slow(problem: Problem, blocked: np.ndarray, *, seed: int, **_: object) -> list[int]:
    """One draw of the whole pool, whatever is blocked."""
    return [i for i in np.random.default_rng(seed).permutation(problem.n_pool).tolist() if not blocked[i]]


def test_seed_decides() -> None:
    select, similarity = selectors.create("random").select, np.zeros((1, 100))
    assert select(similarity, 20, seed=1).indices.tolist() == select(similarity, 20, seed=1).indices.tolist()
    assert select(similarity, 20, seed=1).indices.tolist() != select(similarity, 20, seed=2).indices.tolist()


def test_similarity_does_not_matter() -> None:
    select = selectors.create("random").select
    flat, steep = np.zeros((2, 50)), np.tile(np.arange(50.0), (2, 1))
    assert select(flat, 10, seed=4).indices.tolist() == select(steep, 10, seed=4).indices.tolist()


def test_every_candidate_is_as_likely() -> None:
    select, similarity = selectors.create("random").select, np.zeros((1, 20))
    counts = np.zeros(20)
    for seed in range(2_000):
        counts[select(similarity, 5, seed=seed).indices] += 1
    # 500 expected each, standard deviation sqrt(2000 · 1/4 · 3/4) = 19.4
    assert np.abs(counts - 500).max() < 5 * 19.4
