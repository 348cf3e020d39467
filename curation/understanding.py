"""Why a selection is as it is: one example with its reasons, the selection measured, what moved, what is advised.

What the Curate page asks of `explain`, `diagnostics`, `stability` and `advice`, put together from stored state, in
words. What takes longer than a redraw is asked for by itself and kept by what it was made from.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from curation import probe
from curation.errors import CurationError, WorkspaceError
from curation.pipeline import Represented
from curation.views import STATES, View, open_represented, rows_of, select_view
from curation.workspace import Workspace

if TYPE_CHECKING:
    from curation.data.rows import Example
    from curation.explain import Explanation

_NEAREST = 5  # queries named with an example
_TWINS = 5  # near-duplicates named with an example
_ALIKE = 0.05  # 1 − cosine below which two rows are near-duplicates
_LENGTHS = (200, 500, 1_000, 2_000, 4_000)  # characters


# ----------------------------------------------------------------------------------------------------- one example


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


# -------------------------------------------------------------------------------------------------- the whole of it


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
