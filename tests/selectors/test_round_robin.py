"""Round robin equals its slow and obvious version, ties, pins and bans included."""

from __future__ import annotations

import numpy as np
import pytest

from curation import selectors
from curation.selectors import Overrides


def slow_round_robin(similarity: np.ndarray, n_picks: int, absent: set[int]) -> list[tuple[int, int]]:
    """Scan the whole row at every turn."""
    n_queries, n_pool = similarity.shape
    picks: list[tuple[int, int]] = []
    left = [i for i in range(n_pool) if i not in absent]
    for turn in range(n_picks):
        query = turn % n_queries
        best = left[0]
        for i in left:
            if similarity[query, i] > similarity[query, best]:
                best = i
        left.remove(best)
        picks.append((best, query))
    return picks


@pytest.mark.parametrize("n_queries", [1, 2, 7])
@pytest.mark.parametrize("levels", [0, 1, 4])
@pytest.mark.parametrize("seed", range(3))
def test_equals_the_slow_version(n_queries: int, levels: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    similarity = rng.normal(size=(n_queries, 400)).astype(np.float32)
    if levels:
        similarity = np.round(similarity * levels)
    pinned, banned = (5, 390, 17), (0, 1, 2, 250)
    subset = selectors.create("round_robin").select(similarity, 396, Overrides(pinned, banned))
    slow = slow_round_robin(similarity, 393, {*pinned, *banned})
    assert subset.indices.tolist() == [*pinned, *(i for i, _ in slow)]
    assert subset.query.tolist() == [-1, -1, -1, *(q for _, q in slow)]


def test_hand_made_case() -> None:
    similarity = np.array([[0.9, 0.8, 0.1, 0.5], [0.9, 0.2, 0.8, 0.5]])
    select = selectors.create("round_robin").select
    assert select(similarity, 4).indices.tolist() == [0, 2, 1, 3]
    assert select(similarity, 4).query.tolist() == [0, 1, 0, 1]
    # a query whose pick was banned gets its next best
    assert select(similarity, 2, Overrides(banned=(0,))).indices.tolist() == [1, 2]
    # a pin takes no turn: query 0 still begins
    assert select(similarity, 2, Overrides(pinned=(3,))).query.tolist() == [-1, 0]


def test_flat_similarity_goes_by_index() -> None:
    assert selectors.create("round_robin").select(np.zeros((3, 300)), 300).indices.tolist() == list(range(300))
