"""How vectors become the arrays of a shard, and how rows of shards become vectors again.

``float16`` and ``float32`` keep the numbers. ``int8`` and ``1-bit`` are QLESS's (arXiv 2502.01703): codes
round(127 x / max|x|), or signs packed by eight. Only a code's direction is compared there, so a decoded vector is its
codes scaled to the length of x. Departs from the authors' code in this: their absmax is one number for all rows, here
each vector has its own, which rounds finer and leaves stored rows as they are when others join them; and queries, which
are few, are not quantised. As with them, a zero counts as negative in ``1-bit``. Left out: 2 and 4 bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from curation.errors import WorkspaceError

CODECS = ("float16", "float32", "int8", "1-bit")


def encode(values: npt.NDArray[np.float32], codec: str) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays that keep `values` (rows, C, d).

    Returns
    -------
    dict
        ``values``: float16, float32 or int8 (rows, C, d), or uint8 (rows, C, ⌈d/8⌉); ``scale``: float32 (rows, C),
        for codes only.

    Raises
    ------
    WorkspaceError
        If there is no such codec.
    """
    if codec in ("float16", "float32"):
        with np.errstate(over="ignore"):  # the store refuses what overflows, by row
            return {"values": values.astype(codec)}
    if codec == "int8":
        highest = np.abs(values).max(axis=-1, keepdims=True)
        codes = np.rint(values * np.divide(127, highest, out=np.zeros_like(highest), where=highest > 0))
        size = np.linalg.norm(codes, axis=-1)  # (rows, C)
        stored = codes.astype(np.int8)
    elif codec == "1-bit":
        stored = np.packbits(values > 0, axis=-1)
        size = np.full(values.shape[:-1], values.shape[-1] ** 0.5)
    else:
        raise WorkspaceError(f"features can't be kept as {codec!r}; expected one of: {', '.join(CODECS)}")
    length = np.linalg.norm(values, axis=-1)
    scale = np.divide(length, size, out=np.zeros_like(length), where=length > 0)
    return {"values": stored, "scale": scale}


def decode(arrays: Mapping[str, npt.NDArray[Any]], codec: str, out: npt.NDArray[np.float32]) -> None:
    """Put the vectors that `encode` kept into `out`, float32 (rows, C, d)."""
    if codec == "1-bit":
        out[...] = np.unpackbits(arrays["values"], axis=-1, count=out.shape[-1])
        out *= 2
        out -= 1
    else:
        out[...] = arrays["values"]
    if "scale" in arrays:
        out *= arrays["scale"][..., None]


class Stored:
    """Rows of shards as an array that stays on disk: indexing reads the rows asked for and decodes them.

    Parameters
    ----------
    shards : sequence of dict of str to Path
        The `.npy` files of each shard, by the names that `encode` gives.
    codec : str
        How they are kept.
    shape : (int, int, int)
        (n, C, d).
    shard, row : int array (n,)
        Where each row lies.
    """

    def __init__(
        self,
        shards: Sequence[Mapping[str, Path]],
        codec: str,
        shape: tuple[int, int, int],
        shard: npt.NDArray[np.int64],
        row: npt.NDArray[np.int64],
    ) -> None:
        self.shape = shape
        self.order: npt.NDArray[np.int64] = np.lexsort((row, shard))  # (n,): in this order reading is sequential
        self._shards, self._codec, self._shard, self._row = shards, codec, shard, row

    def __getitem__(self, rows: slice | npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Return the chosen rows, a new float32 array (rows, C, d)."""
        shard, row = self._shard[rows], self._row[rows]
        vectors = np.empty((len(row), *self.shape[1:]), dtype=np.float32)
        order = np.lexsort((row, shard))
        starts = np.flatnonzero(np.diff(shard[order], prepend=-1))
        for start, end in pairwise([*starts, len(order)]):
            files = self._shards[shard[order[start]]].items()
            place = _run(row[order[start:end]])
            arrays = {name: np.load(path, mmap_mode="r", allow_pickle=False)[place] for name, path in files}
            decode(arrays, self._codec, vectors[start:end])
        return vectors if isinstance(_run(order), slice) else vectors[np.argsort(order)]


def _run(places: npt.NDArray[np.int64]) -> slice | npt.NDArray[np.int64]:
    """The same places as a slice where they follow each other, since that copies nothing."""
    first = int(places[0]) if len(places) else 0
    run = slice(first, first + len(places))
    return run if np.array_equal(places, np.arange(run.start, run.stop)) else places
