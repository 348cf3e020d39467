"""Features × Features → similarity: S = Σ_c w_c ⟨q_c, z_c⟩, higher is nearer.

One matrix product a tile, read from disk and decoded where the features are a store's, so that the pool may be larger
than memory. Left out: approximate nearest neighbours; every pair is computed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from curation.codecs import Stored
from curation.errors import SelectionError

VERSION = 1  # raised whenever the same features give another similarity
TILE_BYTES = 16 * 2**20  # of float32; the allocator keeps blocks of this size, larger ones cost a page fault each 4 KB


@dataclass(frozen=True)
class Features:
    """Vectors of a list of examples.

    Parameters
    ----------
    values : array or Stored of shape (n, C, d), or CSR matrix of shape (n, d)
        One vector a row and checkpoint (C = 1 where there are none). Each is of unit length, or zero for a row in
        which the representation sees nothing. A CSR matrix stands for C = 1. What is `Stored` lies on disk, coded
        perhaps in few bits: read it by `dense` or `tiles`.
    weights : array of shape (C,)
        Weight of each checkpoint in the similarity; sums to 1.
    ids : tuple of str
        Row ids, in the order of `values`.
    """

    values: Any  # npt.NDArray, Stored or csr_matrix; scipy has no types
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

    @property
    def width(self) -> int:
        """Length C·d of a row's vectors laid end to end."""
        return int(np.prod(self.values.shape[1:]))

    def dense(self, rows: slice | npt.NDArray[np.int64] = slice(None)) -> npt.NDArray[np.float32]:
        """Return the chosen rows as float32 (rows, C·d), checkpoint c scaled by √w_c, so that a plain dot product
        of two such rows is their similarity."""
        block = self.values[rows]
        if self.is_sparse:
            return np.asarray(block.toarray(), dtype=np.float32)
        out = block if isinstance(self.values, Stored) else None  # that is new already
        root = np.sqrt(self.weights, dtype=np.float32)[:, None]
        scaled: npt.NDArray[np.float32] = np.multiply(block, root, out=out, dtype=np.float32)
        return scaled.reshape(len(block), self.width)

    def tiles(self, rows: int) -> Iterator[tuple[npt.NDArray[np.int64], Any]]:
        """Yield every row once, at most `rows` together, in the order in which they lie on disk.

        Yields
        ------
        int64 array (rows,), float32 array (rows, C·d) or CSR matrix (rows, d)
            Which rows, and what `dense` gives for them; sparse ones stay sparse.
        """
        order = self.values.order if isinstance(self.values, Stored) else np.arange(len(self.ids))
        for start in range(0, len(order), rows):
            tile = order[start : start + rows]
            yield tile, self.values[tile] if self.is_sparse else self.dense(tile)

    def narrowed(self, d: int, *, seed: int = 0) -> npt.NDArray[np.float32]:
        """Return dense rows projected to d dimensions by a seeded random matrix, float32 (n, d); as they are where C·d
        is no more.

        Inner products are kept in the mean; with 512 dimensions a distance changes by some 3 %. The matrix is Gaussian,
        for sparse rows a sign in one random column of each row (CountSketch), since a vocabulary has millions of rows.
        Never more than a tile is in memory beside the result.
        """
        if self.width <= d:
            return self.dense()
        rng = np.random.default_rng(seed)
        if self.is_sparse:
            from scipy.sparse import csr_matrix

            signs = rng.choice(np.array([-1, 1], dtype=np.float32), self.width)
            columns = rng.integers(0, d, self.width, dtype=np.int32)
            sketch = csr_matrix((signs, columns, np.arange(self.width + 1)), shape=(self.width, d))
            sketched: npt.NDArray[np.float32] = (self.values @ sketch).toarray()
            return sketched
        matrix = rng.standard_normal((self.width, d), dtype=np.float32) / np.float32(d**0.5)
        narrow = np.empty((len(self.ids), d), dtype=np.float32)
        for tile, block in self.tiles(_rows(TILE_BYTES, self.width)):
            narrow[tile] = block @ matrix
        return narrow


def compute(query: Features, pool: Features, *, max_bytes: int = TILE_BYTES) -> npt.NDArray[np.float32]:
    """Return the similarity of every query to every candidate.

    Parameters
    ----------
    query, pool : Features
        Of one representation: equal dimensions and weights.
    max_bytes : int
        Largest tile of candidates held as float32; it and the products of a tile are all that is held beside the result
        and the queries. A tile of queries may be eight times as large, for each reads the whole pool.

    Returns
    -------
    array of shape (n_queries, n_pool), float32, finite

    Raises
    ------
    SelectionError
        If the two don't fit each other, or a feature is not finite (the row is named).
    """
    if query.values.shape[1:] != pool.values.shape[1:] or not np.allclose(query.weights, pool.weights, atol=1e-6):
        raise SelectionError(
            f"query features of shape {query.values.shape[1:]} and pool features of shape {pool.values.shape[1:]} "
            "differ in shape or weights; compute both with the same representation"
        )
    n_queries, n_pool = len(query.ids), len(pool.ids)
    similarity = np.empty((n_queries, n_pool), dtype=np.float32)
    width = 1 if pool.is_sparse else pool.width
    together = max(1, min(n_queries, _rows(8 * max_bytes, width)))
    for queries, left in query.tiles(together):
        for candidates, right in pool.tiles(_rows(max_bytes, max(width, together))):
            with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is refused below, by name
                products = left @ right.T  # (queries, C·d) × (C·d, candidates)
            products = products.toarray() if pool.is_sparse else products
            if not np.isfinite(products).all():
                raise _not_finite(~np.isfinite(products), query, queries, pool, candidates)
            similarity[np.ix_(queries, candidates)] = products
    return similarity


def _rows(max_bytes: int, width: int) -> int:
    """How many rows of float32 make a tile."""
    return max(1, max_bytes // (4 * max(1, width)))


def _not_finite(
    bad: npt.NDArray[np.bool_],
    query: Features,
    queries: npt.NDArray[np.int64],
    pool: Features,
    candidates: npt.NDArray[np.int64],
) -> SelectionError:
    """NaN sorts first in an argmax, so one bad row would win every query: name the row that made a product bad."""
    worst = int(bad.sum(axis=1).argmax())
    row = query.values[queries[[worst]]]
    own = np.isfinite(row.data if query.is_sparse else row).all()
    at_fault = f"candidate {pool.ids[candidates[bad[worst].argmax()]]}" if own else f"query {query.ids[queries[worst]]}"
    return SelectionError(f"the feature of {at_fault} is not finite (NaN or infinite); compute it again or ban the row")
