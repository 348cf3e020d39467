"""Why one candidate is in a subset or not, and what would have to change: said by asking the selector itself.

Whatever is claimed can be tried. For rankings and for round robin the selector is simply asked again with a row banned
or freed, which costs milliseconds since rankings are kept. For set selectors (`Selector.gains`) that would take
seconds, so their own rule is evaluated on one turn: who would have had the turn of a pick, and who stands before a
candidate on the last turn. Arrays only; the words are in `understanding`. Left out: what follows after the turn of a
banned pick where the selector goes by the set as it grows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from curation.selected import FEW, Selected
from curation.selectors.greedy import greedy

_MANY = 500  # candidates before another from which on they are not named one by one
_ROUNDING = 1e-5  # of a cosine
Nearness = tuple[int, float, int]  # query, similarity, the candidate's place in that query's ranking from 1


@dataclass(frozen=True)
class Explanation:
    """Why a candidate is in a subset or not.

    Attributes
    ----------
    index : int
        The candidate.
    nearest : list of (int, float, int)
        Query, similarity, and the candidate's place in that query's ranking from 1; nearest query first.
    turn : int or None
        The turn in which it was taken, from 0; of one left out the turn in which it would be were there no quotas and
        the budget large enough, None where that is far off or not known.
    picked_by : int or None
        The query that took it; None if it was not picked, or by no single query.
    barrier : str
        What keeps it out: ``banned``, ``minimum``, ``quota``, ``tokens``, ``pins`` that take the whole budget, or
        ``others`` that are before it; empty where it is in.
    blockers : tuple of int
        Candidates which, were they all banned, would let it in; the one it came nearest to displacing first. Empty
        where it is in, or where no such set is known.
    beside : int or None
        The query on whose last turn it came nearest to being taken.
    runner_up : int or None
        Of a pick: the candidate that would have had its turn.
    replacement : int or None
        Of a pick: the candidate that would come in were it banned (or, where pinned, let go); None where none would,
        or where what follows would have to be selected anew.
    """

    index: int
    nearest: list[Nearness]
    turn: int | None = None
    picked_by: int | None = None
    barrier: str = ""
    blockers: tuple[int, ...] = ()
    beside: int | None = None
    runner_up: int | None = None
    replacement: int | None = None


def explain(selected: Selected, index: int) -> Explanation:
    """Say why candidate `index` was picked or not."""
    nearest = nearness(selected.problem.similarity, index)
    if selected.place[index] >= 0:
        return _explain_pick(selected, index, nearest)
    return _explain_left_out(selected, index, nearest)


def nearness(similarity: npt.NDArray[np.floating], index: int) -> list[Nearness]:
    """Return each query's similarity to a candidate and its place in that query's ranking, nearest query first."""
    own = np.asarray(similarity[:, index], dtype=similarity.dtype)  # (n_queries,)
    before = (similarity > own[:, None]).sum(axis=1) + (similarity[:, :index] == own[:, None]).sum(axis=1)
    order = np.argsort(-own.astype(np.float64), kind="stable")
    return [(int(q), float(own[q]), int(before[q]) + 1) for q in order]


def _explain_pick(selected: Selected, index: int, nearest: list[Nearness]) -> Explanation:
    subset, place = selected.subset, int(selected.place[index])
    turn, query = int(subset.turns[place]), int(subset.query[place])
    told = Explanation(index, nearest, turn if turn >= 0 else None, query if query >= 0 else None)
    if selected.by_set:
        runner_up = _next_in_set(selected, [index], turn) if turn >= 0 else None
        comes_in = runner_up is not None and selected.place[runner_up] < 0
        return dataclasses.replace(told, runner_up=runner_up, replacement=runner_up if comes_in else None)
    other = selected.try_again(ban=[index]) if turn >= 0 else selected.try_again(free=index)
    if other is None:
        return told
    entered = [int(i) for i in other.indices if selected.place[i] < 0]
    runner_up = int(other.indices[place]) if turn >= 0 and place < len(other) else None
    return dataclasses.replace(told, runner_up=runner_up, replacement=entered[0] if entered else None)


def _next_in_set(selected: Selected, ban: Sequence[int], turn: int) -> int | None:
    """Who would have a set selector's turn were some rows banned; None where that would change earlier turns."""
    if not _undisturbed(selected, ban, turn):
        return None
    rule = selected.rule(turn, ban)
    if selected.quotas or selected.budget.tokens is not None:  # who is passed over counts as taken
        fits = selected.room(turn)
        return next((row for row, _ in greedy(rule) if fits[row]), None)
    later = selected.walked[turn : turn + FEW]
    later = later[rule.bound[later] > -np.inf]
    least = rule.exact(later).max() if len(later) else -np.inf  # the best is as good as any that came soon after
    rows = np.flatnonzero((rule.bound >= least) & (rule.bound > -np.inf))
    return int(rows[rule.exact(rows).argmax()]) if len(rows) else None


def _undisturbed(selected: Selected, ban: Sequence[int], turn: int) -> bool:
    """Whether the picks before a turn stay when some rows are banned.

    They do but for k-center, which considers as many candidates more, each of which may be far enough to come first.
    """
    if selected.selector.prefix_consistent:
        return True
    if selected.quotas or selected.budget.tokens is not None:
        return False
    blocked = selected.blocked.copy()
    nobody = np.zeros(0, dtype=np.int64)
    before = selected.gains(blocked, nobody).bound > -np.inf
    blocked[list(ban)] = True
    new = np.flatnonzero((selected.gains(blocked, nobody).bound > -np.inf) & ~before)
    n_pins = len(selected.overrides.pinned)
    picks, scores = selected.subset.indices[: n_pins + turn], selected.subset.scores[: n_pins + turn]
    if not (len(new) and len(picks)):
        return True
    vectors = selected.problem.vectors
    far = 1 - np.maximum.accumulate(vectors[new] @ vectors[picks].T, axis=1)  # (new, picks): after that many picks
    first = max(n_pins, 1)  # without pins, the first pick goes by nearness alone
    return bool((far[:, first - 1 : -1] < scores[first:] - _ROUNDING).all())


def _explain_left_out(selected: Selected, index: int, nearest: list[Nearness]) -> Explanation:
    told = Explanation(index, nearest)
    if index in selected.overrides.banned:
        lifted = None if selected.by_set else selected.try_again(free=index)
        turn = None if lifted is None or index not in lifted.indices else lifted.turns[lifted.indices == index][0]
        return dataclasses.replace(told, barrier="banned", turn=None if turn is None else int(turn))
    if selected.below[index]:
        return dataclasses.replace(told, barrier="minimum")
    turn = _turn_of(selected, index)
    told = dataclasses.replace(told, turn=turn)
    if selected.last_turn < 0 and selected.budget.tokens is None:
        return dataclasses.replace(told, barrier="pins")
    at = max(0, selected.last_turn if turn is None else min(turn, selected.last_turn))
    if not selected.room(at)[index]:
        short = dataclasses.replace(selected, quotas={}).room(at)[index]
        return dataclasses.replace(
            told,
            barrier="quota" if short else "tokens",
            blockers=_checked(selected, index, _of_its_source(selected, index, at)) if short else (),
        )
    if selected.by_set:
        return dataclasses.replace(told, barrier="others", blockers=_before_in_set(selected, index))
    if selected.selector.ranking:
        ranks = selected.ordering
        waiting = np.flatnonzero((ranks >= selected.last_turn) & (ranks < ranks[index]))
        blockers = waiting[np.argsort(ranks[waiting])]
        return dataclasses.replace(told, barrier="others", blockers=_checked(selected, index, blockers))
    query, blockers = _before_in_turn(selected, index)
    return dataclasses.replace(told, barrier="others", beside=query, blockers=_checked(selected, index, blockers))


def _turn_of(selected: Selected, index: int) -> int | None:
    """Turn in which a candidate was passed over, or would be taken were the budget larger; None if not known."""
    if selected.by_set:
        had = np.flatnonzero(selected.walked == index)
        return int(had[0]) if len(had) and selected.selector.prefix_consistent else None
    turn = int(selected.ordering[index])
    return turn if turn >= 0 else None


def _checked(selected: Selected, index: int, blockers: npt.NDArray[np.int64]) -> tuple[int, ...]:
    """The blockers, where banning them is seen to let the candidate in; none where quotas or lengths get in between."""
    rows = tuple(int(i) for i in blockers)
    if not selected.quotas and selected.budget.tokens is None:
        return rows
    if selected.by_set:
        return ()
    other = selected.try_again(ban=rows)
    return rows if other is not None and index in other.indices else ()


def _of_its_source(selected: Selected, index: int, turn: int) -> npt.NDArray[np.int64]:
    """The last pick of a candidate's source before a turn, and those of it that were passed over since."""
    names = selected.problem.source_names
    walked = selected.walked[:turn].tolist()
    own = [i for i in walked if names[i] == names[index]]
    last = max((n for n, i in enumerate(own) if selected.place[i] >= 0), default=len(own))
    return np.array(own[last:], dtype=np.int64)


def _before_in_turn(selected: Selected, index: int) -> tuple[int | None, npt.NDArray[np.int64]]:
    """The query on whose last turn a candidate came nearest to being taken, and who was before it then."""
    similarity, subset = selected.problem.similarity, selected.subset
    turn = np.where(selected.blocked, -1, np.iinfo(np.int64).max)
    turn[selected.walked] = np.arange(len(selected.walked))
    last = np.full(len(similarity), -1, dtype=np.int64)
    np.maximum.at(last, subset.query[subset.query >= 0], subset.turns[subset.query >= 0])
    own = similarity[:, index, None]
    nearer = similarity > own  # (n_queries, n_pool)
    nearer[:, :index] |= similarity[:, :index] == own
    nearer &= turn >= last[:, None]
    counts = np.where(last >= 0, nearer.sum(axis=1), np.iinfo(np.int64).max)
    query = int(counts.argmin())
    if last[query] < 0:
        return None, np.zeros(0, dtype=np.int64)
    rows = np.flatnonzero(nearer[query])
    return query, rows[np.lexsort((rows, turn[rows]))]


def _before_in_set(selected: Selected, index: int) -> tuple[int, ...]:
    """Who a set selector prefers to a candidate on its last turn, its last pick first; none where they are too many."""
    rule = selected.last_rule
    if not rule.bound[index] > -np.inf:
        return ()  # k-center does not consider it
    own = rule.exact(np.array([index]))[0]
    rows = np.flatnonzero(rule.bound >= own)
    if len(rows) > _MANY or selected.quotas or selected.budget.tokens is not None:
        return ()
    values = rule.exact(rows)
    before = rows[(values > own) | ((values == own) & (rows < index))]
    # banning others lets k-center consider further ones
    sure = selected.selector.prefix_consistent
    if not sure and _next_in_set(selected, before.tolist(), selected.last_turn) != index:
        return ()
    last = int(selected.subset.indices[-1])
    return (last, *(int(i) for i in before if i != last))
