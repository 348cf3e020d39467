"""Why a selection is as it is: measured beside random picks, how stable, what moved.

What the Curate page asks of `diagnostics` and `stability`, put together from stored state. What takes
longer than a redraw is asked for by itself and kept by what it was made from.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from curation import probe
from curation.errors import CurationError, WorkspaceError
from curation.pipeline import Represented
from curation.views import View, open_represented, rows_of, select_view
from curation.workspace import Workspace

_LENGTHS = (200, 500, 1_000, 2_000, 4_000)  # characters


def understanding(ws: Workspace, view: View) -> dict[str, Any]:
    """Return a view's picks measured: how near, how varied, of what they are made, what may be wrong with them.

    Returns
    -------
    dict
        As `measured`, and ``stability``: mean over the picks that no one pinned, or None where there are none.
        Takes longer than a redraw the first time; kept by what the view was made from.
    """
    stable = stability(ws, view)[len(view.selection.pinned) :]
    told = _measured(ws.root, view.represented.folder, tuple(view.subset.indices.tolist()), view.selection.banned)
    return {**told, "stability": float(stable.mean()) if len(stable) else None}


def measured(ws: Workspace, represented: Represented, ids: Sequence[str], banned: Sequence[str] = ()) -> dict[str, Any]:
    """Measure any selection of a represented pool, each figure beside a random subset's of the same size.

    Parameters
    ----------
    represented : Represented
        What it is measured in.
    ids : sequence of str
        The picks.
    banned : sequence of str
        Rows that random subsets leave out as well.

    Returns
    -------
    dict
        ``n_picked``; ``distances`` (mean_nearest, wasserstein and, where vectors are stored, mmd → value, random,
        bound); ``coverage``: ``value``, ``random``, ``bound``, an entry a query each; ``uncovered`` (query positions);
        ``redundancy`` and ``near_duplicates`` (value, random: share of picks that repeat another, number of picks too
        many); ``composition`` → source, length and, after the quality check, language → name → picked, pool;
        ``noise`` → tag → meaning, picked, expected (in as many random picks), None before the check has run.
    """
    position = rows_of(ws.root, represented.record["pool"]).position
    picks = tuple(position[i] for i in ids)
    return _measured(ws.root, represented.folder, picks, tuple(banned))


@lru_cache(maxsize=32)
def _measured(root: Path, folder: Path, picks: tuple[int, ...], banned: tuple[str, ...]) -> dict[str, Any]:
    from curation import diagnostics

    ws, shown = Workspace(root), open_represented(folder)
    rows = rows_of(root, shown.record["pool"])
    similarity, indices = np.asarray(shown.similarity), np.array(picks, dtype=np.int64)
    usable = np.ones(len(rows.ids), dtype=np.bool_)
    if shown.seen is not None:
        usable[:] = False
        usable[shown.seen] = True
    usable[[rows.position[i] for i in (*shown.unusable, *banned) if i in rows.position]] = False
    eligible = np.flatnonzero(usable)
    told: dict[str, Any] = {"n_picked": len(indices), "uncovered": diagnostics.uncovered(similarity, indices)}
    told["distances"], told["coverage"] = {}, {}
    if len(indices):
        told["distances"] = diagnostics.distances(
            similarity, indices, eligible=eligible, discrepancy=_discrepancy(root, folder)
        )
        told["coverage"] = diagnostics.covered(similarity, indices, eligible)
    told |= _repeated(shown, similarity, indices, eligible)
    told["composition"] = {
        "source": _shares(rows.sources, indices),
        "length": _shares([_length(n) for n in rows.n_chars.tolist()], indices),
    }
    tags = _tags(ws, shown.record["pool"])
    told["noise"] = None if tags is None else _noise(ws, shown.record["pool"], tags, indices, eligible)
    if tags is not None:
        told["composition"]["language"] = _shares([_language(t) for t in tags], indices)
    return told


def nearest_and_random(view: View) -> tuple[float, float]:
    """Return the mean distance of the nearest subset there could be, and of a random one of the same size."""
    from curation import diagnostics

    known = view.represented.seen
    similarity = view.similarity if known is None else view.similarity[:, known]
    every = np.arange(similarity.shape[1])
    return diagnostics.nearest_bound(similarity, every), diagnostics.random_distance(similarity, len(view.subset))


def _repeated(
    shown: Represented, similarity: Any, indices: npt.NDArray[np.int64], eligible: npt.NDArray[np.int64]
) -> dict[str, Any]:
    """How many picks repeat another, beside random picks of the same number."""
    from curation import diagnostics

    groups = shown.twins
    if groups is None or not len(indices):
        value = diagnostics.summary(similarity, indices)["redundancy"]
        return {"redundancy": {"value": value, "random": None}, "near_duplicates": None}
    (drawn,) = diagnostics.drawn(eligible, len(indices), draws=1)
    both = (indices, drawn)
    shares = [diagnostics.redundancy(groups, rows) for rows in both]
    extra = [len(rows) - len(np.unique(groups[rows])) for rows in both]
    return {
        "redundancy": {"value": shares[0], "random": shares[1]},
        "near_duplicates": {"value": extra[0], "random": extra[1]},
    }


def _shares(names: Sequence[str], indices: npt.NDArray[np.int64]) -> dict[str, dict[str, int]]:
    """Name → picks and rows of the pool that have it, most picks first."""
    pool, picked = Counter(names), Counter(names[i] for i in indices)
    return {n: {"picked": picked[n], "pool": pool[n]} for n in sorted(pool, key=lambda n: (-picked[n], -pool[n], n))}


def _length(n_chars: int) -> str:
    top = next((limit for limit in _LENGTHS if n_chars < limit), None)
    return f"{_LENGTHS[-1]:,} characters or more" if top is None else f"under {top:,} characters"


def _language(tags: Iterable[str]) -> str:
    """What a row's tags say of its language; the quality check looks for others than English only."""
    kinds = dict(tag.split("_", 1) for tag in tags if tag.startswith(("words_", "script_")))
    return kinds.get("words") or kinds.get("script") or "English, or not told"


@lru_cache(maxsize=8)
def _tags_of(root: Path, key: str, changed: float) -> list[list[str]]:  # noqa: ARG001
    import pyarrow.parquet as pq

    rows = rows_of(root, key)
    found: list[list[str]] = [[] for _ in rows.ids]
    table = pq.read_table(Workspace(root).rows_path(key).with_name("tags.parquet"), columns=["id", "tags"])
    for row in table.to_pylist():
        found[rows.position[row["id"]]] = row["tags"]
    return found


def _tags(ws: Workspace, key: str) -> list[list[str]] | None:
    """Each row's tags; None before the quality check has run."""
    path = ws.rows_path(key).with_name("tags.parquet")
    return _tags_of(ws.root, key, path.stat().st_mtime) if path.is_file() else None


def _noise(
    ws: Workspace, key: str, tags: list[list[str]], indices: npt.NDArray[np.int64], eligible: npt.NDArray[np.int64]
) -> dict[str, dict[str, Any]]:
    """Tag → its meaning, how many picks have it, and how many of as many random ones would."""
    from curation import browsing

    table = browsing.tags(ws, key)
    meaning = {} if table is None else dict(zip(table["tag"], table["meaning"], strict=True))
    picked = Counter(tag for i in indices for tag in tags[i])
    there = Counter(tag for i in eligible for tag in tags[i])
    share = len(indices) / max(1, len(eligible))
    flags = [t for t in meaning if not t.startswith(("words_", "script_"))]
    return {t: {"meaning": meaning[t], "picked": picked[t], "expected": there[t] * share} for t in flags}


@lru_cache(maxsize=4)
def _discrepancy(root: Path, folder: Path) -> Callable[[Any], float] | None:
    """Return what gives the MMD of some rows of the pool to the queries; None where vectors are not stored."""
    from curation import diagnostics

    ws, shown = Workspace(root), open_represented(folder)
    if probe.refusal(ws, shown):
        return None
    rows, queries = rows_of(root, shown.record["pool"]), ws.ids(shown.record["queries"])
    stores = {role: ws.feature_store(shown.record["features"], role) for role in ("pool", "query")}
    lacking = {*stores["pool"].missing(rows.ids), *shown.unusable}
    there = [i for i in rows.ids if i not in lacking]
    try:
        representation = probe.representation_of(ws, shown)
        pool, query = representation.join(stores["pool"].features(there), stores["query"].features(queries))
    except CurationError:  # its model, its warmup or some vectors are gone: the rest is shown all the same
        return None
    place = np.full(len(rows.ids), -1, dtype=np.int64)
    place[[rows.position[i] for i in there]] = np.arange(len(there))
    return lambda indices: diagnostics.mmd(pool, query, place[indices])


def stability(ws: Workspace, view: View) -> npt.NDArray[np.float64]:
    """Return how surely each pick is picked, whichever queries had been written; (n_picked,), 1 for pins.

    Takes seconds the first time where the selector compares candidates with each other; kept by what the view was made
    from.
    """
    text = json.dumps(view.selection.to_dict(), sort_keys=True)
    return _stability(ws.root, view.represented.folder, text)


@lru_cache(maxsize=32)
def _stability(root: Path, folder: Path, config_text: str) -> npt.NDArray[np.float64]:
    from curation import stability as bootstrap

    view = select_view(root, folder, config_text)
    return bootstrap.stability(view.made, fixed=view.made.problem.n_queries - len(view.query_ids))


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
