"""Random: a seeded draw, always offered and always an arm, against which every other selection is judged.

A larger budget at the same seed holds the smaller one, so that budget curves compare nested subsets.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from curation.selectors.base import Picks, Problem, Selector


class Random(Selector):
    """Draw candidates at random, every one as likely."""

    reason = "drawn at random"
    blind = True
    ranking = True

    def order(
        self,
        problem: Problem,
        blocked: npt.NDArray[np.bool_],  # noqa: ARG002
        pinned: npt.NDArray[np.int64],  # noqa: ARG002
        budget: int,  # noqa: ARG002
        seed: int,
    ) -> Iterator[Picks]:
        """Yield a random permutation of the pool."""
        drawn = np.random.default_rng(seed).permutation(problem.n_pool)
        yield Picks.of(drawn, -1, problem.nearest[drawn])
