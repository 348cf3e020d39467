"""Maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998): near to a query, and unlike what is in already.

Greedy argmax of λ·max_q S_qx − (1 − λ)·max_{a∈A} cos(x, a); with nothing in yet, the first term alone. Cosines are of
features of at most 512 dimensions (`Problem.vectors`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from curation.config import Options, option
from curation.selectors.base import Picks, Problem, Selector, gathered
from curation.selectors.greedy import Cosines, Gains, greedy


class MMR(Selector):
    """Weigh nearness to a query against likeness to what is already picked (maximal marginal relevance)."""

    @dataclass(frozen=True, kw_only=True)
    class Config(Options):
        """The weight between the two."""

        relevance: float = option(
            0.7, "Weight of nearness to a query; the rest goes to being unlike the picks so far.", low=0.0, high=1.0
        )

    config: Config
    reason = "near to a query and unlike what was picked before"
    needs_features = True

    def order(
        self,
        problem: Problem,
        blocked: npt.NDArray[np.bool_],
        pinned: npt.NDArray[np.int64],
        budget: int,
        seed: int,  # noqa: ARG002
    ) -> Iterator[Picks]:
        """Yield by marginal relevance; ties go to the lower index."""
        yield from gathered(greedy(self.gains(problem, blocked, pinned, budget)))

    def gains(
        self,
        problem: Problem,
        blocked: npt.NDArray[np.bool_],
        taken: npt.NDArray[np.int64],
        budget: int,  # noqa: ARG002
    ) -> Gains:
        """Return each candidate's marginal relevance."""
        relevance = self.config.relevance * problem.nearest.astype(np.float64)
        relevance[blocked] = -np.inf
        return Marginal(relevance, 1 - self.config.relevance, problem.vectors, taken)


class Marginal(Gains):
    """What a candidate is worth by itself, less `weight` times its highest cosine to the set."""

    falls = True

    def __init__(
        self,
        worth: npt.NDArray[np.float64],
        weight: float,
        vectors: npt.NDArray[np.float32],
        start: npt.NDArray[np.int64],
    ) -> None:
        self._worth, self._weight = worth, weight
        self._cosines = Cosines(vectors)
        self._cosines.take(start)
        self._empty = not len(start)
        self.bound = worth.copy() if self._empty else worth + weight

    def exact(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Return each candidate's marginal worth."""
        worth = self._worth[rows]
        return (worth if self._empty else worth - self._weight * self._cosines.highest(rows)).astype(np.float32)

    def take(self, rows: npt.NDArray[np.int64]) -> None:
        """Put some candidates into the set; the first raise all bounds, for a cosine may be as low as −1."""
        self._cosines.take(rows)
        if self._empty:
            self._empty = False
            self.bound = np.where(self.bound > -np.inf, self._worth + self._weight, -np.inf)
