"""A subset with all that made it, so that the same question can be asked again in other circumstances.

What explanations and the bootstrap of the queries share: to select once more, who had a turn when, who could have been
taken on it, and what a set selector goes by then. Arrays only.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from curation.errors import SelectionError
from curation.selectors import Budget, Overrides, Problem, Selector, Subset
from curation.selectors.greedy import Gains

REACH = 4  # times the picks: how far round robin is followed to say when a candidate would have its turn
FEW = 32  # picks from which bounds are taken on what candidates add to any later set


@dataclass(frozen=True, eq=False)
class Selected:
    """A subset with all that made it, so that the same question can be asked in other circumstances.

    Parameters
    ----------
    selector, problem, budget, overrides, seed, quotas, minimum_similarity, minimum_score
        What `Selector.select` was given.
    subset : Subset
        What it gave.
    """

    selector: Selector
    problem: Problem
    budget: Budget
    overrides: Overrides
    subset: Subset
    seed: int = 0
    quotas: Mapping[str, int] = field(default_factory=dict)
    minimum_similarity: float | None = None
    minimum_score: float | None = None

    def again(self, *, ban: Sequence[int] = (), free: int | None = None) -> Subset:
        """Select once more, with some candidates banned as well, or one neither pinned nor banned."""
        left = {free, *ban}
        overrides = Overrides(
            pinned=tuple(i for i in self.overrides.pinned if i not in left),
            banned=(*(i for i in self.overrides.banned if i not in left), *ban),
        )
        return self.selector.select(
            self.problem,
            self.budget,
            overrides,
            self.seed,
            quotas=self.quotas,
            minimum_similarity=self.minimum_similarity,
            minimum_score=self.minimum_score,
        )

    def try_again(self, *, ban: Sequence[int] = (), free: int | None = None) -> Subset | None:
        """Select once more; None where too few candidates are left for it."""
        try:
            return self.again(ban=ban, free=free)
        except SelectionError:
            return None

    @cached_property
    def below(self) -> npt.NDArray[np.bool_]:
        """Which candidates are below a minimum, (n_pool,)."""
        return self.problem.below(self.minimum_similarity, self.minimum_score)

    @cached_property
    def blocked(self) -> npt.NDArray[np.bool_]:
        """Which candidates an ordering does not bring: pinned, banned, below a minimum; (n_pool,)."""
        blocked = self.below.copy()
        blocked[list(self.overrides.pinned)] = True
        blocked[list(self.overrides.banned)] = True
        return blocked

    @cached_property
    def place(self) -> npt.NDArray[np.int64]:
        """Place of each candidate among the picks from 0, −1 where it is not picked, (n_pool,)."""
        place = np.full(self.problem.n_pool, -1, dtype=np.int64)
        place[self.subset.indices] = np.arange(len(self.subset))
        return place

    @cached_property
    def ordering(self) -> npt.NDArray[np.int64]:
        """Turn of each candidate from 0 were there no quota and more budget, (n_pool,); −1 for blocked ones.

        A ranking is looked through to its end; round robin, which a ban sets going anew, as far as `REACH` times the
        picks: beyond it is −1 too.
        """
        turns = int(np.count_nonzero(~self.blocked))
        if not self.selector.ranking:
            turns = min(turns, REACH * len(self.subset))
        turn = np.full(self.problem.n_pool, -1, dtype=np.int64)
        whole = self._walked(turns)
        turn[whole] = np.arange(len(whole))
        return turn

    @cached_property
    def last_turn(self) -> int:
        """Turn of the last pick; −1 where all picks are pinned."""
        return int(self.subset.turns.max(initial=-1))

    @cached_property
    def walked(self) -> npt.NDArray[np.int64]:
        """The candidates that had a turn up to the last pick, taken or skipped, in order."""
        if not self.quotas and self.budget.tokens is None:
            return self.subset.indices[len(self.overrides.pinned) :]
        return self._walked(self.last_turn + 1)

    def _walked(self, turns: int) -> npt.NDArray[np.int64]:
        n_pins = len(self.overrides.pinned)
        if not turns:
            return np.zeros(0, dtype=np.int64)
        plain = dataclasses.replace(self, quotas={}, budget=Budget(examples=n_pins + turns))
        return plain.again().indices[n_pins:]

    def rule(self, turn: int, ban: Sequence[int] = ()) -> Gains:
        """What a set selector goes by on a turn, with bounds that one look at all candidates has brought close."""
        before = self._taken(turn)
        if len(before) > FEW and self._early is not None:
            vectors = self.problem.vectors
            rule = copy.deepcopy(self._early, {id(vectors): vectors})  # all but the vectors
        else:
            blocked = self.blocked.copy()
            blocked[list(ban)] = True
            rule = self.gains(blocked, before[:FEW])
            if not rule.falls:
                return self.gains(blocked, before)
            _look(rule)
        if len(before) > FEW:
            rule.take(before[FEW:])
        rule.bound[before] = rule.bound[list(ban)] = -np.inf
        return rule

    @cached_property
    def last_rule(self) -> Gains:
        """The rule of the last turn, which is asked about every candidate that was left out."""
        return self.rule(self.last_turn)

    @cached_property
    def _early(self) -> Gains | None:
        """The rule after the first few picks, whose bounds serve all later turns; None where they would not."""
        if not (self.selector.needs_features and self.selector.prefix_consistent):
            return None
        rule = self.gains(self.blocked, self._taken(len(self.walked))[:FEW])
        if not rule.falls:
            return None
        _look(rule)
        return rule

    def _taken(self, turn: int) -> npt.NDArray[np.int64]:
        """What a set selector has in its set before a turn: the pins, and all that had a turn."""
        return np.concatenate([np.array(self.overrides.pinned, dtype=np.int64), self.walked[:turn]])

    def gains(self, blocked: npt.NDArray[np.bool_], taken: npt.NDArray[np.int64]) -> Gains:
        rule = self.selector.gains(self.problem, blocked, taken, self.problem.in_examples(self.budget))
        assert rule is not None
        rule.bound[taken] = -np.inf
        return rule

    def room(self, turn: int) -> npt.NDArray[np.bool_]:
        """Which candidates' source and length fit beside what was picked before a turn, (n_pool,)."""
        before = self.subset.indices[self.subset.turns < turn]
        fits = np.ones(self.problem.n_pool, dtype=np.bool_)
        if self.quotas:
            names = np.asarray(self.problem.source_names)
            for source, most in self.quotas.items():
                if np.count_nonzero(names[before] == source) >= most:
                    fits &= names != source
        if self.budget.tokens is not None and self.problem.costs is not None:
            costs = np.asarray(self.problem.costs)
            fits &= costs <= self.budget.tokens - int(costs[before].sum())
        return fits

    @property
    def by_set(self) -> bool:
        """Whether a pick depends on the picks before it, so that to select again is dear."""
        return type(self.selector).gains is not Selector.gains


def _look(rule: Gains) -> None:
    """Bring the bounds of all candidates down to what each adds now."""
    free = np.flatnonzero(rule.bound > -np.inf)
    rule.bound[free] = rule.exact(free)
