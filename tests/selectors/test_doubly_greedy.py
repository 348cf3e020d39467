"""Doubly greedy equals its slow and obvious version, ties and bans included."""

from __future__ import annotations

import numpy as np
import pytest

from curation import selectors
from curation.selectors import Overrides


@pytest.mark.parametrize("levels", [0, 2])
@pytest.mark.parametrize("seed", range(3))
def test_equals_the_slow_version(levels: int, seed: int) -> None:
    similarity = np.random.default_rng(seed).normal(size=(5, 200))
    if levels:
        similarity = np.round(similarity * levels)
    ranking = sorted(range(200), key=lambda i: (-max(similarity[:, i]), i))
    kept = [i for i in ranking if i not in {3, 4, 5}]
    assert selectors.create("doubly_greedy").select(similarity, 200).indices.tolist() == ranking
    subset = selectors.create("doubly_greedy").select(similarity, 100, Overrides(banned=(3, 4, 5)))
    assert subset.indices.tolist() == kept[:100]
    assert all(similarity[q, i] == max(similarity[:, i]) for q, i in zip(subset.query, subset.indices, strict=True))


def test_one_strong_query_takes_all() -> None:
    similarity = np.array([[0.9, 0.8, 0.7, 0.1], [0.1, 0.1, 0.1, 0.6]])
    assert selectors.create("doubly_greedy").select(similarity, 3).indices.tolist() == [0, 1, 2]
