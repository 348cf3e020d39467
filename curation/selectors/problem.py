"""What a selector chooses from, how much it may take, and the decisions by hand that it obeys.

A `Problem` is checked once and keeps what many selections of it share: each candidate's nearest similarity, the vectors
in which candidates are compared with each other, and the orderings found so far. To read the similarity takes longest
by far of all that a selection out of a large pool does, so its values are checked as what is read first is found.
"""

from __future__ import annotations

import copy
import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from numbers import Integral
from typing import Any

import numpy as np
import numpy.typing as npt

from curation.errors import SelectionError
from curation.selectors.ranking import above, by_columns, by_rows, processors, ranked, threaded
from curation.similarity import Features

WIDEST = 512  # dimensions in which candidates are compared with each other
MOST_BYTES = 2**29  # of these vectors: above a quarter of a million candidates they become narrower still
_KEPT = 8  # orderings a problem keeps
_SHORT = 800  # one candidate in so many is on a query's shortlist
_SMALL = 2**18  # numbers that are read before threads would have started


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
        amount: object = self.examples if self.tokens is None else self.tokens
        if isinstance(amount, bool) or not isinstance(amount, Integral) or amount < 1:
            raise SelectionError(f"the budget is {amount!r}, expected a whole number of at least 1; raise it")


@dataclass(frozen=True)
class Overrides:
    """Decisions by hand, as candidate indices: `pinned` must be in (in this order), `banned` must stay out."""

    pinned: tuple[int, ...] = ()
    banned: tuple[int, ...] = ()


class _Kept:
    """The few things asked for last, by key."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: OrderedDict[Hashable, Any] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        with self._lock:
            found = self._found.pop(key, None) or make()
            self._found[key] = found
            if len(self._found) > _KEPT:
                self._found.popitem(last=False)
        return found


@dataclass(frozen=True, eq=False)
class Problem:
    """What a selector chooses from.

    Parameters
    ----------
    similarity : array of shape (n_queries, n_pool)
        Higher is nearer; finite; taken as float32, without a copy where it is that already.
    pool_features : Features, optional
        For selectors that compare candidates with each other.
    query_groups : sequence of str, length n_queries, optional
        Subtask of each query.
    sources : sequence of str, length n_pool, optional
        Source of each candidate; None counts as "unknown".
    scores : array of shape (n_pool,), optional
        Query-free quality of each candidate; NaN where it is not known.
    costs : array of shape (n_pool,), optional
        Tokens of each candidate; needed for a budget in tokens.

    Raises
    ------
    SelectionError
        If the pool or query set is empty or lengths differ; if a value is not finite, when the similarity is first read
        (`nearest`, `shortlists`).
    """

    similarity: npt.NDArray[np.floating]
    pool_features: Features | None = None
    query_groups: Sequence[str | None] | None = None
    sources: Sequence[str | None] | None = None
    scores: npt.NDArray[np.floating] | None = None
    costs: npt.NDArray[np.integer] | None = None
    kept: _Kept = field(init=False, repr=False, default_factory=_Kept)

    def __post_init__(self) -> None:
        given = np.asarray(self.similarity)
        if given.ndim != 2 or given.dtype.kind not in "fiu":
            raise SelectionError(
                f"similarity has shape {given.shape} and type {given.dtype}, expected numbers of shape "
                "(n_queries, n_pool)"
            )
        if 0 in given.shape:
            empty = "query set" if given.shape[0] == 0 else "pool"
            raise SelectionError(f"the {empty} is empty; load at least one row")
        with np.errstate(over="ignore"):  # what is too large for float32 is refused below
            similarity = np.ascontiguousarray(given, dtype=np.float32)
        object.__setattr__(self, "similarity", similarity)
        self._check_columns()

    def _check_columns(self) -> None:
        lengths = {"query_groups": self.n_queries, "sources": self.n_pool, "scores": self.n_pool, "costs": self.n_pool}
        for name, expected in lengths.items():
            column = getattr(self, name)
            if column is not None and len(column) != expected:
                raise SelectionError(f"{name} has {len(column)} entries, expected {expected}, one each")
        if self.pool_features is not None and len(self.pool_features.ids) != self.n_pool:
            raise SelectionError(f"pool_features has {len(self.pool_features.ids)} rows, expected {self.n_pool}")
        if self.costs is not None and int(np.min(self.costs)) < 0:
            raise SelectionError(f"costs holds {int(np.min(self.costs))}, expected token counts of at least 0")

    def having(
        self,
        *,
        costs: npt.NDArray[np.integer] | None = None,
        scores: npt.NDArray[np.floating] | None = None,
        vectors: npt.NDArray[np.float32] | None = None,
    ) -> Problem:
        """Return the problem with costs, scores or vectors of the same candidates; what is kept is shared.

        No ordering depends on costs or scores; `vectors` are what `comparable` makes of the candidates' features.
        """
        made = copy.copy(self)
        for name, column in (("costs", costs), ("scores", scores), ("vectors", vectors)):
            if column is not None:
                made.__dict__[name] = column
        made._check_columns()
        return made

    @property
    def n_queries(self) -> int:
        """Number of queries."""
        return int(self.similarity.shape[0])

    @property
    def n_pool(self) -> int:
        """Number of candidates."""
        return int(self.similarity.shape[1])

    @cached_property
    def nearest(self) -> npt.NDArray[np.float32]:
        """Each candidate's similarity to the query that it is nearest to, float32 (n_pool,)."""
        highest, lowest = (np.empty(self.n_pool, dtype=np.float32) for _ in range(2))

        def look(columns: slice) -> None:
            self.similarity[:, columns].max(axis=0, out=highest[columns])
            self.similarity[:, columns].min(axis=0, out=lowest[columns])

        by_columns(self.similarity, look)
        if not (np.isfinite(highest).all() and np.isfinite(lowest).all()):
            raise self._not_finite()
        return highest

    @cached_property
    def shortlists(self) -> list[npt.NDArray[np.int64]]:
        """Each query's nearest candidates, about one in 800, nearest first; none that is left out is as near."""
        parts = np.array_split(np.arange(self.n_queries), min(self.n_queries, processors()))
        found = threaded(self._shortlists, parts) if self.similarity.size > _SMALL else map(self._shortlists, parts)
        return [short for some in found for short in some]

    def _shortlists(self, queries: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int64]]:
        shortlists, mask = [], np.empty(self.n_pool, dtype=np.bool_)
        with np.errstate(over="ignore", invalid="ignore"):
            for row in self.similarity[queries[0] : queries[-1] + 1]:  # each is read once: that takes longest
                if not np.isfinite(row @ row) and not np.isfinite(row).all():
                    raise self._not_finite()
                found = above(row, self.n_pool // _SHORT, mask)
                shortlists.append(ranked(row[found], found))
        return shortlists

    def _not_finite(self) -> SelectionError:
        query, candidate = (int(i) for i in np.argwhere(~np.isfinite(self.similarity))[0])
        return SelectionError(
            f"similarity of query {query} to candidate {candidate} is {self.similarity[query, candidate]}, expected "
            "finite numbers; compute the features of that row again"
        )

    @cached_property
    def nearest_query(self) -> npt.NDArray[np.int32]:
        """The query that each candidate is nearest to, the lower one of equals, (n_pool,)."""
        query = np.zeros(self.n_pool, dtype=np.int32)
        highest = self.nearest  # before any thread waits for it: computing it takes the same threads

        def look(columns: slice) -> None:
            for q in reversed(range(self.n_queries)):
                np.copyto(query[columns], q, where=self.similarity[q, columns] == highest[columns])

        by_columns(self.similarity, look)
        return query

    def nearest_query_of(self, candidates: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
        """`nearest_query` of some candidates; of a few without asking about all."""
        if "nearest_query" in self.__dict__ or 8 * len(candidates) > self.n_pool:
            return self.nearest_query[candidates]
        found = np.stack(by_rows(self.similarity, lambda q: self.similarity[q].take(candidates)))
        query: npt.NDArray[np.int32] = found.argmax(axis=0).astype(np.int32)
        return query

    @cached_property
    def vectors(self) -> npt.NDArray[np.float32]:
        """The candidates' features as `comparable` makes them, float32 (n_pool, d).

        Raises
        ------
        SelectionError
            If there are no features, or one is not finite.
        """
        if self.pool_features is None:
            raise SelectionError(
                "this selector compares candidates with each other and there are no features to compare; "
                "give pool_features, or choose a selector that goes by similarity alone"
            )
        return comparable(self.pool_features)

    def below(self, similarity: float | None, score: float | None) -> npt.NDArray[np.bool_]:
        """Which candidates are below a minimum of `nearest`, or of `scores`, where there is one, (n_pool,).

        Raises
        ------
        SelectionError
            If a minimum is not a number, or there are no scores for it.
        """
        below = np.zeros(self.n_pool, dtype=np.bool_)
        if (similarity is not None and np.isnan(similarity)) or (score is not None and np.isnan(score)):
            raise SelectionError("a minimum is NaN, expected a number; change it or clear it")
        if similarity is not None:
            below |= self.nearest < similarity
        if score is not None:
            if self.scores is None:
                raise SelectionError(
                    f"the minimum score is {score:g} but the candidates have no scores; run a scorer or clear the "
                    "minimum"
                )
            below |= ~(np.asarray(self.scores) >= score)
        return below

    def in_examples(self, budget: Budget) -> int:
        """Return a budget as a number of examples: one in tokens as how many of mean length it holds.

        Raises
        ------
        SelectionError
            If it is in tokens and there are no costs.
        """
        if budget.examples is not None:
            return budget.examples
        if self.costs is None:
            raise SelectionError("the budget is in tokens but the problem has no costs; give each candidate's tokens")
        assert budget.tokens is not None
        mean = float(np.mean(self.costs))
        return min(self.n_pool, math.ceil(budget.tokens / mean) if mean else self.n_pool)

    @cached_property
    def source_names(self) -> list[str]:
        """Each candidate's source."""
        if self.sources is None:
            raise SelectionError("quotas are by source but the problem has no sources; give each candidate's source")
        return [source or "unknown" for source in self.sources]


def comparable(features: Features) -> npt.NDArray[np.float32]:
    """Return features as rows whose dot product is their cosine, of unit length or zero, float32 (n, d), d ≤ 512.

    Wider ones are projected (`Features.narrowed`), which changes a cosine by some 0.04.

    Raises
    ------
    SelectionError
        If a feature is not finite; the row is named.
    """
    vectors = features.narrowed(min(WIDEST, max(1, MOST_BYTES // (4 * len(features.ids)))))
    length = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    if not np.isfinite(length).all():
        name = features.ids[int(np.isfinite(length).argmin())]
        raise SelectionError(f"the feature of candidate {name} is not finite; compute it again or ban the row")
    vectors /= np.where(length > 0, length, 1).astype(np.float32)[:, None]
    return vectors
