"""A pool's neighbour graph and map as artefacts: made once for features and pool, whatever the queries.

A pool that shares most of its rows with one whose map is drawn takes that map's positions over, so that rows which
joined or left move no other; its map's key then names the one it was taken from. `maps` and `neighbours` compute.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from curation.progress import Progress
from curation.workspace import Workspace, content_key

if TYPE_CHECKING:
    from curation.similarity import Features

TWIN = 0.95  # cosine from which two rows are near-duplicates
_SHARED = 0.5  # of both pools, from which one takes the other's positions over


@dataclass(frozen=True)
class Keys:
    """Keys of a pool's graph and map, and of the map whose positions it takes over (empty: none)."""

    graph: str
    map: str
    base: str = ""

    @classmethod
    def of(cls, ws: Workspace, features: str, pool: str, thinned: dict[str, Any]) -> Keys:
        """Return the keys for features and pool; `thinned` says which first stage left rows out."""
        from curation import maps, neighbours

        inputs = {"features": features, "pool": pool, **thinned}
        graph = content_key("neighbours", **inputs, version=neighbours.VERSION)
        fitted = content_key("map", **inputs, version=maps.VERSION)
        if ws.find("map", fitted) is not None:
            return cls(graph, fitted)
        alike = []
        for made in ws.artefacts("map"):
            card = json.loads(made.config)
            if card.get("version") == maps.VERSION and card["features"] == features and card["thinned"] == thinned:
                alike.append((made.key, card))
        for key, card in alike:
            if card["pool"] == pool:
                return cls(graph, key, card["base"])
        shared = {key: _shared(ws, card["pool"], pool) for key, card in alike}
        base = max(shared, key=lambda key: (shared[key], key), default="")
        if not base or shared[base] < _SHARED:
            return cls(graph, fitted)
        return cls(graph, content_key("map", base=base, pool=pool, version=maps.VERSION), base)


def _shared(ws: Workspace, one: str, other: str) -> float:
    """Share of the larger of two pools that both have."""
    a, b = set(ws.ids(one)), set(ws.ids(other))
    return len(a & b) / max(len(a), len(b))


def draw(
    ws: Workspace,
    keys: Keys,
    card: dict[str, Any],
    features: Features,
    *,
    pool: str,
    compare: bool,
    progress: Progress,
) -> None:
    """Make what is missing of a pool's graph, map and groups of near-duplicates.

    Parameters
    ----------
    card : dict
        What the artefacts say of themselves.
    features : Features
        Of those rows of the pool that have any.
    compare : bool
        Whether two rows' features tell whether they are near-duplicates.
    """
    from curation import maps, neighbours

    there = set(features.ids)
    kept = np.array([i in there for i in ws.ids(pool)])  # (n_pool,)
    places = np.flatnonzero(kept)

    def link(part: Path) -> None:
        indices, distances = neighbours.graph(features, progress=progress)
        np.save(part / "indices.npy", spread(places[indices].astype(np.int32), kept, axis=0, fill=-1))
        np.save(part / "distances.npy", spread(distances, kept, axis=0, fill=np.inf))

    def lay_out(part: Path) -> None:
        indices, distances = read_graph(folder)
        graph = (np.cumsum(kept)[indices[kept]].astype(np.int32) - 1, distances[kept])
        if keys.base:
            xy = maps.extend(features, _taken_over(ws, keys.base, features.ids))
        else:
            xy = maps.fit(features, graph, progress=progress)
        np.save(part / "pool_xy.npy", spread(xy, kept, axis=0, fill=np.nan))
        if compare and len(places) <= neighbours.LARGE:
            groups = np.arange(kept.size)
            groups[places] = places[neighbours.groups(graph, cosine=TWIN)]
            np.save(part / "twins.npy", groups)

    folder = ws.produce("neighbours", keys.graph, link, card)
    ws.produce("map", keys.map, lay_out, {**card, "version": maps.VERSION, "base": keys.base})


def read_graph(folder: Path) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Return a stored graph, memory-mapped: `indices` are positions in the pool, −1 for rows without features."""
    names = ("indices", "distances")
    indices, distances = (np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in names)
    return indices, distances


def spread(values: npt.NDArray[Any], kept: npt.NDArray[np.bool_], *, axis: int, fill: float) -> npt.NDArray[Any]:
    """Put columns (or rows) back where rows without features were left out."""
    if kept.all():
        return values
    shape = list(values.shape)
    shape[axis] = kept.size
    whole = np.full(shape, fill, dtype=values.dtype)
    whole[(slice(None),) * axis + (kept,)] = values
    return whole


def _taken_over(ws: Workspace, base: str, ids: tuple[str, ...]) -> npt.NDArray[np.float32]:
    """Positions of rows on a map that is drawn, float32 (n, 2); NaN for those that are not on it."""
    folder = ws.artefact("map", base)
    stored = np.load(folder / "pool_xy.npy", allow_pickle=False)
    card = json.loads((folder / "artefact.json").read_text("utf-8"))
    place = {row: n for n, row in enumerate(ws.ids(card["config"]["pool"]))}
    xy = np.full((len(ids), 2), np.nan, dtype=np.float32)
    known = [n for n, row in enumerate(ids) if row in place]
    xy[known] = stored[[place[ids[n]] for n in known]]
    return xy
