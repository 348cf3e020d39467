"""Doubly greedy (TIS, arXiv 2602.14696): rank candidates by their highest similarity to any query."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from curation.selectors.base import Picks, Problem, Selector
from curation.selectors.ranking import best, ranked


class DoublyGreedy(Selector):
    """Rank candidates by their similarity to the query that they are nearest to."""

    reason = "among the nearest to any query"
    ranking = True

    def order(
        self,
        problem: Problem,
        blocked: npt.NDArray[np.bool_],
        pinned: npt.NDArray[np.int64],  # noqa: ARG002
        budget: int,
        seed: int,  # noqa: ARG002
    ) -> Iterator[Picks]:
        """Yield by falling maximum over queries; ties go to the lower index."""
        n = min(problem.n_pool, budget + int(blocked.sum()))  # most that the walk will ask for, or most often
        order = best(problem.nearest, n)
        yield Picks.of(order, problem.nearest_query_of(order), problem.nearest[order])
        order = ranked(problem.nearest)[n:]
        yield Picks.of(order, problem.nearest_query_of(order), problem.nearest[order])
