"""One example's detail as the Curate page shows it: why it is picked or not, in words, and the rows it is read with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from curation.errors import WorkspaceError
from curation.views import STATES, View
from curation.workspace import Workspace

if TYPE_CHECKING:
    from curation.data.rows import Example
    from curation.explain import Explanation

_NEAREST = 5  # queries named with an example
_TWINS = 5  # near-duplicates named with an example
_ALIKE = 0.05  # 1 − cosine below which two rows are near-duplicates


@lru_cache(maxsize=64)
def _example(root: Path, key: str, place: int) -> Example:
    return Workspace(root).some(key, [place])[0]


@dataclass(frozen=True)
class Detail:
    """One example and why it was or was not picked.

    Attributes
    ----------
    rank : int or None
        Place of pick, from 1.
    picked_by : int or None
        Position of the query that took it.
    nearest : list of (query position, similarity, rank among the pool for that query), nearest first
    sentence : str
        Why, or why not, in words.
    more : list of str
        What stands between it and selection, what it displaced, what would replace it: a sentence each.
    rows : list of str
        Ids of the rows that the sentences name, in that order, for links.
    twins : list of str
        Ids of rows that are nearly the same, most alike first.
    explanation : Explanation
        What the sentences are made from.
    """

    example: Example
    state: str
    rank: int | None
    picked_by: int | None
    similarity: float
    nearest: list[tuple[int, float, int]]
    sentence: str
    more: list[str]
    rows: list[str]
    twins: list[str]
    explanation: Explanation
    note: str
    note_author: str


def detail(ws: Workspace, view: View, row_id: str) -> Detail:
    """Return one row of the pool whole, with the reasons for its state.

    Raises
    ------
    WorkspaceError
        If the pool has no such row.
    """
    from curation import explain

    if row_id not in view.rows.position:
        raise WorkspaceError(f"row {row_id} is not in this pool; it may belong to another data set")
    place = view.rows.position[row_id]
    told = explain.explain(view.made, place)
    state = STATES[view.state[place]]
    rank = int(view.rank[place]) or None
    author = next(
        (e.author for e in reversed(ws.override_log(view.project_id)) if e.row_id == row_id and e.action == "note"), ""
    )
    missing = view.represented.unusable.get(row_id, "")
    seen = view.represented.seen
    if not missing and seen is not None and place not in seen:
        cheap = view.represented.record["report"]["first_stage"]["name"]
        missing = f"the first stage ({cheap}) left it out, so its similarity is not known; pin it to have it"
    sentence, more, named = _words(view, told, state)
    if missing and rank is None:
        sentence, more, named = f"It is not picked: {missing}.", [], []
    return Detail(
        example=_example(ws.root, view.represented.record["pool"], place),
        state=state,
        rank=rank,
        picked_by=told.picked_by,
        similarity=float(view.nearest_similarity[place]),
        nearest=(explain.nearness(view.similarity, place) if view.selection.feedback else told.nearest)[:_NEAREST],
        sentence=sentence,
        more=more,
        rows=[view.pool_ids[i] for i in named],
        twins=_twins(view, place),
        explanation=told,
        note=view.overrides.notes.get(row_id, ""),
        note_author=author,
    )


def _words(view: View, told: Explanation, state: str) -> tuple[str, list[str], list[int]]:
    """An explanation as a sentence, as further ones, and the rows that those name."""
    query, similarity, place = told.nearest[0]
    nearest = (
        f"its nearest query is {_query(view, query)} (similarity {similarity:.2f}), to which it is number {place:,}"
    )
    rank, n_picked = int(view.rank[told.index]), len(view.subset)
    if not told.barrier:
        if state == "pinned":
            more, named = _instead(told, "Without the pin it would not be picked: {} would come in.")
            return f"Pinned by hand; {nearest}.", more, named
        if told.picked_by is None:
            first = f"Picked as number {rank:,} of {n_picked:,}, {view.subset.reasons[rank - 1]}; {nearest}."
        else:
            by = next(entry for entry in told.nearest if entry[0] == told.picked_by)
            first = (
                f"Picked as number {rank:,} of {n_picked:,} on the turn of {_query(view, by[0])} "
                f"(similarity {by[1]:.2f}), to which it is number {by[2]:,}."
            )
        more, named = _instead(told, "Were it banned, {} would come in.")
        if told.runner_up is not None and told.runner_up != told.replacement:
            more.insert(0, f"It was taken before {_row(told.runner_up)}, which would have had its turn.")
            named.insert(0, told.runner_up)
        return first, more, named
    turn = ""
    if told.turn is not None and told.barrier in ("others", "pins"):
        number = told.turn + 1 + len(view.selection.pinned)
        free = "Without quotas it" if view.selection.quotas else "It"
        turn = f" {free} would be number {number:,} were the budget large enough."
    named = list(told.blockers[:1])
    if told.barrier == "banned":
        lifted = "" if told.turn is None else " Without the ban it would be picked."
        return f"Banned by hand; {nearest}.{lifted}", [], []
    if told.barrier == "minimum":
        return f"Not picked: it is below the minimum that you set; {nearest}.", [], []
    if told.barrier == "pins":
        return f"Not picked: pinned rows take the whole budget; {nearest}.{turn}", [], []
    if told.barrier == "tokens":
        return f"Not picked: when its turn came, it was too long for the tokens that were left; {nearest}.", [], []
    if told.barrier == "quota":
        full = f"the quota of its source, {view.sources[told.index]}, was full"
        return f"Not picked: when its turn came, {full}; {nearest}.", _ahead(view, told), named
    return f"Not picked: {nearest} of {len(view.pool_ids):,}.{turn}", _ahead(view, told), named


def _instead(told: Explanation, words: str) -> tuple[list[str], list[int]]:
    if told.replacement is None:
        return [], []
    return [words.format(_row(told.replacement))], [told.replacement]


def _ahead(view: View, told: Explanation) -> list[str]:
    """What stands between a row and selection."""
    if not told.blockers:
        return []
    last, n = told.blockers[0], len(told.blockers)
    by = "" if told.beside is None else f" of {_query(view, told.beside)}"
    others = "" if n == 1 else f", and {n - 1:,} more {'is' if n == 2 else 'are'} before it"
    how = "ban that one" if n == 1 else f"ban these {n:,}"
    return [f"The last pick{by} that stands before it is {_row(last)}{others}: {how} and it comes in."]


def _row(place: int) -> str:
    return f"row {place + 1:,}"


def _query(view: View, query: int) -> str:
    """A query by its number; one that feedback made of a pinned row by that row's."""
    n_queries = len(view.query_ids)
    if query < n_queries:
        return f"query {query + 1}"
    return f"the pinned {_row(view.rows.position[view.selection.pinned[query - n_queries]])}"


def _twins(view: View, place: int) -> list[str]:
    """The rows most like one, of those that the representation finds nearly the same, most alike first."""
    graph = view.represented.neighbours
    if graph is not None:
        rows, distances = (np.asarray(column[place]) for column in graph)
        return [view.pool_ids[i] for i in rows[distances < _ALIKE][:_TWINS]]
    groups = view.represented.twins  # a map drawn before neighbours were kept
    same = np.flatnonzero(np.asarray(groups) == groups[place]) if groups is not None else np.zeros(0, dtype=np.int64)
    return [view.pool_ids[i] for i in same[same != place][:_TWINS]]
