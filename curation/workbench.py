"""What a page shows of a project, computed from stored state: the pages' one door.

Each function takes the workspace and a project's id and returns plain records, arrays or tables. What is costly is
kept in memory by content key, so that two tabs and every rerun share it, and a changed key is never served stale.
The table is in
`listing`, what explains a selection in `understanding`, both named here too; saved selections are in `comparison`,
experiments in `results`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from curation import answers, overrides, results
from curation.config import ProjectSettings, SelectionConfig
from curation.detail import Detail, detail
from curation.errors import WorkspaceError
from curation.listing import box, lasso, matching, search_by_meaning, table
from curation.overrides import Merge
from curation.pipeline import Represented
from curation.understanding import measured, moved, nearest_and_random, stability, understanding
from curation.views import STATES, View, open_represented, rows_of, select_view
from curation.wording import representation_label
from curation.workspace import Workspace

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from curation.advice import Advice

__all__ = [
    "STATES",
    "Detail",
    "Step",
    "advice",
    "box",
    "change",
    "detail",
    "import_overrides",
    "lasso",
    "matching",
    "measured",
    "moved",
    "represented",
    "scores",
    "search_by_meaning",
    "settings",
    "stability",
    "steps",
    "table",
    "understanding",
    "view",
]


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
    computed = ", ".join(dict.fromkeys(representation_label(r.name) for r in shown))
    saved = ws.selections(project_id)
    finished = [e for e in results.experiments(ws, project_id) if e.result]
    told = [
        ("data", "Data", bool(pool and queries), f"{pool.n_rows:,} rows" if pool else "no pool yet"),
        ("represent", "Represent", bool(shown), computed or "nothing computed"),
        ("curate", "Curate", bool(saved), f"{len(saved)} saved" if saved else "no selection saved"),
        ("compare", "Compare", len(saved) > 1, "two selections or more" if len(saved) > 1 else "needs two selections"),
        ("train", "Train", bool(finished), f"{len(finished)} finished" if finished else "nothing tuned yet"),
        ("evaluate", "Evaluate", bool(finished), "results are in" if finished else "no result yet"),
        ("report", "Report", False, "ready" if finished else "after evaluation"),
    ]
    made, following = [], False
    for page, title, done, about in told:
        state = "done" if done else "todo" if following or page == "compare" else "next"
        following = following or state == "next"
        made.append(Step(page, title, state, about))
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


def pool_represented(ws: Workspace, project_id: str) -> set[str]:
    """Return the names of the representations that the active pool has for any query set: its features are kept."""
    pool = ws.dataset(project_id, "pool")
    configs = [json.loads(artefact.config) for artefact in ws.artefacts("representation")]
    return {config["name"] for config in configs if pool is not None and config["pool"] == pool.key}


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
    decided = ws.overrides(project_id)
    rows = rows_of(ws.root, available[key].record["pool"])
    stale = [i for i in (*decided.pinned, *decided.banned) if i not in rows.position]
    config = dataclasses.replace(
        config,
        pinned=tuple(i for i in decided.pinned if i in rows.position),
        banned=tuple(i for i in decided.banned if i in rows.position),
        notes=decided.notes,
    )
    text = json.dumps(config.to_dict(), sort_keys=True)
    return dataclasses.replace(
        select_view(ws.root, available[key].folder, text),
        project_id=project_id,
        overrides=decided,
        stale_overrides=stale,
    )


def advice(ws: Workspace, project_id: str) -> Advice:
    """Advise on a project's selector, and on whether to tune at all, from what was published and what is known here.

    Raises
    ------
    WorkspaceError
        If nothing is represented yet.
    """
    from curation import quantiles
    from curation.advice import advise

    chosen, now = settings(ws, project_id), view(ws, project_id)
    tests, queries = ws.dataset(project_id, "test"), ws.dataset(project_id, "query")
    lengths = None
    if tests is not None and queries is not None:
        lengths = answers.answer_lengths(ws, {"queries": queries.key, "tests": tests.key})
    return advise(
        n_pool=len(now.pool_ids),
        n_queries=len(now.query_ids),
        budget=len(now.subset),
        representation=now.represented.name,
        model=chosen.model.name if chosen.model else "",
        nearest=nearest_and_random(now),
        result=next((e.result for e in results.experiments(ws, project_id) if e.result), None),
        lengths=lengths,
        check=quantiles.newest(
            ws, now.represented.key, chosen.model, tests.key if tests else None, chosen.experiment.training
        ),
    )


def scores(ws: Workspace, project_id: str, scorer: str) -> npt.NDArray[np.float64] | None:
    """Return the score of each row of the project's pool, (n_pool,), or None where they were not found yet.

    Raises
    ------
    ConfigError
        If there is no such scorer, or it reads a base model and none is chosen.
    WorkspaceError
        If there is no pool.
    """
    from curation import scoring

    pool = ws.dataset(project_id, "pool")
    if pool is None:
        raise WorkspaceError("the project has no pool yet; load one on the Data page")
    return scoring.known(ws, pool.key, scorer, settings(ws, project_id).model)


def import_overrides(
    ws: Workspace, project_id: str, text: str | bytes, author: str = "", *, favour: Collection[str] = ()
) -> Merge:
    """Take over the decisions of a file (`export.overrides_jsonl` writes them); one undo takes all of it back.

    Parameters
    ----------
    text : str or bytes
        The file.
    author : str
        Whose decisions they are where a line does not say.
    favour : collection of str
        Ids of rows on which the file wins where the two disagree; on all others what was decided here stands.

    Raises
    ------
    DataError
        If the file holds something else; the line is named.
    WorkspaceError
        If there is no pool yet.
    """
    pool = ws.dataset(project_id, "pool")
    if pool is None:
        raise WorkspaceError("there is no pool yet that decisions could be about; load one on the Data page first")
    return ws.merge_overrides(
        project_id, overrides.from_jsonl(text, author), rows_of(ws.root, pool.key).position, favour
    )
