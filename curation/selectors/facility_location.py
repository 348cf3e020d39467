"""Facility location for queries (Kothawade et al., PRISM, AAAI 2022): every query well served, by picks near to any.

Greedy on f(A) = Σ_q max_{a∈A} S_qa + η Σ_{a∈A} max_q S_qa, the empty set serving none: f(∅) = 0. The first sum is
submodular, so that greedy comes within 1 − 1/e of the best set (Nemhauser et al. 1978).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from curation.config import Options, option
from curation.selectors.base import Picks, Problem, Selector, gathered
from curation.selectors.greedy import Gains, greedy

_ROWS = 4096  # candidates looked at together


class FacilityLocation(Selector):
    """Give every query a near pick as early as can be, then go on with what is near to any query."""

    @dataclass(frozen=True, kw_only=True)
    class Config(Options):
        """The weight between the two."""

        closeness: float = option(
            1.0, "Weight of a pick's own nearness to a query, beside how well all queries are served.", low=0.0
        )

    config: Config
    reason = "serves the queries that were served worst"

    def order(
        self,
        problem: Problem,
        blocked: npt.NDArray[np.bool_],
        pinned: npt.NDArray[np.int64],
        budget: int,
        seed: int,  # noqa: ARG002
    ) -> Iterator[Picks]:
        """Yield by what a candidate adds to f; ties go to the lower index."""
        yield from gathered(greedy(self.gains(problem, blocked, pinned, budget)))

    def gains(
        self,
        problem: Problem,
        blocked: npt.NDArray[np.bool_],
        taken: npt.NDArray[np.int64],
        budget: int,  # noqa: ARG002
    ) -> Gains:
        """Return what each candidate adds to f."""
        return _Service(problem, self.config.closeness, blocked, taken)


class _Service(Gains):
    """What a candidate adds to f."""

    falls = True

    def __init__(
        self, problem: Problem, closeness: float, blocked: npt.NDArray[np.bool_], pinned: npt.NDArray[np.int64]
    ) -> None:
        self._columns = problem.similarity.T  # (n_pool, n_queries)
        self._own = closeness * problem.nearest.astype(np.float64)
        self._served = problem.similarity[:, pinned].max(axis=1) if len(pinned) else None
        self.bound = np.where(blocked, -np.inf, np.inf)

    def exact(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Return what each candidate adds."""
        added = self._own[rows]
        for start in range(0, len(rows), _ROWS):
            some = slice(start, start + _ROWS)
            columns = self._columns[rows[some]]
            if self._served is not None:
                columns = np.maximum(columns - self._served, 0)
            added[some] += columns.sum(axis=1, dtype=np.float64)
        return added.astype(np.float32)

    def take(self, rows: npt.NDArray[np.int64]) -> None:
        """Put some candidates into the set; the first raise all bounds, for they end the empty set's service of 0."""
        served = self._columns[rows].max(axis=0)
        if self._served is None:
            self._served = served
            self.bound = np.where(self.bound > -np.inf, np.inf, -np.inf)
        else:
            self._served = np.maximum(self._served, served)
