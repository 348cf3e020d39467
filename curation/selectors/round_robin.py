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
    reads = "shortlists"

    def order(
        self,
        problem: Problem,
        blocked: npt.NDArray[np.bool_],
        pinned: npt.NDArray[np.int64],  # noqa: ARG002
        budget: int,
        seed: int,  # noqa: ARG002
    ) -> Iterator[Picks]:
        """Yield the picks of query 0, 1, …, n_queries − 1, 0, …; blocked candidates are as though not in the pool."""
        turns = _turns(problem, blocked.copy(), 16 + 2 * budget // problem.n_queries)
        first = 0
        while picked := list(islice(turns, _TOGETHER if first else max(budget, _TOGETHER // 4))):
            candidates = np.array(picked, dtype=np.int64)
            query = np.arange(first, first + len(picked)) % problem.n_queries
            yield Picks.of(candidates, query, problem.similarity[query, candidates])
            first += len(picked)


def _turns(problem: Problem, taken: npt.NDArray[np.bool_], width: int) -> Iterator[int]:
    """Yield whom each query takes in turn, starting with lists of about `width` candidates.

    A query whose list is used up gets one twice as long, of those left.
    """
    similarity = problem.similarity
    is_taken = taken.view(np.uint8).data  # the same memory, quicker to ask one by one
    widths = [width] * problem.n_queries
    left = np.arange(len(taken))  # or were not long ago
    n_left = len(taken) - int(taken.sum())

    def wishes(query: int) -> Iterator[int]:
        row = similarity[query]
        if 2 * len(left) > len(row):  # to look among all is quicker
            found = above(row, widths[query])
            found = found[~taken[found]]
        else:
            found = left[above(row[left], widths[query])]
        return iter(ranked(row[found], found).tolist())

    if width * len(widths) <= 2 * sum(map(len, problem.shortlists)):  # they go a long way
        lists = [iter(short.tolist()) for short in problem.shortlists]
    else:
        lists = by_rows(similarity, wishes)
    while n_left:
        for query in range(min(problem.n_queries, n_left)):
            candidate = -1
            while candidate < 0:
                for wish in lists[query]:
                    if not is_taken[wish]:
                        candidate = wish
                        break
                else:
                    if 3 * n_left < 2 * len(left):
                        left = left[~taken[left]]
                    widths[query] *= 2
                    lists[query] = wishes(query)
            is_taken[candidate] = 1
            n_left -= 1
            yield candidate
