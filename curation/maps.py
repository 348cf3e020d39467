"""The 2-D map of a pool and its queries (UMAP, McInnes et al. 2018, arXiv 1802.03426).

It starts from the rows' two principal axes and is laid out along their neighbour graph (`neighbours`, `layout`).
Only the pool is laid out. LESS's queries are plain gradients and its pool rows Adam directions, so a joint layout may
put the queries on an island of their own; each query is placed instead at the similarity-weighted mean of its nearest
candidates' positions, for every representation alike, and so are rows that join a pool whose map is drawn. Positions
are for looking only: no selector reads them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from curation import similarity
from curation.progress import Progress, Silent
from curation.similarity import Features

if TYPE_CHECKING:
    from curation.neighbours import Graph

VERSION = 2  # raised whenever the same features give another map

SMALLEST = 16  # distinct rows below which the principal axes are the map
_PLACED_BY = 10
_TOGETHER = 2**22  # similarities of new rows held at once
_WIDTH = 10.0  # of the start, from its middle


def fit(
    pool: Features, graph: Graph | None = None, *, seed: int = 0, progress: Progress | None = None
) -> npt.NDArray[np.float32]:
    """Lay the pool out in two dimensions; the same features and seed give the same map.

    Parameters
    ----------
    pool : Features
        Features of n_pool candidates.
    graph : (indices, distances), optional
        What `neighbours.graph` gives for them; computed where it is not given.
    seed : int
        Seed of the layout.
    progress : Progress, optional
        Told of the stages.

    Returns
    -------
    array of shape (n_pool, 2), float32, finite, centred
    """
    from curation import layout, neighbours

    progress = progress or Silent()
    graph = neighbours.graph(pool, seed=seed, progress=progress) if graph is None else graph
    xy = _principal(neighbours.vectors(pool, seed=seed))
    if len(np.unique(xy, axis=0)) >= SMALLEST:
        start = (xy * (_WIDTH / np.abs(xy).max())).astype(np.float32)
        xy = layout.lay_out(layout.weigh(*graph), start, seed=seed, progress=progress).astype(np.float64)
    centred: npt.NDArray[np.float32] = (xy - xy.mean(axis=0)).astype(np.float32)
    return centred


def extend(pool: Features, xy: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Place the rows that a map lacks by their nearest rows that are on it, which stay where they are.

    Parameters
    ----------
    pool : Features
        Features of n_pool candidates.
    xy : array of shape (n_pool, 2)
        Their positions; NaN for those to be placed.

    Returns
    -------
    array of shape (n_pool, 2), float32
    """
    whole = xy.copy()
    there = np.isfinite(xy[:, 0])
    missing = np.flatnonzero(~there)
    together = max(1, _TOGETHER // len(xy))
    for start in range(0, missing.size, together):
        rows = missing[start : start + together]
        new = Features(pool.values[rows], pool.weights, tuple(pool.ids[i] for i in rows))
        whole[rows] = place(similarity.compute(new, pool)[:, there], xy[there])
    return whole


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


def thin(xy: npt.NDArray[np.float32], most: int) -> npt.NDArray[np.bool_]:
    """Choose at most `most` rows to draw: all of those that stand alone, fewer the denser a place is.

    Each cell of a 256 × 256 grid shows all of its rows up to a number that is the same for all cells, chosen so that
    the whole keeps within `most`; which rows a crowded cell shows is drawn at random, the same at every call.

    Parameters
    ----------
    xy : array of shape (n, 2)
        Positions; rows with NaN are not drawn.
    most : int
        How many may be drawn.

    Returns
    -------
    bool array of shape (n,)
    """
    shown = np.isfinite(xy[:, 0])
    if shown.sum() <= most:
        return shown
    rows = np.random.default_rng(0).permutation(np.flatnonzero(shown))
    low, high = xy[rows].min(axis=0), xy[rows].max(axis=0)
    steps = (255.999 * (xy[rows] - low) / np.maximum(high - low, 1e-12)).astype(np.uint16)
    cell = steps[:, 0] * np.uint16(256) + steps[:, 1]
    order = np.argsort(cell, kind="stable")
    count = np.bincount(cell, minlength=1)
    place = np.arange(rows.size) - np.repeat(np.cumsum(count) - count, count)  # of each row in its cell
    per_cell = int((np.cumsum(np.bincount(place)) <= most).sum())  # summed over k: cells that have a k-th row
    chosen = np.zeros(len(xy), dtype=np.bool_)
    chosen[rows[order[place < max(1, per_cell)]][:most]] = True
    return chosen


def inside(xy: npt.NDArray[np.float32], xs: Sequence[float], ys: Sequence[float]) -> npt.NDArray[np.bool_]:
    """Tell which rows lie inside a polygon (even-odd rule), whether they are drawn or not.

    Rows are sorted by height, so that each edge looks only at those between its ends.

    Parameters
    ----------
    xy : array of shape (n, 2)
        Positions; rows with NaN lie outside.
    xs, ys : sequence of float
        The corners.

    Returns
    -------
    bool array of shape (n,)
    """
    x, y = np.asarray(xy, dtype=np.float64).T
    corners = np.column_stack([xs, ys]).astype(np.float64)
    low, high = corners.min(axis=0), corners.max(axis=0)
    near = np.flatnonzero((x >= low[0]) & (x <= high[0]) & (y >= low[1]) & (y < high[1]))
    near = near[np.argsort(y[near], kind="stable")]
    x, y = x[near], y[near]
    crossed = np.zeros(near.size, dtype=np.bool_)
    for (x1, y1), (x2, y2) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if y1 != y2:  # a ray to the right of these rows may cross this edge
            between = slice(*np.searchsorted(y, sorted((y1, y2))))
            crossed[between] ^= x[between] < (x2 - x1) * (y[between] - y1) / (y2 - y1) + x1
    found = np.zeros(len(xy), dtype=np.bool_)
    found[near[crossed]] = True
    return found


def _principal(values: Any) -> npt.NDArray[np.float64]:
    """Rows along their two principal axes, (n, 2); the sign of each is fixed so that the map does not flip."""
    if not isinstance(values, np.ndarray):
        from sklearn.utils.extmath import randomized_svd

        _, _, axes = randomized_svd(values, min(3, *values.shape), n_iter=5, random_state=0)
        axes = axes[-2:].T  # the strongest of three is near the mean
        mean = np.asarray(values.mean(axis=0)).ravel() @ axes
    else:
        middle = values.mean(axis=0, dtype=np.float64)
        moment = values.T @ values / len(values) - np.outer(middle, middle)  # (d, d)
        axes = np.linalg.eigh(moment.astype(np.float64))[1][:, :-3:-1]
        mean = middle @ axes
    xy = np.zeros((values.shape[0], 2))
    xy[:, : axes.shape[1]] = values @ axes - mean
    flip = np.take_along_axis(xy, np.abs(xy).argmax(axis=0)[None], axis=0) < 0
    return np.where(flip, -xy, xy)
