"""Round robin (TIS, arXiv 2602.14696): queries take turns, each takes its most similar candidate not yet taken.

Each query holds a list of its best candidates and looks for more among those left only when the list is used up: a
budget of hundreds out of a pool of millions sorts hundreds.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
import numpy.typing as npt

from curation.selectors.base import Picks, Problem, Selector
from curation.selectors.ranking import above, by_rows, ranked

_TOGETHER = 4096  # turns given at once


class RoundRobin(Selector):
    """Let the queries take turns, each taking its most similar candidate not yet taken."""

    reason = "nearest left when the query took its turn"

    def order(
        self,
        problem: Problem,
        blocked: npt.NDArray[np.bool_],
        pinned: npt.NDArray[np.int64],  # noqa: ARG002
        budget: int,
        seed: int,  # noqa: ARG002
    ) -> Iterator[Picks]:
        """Yield the picks of query 0, 1, …, n_queries − 1, 0, …; blocked candidates are as though not in the pool."""
        turns = _turns(problem.similarity, blocked.copy(), 64 + 4 * budget // problem.n_queries)
        first = 0
        while picked := list(islice(turns, _TOGETHER)):
            candidates = np.array(picked, dtype=np.int64)
            query = np.arange(first, first + len(picked)) % problem.n_queries
            yield Picks.of(candidates, query, problem.similarity[query, candidates])
            first += len(picked)


def _turns(similarity: npt.NDArray[np.float32], taken: npt.NDArray[np.bool_], width: int) -> Iterator[int]:
    """Yield whom each query takes in turn, starting with lists of about `width` candidates."""
    n_queries, n_pool = similarity.shape
    is_taken = taken.view(np.uint8).data  # the same memory, quicker to ask one by one
    widths = [width] * n_queries
    wishes = [iter(found) for found in by_rows(similarity, lambda row: _wishes(row, taken, width))]
    for turn in range(n_pool - int(taken.sum())):
        query = turn % n_queries
        candidate = next((i for i in wishes[query] if not is_taken[i]), -1)
        while candidate < 0:
            widths[query] *= 2
            wishes[query] = iter(_wishes(similarity[query], taken, widths[query]))
            candidate = next(wishes[query], -1)
        is_taken[candidate] = 1
        yield candidate


def _wishes(row: npt.NDArray[np.float32], taken: npt.NDArray[np.bool_], width: int) -> list[int]:
    """Return the best candidates that are left, about `width` of them, best first; none that is left out is as good."""
    left = np.flatnonzero(~taken)
    if 2 * len(left) > len(row):  # to read all is quicker than to gather most
        found = above(row, width)
        found = found[~taken[found]]
    else:
        found = left[above(row[left], width)]
    wishes: list[int] = ranked(row[found], found).tolist()
    return wishes
