"""Why a selection is as it is: one example with its reasons, the selection measured, what moved, what is advised.

What the Curate page asks of `diagnostics`, `explain`, `stability` and `advice`, put together from stored state. What
takes longer than a redraw is asked for by itself and kept by the view's key.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curation.errors import WorkspaceError
from curation.views import STATES, View
from curation.workspace import Workspace

if TYPE_CHECKING:
    from curation.data.rows import Example


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
    """

    example: Example
    state: str
    rank: int | None
    picked_by: int | None
    similarity: float
    nearest: list[tuple[int, float, int]]
    sentence: str
    note: str
    note_author: str


def detail(ws: Workspace, view: View, row_id: str) -> Detail:
    """Return one row of the pool whole, with the reasons for its state."""
    from curation import diagnostics

    if row_id not in view.rows.position:
        raise WorkspaceError(f"row {row_id} is not in this pool; it may belong to another data set")
    place = view.rows.position[row_id]
    told = diagnostics.explain(view.similarity, view.subset, place, n=5)
    state = STATES[view.state[place]]
    rank = int(view.rank[place]) or None
    author = next(
        (e.author for e in reversed(ws.override_log(view.project_id)) if e.row_id == row_id and e.action == "note"), ""
    )
    sentence = view.represented.unusable.get(row_id, "")
    seen = view.represented.seen
    if not sentence and seen is not None and place not in seen:
        cheap = view.represented.record["report"]["first_stage"]["name"]
        sentence = f"the first stage ({cheap}) left it out, so its similarity is not known; pin it to have it"
    return Detail(
        example=_example(ws.root, view.represented.record["pool"], place),
        state=state,
        rank=rank,
        picked_by=told.picked_by,
        similarity=float(view.nearest_similarity[place]),
        nearest=told.nearest,
        sentence=f"It is not picked: {sentence}." if sentence and rank is None else _why(view, state, rank, told),
        note=view.overrides.notes.get(row_id, ""),
        note_author=author,
    )


def _why(view: View, state: str, rank: int | None, told: Any) -> str:
    query, similarity, place = told.nearest[0]
    nearest = f"its nearest query is {query + 1} (similarity {similarity:.2f}), to which it is number {place:,}"
    if state == "pinned":
        return f"Pinned by hand; {nearest}."
    if state == "banned":
        return f"Banned by hand; {nearest}."
    if rank is None:
        return f"Not picked: {nearest} of {len(view.pool_ids):,}, and the budget was spent on nearer ones."
    if told.picked_by is None:
        return f"Picked as number {rank} of {len(view.subset):,}; {nearest}."
    by = next(entry for entry in told.all_queries if entry[0] == told.picked_by)
    return (
        f"Picked as number {rank} of {len(view.subset):,} on the turn of query {by[0] + 1} "
        f"(similarity {by[1]:.2f}), to which it is number {by[2]:,}."
    )


def moved(before: View, after: View) -> tuple[list[str], list[str]]:
    """Return the ids that a change brought in, in order of pick, and those it put out, in the order of the old picks.

    Raises
    ------
    WorkspaceError
        If the two are of different pools.
    """
    if before.pool_ids != after.pool_ids:
        raise WorkspaceError("the two selections are of different pools; what moved can be told within one pool only")
    entered = after.subset.indices[before.rank[after.subset.indices] == 0]
    left = before.subset.indices[after.rank[before.subset.indices] == 0]
    return [after.pool_ids[i] for i in entered], [before.pool_ids[i] for i in left]
