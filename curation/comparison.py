"""Saved selections: kept, opened, and beside each other.

Saved selections are artefacts: a table of picks and the config that made them. Nothing is overwritten; saving a name
again makes its next version.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from curation import overrides, pipeline
from curation.config import SelectionConfig
from curation.errors import WorkspaceError
from curation.pipeline import Represented
from curation.views import View, queries_of, rows_of, select_view
from curation.workbench import change, represented, settings
from curation.workspace import Workspace, content_key

if TYPE_CHECKING:
    import pandas as pd

    from curation.tables import SavedSelection


def store_selection(ws: Workspace, view: View) -> str:
    """Keep a view's picks as an artefact and return its key."""
    config = view.selection.to_dict()
    key = content_key("selection", version=1, representation=view.represented.key, selection=config)

    def make(part: Path) -> None:
        table = pipeline.subset_table(ws, view.represented, view.selection, view.subset)
        table.to_parquet(part / "subset.parquet", index=False)
        card = {"representation": view.represented.key, "selection": config}
        (part / "selection.json").write_text(json.dumps(card, ensure_ascii=False, sort_keys=True))

    ws.produce("selection", key, make, {"representation": view.represented.key})
    return key


def save_selection(ws: Workspace, view: View, name: str, author: str = "") -> SavedSelection:
    """Keep a view's picks under a name, as its next version, made from the one last opened or saved; return it."""
    project, key = view.project_id, store_selection(ws, view)
    parent = settings(ws, project).opened
    saved = ws.save_selection(project, name, view.selection.to_dict(), key, parent=parent, author=author)
    change(ws, project, opened=f"{saved.name} v{saved.version}")
    return saved


def restore(ws: Workspace, saved: SavedSelection, author: str = "") -> tuple[str, SelectionConfig]:
    """Make a saved selection the project's present one: representation, selector, budget, pins and bans; notes stay.

    Returns
    -------
    str, SelectionConfig
        Key of the representation, and the selection without its decisions, which stand in the log as one act.

    Raises
    ------
    WorkspaceError
        If its representation is not one of the project's present pool and query set.
    """
    project, name = saved.project_id, f"{saved.name} v{saved.version}"
    opened = open_saved(ws, saved)
    key, selection = opened.represented.key, opened.selection
    if key not in {r.key for r in represented(ws, project)}:
        raise WorkspaceError(
            f"{name} was made with {opened.represented.name} of another pool or query set than the present ones; "
            "choose those again on the Data page"
        )
    lines = overrides.towards(ws.overrides(project), selection.pinned, selection.banned, author)
    if lines:
        ws.decide(project, lines)
    plain = dataclasses.replace(selection, pinned=(), banned=(), notes={})
    change(ws, project, active=key, selection=plain, opened=name)
    return key, plain


@dataclass(frozen=True, eq=False)
class Saved:
    """A saved selection, opened: its picks and the representation it was made with."""

    name: str
    selection: SelectionConfig
    represented: Represented
    table: pd.DataFrame

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """Ids of the picks, in order."""
        return tuple(self.table["id"])


def open_saved(ws: Workspace, saved: SavedSelection) -> Saved:
    """Open a saved selection."""
    return open_artefact(ws, saved.subset, f"{saved.name} v{saved.version}")


def open_artefact(ws: Workspace, key: str, name: str = "selection") -> Saved:
    """Open the selection that was stored under `key`."""
    import pandas as pd

    folder = ws.artefact("selection", key)
    card = json.loads((folder / "selection.json").read_text())
    shown = pipeline.read_represented(ws.artefact("representation", card["representation"]))
    return Saved(name, SelectionConfig.from_dict(card["selection"]), shown, pd.read_parquet(folder / "subset.parquet"))


def as_saved(ws: Workspace, view: View) -> Saved:
    """Return a view's picks in the form of a saved selection, without saving."""
    table = pipeline.subset_table(ws, view.represented, view.selection, view.subset)
    return Saved("present selection", view.selection, view.represented, table)


def parent_of(ws: Workspace, saved: SavedSelection) -> SavedSelection | None:
    """Return the saved selection that one was made from; None where there was none."""
    return next((s for s in ws.selections(saved.project_id) if f"{s.name} v{s.version}" == saved.parent), None)


def diff(saved: Saved, parent: Saved) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the ids that entered since `parent`, in order of pick, and those that left, in the parent's order."""
    now, before = set(saved.ids), set(parent.ids)
    return tuple(i for i in saved.ids if i not in before), tuple(i for i in parent.ids if i not in now)


def decided_by(ws: Workspace, view: View, author: str | None) -> Saved:
    """Return what a view would pick under one person's pins and bans alone, or under nobody's (None)."""
    decided, _ = overrides.holding(ws.override_log(view.project_id))
    own = {row: e.action for row, e in decided.items() if e.author == author and row in view.rows.position}
    config = dataclasses.replace(
        view.selection,
        pinned=tuple(row for row, action in own.items() if action == "pin"),
        banned=tuple(row for row, action in own.items() if action == "ban"),
    )
    made = select_view(ws.root, view.represented.folder, json.dumps(config.to_dict(), sort_keys=True))
    who = "without decisions by hand" if author is None else f"decided by {author or 'somebody unnamed'}"
    return dataclasses.replace(as_saved(ws, made), name=who)


def authors(ws: Workspace, project_id: str) -> list[str]:
    """Return whose pins and bans hold in a project, by name."""
    return sorted({e.author for e in overrides.holding(ws.override_log(project_id))[0].values()})


@dataclass(frozen=True, eq=False)
class Overlaps:
    """How much several selections share, at several budgets.

    Attributes
    ----------
    names : list of str
        The selections.
    budgets : list of int
        How many of each one's first picks are compared; one with fewer is compared whole.
    jaccard : float array (n_budgets, n_selections, n_selections)
        Shared picks over all picks; 1 where neither has any.
    """

    names: list[str]
    budgets: list[int]
    jaccard: npt.NDArray[np.float64]


def overlaps(selections: Sequence[Saved], budgets: Sequence[int] = ()) -> Overlaps:
    """Compare any number of selections pairwise by the first picks of each.

    Parameters
    ----------
    selections : sequence of Saved
        Of one pool; ids are compared.
    budgets : sequence of int
        Default: 10, 30, 100, … below the size of the largest selection, and that size.
    """
    largest = max((len(s.ids) for s in selections), default=0)
    ladder = [n for power in range(1, 8) for n in (10**power, 3 * 10**power) if n < largest]
    chosen = list(budgets) or [*ladder, largest]
    jaccard = np.ones((len(chosen), len(selections), len(selections)))
    for k, budget in enumerate(chosen):
        first = [set(s.ids[:budget]) for s in selections]
        for i, j in itertools.combinations(range(len(selections)), 2):
            union = len(first[i] | first[j])
            jaccard[k, i, j] = jaccard[k, j, i] = len(first[i] & first[j]) / union if union else 1.0
    return Overlaps([s.name for s in selections], chosen, jaccard)


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two selections of one pool beside each other.

    Attributes
    ----------
    only_a, only_b, both : tuple of str
        Ids of the picks.
    jaccard : float
        Shared picks over all picks.
    coverage_a, coverage_b : float arrays (n_queries,)
        Each query's similarity to its nearest pick, both measured by `represented`.
    summary_a, summary_b, composition_a, composition_b : dict
        Distances to the query set; source → picks.
    """

    a: Saved
    b: Saved
    represented: Represented
    query_titles: list[str]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    both: tuple[str, ...]
    jaccard: float
    coverage_a: npt.NDArray[np.float32]
    coverage_b: npt.NDArray[np.float32]
    summary_a: dict[str, Any]
    summary_b: dict[str, Any]
    composition_a: dict[str, int]
    composition_b: dict[str, int]


def compare(ws: Workspace, a: Saved, b: Saved, represented: Represented | None = None) -> Comparison:
    """Compare two selections of the same pool, measured in `represented` (default: that of `a`).

    Raises
    ------
    WorkspaceError
        If they are of different pools.
    """
    from curation import diagnostics

    shown = represented or a.represented
    if a.represented.record["pool"] != b.represented.record["pool"]:
        raise WorkspaceError(f"{a.name} and {b.name} were picked from different pools; choose two of one pool")
    rows = rows_of(ws.root, shown.record["pool"])
    in_a, in_b = set(a.ids), set(b.ids)
    similarity = shown.similarity
    places = [np.array([rows.position[i] for i in s.ids], dtype=np.int64) for s in (a, b)]
    coverage = [similarity[:, p].max(axis=1) if p.size else np.full(similarity.shape[0], np.nan) for p in places]
    summaries = [diagnostics.summary(similarity, p, groups=shown.twins, seen=shown.seen) for p in places]
    sources = [dict(Counter(rows.sources[i] for i in p).most_common()) for p in places]
    union = len(in_a | in_b)
    return Comparison(
        a,
        b,
        shown,
        queries_of(ws.root, shown.record["queries"])[1],
        only_a=tuple(i for i in a.ids if i not in in_b),
        only_b=tuple(i for i in b.ids if i not in in_a),
        both=tuple(i for i in a.ids if i in in_b),
        jaccard=len(in_a & in_b) / union if union else 1.0,
        coverage_a=coverage[0],
        coverage_b=coverage[1],
        summary_a=summaries[0],
        summary_b=summaries[1],
        composition_a=sources[0],
        composition_b=sources[1],
    )


def run_config(ws: Workspace, project_id: str, chosen: Saved, tests: str | None = None) -> dict[str, Any]:
    """Return the config that replays a selection of a project, and its experiment's design, with `winnow run`.

    The pool and the query set are those that the selection saw; the test set is that of the key `tests`, else the
    present one.
    """
    options = settings(ws, project_id)
    record = {**chosen.represented.record, "tests": tests}
    made: dict[str, Any] = {}
    stored = {(row.role, row.key): row for row in ws.datasets(project_id)}
    for name, role in (("pool", "pool"), ("queries", "query"), ("tests", "test")):
        row = stored.get((role, record[name])) or ws.dataset(project_id, role)
        made[name] = json.loads(row.config) if row else None
    made["model"] = record["model"] or (options.model.to_dict() if options.model else None)
    made["representation"] = record["representation"]
    made["warmup"] = record["warmup"] or options.warmup.to_dict()
    made["selection"] = chosen.selection.to_dict()
    made["experiment"] = options.experiment.to_dict() if made["model"] and made["tests"] else None
    return made
