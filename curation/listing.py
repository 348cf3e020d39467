"""The rows of a view as the linked table shows them: a page at a time, filtered, sorted, searched, or lassoed.

A search goes by words, as they stand in the conversation, or by meaning: by the words' own place in a representation
that is stored already.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from curation.errors import WorkspaceError
from curation.views import STATES, View, rows_of, snippet
from curation.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

_SNIPPET = 160


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


def lasso(view: View, xs: list[float], ys: list[float]) -> list[str]:
    """Return the ids of the rows whose map position lies inside a polygon; tested over all rows, drawn or not."""
    x, y = view.represented.pool_xy.T
    inside = np.zeros(x.size, dtype=np.bool_)
    for x1, y1, x2, y2 in zip(xs, ys, np.roll(xs, -1), np.roll(ys, -1), strict=True):
        if y1 != y2:  # a ray to the right crosses this edge: even-odd rule
            inside ^= ((y1 > y) != (y2 > y)) & (x < (x2 - x1) * (y - y1) / (y2 - y1) + x1)
    return [view.pool_ids[i] for i in np.flatnonzero(inside)]


def box(view: View, xs: list[float], ys: list[float]) -> list[str]:
    """Return the ids of the rows whose map position lies inside a rectangle."""
    xy = view.represented.pool_xy
    inside = (xy[:, 0] >= min(xs)) & (xy[:, 0] <= max(xs)) & (xy[:, 1] >= min(ys)) & (xy[:, 1] <= max(ys))
    return [view.pool_ids[i] for i in np.flatnonzero(inside)]
