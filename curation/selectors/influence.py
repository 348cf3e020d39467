"""Influence (LESS, arXiv 2402.04333): mean similarity to a subtask's queries, highest over the subtasks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from curation.selectors.base import Picks, Problem, Selector
from curation.selectors.ranking import by_columns, ranked


class Influence(Selector):
    """Rank candidates by their mean similarity to the queries of the subtask that they suit best (LESS's own rule)."""

    reason = "near to a whole subtask on average"
    ranking = True

    def order(
        self,
        problem: Problem,
        blocked: npt.NDArray[np.bool_],  # noqa: ARG002
        pinned: npt.NDArray[np.int64],  # noqa: ARG002
        budget: int,  # noqa: ARG002
        seed: int,  # noqa: ARG002
    ) -> Iterator[Picks]:
        """Yield by falling influence; queries without a group are one subtask, ties go to the lower index."""
        groups: dict[str | None, list[int]] = {}
        for query, name in enumerate(problem.query_groups or [None] * problem.n_queries):
            groups.setdefault(name or None, []).append(query)
        influence = np.full(problem.n_pool, -np.inf, dtype=np.float32)

        def look(columns: slice) -> None:
            for queries in groups.values():
                total = np.zeros(len(influence[columns]))
                for query in queries:
                    total += problem.similarity[query, columns]
                np.maximum(influence[columns], total / len(queries), out=influence[columns])

        by_columns(problem.similarity, look)
        order = ranked(influence)
        yield Picks.of(order, -1, influence[order])
