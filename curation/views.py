"""A selection as it stands, held in memory: what the Curate page, its map and its table draw.

Everything here is derived from artefacts and kept by their content keys, so that two tabs and every rerun share it and
a changed key is never served stale.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from curation import pipeline
from curation.config import SelectionConfig
from curation.overrides import OverrideState
from curation.pipeline import Represented
from curation.workspace import Workspace

if TYPE_CHECKING:
    from curation.selected import Selected
    from curation.selectors import Subset

STATES = ("pool", "picked", "pinned", "banned")


@lru_cache(maxsize=32)
def open_represented(folder: Path) -> Represented:
    """Return the representation stored in an artefact's folder."""
    return pipeline.read_represented(folder)


@dataclass(frozen=True, eq=False)
class Rows:
    """What stays the same of a data set, in memory: ids, their positions, sources, lengths."""

    ids: list[str]
    position: dict[str, int]
    sources: list[str]
    n_chars: npt.NDArray[np.int64]

    @cached_property
    def n_by_source(self) -> dict[str, int]:
        """Source → how many rows it has, most first."""
        return dict(Counter(self.sources).most_common())


@lru_cache(maxsize=8)
def rows_of(root: Path, key: str) -> Rows:
    """Return what stays the same of the data set `key`."""
    ws = Workspace(root)
    ids = ws.ids(key)
    sources = [s or "unknown" for s in ws.column(key, "source")]
    return Rows(ids, {i: n for n, i in enumerate(ids)}, sources, np.asarray(ws.column(key, "n_chars"), dtype=np.int64))


@dataclass(frozen=True, eq=False)
class View:
    """A selection as it stands: everything that the Curate page, its map and its table draw.

    Attributes
    ----------
    state : int8 array (n_pool,)
        0 pool, 1 picked, 2 pinned, 3 banned; the names are in `STATES`.
    nearest_query, nearest_similarity : arrays (n_pool,)
        The query nearest to each row, and how near.
    rank : int64 array (n_pool,)
        Place of pick from 1; 0 where not picked.
    made : Selected
        The subset, with the problem, the selector and the limits that made it.
    stale_overrides : list of str
        Ids that are pinned or banned but not in this pool; they are kept, and do nothing here.
    """

    project_id: str
    represented: Represented
    selection: SelectionConfig
    overrides: OverrideState
    rows: Rows
    query_ids: list[str]
    query_titles: list[str]
    made: Selected
    state: npt.NDArray[np.int8]
    rank: npt.NDArray[np.int64]
    nearest_query: npt.NDArray[np.int64]
    nearest_similarity: npt.NDArray[np.float32]
    stale_overrides: list[str]

    @property
    def subset(self) -> Subset:
        """What is picked, as positions in the pool."""
        return self.made.subset

    @property
    def pool_ids(self) -> list[str]:
        """Ids of the pool's rows, in order."""
        return self.rows.ids

    @property
    def sources(self) -> list[str]:
        """Source of each row."""
        return self.rows.sources

    @property
    def similarity(self) -> npt.NDArray[np.float32]:
        """Similarity (n_queries, n_pool)."""
        return self.represented.similarity

    @cached_property
    def summary(self) -> dict[str, Any]:
        """Count, distance to the query set against random, uncovered queries, redundancy, composition."""
        from curation import diagnostics

        told = diagnostics.summary(
            self.similarity, self.subset.indices, groups=self.represented.twins, seen=self.represented.seen
        )
        sources = Counter(self.rows.sources[i] for i in self.subset.indices)
        return {**told, "n_picked": len(self.subset), "composition": dict(sources.most_common())}


@lru_cache(maxsize=64)
def select_view(root: Path, folder: Path, config_text: str) -> View:
    """Select under a config given as JSON, so that equal configs share one view."""
    ws = Workspace(root)
    config = SelectionConfig.from_dict(json.loads(config_text))
    shown = open_represented(folder)
    rows = rows_of(root, shown.record["pool"])
    made = pipeline.selected(ws, shown, config)
    subset = made.subset
    nearest_query, nearest = nearest_of(folder)
    state = np.zeros(len(rows.ids), dtype=np.int8)
    state[subset.indices] = STATES.index("picked")
    state[[rows.position[i] for i in config.pinned]] = STATES.index("pinned")
    state[[rows.position[i] for i in config.banned]] = STATES.index("banned")
    rank = np.zeros(len(rows.ids), dtype=np.int64)
    rank[subset.indices] = np.arange(1, len(subset) + 1)
    query_ids, titles = queries_of(root, shown.record["queries"])
    return View(
        project_id="",
        represented=shown,
        selection=config,
        overrides=OverrideState(),
        rows=rows,
        query_ids=query_ids,
        query_titles=titles,
        made=made,
        state=state,
        rank=rank,
        nearest_query=nearest_query,
        nearest_similarity=nearest,
        stale_overrides=[],
    )


@lru_cache(maxsize=8)
def nearest_of(folder: Path) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Return each candidate's nearest query and its similarity to it."""
    similarity = open_represented(folder).similarity
    return similarity.argmax(axis=0), similarity.max(axis=0)


@lru_cache(maxsize=8)
def queries_of(root: Path, key: str) -> tuple[list[str], list[str]]:
    """Return the ids of the queries of the data set `key`, and the beginning of each one's first user turn."""
    examples = Workspace(root).examples(key)
    return [e.id for e in examples], [
        snippet(next(m.content for m in e.messages if m.role == "user")) for e in examples
    ]


def snippet(text: str, length: int = 60) -> str:
    """Return a text's beginning on one line."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1] + "…"
