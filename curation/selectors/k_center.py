"""k-center (Gonzalez 1985) near the queries: cover what is near to them with as few and as different picks as can be.

Among the candidates of highest max_q S, ten times the budget, start from the highest, or from the pins where there are
any, and take again and again the one farthest (1 − cosine) from those taken. How many are considered depends on the
budget, so a larger budget need not hold a smaller one's picks; for a budget in tokens it is as many examples as have
that many tokens on average. Where quotas or token counts use these candidates up, the rest of the pool follows by
falling max_q S. Cosines are of features of at most 512 dimensions (`Problem.vectors`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from curation.config import Options, option
from curation.selectors.base import Picks, Problem, Selector, gathered
from curation.selectors.greedy import Gains, greedy
from curation.selectors.mmr import Marginal
from curation.selectors.ranking import ranked


class KCenter(Selector):
    """Among the nearest candidates take those farthest from each other, so that all kinds are covered."""

    @dataclass(frozen=True, kw_only=True)
    class Config(Options):
        """How far from the queries it looks."""

        reach: int = option(10, "How many times the budget are considered, nearest to the queries first.", low=1)

    config: Config
    reason = "near to the queries and farthest from what was picked before"
    prefix_consistent = False
    needs_features = True

    def order(
        self,
        problem: Problem,
        blocked: npt.NDArray[np.bool_],
        pinned: npt.NDArray[np.int64],
        budget: int,
        seed: int,  # noqa: ARG002
    ) -> Iterator[Picks]:
        """Yield the farthest from those taken; ties go to the lower index."""
        considered, others = self._split(problem, blocked, budget)
        first = considered[: 0 if len(pinned) else 1]
        yield Picks.of(first, -1, np.ones(len(first)))
        yield from gathered(greedy(self.gains(problem, blocked, np.concatenate([pinned, first]), budget)))
        yield Picks.of(others, -1, problem.nearest[others])

    def gains(
        self, problem: Problem, blocked: npt.NDArray[np.bool_], taken: npt.NDArray[np.int64], budget: int
    ) -> Gains:
        """Return how far each considered candidate is from those taken; before the first, how near to a query."""
        considered, _ = self._split(problem, blocked, budget)
        worth = np.full(problem.n_pool, -np.inf)
        worth[considered] = 1.0 if len(taken) else problem.nearest[considered]
        worth[taken] = -np.inf
        return Marginal(worth, 1.0 if len(taken) else 0.0, problem.vectors, taken)

    def _split(
        self, problem: Problem, blocked: npt.NDArray[np.bool_], budget: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Who is considered and who is not, both by falling nearness."""
        order = ranked(problem.nearest)
        considered, others = np.split(order[~blocked[order]], [self.config.reach * budget])
        return considered, others
