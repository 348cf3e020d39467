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

_BLOCK = 2**18  # numbers looked at together: a core's own cache holds them
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
        What the values are of, below 2³².
    """
    if candidates is None:
        candidates = np.arange(len(values))
    bits = (values + np.float32(0)).view(np.uint32)  # −0 becomes 0
    falling = np.where(bits >> 31, bits, bits ^ np.uint32(0x7FFFFFFF)).astype(np.uint64)
    keys = np.sort((falling << np.uint64(32)) | candidates.astype(np.uint64))
    return (keys & np.uint64(0xFFFFFFFF)).astype(np.int64)


def above(values: npt.NDArray[np.float32], n: int) -> npt.NDArray[np.int64]:
    """Return the places of about the `n` highest values, ascending: all from some value on, however many those are."""
    sample = values[:: max(1, len(values) // _SAMPLE)]
    wanted = int(1.25 * n * len(sample) / len(values)) + 8
    if wanted >= len(sample):
        return np.arange(len(values))
    return np.flatnonzero(values >= np.partition(sample, len(sample) - wanted)[len(sample) - wanted])


def best(values: npt.NDArray[np.float32], n: int) -> npt.NDArray[np.int64]:
    """Return the places of the `n` highest values, highest first, the lower one first among equals."""
    found, wanted = above(values, n), n
    while len(found) < n:
        wanted *= 4
        found = above(values, wanted)
    return ranked(values[found], found)[:n]


def by_columns(matrix: npt.NDArray[np.floating], look: Callable[[slice], object]) -> None:
    """Call `look` with slices that together are all columns, each a block that stays in a core's cache."""
    n_rows, n_columns = matrix.shape
    width = max(64, _BLOCK // n_rows)
    threaded(look, [slice(start, start + width) for start in range(0, n_columns, width)])


def by_rows(matrix: npt.NDArray[np.float32], look: Callable[[npt.NDArray[np.float32]], _Made]) -> list[_Made]:
    """Return what `look` gives for each row."""
    return [look(row) for row in matrix] if matrix.size < _BLOCK else threaded(look, matrix)


def threaded(function: Callable[[_Item], _Made], items: Collection[_Item]) -> list[_Made]:
    """Return `function` of each item in order, computed on all processors."""
    return list((_executor().map if len(items) > 1 else map)(function, items))


@cache
def _executor() -> ThreadPoolExecutor:
    given = os.environ.get("OMP_NUM_THREADS", "")
    return ThreadPoolExecutor(int(given) if given.isdigit() and given != "0" else os.cpu_count())
