"""What every selector shares: its ordering, kept for every later budget, and the walk that honours what a person asks.

A selector gives an ordering of the candidates, as far as it is needed; the walk puts pins first, leaves out bans and
what is below a minimum, skips full sources and rows that no longer fit, and stops exactly at the budget. An ordering
does not depend on the budget (but for k-center's), on quotas or on costs, and is kept with the problem: to move the
budget is to read another prefix of it.
"""

from __future__ import annotations

import hashlib
import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from curation.config import Options
from curation.errors import SelectionError
from curation.selectors.greedy import Gains
from curation.selectors.problem import Budget, Overrides, Problem

__all__ = ["Budget", "Ordering", "Overrides", "Picks", "Problem", "Selector", "Subset", "gathered"]

_NONE = Overrides()
_TOGETHER = 128  # picks that a set selector gives at once


class Picks(NamedTuple):
    """A stretch of an ordering: candidates, the query that took each (−1: none), the value each was ranked by."""

    candidates: npt.NDArray[np.int64]
    query: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float64]
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, candidates: npt.ArrayLike, query: npt.ArrayLike, scores: npt.ArrayLike, *notes: str) -> Picks:
        """Build from anything that looks like arrays; one query stands for all."""
        order = np.asarray(candidates, dtype=np.int64)
        by = np.broadcast_to(np.asarray(query, dtype=np.int64), order.shape)
        return cls(order, by, np.asarray(scores, dtype=np.float64), notes)


def gathered(steps: Iterable[tuple[int, float]]) -> Iterator[Picks]:
    """Gather single picks, candidate and score, that no query took, into stretches."""
    left = iter(steps)
    while some := list(islice(left, _TOGETHER)):
        candidates, scores = zip(*some, strict=True)
        yield Picks.of(candidates, -1, scores)


class Ordering:
    """An ordering of candidates, found as far as it was ever asked for; safe to share between threads."""

    def __init__(self, stretches: Iterator[Picks]) -> None:
        self._stretches = stretches
        self._found = Picks.of((), (), ())
        self._whole = False
        self._lock = threading.Lock()

    def first(self, n: int) -> tuple[Picks, bool]:
        """Return the first `n` picks or some more, and whether they are all there are."""
        with self._lock:
            parts, there = [self._found], len(self._found.candidates)
            while there < n and not self._whole:
                more = next(self._stretches, None)
                if more is None:
                    self._whole = True
                else:
                    parts.append(more)
                    there += len(more.candidates)
            if len(parts) > 1:
                self._found = Picks(
                    np.concatenate([part.candidates for part in parts]),
                    np.concatenate([part.query for part in parts]),
                    np.concatenate([part.scores for part in parts]),
                    sum((part.notes for part in parts), ()),
                )
            return self._found, self._whole


@dataclass(frozen=True, eq=False)
class Subset:
    """What was picked; every field but the notes has one entry a pick, in order of pick, pins first.

    Attributes
    ----------
    indices : int64 array
        Candidates, unique.
    query : int64 array
        The query that took it, −1 for pins and where no single query did.
    turns : int64 array
        Place in the selector's ordering, from 0, counting what was picked or skipped for its length or its source; −1
        for pins.
    scores : float64 array
        What it was ranked by; for pins and random draws its similarity to the nearest query.
    reasons : tuple of str
        Why, in a few words.
    notes : tuple of str
        What a person should know about how it was found, in sentences.
    """

    indices: npt.NDArray[np.int64]
    query: npt.NDArray[np.int64]
    turns: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float64]
    reasons: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.indices)


class Selector(ABC):
    """Base of all selectors: `order` says who comes next, `select` honours what a person asks."""

    class Config(Options):
        """No options."""

    #: Why a pick of this selector is in, in a few words.
    reason: ClassVar[str]
    #: Whether a smaller budget's picks are the first of a larger one's.
    prefix_consistent: ClassVar[bool] = True
    #: Whether it ranks the whole pool and banned candidates drop from the finished ranking; otherwise it runs as though
    #: they were not in the pool.
    ranking: ClassVar[bool] = False
    #: Whether it compares candidates with each other.
    needs_features: ClassVar[bool] = False
    #: What of a problem is found first; to find it checks the similarity's values.
    reads: ClassVar[str] = "nearest"
    #: Whether it picks without looking at any query.
    blind: ClassVar[bool] = False

    def __init__(self, config: Options) -> None:
        self.config = config

    @abstractmethod
    def order(
        self,
        problem: Problem,
        blocked: npt.NDArray[np.bool_],
        pinned: npt.NDArray[np.int64],
        budget: int,
        seed: int,
    ) -> Iterator[Picks]:
        """Yield candidates, best first, in stretches of any length.

        Sequential selectors run as though the blocked ones (banned, pinned, below a minimum) were not in the pool;
        rankings yield them, the walk drops them. Set selectors start from `pinned`. `budget`, in examples, is part of
        the rule only where the selector is not prefix-consistent; to others it says how many are wanted first.
        """

    def gains(
        self,
        problem: Problem,  # noqa: ARG002
        blocked: npt.NDArray[np.bool_],  # noqa: ARG002
        taken: npt.NDArray[np.int64],  # noqa: ARG002
        budget: int,  # noqa: ARG002
    ) -> Gains | None:
        """Return what each candidate would add to `taken`, or None where a pick does not depend on a set of picks."""
        return None

    def select(
        self,
        problem: Problem | npt.NDArray[np.floating],
        budget: Budget | int,
        overrides: Overrides = _NONE,
        seed: int = 0,
        *,
        quotas: Mapping[str, int] | None = None,
        minimum_similarity: float | None = None,
        minimum_score: float | None = None,
    ) -> Subset:
        """Pick exactly the budget, pinned candidates first and counted, banned ones never.

        A budget in tokens walks the ordering and skips rows that no longer fit.

        Parameters
        ----------
        problem : Problem or array of shape (n_queries, n_pool)
            What to choose from; a bare array is a similarity.
        budget : Budget or int
            How much; a bare int is a number of examples.
        overrides : Overrides
            Pins and bans.
        seed : int
            For selectors that draw at random.
        quotas : mapping of str to int, optional
            Source → most picks; pins count, a full source is skipped, sources not named are not limited.
        minimum_similarity : float, optional
            Candidates whose similarity to the nearest query is below it are treated as banned; pins are not.
        minimum_score : float, optional
            The same for the problem's scores; one that is not known counts as below.

        Raises
        ------
        SelectionError
            If the budget exceeds what bans, minimums and quotas leave or holds nobody, pins exceed the budget or a
            quota, overrides contradict themselves, or a quota names no source.
        """
        problem = problem if isinstance(problem, Problem) else Problem(problem)
        budget = budget if isinstance(budget, Budget) else Budget(examples=budget)
        getattr(problem, self.reads)
        _check_overrides(problem, overrides)
        banned = problem.below(minimum_similarity, minimum_score)
        banned[list(overrides.banned)] = True
        banned[list(overrides.pinned)] = False
        walk = _Walk(problem, budget, overrides.pinned, quotas or {})
        walk.check(banned, len(overrides.banned))
        blocked = banned.copy()
        blocked[list(overrides.pinned)] = True
        ordering = self._ordering(problem, blocked, overrides.pinned, walk.n_expected, seed)
        picks, places, turns = walk.take(ordering, blocked)
        if not len(overrides.pinned) + len(places):
            raise SelectionError(
                f"nothing that may be picked fits into {budget.tokens} tokens; raise the budget, or lift bans, "
                "minimums or quotas"
            )
        pinned = np.array(overrides.pinned, dtype=np.int64)
        beside = np.full(len(pinned), -1, dtype=np.int64)
        return Subset(
            indices=np.concatenate([pinned, picks.candidates[places]]),
            query=np.concatenate([beside, picks.query[places]]),
            turns=np.concatenate([beside, turns]),
            scores=np.concatenate([problem.similarity[:, pinned].max(axis=0), picks.scores[places]]),
            reasons=("pinned",) * len(pinned) + (self.reason,) * len(places),
            notes=picks.notes,
        )

    def _ordering(
        self, problem: Problem, blocked: npt.NDArray[np.bool_], pinned: tuple[int, ...], budget: int, seed: int
    ) -> Ordering:
        """The ordering that is kept with the problem, or a new one."""
        about = () if self.ranking else (hashlib.blake2b(np.packbits(blocked).data).digest(), pinned)
        size = None if self.prefix_consistent else budget
        fixed, start = blocked.copy(), np.array(pinned, dtype=np.int64)
        ordering: Ordering = problem.kept.get(
            (type(self), self.config, about, size, seed),
            lambda: Ordering(self.order(problem, fixed, start, budget, seed)),
        )
        return ordering


def _check_overrides(problem: Problem, overrides: Overrides) -> None:
    for name, indices in (("pinned", overrides.pinned), ("banned", overrides.banned)):
        for i in indices:
            if not 0 <= i < problem.n_pool:
                raise SelectionError(f"{name} candidate {i} is not in the pool, expected 0 to {problem.n_pool - 1}")
        if len(set(indices)) < len(indices):
            twice, _ = Counter(indices).most_common(1)[0]
            raise SelectionError(f"candidate {twice} is {name} twice; name it once")
    both = set(overrides.pinned) & set(overrides.banned)
    if both:
        raise SelectionError(f"candidate {min(both)} is both pinned and banned; undo one of the two")


class _Walk:
    """Takes from an ordering what budget, quotas and token counts allow."""

    def __init__(self, problem: Problem, budget: Budget, pinned: tuple[int, ...], quotas: Mapping[str, int]) -> None:
        self._problem, self._budget, self._pinned = problem, budget, pinned
        self._costs = None
        self._room = dict(quotas)
        self.n_expected = problem.in_examples(budget)
        if budget.tokens is None:
            self._left = self.n_expected - len(pinned)
        else:
            self._costs = np.asarray(problem.costs)
            self._left = budget.tokens - int(self._costs[list(pinned)].sum())

    def check(self, banned: npt.NDArray[np.bool_], n_banned: int) -> None:
        """Refuse what can't be met; `banned` holds what is below a minimum too."""
        n_pins, n_pool = len(self._pinned), self._problem.n_pool
        if self._left < 0:
            if self._costs is None:
                raise SelectionError(
                    f"{n_pins} examples are pinned but the budget is {self._budget.examples}; raise the budget or "
                    "unpin some"
                )
            raise SelectionError(
                f"the pinned examples have {int(self._costs[list(self._pinned)].sum())} tokens but the budget is "
                f"{self._budget.tokens}; raise the budget or unpin some"
            )
        n_left = n_pool - int(banned.sum())
        wanted = self._budget.examples or 0
        if wanted > n_left:
            if n_left < n_pool - n_banned:
                raise SelectionError(
                    f"the budget is {wanted} examples but only {n_left} of {n_pool} are neither banned nor below the "
                    "minimum; lower the minimum or the budget"
                )
            raise SelectionError(
                f"the budget is {wanted} examples but only {n_left} of {n_pool} are not banned; "
                "lower the budget or lift bans"
            )
        if self._room:
            self._check_quotas(banned, wanted)

    def _check_quotas(self, banned: npt.NDArray[np.bool_], wanted: int) -> None:
        names = self._problem.source_names
        known = Counter(names)
        pinned = Counter(names[i] for i in self._pinned)
        for source, most in self._room.items():
            if source not in known:
                told = ", ".join(name for name, _ in known.most_common(9))
                raise SelectionError(
                    f"there is a quota for the source {source!r}, but the pool has only: {told}; name one of those"
                )
            if most < 0:
                raise SelectionError(f"the quota of the source {source!r} is {most}, expected at least 0")
            if pinned[source] > most:
                raise SelectionError(
                    f"{pinned[source]} pinned examples are of the source {source!r}, whose quota is {most}; "
                    "raise the quota or unpin some"
                )
        there = Counter(names[i] for i in np.flatnonzero(~banned))
        room = sum(min(n, self._room.get(source, n)) for source, n in there.items())
        if wanted > room:
            raise SelectionError(
                f"the budget is {wanted} examples but the quotas leave room for {room}; raise a quota or lower the "
                "budget"
            )
        self._room = {source: most - pinned[source] for source, most in self._room.items()}

    def take(
        self, ordering: Ordering, blocked: npt.NDArray[np.bool_]
    ) -> tuple[Picks, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return the ordering, the places in it that are taken, and the turn of each."""
        wanted = self._left if self._costs is None else self.n_expected
        least = 1 if self._costs is None or blocked.all() else int(self._costs[~blocked].min())
        while True:
            picks, whole = ordering.first(wanted)
            offered = np.flatnonzero(~blocked[picks.candidates])
            turns, spent = self._fit(picks.candidates[offered], least)
            if spent or whole:
                assert spent or self._costs is not None or not self._left
                return picks, offered[turns], turns
            wanted = 2 * len(picks.candidates) + _TOGETHER

    def _fit(self, candidates: npt.NDArray[np.int64], least: int) -> tuple[npt.NDArray[np.int64], bool]:
        """Return the places of the candidates that are taken, and whether the budget is spent."""
        left = self._left
        if self._costs is None and not self._room:
            return np.arange(min(left, len(candidates))), len(candidates) >= left
        room, taken = dict(self._room), []
        sources = [self._problem.source_names[i] for i in candidates] if room else [""] * len(candidates)
        costs = [1] * len(candidates) if self._costs is None else self._costs[candidates].tolist()
        for turn, (source, cost) in enumerate(zip(sources, costs, strict=True)):
            if left < least:
                break
            if cost <= left and room.get(source, 1):
                taken.append(turn)
                left -= cost
                if source in room:
                    room[source] -= 1
        return np.array(taken, dtype=np.int64), left < least
