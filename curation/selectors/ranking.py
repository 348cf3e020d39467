"""Ranking by highest value, lower index first among equals: what every selector's speed rests on.

A float32 and an index make one 64-bit key, so that one plain sort of integers ranks and settles ties. Where only the
best of a long row are wanted, a sample of the row says from which value on they lie, and only those are sorted.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import numpy as np
import numpy.typing as npt

_BLOCK = 2**20  # numbers looked at together: the last cache holds them, and few blocks cost few calls
_SAMPLE = 4096
_Item = TypeVar("_Item")
_Made = TypeVar("_Made")


def ranked(values: npt.NDArray[np.float32], candidates: npt.NDArray[np.int64] | None = None) -> npt.NDArray[np.int64]:
    """Return `candidates` (default: 0 to n − 1) by falling value, the lower one first among equals.

    Parameters
    ----------
    values : float32 array (n,)
        Finite.
    candidates : int64 array (n,), optional
        What the values are of, below 2³¹.
    """
    if candidates is None:
        candidates = np.arange(len(values))
    bits = (values + np.float32(0)).view(np.int32)  # −0 becomes 0
    keys = np.empty(len(values), dtype="<i8")
    halves = keys.view("<i4").reshape(-1, 2)  # the candidate, then the value, so turned that it falls as keys rise
    halves[:, 0] = candidates
    halves[:, 1] = ~(bits ^ ((bits >> 31) & 0x7FFFFFFF))
    keys.sort()
    return keys.view("<u4")[::2].astype(np.int64)


def above(values: npt.NDArray[np.float32], n: int, mask: npt.NDArray[np.bool_] | None = None) -> npt.NDArray[np.int64]:
    """Return the places of about the `n` highest values, ascending: all from some value on, however many those are.

    A `mask` (n,) to write to spares the time to get memory for one.
    """
    sample = values[:: max(1, len(values) // _SAMPLE)]
    wanted = int(1.25 * n * len(sample) / len(values)) + 4
    if wanted >= len(sample):
        return np.arange(len(values))
    level = np.partition(sample, len(sample) - wanted)[len(sample) - wanted]
    return np.flatnonzero(np.greater_equal(values, level, out=mask))


def best(values: npt.NDArray[np.float32], n: int) -> npt.NDArray[np.int64]:
    """Return the places of the `n` highest values, highest first, the lower one first among equals."""
    found, wanted = above(values, n), n
    while len(found) < n:
        wanted *= 4
        found = above(values, wanted)
    return ranked(values[found], found)[:n]


def by_columns(matrix: npt.NDArray[np.floating], look: Callable[[slice], object]) -> None:
    """Call `look` with slices that together are all columns, each a block that stays in the cache."""
    n_rows, n_columns = matrix.shape
    width = max(64, _BLOCK // n_rows)
    threaded(look, [slice(start, start + width) for start in range(0, n_columns, width)])


def by_rows(matrix: npt.NDArray[np.float32], look: Callable[[int], _Made]) -> list[_Made]:
    """Return what `look` gives for the number of each row."""
    rows = range(len(matrix))
    return [look(row) for row in rows] if matrix.size < _BLOCK else threaded(look, rows)


def threaded(function: Callable[[_Item], _Made], items: Collection[_Item]) -> list[_Made]:
    """Return `function` of each item in order, computed on all processors.

    `function` must not come back here, nor ask for a cached property that does: it would wait for its own thread.
    """
    if len(items) == 1 or processors() == 1:
        return [function(item) for item in items]
    return list(_executor().map(function, items))


@cache
def processors() -> int:
    """How many threads are used: all processors, or what OMP_NUM_THREADS says."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    return int(given) if given.isdigit() and given != "0" else os.cpu_count() or 1


@cache
def _executor() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(processors())
