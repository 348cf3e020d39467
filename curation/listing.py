"""The rows of a view as the linked table shows them: a page at a time, filtered, sorted, searched, or lassoed.

A search goes by words, as they stand in the conversation, or by meaning: by the words' own place in a representation
that is stored already.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from curation import probe
from curation.data.rows import Example, Message, row_id
from curation.errors import WorkspaceError
from curation.views import STATES, View, open_represented, rows_of, snippet
from curation.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

MEANT = 100  # rows that a search by meaning finds
_SNIPPET = 160


def table(
    ws: Workspace,
    view: View,
    *,
    offset: int = 0,
    limit: int = 50,
    search: str = "",
    by: str = "words",
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
        Words that the conversation must hold as they stand, or what it should be about.
    by : str
        ``words``, or ``meaning``: then the rows nearest to what is searched, nearest first unless sorted otherwise.
    state : str
        ``all``, ``not picked``, or one of `STATES`; ``picked`` holds the pinned ones too.
    query : int
        Only rows whose nearest query is this one; −1 for all.
    ids : list of str, optional
        Only these rows (a lasso).
    order : str
        ``rank`` (picks first, then the nearest), ``similarity``, ``source``, ``length``; ``-`` before it reverses.
    """
    positions = _positions(ws, view, search, by, state, source, query, ids, order)
    return _page(ws, view, positions[offset : offset + limit]), positions.size


def matching(
    ws: Workspace,
    view: View,
    *,
    search: str = "",
    by: str = "words",
    state: str = "all",
    source: str = "",
    query: int = -1,
    ids: list[str] | None = None,
    order: str = "rank",
) -> list[str]:
    """Return the ids of all rows that `table` would show a page at a time, in its order: to step through, or decide."""
    return [view.pool_ids[i] for i in _positions(ws, view, search, by, state, source, query, ids, order)]


def _positions(
    ws: Workspace,
    view: View,
    search: str,
    by: str,
    state: str,
    source: str,
    query: int,
    ids: list[str] | None,
    order: str,
) -> npt.NDArray[np.int64]:
    """Positions in the pool of the rows that match, in the wanted order."""
    keep = np.ones(len(view.pool_ids), dtype=np.bool_)
    meant = search_by_meaning(ws, view, search) if search.strip() and by == "meaning" else None
    if meant is not None:
        keep &= meant >= np.partition(meant, max(0, meant.size - MEANT))[max(0, meant.size - MEANT)]
    elif search.strip():
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
    if meant is not None and order == "rank":
        return kept[np.argsort(-meant[kept], kind="stable")]
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


def search_by_meaning(ws: Workspace, view: View, text: str) -> npt.NDArray[np.float32]:
    """Return how near each row of the pool is to a text, (n_pool,), by an embedding that is stored, else by rare words.

    Raises
    ------
    WorkspaceError
        If neither is stored for this pool.
    """
    pool = view.represented.record["pool"]
    found: dict[str, Path] = {}
    for artefact in ws.artefacts("representation"):
        if json.loads(artefact.config)["pool"] == pool:
            shown = open_represented(ws.artefact("representation", artefact.key))
            if not probe.refusal(ws, shown):
                found.setdefault(shown.name, shown.folder)
    for name in ("embed", "lexical"):
        if name in found:
            return _near(ws.root, found[name], text.strip())
    raise WorkspaceError(
        "a search by meaning needs vectors that say what a row is about; compute Embed or Lexical for this pool on the "
        "Represent page, or search by words"
    )


@lru_cache(maxsize=16)
def _near(root: Path, folder: Path, text: str) -> npt.NDArray[np.float32]:
    asked = (Message("user", text),)
    return _probe(root, folder).similarity(Example(row_id(asked), asked))


@lru_cache(maxsize=2)
def _probe(root: Path, folder: Path) -> probe.Probe:
    return probe.Probe(Workspace(root), open_represented(folder))


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
