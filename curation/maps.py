"""The 2-D map of a pool and its queries (UMAP, McInnes et al. 2018, arXiv 1802.03426).

Only the pool is laid out. LESS's queries are plain gradients and its pool rows Adam directions, so a joint layout may
put the queries on an island of their own; each query is placed instead at the similarity-weighted mean of its nearest
candidates' positions, for every representation alike. Positions are for looking only: no selector reads them. Wide
features are first reduced to 50 dimensions by a seeded truncated SVD, those too large to be held in memory after a
random projection to 512.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from curation.progress import Progress, Silent
from curation.similarity import Features

VERSION = 1  # raised whenever the same features give another map

N_NEIGHBOURS = 15
SMALLEST_FOR_UMAP = 16  # UMAP's spectral start needs more rows than this has neighbours
_SVD_DIMENSIONS = 50
_SVD_ABOVE = 100
_LARGEST = 256 * 2**20  # bytes of float32; the SVD makes copies
_NARROW = 512
_PLACED_BY = 10


def fit(
    pool: Features, *, seed: int = 0, n_neighbours: int = N_NEIGHBOURS, progress: Progress | None = None
) -> npt.NDArray[np.float32]:
    """Lay the pool out in two dimensions; the same features and seed give the same map.

    Parameters
    ----------
    pool : Features
        Features of n_pool candidates.
    seed : int
        Seed of the layout.
    n_neighbours : int
        Neighbours that UMAP looks at: more show the whole, fewer the detail.
    progress : Progress, optional
        Told of the stages.

    Returns
    -------
    array of shape (n_pool, 2), float32, finite, centred
    """
    progress = progress or Silent()
    n_pool = len(pool.ids)
    progress.start("map", n_pool)
    values = _reduced(pool, seed)  # (n_pool, at most _SVD_ABOVE)
    distinct = len(np.unique(values, axis=0))
    if distinct < SMALLEST_FOR_UMAP:
        xy = _principal(values)
    else:
        xy = _umap(values, seed, min(n_neighbours, n_pool - 1))
    progress.advance(n_pool)
    centred: npt.NDArray[np.float32] = (xy - xy.mean(axis=0)).astype(np.float32)
    return centred


def place(
    similarity: npt.NDArray[np.floating], pool_xy: npt.NDArray[np.float32], *, nearest: int = _PLACED_BY
) -> npt.NDArray[np.float32]:
    """Place each query at the mean of its `nearest` candidates' positions, the more similar weighing more.

    Parameters
    ----------
    similarity : array of shape (n_queries, n_pool)
        Similarity.
    pool_xy : array of shape (n_pool, 2)
        The pool's map.
    nearest : int
        How many candidates place a query.

    Returns
    -------
    array of shape (n_queries, 2), float32
    """
    k = min(nearest, similarity.shape[1])
    top = np.argpartition(-similarity, k - 1, axis=1)[:, :k]  # (n_queries, k)
    values = np.take_along_axis(similarity, top, axis=1).astype(np.float64)
    # Weights must be positive and similarities need not be: what counts is how far each is above the worst of the k.
    weights = values - values.min(axis=1, keepdims=True) + 1e-3
    weights /= weights.sum(axis=1, keepdims=True)
    placed: npt.NDArray[np.float32] = np.einsum("qk,qkd->qd", weights, pool_xy[top].astype(np.float64)).astype(
        np.float32
    )
    return placed


def _reduced(pool: Features, seed: int) -> npt.NDArray[np.float32]:
    """Reduce wide features by truncated SVD; the sign of each component is fixed so that the map does not flip."""
    k = min(_SVD_DIMENSIONS, len(pool.ids) - 1, pool.width - 1)
    if pool.width <= _SVD_ABOVE or k < 2:
        return pool.dense()
    from sklearn.decomposition import TruncatedSVD

    values: Any = pool.values
    if not pool.is_sparse:
        large = 4 * len(pool.ids) * pool.width > _LARGEST
        values = pool.narrowed(_NARROW, seed=seed) if large else pool.dense()
    reduced = TruncatedSVD(n_components=k, random_state=seed, n_iter=4).fit_transform(values)
    return np.asarray(reduced, dtype=np.float32)


def _principal(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Lay out the few rows along their two principal axes."""
    centred = values.astype(np.float64) - values.mean(axis=0)
    left, scale, _ = np.linalg.svd(centred, full_matrices=False)
    xy = np.zeros((len(values), 2))
    n = min(2, len(scale))
    xy[:, :n] = left[:, :n] * scale[:n]
    return xy


def _umap(values: npt.NDArray[np.float32], seed: int, n_neighbours: int) -> npt.NDArray[np.float64]:
    import warnings

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module="umap|sklearn")
        warnings.filterwarnings("ignore", message="n_jobs value")
        from umap import UMAP

        layout = UMAP(n_neighbors=n_neighbours, min_dist=0.1, metric="cosine", random_state=seed, n_jobs=1)
        return np.asarray(layout.fit_transform(values), dtype=np.float64)
