"""KNN-uniform (TSDS, Liu et al., NeurIPS 2024, algorithm 1): each query spreads its mass over its K nearest candidates.

One K for all queries, the largest for which moving the mass on to the next neighbour still costs less than the variety
is worth. Distances are d = 1 − S. Where similarity is flat, K ends at its limit, which is told. Candidates without
mass, where the budget asks for them, follow by smallest distance to any query.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from curation.selectors.base import Picks, Problem, Selector
from curation.selectors.ranking import best, by_rows, ranked

ALPHA, C = 0.01, 5.0  # weight of variety against distance, and the scale of distances


class KNNUniform(Selector):
    """Let each query vote for its nearest candidates, as many for every query; rank candidates by votes."""

    reason = "among the nearest of many queries"
    ranking = True

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
        n_queries, limit = neighbours.shape
        k = _how_many(1 - np.take_along_axis(problem.similarity, neighbours, axis=1).astype(np.float64))
        mass = np.bincount(neighbours[:, :k].ravel(), minlength=problem.n_pool) / (k * n_queries)
        order = by_mass(mass, problem)
        yield Picks.of(order, -1, mass[order], *([not_converged(limit)] if k == limit else []))


def nearest_neighbours(problem: Problem) -> npt.NDArray[np.int64]:
    """Return each query's L = min(5000, ⌊n_pool/10⌋, at least 1) nearest candidates, nearest first, (n_queries, L)."""
    similarity, limit = problem.similarity, max(1, min(5000, problem.n_pool // 10))
    return np.stack(by_rows(similarity, lambda q: best(similarity[q], limit)))


def by_mass(mass: npt.NDArray[np.number], problem: Problem) -> npt.NDArray[np.int64]:
    """Return all candidates by falling mass, then by smallest distance to any query, then by lower index.

    Mass is compared as float32, so that shares of equal size tie in whatever order they were summed.
    """
    order = ranked(problem.nearest)
    return order[np.argsort(-mass[order].astype(np.float32), kind="stable")]


def not_converged(limit: int) -> str:
    """Say that K was not found."""
    return (
        f"The number of neighbours reached its limit of {limit:,} (not converged): similarity falls off too slowly to "
        "say how many are near, so take the ranking beyond the nearest with care."
    )


def _how_many(distance: npt.NDArray[np.float64]) -> int:
    """K: from 1 up while K < L and (α/C)·Σ_q Σ_{k≤K} (d_{q,K+1} − d_{q,k}) < (1 − α)·n_queries."""
    n_queries, limit = distance.shape
    total = distance.sum(axis=0)  # over the queries, by rank
    k = np.arange(1, limit)
    spread = k * total[1:] - np.cumsum(total)[:-1]  # for each K, ever larger
    return 1 + int(np.count_nonzero(ALPHA / C * spread < (1 - ALPHA) * n_queries))
