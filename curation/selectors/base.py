"""What every selector shares: the problem, the budget, the decisions by hand, and the walk that honours them.

A selector gives an ordering of the candidates, lazily; the walk puts pins first, drops bans, and stops exactly at the
budget. Left out so far: quotas by source and a minimum score, for which `Problem` already carries the columns.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from curation.config import Options
from curation.errors import SelectionError
from curation.similarity import Features


@dataclass(frozen=True)
class Budget:
    """How much may be picked: a number of `examples`, or a number of `tokens` (of the candidates' costs)."""

    examples: int | None = None
    tokens: int | None = None

    def __post_init__(self) -> None:
        if (self.examples is None) == (self.tokens is None):
            raise SelectionError(
                f"the budget has examples={self.examples} and tokens={self.tokens}, expected exactly one of the two"
            )
        if (self.examples or 0) < 0 or (self.tokens or 0) < 0:
            raise SelectionError(f"the budget is {self.examples or self.tokens}, expected at least 0")


@dataclass(frozen=True)
class Overrides:
    """Decisions by hand, as candidate indices: `pinned` must be in (in this order), `banned` must stay out."""

    pinned: tuple[int, ...] = ()
    banned: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Problem:
    """What a selector chooses from.

    Parameters
    ----------
    similarity : array of shape (n_queries, n_pool)
        Higher is nearer; finite.
    pool_features : Features, optional
        For selectors that compare candidates with each other.
    query_groups : sequence of str, length n_queries, optional
        Subtask of each query.
    sources : sequence of str, length n_pool, optional
        Source of each candidate.
    scores : array of shape (n_pool,), optional
        Query-free quality of each candidate.
    costs : array of shape (n_pool,), optional
        Tokens of each candidate; needed for a budget in tokens.

    Raises
    ------
    SelectionError
        If the pool or query set is empty, a value is not finite, or lengths differ.
    """

    similarity: npt.NDArray[np.floating]
    pool_features: Features | None = None
    query_groups: Sequence[str | None] | None = None
    sources: Sequence[str | None] | None = None
    scores: npt.NDArray[np.floating] | None = None
    costs: npt.NDArray[np.integer] | None = None

    def __post_init__(self) -> None:
        similarity = np.asarray(self.similarity)
        if similarity.ndim != 2 or similarity.dtype.kind not in "fiu":
            raise SelectionError(
                f"similarity has shape {similarity.shape} and type {similarity.dtype}, expected numbers of shape "
                "(n_queries, n_pool)"
            )
        if 0 in similarity.shape:
            empty = "query set" if similarity.shape[0] == 0 else "pool"
            raise SelectionError(f"the {empty} is empty; load at least one row")
        finite = np.isfinite(similarity)
        if not finite.all():
            query, candidate = (int(i) for i in np.argwhere(~finite)[0])
            raise SelectionError(
                f"similarity of query {query} to candidate {candidate} is {similarity[query, candidate]}, expected "
                "finite numbers; compute the features of that row again"
            )
        object.__setattr__(self, "similarity", similarity)
        n_queries, n_pool = similarity.shape
        for name, expected in (("query_groups", n_queries), ("sources", n_pool), ("scores", n_pool), ("costs", n_pool)):
            column = getattr(self, name)
            if column is not None and len(column) != expected:
                raise SelectionError(f"{name} has {len(column)} entries, expected {expected}, one each")
        if self.pool_features is not None and len(self.pool_features.ids) != n_pool:
            raise SelectionError(f"pool_features has {len(self.pool_features.ids)} rows, expected {n_pool}")
        if self.costs is not None and int(np.min(self.costs)) < 0:
            raise SelectionError(f"costs holds {int(np.min(self.costs))}, expected token counts of at least 0")

    @property
    def n_queries(self) -> int:
        """Number of queries."""
        return int(self.similarity.shape[0])

    @property
    def n_pool(self) -> int:
        """Number of candidates."""
        return int(self.similarity.shape[1])


class Pick(NamedTuple):
    """One step of an ordering: the candidate, the query that took it (−1: none), the value it was ranked by."""

    candidate: int
    query: int
    score: float


@dataclass(frozen=True, eq=False)
class Subset:
    """What was picked; every field has one entry a pick, in order of pick, pins first.

    Attributes
    ----------
    indices : int64 array
        Candidates, unique.
    query : int64 array
        The query that took it, −1 for pins and random draws.
    turns : int64 array
        Place in the selector's ordering, from 0, counting what was picked or skipped for its length; −1 for pins.
    scores : float64 array
        What it was ranked by; for pins and random draws its similarity to the nearest query.
    reasons : tuple of str
        Why, in a few words.
    """

    indices: npt.NDArray[np.int64]
    query: npt.NDArray[np.int64]
    turns: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float64]
    reasons: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.indices)


class Selector(ABC):
    """Base of all selectors: `order` says who comes next, `select` honours pins, bans and the budget."""

    class Config(Options):
        """No options."""

    #: Why a pick of this selector is in, in a few words.
    reason: ClassVar[str]

    def __init__(self, config: Options) -> None:
        self.config = config

    @abstractmethod
    def order(
        self, problem: Problem, blocked: npt.NDArray[np.bool_], pinned: npt.NDArray[np.int64], seed: int
    ) -> Iterator[Pick]:
        """Yield candidates, best first.

        Sequential selectors run as though the blocked ones (banned or pinned) were not in the pool; rankings may
        yield them, the walk drops them. Set selectors start from `pinned`.
        """

    def select(
        self,
        problem: Problem | npt.NDArray[np.floating],
        budget: Budget | int,
        overrides: Overrides = Overrides(),
        seed: int = 0,
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

        Raises
        ------
        SelectionError
            If the budget exceeds what is not banned, pins exceed the budget, or overrides contradict themselves.
        """
        problem = problem if isinstance(problem, Problem) else Problem(problem)
        budget = budget if isinstance(budget, Budget) else Budget(examples=budget)
        pinned, blocked = _check_overrides(problem, overrides)
        _check_budget(problem, budget, overrides)
        picks = [(Pick(i, -1, float(problem.similarity[:, i].max())), -1) for i in overrides.pinned]
        picks += _walk(self.order(problem, blocked, pinned, seed), problem, budget, blocked, overrides.pinned)
        return Subset(
            indices=np.array([p.candidate for p, _ in picks], dtype=np.int64),
            query=np.array([p.query for p, _ in picks], dtype=np.int64),
            turns=np.array([turn for _, turn in picks], dtype=np.int64),
            scores=np.array([p.score for p, _ in picks], dtype=np.float64),
            reasons=("pinned",) * len(overrides.pinned) + (self.reason,) * (len(picks) - len(overrides.pinned)),
        )


def _check_overrides(problem: Problem, overrides: Overrides) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return the pins, and the mask of candidates that an ordering must not bring (pinned or banned)."""
    blocked = np.zeros(problem.n_pool, dtype=np.bool_)
    for name, indices in (("pinned", overrides.pinned), ("banned", overrides.banned)):
        for i in indices:
            if not 0 <= i < problem.n_pool:
                raise SelectionError(f"{name} candidate {i} is not in the pool, expected 0 to {problem.n_pool - 1}")
        if len(set(indices)) < len(indices):
            twice = next(i for i in indices if indices.count(i) > 1)
            raise SelectionError(f"candidate {twice} is {name} twice; name it once")
        blocked[list(indices)] = True
    both = set(overrides.pinned) & set(overrides.banned)
    if both:
        raise SelectionError(f"candidate {min(both)} is both pinned and banned; undo one of the two")
    return np.array(overrides.pinned, dtype=np.int64), blocked


def _check_budget(problem: Problem, budget: Budget, overrides: Overrides) -> None:
    n_pins, n_left = len(overrides.pinned), problem.n_pool - len(overrides.banned)
    if budget.examples is not None:
        if budget.examples > n_left:
            raise SelectionError(
                f"the budget is {budget.examples} examples but only {n_left} of {problem.n_pool} are not banned; "
                "lower the budget or lift bans"
            )
        if n_pins > budget.examples:
            raise SelectionError(
                f"{n_pins} examples are pinned but the budget is {budget.examples}; raise the budget or unpin some"
            )
        return
    assert budget.tokens is not None
    if problem.costs is None:
        raise SelectionError("the budget is in tokens but the problem has no costs; give each candidate's tokens")
    pinned_tokens = int(sum(problem.costs[i] for i in overrides.pinned))
    if pinned_tokens > budget.tokens:
        raise SelectionError(
            f"the pinned examples have {pinned_tokens} tokens but the budget is {budget.tokens}; "
            "raise the budget or unpin some"
        )


def _walk(
    order: Iterator[Pick], problem: Problem, budget: Budget, blocked: npt.NDArray[np.bool_], pinned: Sequence[int]
) -> list[tuple[Pick, int]]:
    """Take from the ordering until the budget is spent; return picks with their turn."""
    picks: list[tuple[Pick, int]] = []
    offered = (pick for pick in order if not blocked[pick.candidate])
    if budget.examples is not None:
        for turn in range(budget.examples - len(pinned)):
            picks.append((next(offered), turn))
        return picks
    assert budget.tokens is not None and problem.costs is not None
    left = budget.tokens - int(sum(problem.costs[i] for i in pinned))
    smallest = int(np.min(problem.costs))
    for turn, pick in enumerate(offered):
        if left < smallest:
            break
        cost = int(problem.costs[pick.candidate])
        if cost <= left:
            picks.append((pick, turn))
            left -= cost
    return picks
