"""KNN-KDE (TSDS, Liu et al., NeurIPS 2024, algorithm 2): neighbours share a query's mass by how crowded they stand.

A candidate's density ρ counts what lies close to it, so that near-duplicates share one vote. Departs from the authors'
code, as TIS (arXiv 2602.14696) does, in this: distances to queries are 1 − S, and those between candidates
2 (1 − cosine), which is the squared distance of unit vectors. Cosines are of features of at most 512 dimensions
(`Problem.vectors`). Every pair of candidates is compared, a block at a time; only the nearest of any query are
candidates here. Where fewer candidates have mass than the budget asks for, the rest follow by smallest distance to any
query (TIS refuses).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from curation.config import Options, option
from curation.selectors.base import Picks, Problem, Selector
from curation.selectors.knn_uniform import ALPHA, C, by_mass, nearest_neighbours, not_converged
from curation.selectors.ranking import best, processors, threaded

_TILE = 2048  # candidates on either side of the products held at once
_CROWDED = 64  # candidates whose products with all others are held at once


class KNNKDE(Selector):
    """Let each query vote for its nearest candidates; near-duplicates share one vote."""

    @dataclass(frozen=True, kw_only=True)
    class Config(Options):
        """What counts as a near-duplicate."""

        sigma: float = option(
            0.75, "How wide a neighbourhood shares one vote: larger counts looser paraphrases as one.", low=0.01, high=2
        )

    config: Config
    reason = "near to the queries and not one of many alike"
    ranking = True
    needs_features = True

    def order(
        self,
        problem: Problem,
        blocked: npt.NDArray[np.bool_],  # noqa: ARG002
        pinned: npt.NDArray[np.int64],  # noqa: ARG002
        budget: int,  # noqa: ARG002
        seed: int,  # noqa: ARG002
    ) -> Iterator[Picks]:
        """Yield by falling mass; equal mass by smallest distance to any query, then by lower index."""
        neighbours = nearest_neighbours(problem)
        candidates = np.unique(neighbours)
        density = np.ones(problem.n_pool)
        n_near = max(1, min(1000, problem.n_pool // 10))
        density[candidates] = _density(problem.vectors[candidates], self.config.sigma, n_near)
        share = 1 / density[neighbours]  # (n_queries, L)
        distance = 1 - np.take_along_axis(problem.similarity, neighbours, axis=1).astype(np.float64)
        portions, converged = _portions(distance, share)
        mass = np.bincount(neighbours.ravel(), weights=portions.ravel(), minlength=problem.n_pool)
        order = by_mass(mass, problem)
        yield Picks.of(order, -1, mass[order], *([] if converged else [not_converged(neighbours.shape[1])]))


def _density(vectors: npt.NDArray[np.float32], sigma: float, n_near: int) -> npt.NDArray[np.float64]:
    """ρ(z) = Σ max(0, 1 − 2 (1 − cos(z, z′))/σ²) over the `n_near` candidates nearest to z, itself included, (n,).

    Each pair is compared once, in tiles of equal size, and summed in whole numbers. Equal vectors get the density of
    the first: on some processors a product differs in its last bit by the row's place in the tile.
    """
    n, d = vectors.shape
    tile = min(_TILE, -(-n // 64) * 64)
    padded = np.zeros((-(-n // tile) * tile, d), dtype=np.float32)
    padded[:n] = vectors
    edge = np.float32(1 - sigma**2 / 2)  # the cosine from which the kernel is above 0
    scale = np.float32(2**30 / (tile * (1 - edge)))  # no tile's sum passes 31 bits
    total, count = (np.zeros(len(padded), dtype=np.int64) for _ in range(2))
    near = np.empty((tile, tile), dtype=np.float32)
    parts = [slice(rows[0], rows[-1] + 1) for rows in np.array_split(np.arange(tile), min(tile, processors()))]
    for start in range(0, n, tile):
        rows = slice(start, start + tile)
        for other in range(start, n, tile):
            columns = slice(other, other + tile)
            np.matmul(padded[rows], padded[columns].T, out=near)
            near[:, n - other :] = -2
            if other == start:
                np.fill_diagonal(near, -2)  # a candidate's nearness to itself is 1, whatever rounding says
            added = threaded(lambda part: _add_up(near[part], edge, scale), parts)
            for part, found in zip(parts, added, strict=True):
                for sums, (of_rows, of_columns) in zip((total, count), found, strict=True):
                    sums[rows][part] += of_rows
                    if other > start:
                        sums[columns] += of_columns
    density = total / scale.astype(np.float64)
    crowded = np.flatnonzero(count[:n] >= n_near)
    for some in np.array_split(crowded, len(crowded) // _CROWDED + 1):
        closest = (vectors[some] @ vectors.T - edge).clip(0)
        closest[np.arange(len(some)), some] = 0
        density[some] = [row[best(row, n_near - 1)].sum(dtype=np.float64) for row in closest]
    return 1 + density[_first_alike(vectors)] * (2 / sigma**2)


def _first_alike(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Return for each vector the place of the first one equal to it, (n,)."""
    seen: dict[bytes, int] = {}
    digests = (hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in vectors)
    return np.array([seen.setdefault(digest, i) for i, digest in enumerate(digests)])


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _add_up(cosines: Any, edge: Any, scale: Any) -> Any:
    """By row and by column: the sum of what lies above `edge`, in units of 1/scale, and how many do."""
    n, m = cosines.shape
    sums, counts = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
    column_sums, column_counts = np.zeros(m, dtype=np.int32), np.zeros(m, dtype=np.int32)
    for i in range(n):
        total = count = np.int32(0)
        row = cosines[i]
        for j in range(m):
            value = np.int32(max(row[j] - edge, np.float32(0)) * scale + np.float32(0.5))
            one = np.int32(value > 0)
            total += value
            count += one
            column_sums[j] += value
            column_counts[j] += one
        sums[i], counts[i] = total, count
    return (sums, column_sums), (counts, column_counts)


def _portions(
    distance: npt.NDArray[np.float64], share: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], bool]:
    """Return the mass that each query gives each of its neighbours, (n_queries, L), and whether the rule was met.

    The authors' heap takes, again and again, the query whose cumulative Σ 1/ρ is lowest one neighbour further, until
    distance outweighs variety; that is to go through all of them by rising Σ 1/ρ.
    """
    n_queries, limit = distance.shape
    level = np.cumsum(share, axis=1)  # Σ 1/ρ up to each neighbour
    cost = distance[:, 1:] * level[:, :-1] - np.cumsum(distance * share, axis=1)[:, :-1]  # (n_queries, L − 1)
    query, rank = np.indices(cost.shape)
    order = np.lexsort((query.ravel(), rank.ravel(), level[:, :-1].ravel()))
    total = np.cumsum(np.diff(cost, axis=1, prepend=0).ravel()[order])
    enough = np.flatnonzero(ALPHA / C * total >= (1 - ALPHA) * n_queries)
    taken = order[: enough[0]] if len(enough) else order
    s = level[:, :-1].ravel()[order[enough[0] if len(enough) else -1]] if len(order) else 1.0
    k = np.bincount(query.ravel()[taken], minlength=n_queries)  # neighbours within K of each query
    portions = np.where(np.arange(limit) < k[:, None], share / s, 0)
    portions[np.arange(n_queries), k] = np.maximum(1 - portions.sum(axis=1), 0)
    return portions / n_queries, len(enough) > 0
