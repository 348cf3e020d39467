"""What a page shows of a project, computed from stored state: the pages' one door.

Each function takes the workspace and a project's id and returns plain records, arrays or tables. What is costly is
kept in memory by content key, so that two tabs and every rerun share it, and a changed key is never served stale.
Saved selections are in `comparison`,
experiments in `results`.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from curation import results
from curation.config import ProjectSettings, SelectionConfig
from curation.errors import WorkspaceError
from curation.pipeline import Represented
from curation.views import STATES, View, open_represented, rows_of, select_view, snippet
from curation.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

    from curation.data.rows import Example

_SNIPPET = 160


# -------------------------------------------------------------------------------------------------------- settings


def settings(ws: Workspace, project_id: str) -> ProjectSettings:
    """Return what a project has chosen so far."""
    return ProjectSettings.from_dict(ws.settings(project_id), where=f"project {project_id}")


def change(ws: Workspace, project_id: str, **changes: Any) -> ProjectSettings:
    """Store some of a project's choices, checked first; the others keep what any other tab wrote meanwhile."""
    plain = {k: v.to_dict() if hasattr(v, "to_dict") else v for k, v in changes.items()}
    ProjectSettings.from_dict({**ws.settings(project_id), **plain})
    ws.update_settings(project_id, **plain)
    return settings(ws, project_id)


@dataclass(frozen=True)
class Step:
    """One page of the loop: `state` is done, next or todo; `detail` says in a few words what is there."""

    page: str
    title: str
    state: str
    detail: str


def steps(ws: Workspace, project_id: str) -> list[Step]:
    """Return the loop's steps, in order; exactly one is `next` unless all are done."""
    data = {role: ws.dataset(project_id, role) for role in ("pool", "query", "test")}
    pool, queries = data["pool"], data["query"]
    shown = represented(ws, project_id)
    saved = ws.selections(project_id)
    finished = [e for e in results.experiments(ws, project_id) if e.result]
    told = [
        ("data", "Data", bool(pool and queries), f"{pool.n_rows:,} rows" if pool else "no pool yet"),
        ("represent", "Represent", bool(shown), ", ".join(dict.fromkeys(r.name for r in shown)) or "nothing computed"),
        ("curate", "Curate", bool(saved), f"{len(saved)} saved" if saved else "no selection saved"),
        ("compare", "Compare", len(saved) > 1, "two selections or more" if len(saved) > 1 else "needs two selections"),
        ("train", "Train", bool(finished), f"{len(finished)} finished" if finished else "nothing tuned yet"),
        ("evaluate", "Evaluate", bool(finished), "results are in" if finished else "no result yet"),
        ("report", "Report", False, "ready" if finished else "after evaluation"),
    ]
    made, following = [], False
    for page, title, done, detail in told:
        state = "done" if done else "todo" if following or page == "compare" else "next"
        following = following or state == "next"
        made.append(Step(page, title, state, detail))
    return made


# ---------------------------------------------------------------------------------------------------------- curate


def represented(ws: Workspace, project_id: str) -> list[Represented]:
    """Return the finished representations of the project's active pool and query set, newest first."""
    pool, queries = ws.dataset(project_id, "pool"), ws.dataset(project_id, "query")
    if pool is None or queries is None:
        return []
    found = []
    for artefact in ws.artefacts("representation"):
        config = json.loads(artefact.config)
        if (config["pool"], config["queries"]) == (pool.key, queries.key):
            found.append(open_represented(ws.artefact("representation", artefact.key)))
    return [shown for shown in found if shown.has_map]


def view(ws: Workspace, project_id: str, *, representation: str = "", selection: SelectionConfig | None = None) -> View:
    """Select with the project's settings, or those given, under its pins and bans.

    Raises
    ------
    WorkspaceError
        If nothing is represented yet, or `representation` is not one of this pool and query set.
    SelectionError
        If the budget, pins and bans can't be met together.
    """
    chosen = settings(ws, project_id)
    available = {r.key: r for r in represented(ws, project_id)}
    if not available:
        raise WorkspaceError("nothing is represented yet; compute a representation on the Represent page first")
    key = representation or (chosen.active if chosen.active in available else next(iter(available)))
    if key not in available:
        raise WorkspaceError(f"there is no representation {key} of this pool and query set; choose another one")
    config = selection or chosen.selection
    overrides = ws.overrides(project_id)
    rows = rows_of(ws.root, available[key].record["pool"])
    stale = [i for i in (*overrides.pinned, *overrides.banned) if i not in rows.position]
    config = dataclasses.replace(
        config,
        pinned=tuple(i for i in overrides.pinned if i in rows.position),
        banned=tuple(i for i in overrides.banned if i in rows.position),
        notes=overrides.notes,
    )
    text = json.dumps(config.to_dict(), sort_keys=True)
    return dataclasses.replace(
        select_view(ws.root, available[key].folder, text),
        project_id=project_id,
        overrides=overrides,
        stale_overrides=stale,
    )


def table(
    ws: Workspace,
    view: View,
    *,
    offset: int = 0,
    limit: int = 50,
    search: str = "",
    state: str = "all",
    source: str = "",
    query: int = -1,
    ids: list[str] | None = None,
    order: str = "rank",
) -> tuple[pd.DataFrame, int]:
    """Return one page of the pool's rows and how many match.

    Parameters
    ----------
    search : str
        Words that the conversation must hold as they stand.
    state : str
        ``all``, ``not picked``, or one of `STATES`; ``picked`` holds the pinned ones too.
    query : int
        Only rows whose nearest query is this one; −1 for all.
    ids : list of str, optional
        Only these rows (a lasso).
    order : str
        ``rank`` (picks first, then the nearest), ``similarity``, ``source``, ``length``; ``-`` before it reverses.
    """
    positions = _positions(ws, view, search, state, source, query, ids, order)
    return _page(ws, view, positions[offset : offset + limit]), positions.size


def matching(
    ws: Workspace,
    view: View,
    *,
    search: str = "",
    state: str = "all",
    source: str = "",
    query: int = -1,
    ids: list[str] | None = None,
) -> list[str]:
    """Return the ids of all rows that `table` would show a page at a time, for a decision about all of them."""
    return [view.pool_ids[i] for i in _positions(ws, view, search, state, source, query, ids, "rank")]


def _positions(
    ws: Workspace, view: View, search: str, state: str, source: str, query: int, ids: list[str] | None, order: str
) -> npt.NDArray[np.int64]:
    """Positions in the pool of the rows that match, in the wanted order."""
    keep = np.ones(len(view.pool_ids), dtype=np.bool_)
    if search.strip():
        keep &= _found(ws.root, view.represented.record["pool"], search.strip())
    if state == "picked":
        keep &= view.rank > 0
    elif state == "not picked":
        keep &= view.rank == 0
    elif state in STATES:
        keep &= view.state == STATES.index(state)
    if source:
        keep &= np.asarray(view.sources) == source
    if query >= 0:
        keep &= view.nearest_query == query
    if ids is not None:
        wanted = np.zeros_like(keep)
        wanted[[view.rows.position[i] for i in ids if i in view.rows.position]] = True
        keep &= wanted
    kept = np.flatnonzero(keep)
    return kept[_ordered(view, kept, order)]


def _ordered(view: View, positions: npt.NDArray[np.int64], order: str) -> npt.NDArray[np.int64]:
    """Places of `positions` in the wanted order; equal ones keep the pool's order."""
    name = order.removeprefix("-")
    nearest = -view.nearest_similarity[positions]
    if name == "rank":
        rank = view.rank[positions]
        keys: tuple[Any, ...] = (nearest, np.where(rank > 0, rank, np.iinfo(np.int64).max))
    elif name == "similarity":
        keys = (nearest,)
    elif name == "source":
        keys = (np.asarray(view.sources)[positions],)
    elif name == "length":
        keys = (view.rows.n_chars[positions],)
    else:
        raise WorkspaceError(f"rows can't be sorted by {order!r}; expected rank, similarity, source or length")
    places = np.lexsort(keys)
    return places[::-1] if order.startswith("-") else places


@lru_cache(maxsize=32)
def _found(root: Path, key: str, search: str) -> npt.NDArray[np.bool_]:
    found = np.zeros(len(rows_of(root, key).ids), dtype=np.bool_)
    found[Workspace(root).positions(key, search)] = True
    return found


def _page(ws: Workspace, view: View, positions: npt.NDArray[np.int64]) -> pd.DataFrame:
    import pandas as pd

    names = [view.pool_ids[i] for i in positions]
    texts = _texts(ws.root, view.represented.record["pool"], tuple(positions.tolist()))
    return pd.DataFrame(
        {
            "id": names,
            "rank": [int(r) or None for r in view.rank[positions]],
            "text": texts,
            "source": [view.sources[i] for i in positions],
            "similarity": view.nearest_similarity[positions].astype(np.float64),
            "query": view.nearest_query[positions],
            "state": [STATES[s] for s in view.state[positions]],
            "note": [view.overrides.notes.get(n, "") for n in names],
        }
    )


@lru_cache(maxsize=64)
def _texts(root: Path, key: str, positions: tuple[int, ...]) -> list[str]:
    """First characters of some rows; kept, since what a page redraws it has mostly just drawn."""
    return [snippet(e.text, _SNIPPET) for e in Workspace(root).some(key, positions)]


@lru_cache(maxsize=64)
def _example(root: Path, key: str, place: int) -> Example:
    return Workspace(root).some(key, [place])[0]


def lasso(view: View, xs: list[float], ys: list[float]) -> list[str]:
    """Return the ids of the rows whose map position lies inside a polygon; tested over all rows, drawn or not."""
    from curation import maps

    inside = maps.inside(view.represented.pool_xy, xs, ys)
    return [view.pool_ids[i] for i in np.flatnonzero(inside)]


def box(view: View, xs: list[float], ys: list[float]) -> list[str]:
    """Return the ids of the rows whose map position lies inside a rectangle."""
    xy = view.represented.pool_xy
    inside = (xy[:, 0] >= min(xs)) & (xy[:, 0] <= max(xs)) & (xy[:, 1] >= min(ys)) & (xy[:, 1] <= max(ys))
    return [view.pool_ids[i] for i in np.flatnonzero(inside)]


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
