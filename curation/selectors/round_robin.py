"""Round robin (TIS, arXiv 2602.14696): queries take turns, each takes its most similar candidate not yet taken.

Each query's candidates are sorted only as far as it gets: a budget of hundreds out of a pool of millions sorts
hundreds.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from curation.selectors.base import Pick, Problem, Selector

_FIRST = 64


class RoundRobin(Selector):
    """Let the queries take turns, each taking its most similar candidate not yet taken."""

    reason = "nearest left when the query took its turn"

    def order(
        self,
        problem: Problem,
        blocked: npt.NDArray[np.bool_],
        pinned: npt.NDArray[np.int64],  # noqa: ARG002
        seed: int,  # noqa: ARG002
    ) -> Iterator[Pick]:
        """Yield the picks of query 0, 1, …, n_queries − 1, 0, …; blocked candidates are as though not in the pool."""
        taken = blocked.copy()
        wishes = [_best_left(row, taken) for row in problem.similarity]
        for turn in range(problem.n_pool - int(blocked.sum())):
            query = turn % problem.n_queries
            index = next(wishes[query])
            taken[index] = True
            yield Pick(index, query, float(problem.similarity[query, index]))


def _best_left(row: npt.NDArray[np.floating], taken: npt.NDArray[np.bool_]) -> Iterator[int]:
    """Yield candidates by falling similarity, lower index first among equals, leaving out those taken by then."""
    wanted = min(_FIRST, len(row))
    done = np.inf  # every candidate above or at this similarity has been offered
    while True:
        threshold = np.partition(row, len(row) - wanted)[len(row) - wanted]  # the `wanted`-th highest
        fresh = np.flatnonzero((row >= threshold) & (row < done) & ~taken)
        for index in fresh[np.argsort(-row[fresh].astype(np.float64), kind="stable")].tolist():
            if not taken[index]:
                yield index
        if wanted == len(row):
            return
        done, wanted = float(threshold), min(wanted * 4, len(row))
