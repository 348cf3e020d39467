"""Ranking equals a stable sort of the negated values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from curation.selectors import ranking

finite = st.floats(allow_nan=False, allow_infinity=False, width=32)
floats = arrays.arrays(np.float32, st.integers(1, 60), elements=finite)


def slow(values: np.ndarray) -> list[int]:
    return sorted(range(len(values)), key=lambda i: (-float(values[i]), i))


@settings(max_examples=200, derandomize=True)
@given(values=floats)
def test_ranked_is_a_stable_sort(values: np.ndarray) -> None:
    assert ranking.ranked(values).tolist() == slow(values)


def test_zero_has_no_sign_and_candidates_keep_their_own_numbers() -> None:
    values = np.array([-0.0, 0.0, -1, 0.0, 1], dtype=np.float32)
    assert ranking.ranked(values).tolist() == [4, 0, 1, 3, 2]
    assert ranking.ranked(values, np.array([9, 8, 7, 6, 2**31 - 1])).tolist() == [2**31 - 1, 6, 8, 9, 7]


@pytest.mark.parametrize("kind", ["normal", "flat", "sorted", "few high"])
@pytest.mark.parametrize("n", [1, 50, 3000, 20_000])
def test_best_of_a_long_row(kind: str, n: int) -> None:
    values = np.random.default_rng(0).normal(size=20_000).astype(np.float32)
    if kind == "flat":
        values[:] = 1
    elif kind == "sorted":
        values.sort()
    elif kind == "few high":  # where the sample does not look
        values[:] = 0
        values[1:200:5] = 1
    assert ranking.best(values, n).tolist() == np.argsort(-values, kind="stable")[:n].tolist()
    found = ranking.above(values, n)
    assert (np.diff(found) > 0).all()
    if len(found) < len(values):
        assert values[found].min() > np.delete(values, found).max()


def test_blocks_are_all_columns_once() -> None:
    matrix, seen = np.zeros((3, 200_001)), np.zeros(200_001)

    def look(columns: slice) -> None:
        seen[columns] += 1

    ranking.by_columns(matrix, look)
    assert (seen == 1).all()
