"""UMAP's graph weights and layout (McInnes et al. 2018, arXiv 1802.03426), the same whatever the number of threads.

The weights are the paper's (section 3.1). The layout departs from its algorithm 5: in each epoch every row moves by
where the others were when the epoch began, so that any split among threads gives the same bytes; a link draws its row
once, not at both of its ends, and never further than half-way; the exponent b of the curve 1 / (1 + a·d^2b) is 1, so
that no power is computed. Left out: other dimensions than two, other distances than cosine.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from curation.progress import Progress

_A = 1.56  # of the curve with b = 1 that is nearest to UMAP's of min_dist 0.1
_NEGATIVES = 5


def weigh(indices: npt.NDArray[np.int32], distances: npt.NDArray[np.float32]) -> Any:
    """UMAP's weights of the neighbour graph, symmetric CSR (n, n): 1 to the nearest, falling with the distance.

    Each row's scale σ solves Σ_j exp(−max(0, d_j − ρ) / σ) = log2(k + 1), for UMAP counts the row itself among its
    neighbours; the two directions are joined by a + b − ab.

    Parameters
    ----------
    indices, distances : arrays (n, k)
        What `neighbours.graph` gives.
    """
    from scipy.sparse import csr_matrix

    n, k = indices.shape
    first = np.where(distances > 0, distances, np.inf).min(axis=1)  # ρ: equal rows do not count
    beyond = np.maximum(distances - np.where(np.isinf(first), 0, first)[:, None], 0).astype(np.float64)  # (n, k)
    low, high, sigma = np.zeros(n), np.full(n, np.inf), np.ones(n)
    for _ in range(64):
        above = np.exp(-beyond / sigma[:, None]).sum(axis=1) > np.log2(k + 1)
        high, low = np.where(above, sigma, high), np.where(above, low, sigma)
        sigma = np.where(np.isinf(high), 2 * sigma, (low + high) / 2)
    sigma = np.maximum(sigma, 1e-3 * distances.mean(axis=1))
    weights = np.exp(-beyond / np.maximum(sigma, 1e-12)[:, None])
    one_way = csr_matrix((weights.ravel(), indices.ravel(), np.arange(n + 1) * k), shape=(n, n))
    other = one_way.T.tocsr()
    both = (one_way + other - one_way.multiply(other)).tocsr()
    both.sort_indices()
    return both


def lay_out(weights: Any, xy: npt.NDArray[np.float32], *, seed: int, progress: Progress) -> npt.NDArray[np.float32]:
    """Let neighbours draw each other near and strangers push each other away, ever more gently.

    Parameters
    ----------
    weights : CSR matrix (n, n)
        What `weigh` gives.
    xy : float32 array (n, 2)
        Where the rows start.
    seed : int
        Seed of the strangers.
    progress : Progress
        Told of every epoch.

    Returns
    -------
    float32 array (n, 2)
    """
    n = len(xy)
    epochs = 500 if n <= 10_000 else 200  # as UMAP does
    progress.start("layout", epochs, "rounds")
    share = (weights.data / weights.data.max()).astype(np.float32)  # of the epochs in which a link draws
    cuts = np.searchsorted(weights.indptr, np.linspace(0, weights.nnz, 4 * numba.config.NUMBA_NUM_THREADS + 1))
    cuts[0], cuts[-1] = 0, n
    phase = (np.arange(weights.nnz) * 0.6180339887498949 % 1).astype(np.float32)  # links of one weight take turns
    links = (weights.indptr, weights.indices, share, phase)
    with ThreadPoolExecutor(numba.config.NUMBA_NUM_THREADS) as threads:
        for epoch in range(epochs):
            moved = np.empty_like(xy)
            step = np.float32(1 - epoch / epochs)
            move = partial(_move, moved, xy, *links, epoch, step, seed)
            list(threads.map(move, cuts[:-1], cuts[1:]))  # a list, so that an error is raised here
            xy = moved
            progress.advance()
    return xy


@numba.njit(nogil=True, fastmath=True, cache=True)  # type: ignore[untyped-decorator]
def _move(
    moved: Any,
    xy: Any,
    indptr: Any,
    indices: Any,
    share: Any,
    phase: Any,
    epoch: int,
    step: float,
    seed: int,
    start: int,
    stop: int,
) -> None:
    """Move rows start … stop by one epoch: by each link that is due, and five rows drawn at random for each."""
    n = np.uint64(len(xy))
    a, one = np.float32(_A), np.float32(1)
    before, after = np.float32(epoch), np.float32(epoch + 1)
    for i in range(start, stop):
        x, y = xy[i, 0], xy[i, 1]
        state = np.uint64(seed) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(epoch) * np.uint64(0xBF58476D1CE4E5B9)
        state += np.uint64(i + 1) * np.uint64(0x94D049BB133111EB)
        for e in range(indptr[i], indptr[i + 1]):
            if np.floor(after * share[e] + phase[e]) == np.floor(before * share[e] + phase[e]):
                continue
            dx, dy = xy[indices[e], 0] - x, xy[indices[e], 1] - y
            near = min(step * np.float32(2) * a / (one + a * (dx * dx + dy * dy)), np.float32(0.5))
            x += near * dx
            y += near * dy
            for _ in range(_NEGATIVES):
                state = state * np.uint64(6364136223846793005) + np.uint64(1442695040888963407)
                j = np.int64(((state >> np.uint64(32)) * n) >> np.uint64(32))
                if j == i:
                    continue
                dx, dy = x - xy[j, 0], y - xy[j, 1]
                square = dx * dx + dy * dy
                push = np.float32(2) / ((np.float32(0.001) + square) * (one + a * square))
                x += step * min(max(push * dx, np.float32(-4)), np.float32(4))
                y += step * min(max(push * dy, np.float32(-4)), np.float32(4))
        moved[i, 0], moved[i, 1] = x, y
