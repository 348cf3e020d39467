"""Doubly greedy (TIS, arXiv 2602.14696): rank candidates by their highest similarity to any query."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from curation.selectors.base import Picks, Problem, Selector
from curation.selectors.ranking import ranked


class DoublyGreedy(Selector):
    """Rank candidates by their similarity to the query that they are nearest to."""

    reason = "among the nearest to any query"
    ranking = True

    def order(
        self,
        problem: Problem,
        blocked: npt.NDArray[np.bool_],  # noqa: ARG002
        pinned: npt.NDArray[np.int64],  # noqa: ARG002
        budget: int,  # noqa: ARG002
        seed: int,  # noqa: ARG002
    ) -> Iterator[Picks]:
        """Yield by falling maximum over queries; ties go to the lower index."""
        order = ranked(problem.nearest)
        yield Picks.of(order, problem.nearest_query[order], problem.nearest[order])
