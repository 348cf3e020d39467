"""Features × Features → similarity: S = Σ_c w_c ⟨q_c, z_c⟩, higher is nearer.

One matrix product a tile of the pool, so that memory-mapped float16 features larger than memory work. Left out:
approximate nearest neighbours; every pair is computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from curation.errors import SelectionError

VERSION = 1  # raised whenever the same features give another similarity
TILE_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Features:
    """Vectors of a list of examples.

    Parameters
    ----------
    values : array or memmap of shape (n, C, d), or CSR matrix of shape (n, d)
        One vector a row and checkpoint (C = 1 where there are none). Each is of unit length, or zero for a row in
        which the representation sees nothing. A CSR matrix stands for C = 1.
    weights : array of shape (C,)
        Weight of each checkpoint in the similarity; sums to 1.
    ids : tuple of str
        Row ids, in the order of `values`.
    """

    values: Any  # npt.NDArray or csr_matrix; scipy has no types
    weights: npt.NDArray[np.float32]
    ids: tuple[str, ...]

    def __post_init__(self) -> None:
        shape = self.values.shape
        n_checkpoints = shape[1] if len(shape) == 3 else 1
        if len(shape) not in (2, 3) or shape[0] != len(self.ids) or n_checkpoints != len(self.weights):
            raise SelectionError(
                f"features of shape {shape} with {len(self.ids)} ids and {len(self.weights)} weights, "
                "expected (ids, weights, dimensions); compute them again"
            )

    @property
    def is_sparse(self) -> bool:
        """Whether `values` is a CSR matrix."""
        return len(self.values.shape) == 2

    def dense(self, rows: slice | npt.NDArray[np.int64] = slice(None)) -> npt.NDArray[np.float32]:
        """Return the chosen rows as float32 (rows, C·d), checkpoint c scaled by √w_c, so that a plain dot product
        of two such rows is their similarity."""
        if self.is_sparse:
            return np.asarray(self.values[rows].toarray(), dtype=np.float32)
        block = np.asarray(self.values[rows], dtype=np.float32)
        return (block * np.sqrt(self.weights, dtype=np.float32)[:, None]).reshape(len(block), -1)


def compute(query: Features, pool: Features, *, max_bytes: int = TILE_BYTES) -> npt.NDArray[np.float32]:
    """Return the similarity of every query to every candidate.

    Parameters
    ----------
    query, pool : Features
        Of one representation: equal dimensions and weights.
    max_bytes : int
        Largest tile of pool features held as float32.

    Returns
    -------
    array of shape (n_queries, n_pool), float32, finite

    Raises
    ------
    SelectionError
        If the two don't fit each other, or a feature is not finite (the row is named).
    """
    width = int(np.prod(pool.values.shape[1:]))
    if query.values.shape[1:] != pool.values.shape[1:] or not np.allclose(query.weights, pool.weights, atol=1e-6):
        raise SelectionError(
            f"query features of shape {query.values.shape[1:]} and pool features of shape {pool.values.shape[1:]} "
            "differ in shape or weights; compute both with the same representation"
        )
    n_queries, n_pool = len(query.ids), len(pool.ids)
    similarity = np.empty((n_queries, n_pool), dtype=np.float32)
    rows = max(1, max_bytes // (4 * (n_queries if pool.is_sparse else width)))
    left = query.values if pool.is_sparse else query.dense()
    with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is refused below, by name
        for start in range(0, n_pool, rows):
            tile = slice(start, start + rows)
            if pool.is_sparse:
                similarity[:, tile] = (left @ pool.values[tile].T).toarray()
            else:
                similarity[:, tile] = left @ pool.dense(tile).T  # (n_queries, C·d) × (C·d, rows)
    _require_finite(similarity, query, pool)
    return similarity


def _require_finite(similarity: npt.NDArray[np.float32], query: Features, pool: Features) -> None:
    """NaN sorts first in an argmax, so one bad row would win every query: refuse, naming the row."""
    bad = ~np.isfinite(similarity)
    if not bad.any():
        return
    whole_row = bad.all(axis=1)
    if whole_row.any():
        culprit = f"query {query.ids[int(whole_row.argmax())]}"
    else:
        culprit = f"candidate {pool.ids[int(bad.any(axis=0).argmax())]}"
    raise SelectionError(f"the feature of {culprit} is not finite (NaN or infinite); compute it again or ban the row")
