"""Doubly greedy (TIS, arXiv 2602.14696): rank candidates by their highest similarity to any query."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from curation.selectors.base import Pick, Problem, Selector


class DoublyGreedy(Selector):
    """Rank candidates by their similarity to the query that they are nearest to."""

    reason = "among the nearest to any query"

    def order(
        self,
        problem: Problem,
        blocked: npt.NDArray[np.bool_],  # noqa: ARG002
        pinned: npt.NDArray[np.int64],  # noqa: ARG002
        seed: int,  # noqa: ARG002
    ) -> Iterator[Pick]:
        """Yield by falling maximum over queries; ties go to the lower index."""
        best = problem.similarity.max(axis=0)  # (n_pool,)
        query = problem.similarity.argmax(axis=0)
        for i in np.argsort(-best.astype(np.float64), kind="stable").tolist():
            yield Pick(i, int(query[i]), float(best[i]))
