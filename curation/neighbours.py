"""Each row's nearest other rows: computed once for a representation, read by the map and whoever looks for duplicates.

Exact: every pair is compared, in blocks of which one at a time is in memory, and each product serves both of its rows.
Dense rows wider than 512 numbers are first projected to 512 by a seeded Gaussian matrix, which changes a distance by
some 3 %. Of pools of more than `LARGE` rows only the 64 strongest directions of a sample are compared, for the number
of pairs grows with the square of the rows. Left out: graphs without exactness (NN-descent) and GPUs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from curation.progress import Progress, Silent
from curation.similarity import TILE_BYTES, Features

VERSION = 1  # raised whenever the same features give other neighbours
K = 15
LARGE = 250_000
_NARROW = 512
_AXES, _SAMPLE = 64, 16_384  # of large pools
_SIDE = 1_024  # rows of a block of products

Graph = tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]


def graph(features: Features, k: int = K, *, seed: int = 0, progress: Progress | None = None) -> Graph:
    """Return each row's `k` nearest other rows.

    Parameters
    ----------
    features : Features
        Of n rows.
    k : int
        How many; n − 1 where there are no more.
    seed : int
        Seed of the projection of wide rows.
    progress : Progress, optional
        Told how far it is.

    Returns
    -------
    indices : int32 array (n, k)
        Nearest first; of equally near ones the lower index first.
    distances : float32 array (n, k)
        1 − cosine, never below 0; a row in which the representation sees nothing is at distance 1 from all.
    """
    progress = progress or Silent()
    values = vectors(features, seed=seed)
    n = values.shape[0]
    k = min(k, n - 1)
    nearest = np.zeros((n, k), dtype=np.int32)
    cosine = np.full((n, k), -np.inf, dtype=np.float32)
    progress.start("neighbours", n)
    told = 0
    if k:
        for top, left, products in _blocks(values):
            _keep(nearest, cosine, products, top, left)
            if left + products.shape[1] == n:  # a row of blocks is done; the later ones are shorter
                done = n - round((n - top - products.shape[0]) ** 2 / n)
                progress.advance(done - told)
                told = done
    return nearest, np.maximum(1 - cosine, 0)


def vectors(features: Features, *, seed: int = 0) -> Any:  # float32 array or CSR
    """Return the rows as they are compared: of unit length (or zero), narrowed where they are wide or many."""
    if len(features.ids) > LARGE:
        values: Any = _on_axes(features, seed)
    elif features.is_sparse:
        return features.values  # their length is 1 already
    else:
        values = features.narrowed(_NARROW, seed=seed)
    length = np.sqrt(np.einsum("nd,nd->n", values, values))
    values /= np.where(length > 0, length, 1)[:, None]
    return values


def groups(neighbours: Graph, *, cosine: float) -> npt.NDArray[np.int64]:
    """Group rows that are near-duplicates: neighbours of at least this cosine, and neighbours of neighbours.

    Of more than `K` near-duplicates of one row all are found if they are equal; if not, a few may stand apart.

    Returns
    -------
    int64 array (n,)
        The lowest index in each row's group; its own where it stands alone.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    indices, distances = neighbours
    n = len(indices)
    row, column = np.nonzero(distances < 1 - cosine)
    links = coo_matrix((np.ones(len(row), dtype=np.int8), (row, indices[row, column])), shape=(n, n))
    _, group = connected_components(links, directed=False)
    _, first = np.unique(group, return_index=True)
    lowest: npt.NDArray[np.int64] = first[group].astype(np.int64)
    return lowest


def _on_axes(features: Features, seed: int) -> npt.NDArray[np.float32]:
    """Rows along the strongest directions of a sample, (n, 64), read a tile at a time."""
    from sklearn.decomposition import TruncatedSVD

    sample = np.sort(np.random.default_rng(seed).choice(len(features.ids), _SAMPLE, replace=False))
    rows = features.values[sample] if features.is_sparse else features.dense(sample)
    axes = TruncatedSVD(min(_AXES, features.width - 1), random_state=seed, n_iter=4).fit(rows).components_.T
    values = np.empty((len(features.ids), axes.shape[1]), dtype=np.float32)
    for tile, block in features.tiles(max(1, TILE_BYTES // (4 * (_AXES if features.is_sparse else features.width)))):
        values[tile] = block @ axes.astype(np.float32)
    return values


def _blocks(values: Any) -> Iterator[tuple[int, int, npt.NDArray[np.float32]]]:
    """Yield first row, first column and products of blocks that hold every pair of rows i < j, i and j ascending."""
    n = values.shape[0]
    if isinstance(values, np.ndarray):
        for top in range(0, n, _SIDE):
            for left in range(top, n, _SIDE):
                yield top, left, values[top : top + _SIDE] @ values[left : left + _SIDE].T
        return
    by_term = values.tocsc()
    by_term.sort_indices()
    first = by_term.indptr[:-1].copy()
    together = max(1, TILE_BYTES // (4 * n))
    for top in range(0, n, together):
        products = np.zeros((min(together, n - top), n - top), dtype=np.float32)
        terms = (values.indptr, values.indices, values.data)
        _sparse_products(products, top, *terms, first, by_term.indptr, by_term.indices, by_term.data)
        yield top, top, products


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _keep(nearest: Any, cosine: Any, products: Any, top: int, left: int) -> None:
    """Let the products of rows top … with rows left … > them take their places among each row's best."""
    last = cosine.shape[1] - 1
    for a in range(products.shape[0]):
        i = top + a
        for b in range(max(0, i + 1 - left), products.shape[1]):
            j = left + b
            p = products[a, b]
            if p > cosine[i, last]:
                _insert(nearest[i], cosine[i], j, p)
            if p > cosine[j, last]:
                _insert(nearest[j], cosine[j], i, p)


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _insert(nearest: Any, cosine: Any, j: int, p: float) -> None:
    """Put a row behind all that are as near: they came first, so their index is lower."""
    at = len(cosine) - 1
    while at > 0 and cosine[at - 1] < p:
        cosine[at], nearest[at] = cosine[at - 1], nearest[at - 1]
        at -= 1
    cosine[at], nearest[at] = p, j


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _sparse_products(
    products: Any,
    top: int,
    indptr: Any,
    terms: Any,
    weights: Any,
    first: Any,
    term_indptr: Any,
    rows: Any,
    term_weights: Any,
) -> None:
    """Multiply rows top … with themselves and all later rows, term by term; `first` skips a term's earlier rows."""
    for term in range(len(first)):
        while first[term] < term_indptr[term + 1] and rows[first[term]] < top:
            first[term] += 1
    for a in range(products.shape[0]):
        for t in range(indptr[top + a], indptr[top + a + 1]):
            term, weight = terms[t], weights[t]
            for at in range(first[term], term_indptr[term + 1]):
                products[a, rows[at] - top] += weight * term_weights[at]
