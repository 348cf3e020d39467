"""Kernel herding (Chen, Welling and Smola, UAI 2010): picks whose mean comes ever nearer to that of the queries.

Greedy minimiser of the squared maximum mean discrepancy between subset and query set under the cosine kernel: argmax of
mean_q S_qx − (1/(t+1)) Σ_{a∈A} cos(a, x), t the picks so far. Cosines are of features of at most 512 dimensions
(`Problem.vectors`).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from curation.selectors.base import Picks, Problem, Selector, gathered
from curation.selectors.greedy import Gains, dots, greedy
from curation.selectors.ranking import by_columns

_SLACK = 1e-5  # what rounding may add to a cosine
_ROUGH = 5e-5  # the same, summed in float32 over 512 dimensions


class Herding(Selector):
    """Bring the average of the picks as near as can be to the average of the queries."""

    reason = "brings the average pick nearer to the average query"
    needs_features = True

    def order(
        self,
        problem: Problem,
        blocked: npt.NDArray[np.bool_],
        pinned: npt.NDArray[np.int64],
        budget: int,
        seed: int,  # noqa: ARG002
    ) -> Iterator[Picks]:
        """Yield by how far a candidate brings the discrepancy down; ties go to the lower index."""
        yield from gathered(greedy(self.gains(problem, blocked, pinned, budget)))

    def gains(
        self,
        problem: Problem,
        blocked: npt.NDArray[np.bool_],
        taken: npt.NDArray[np.int64],
        budget: int,  # noqa: ARG002
    ) -> Gains:
        """Return how far each candidate brings the discrepancy down."""
        return _Discrepancy(problem, blocked, taken)


class _Discrepancy(Gains):
    """Mean similarity to the queries less mean cosine to the set.

    A pick changes Σ_{a∈A} cos(a, x) by 1 at most, which bounds what a candidate is worth some picks after it was last
    looked at.
    """

    def __init__(self, problem: Problem, blocked: npt.NDArray[np.bool_], pinned: npt.NDArray[np.int64]) -> None:
        mean = np.zeros(problem.n_pool)

        def look(columns: slice) -> None:
            for row in problem.similarity[:, columns]:
                mean[columns] += row

        by_columns(problem.similarity, look)
        self._mean = np.where(blocked, -np.inf, mean / problem.n_queries)
        self._mean[pinned] = -np.inf
        self._vectors = problem.vectors
        self._sum = self._vectors[pinned].sum(axis=0, dtype=np.float64)  # Σ_{a∈A} a
        self._n = len(pinned)
        # least that Σ_{a∈A} cos(a, x) can have been, plus the size of A then; at first from float32, to its rounding
        alike = self._vectors @ self._sum.astype(np.float32) if self._n else np.zeros(problem.n_pool)
        self._least = alike.astype(np.float64) + self._n - _ROUGH * self._n
        self._raise()

    def _raise(self) -> None:
        self.bound = self._mean - (self._least - self._n - _SLACK * (self._n + 1)) / (self._n + 1)

    def exact(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Return each candidate's worth."""
        alike = dots(self._vectors, rows, self._sum)
        self._least[rows] = alike + self._n
        return (self._mean[rows] - alike / (self._n + 1)).astype(np.float32)

    def take(self, rows: npt.NDArray[np.int64]) -> None:
        """Put some candidates into the set and loosen all bounds by as much as they may change them."""
        self._sum += self._vectors[rows].sum(axis=0, dtype=np.float64)
        self._n += len(rows)
        self._mean[rows] = -np.inf
        self._raise()
