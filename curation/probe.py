"""One query typed by hand: the pool rows nearest to it, and a query set that has it.

The model and the pool's features stay in memory between two queries, so that one costs its own features and one pass
over the pool's. Left out: features that depend on the query set (exact LESS), which a new query would ask for anew.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from curation import query_sets
from curation.config import ModelConfig, RepresentationConfig, WarmupConfig
from curation.data.rows import Example, Message, RowError, row_id
from curation.errors import DataError, WorkspaceError
from curation.representing import Represented, key_of_warmup, options_of
from curation.views import snippet
from curation.workspace import Workspace

if TYPE_CHECKING:
    from curation.representations import Features, Representation

_SNIPPET = 400
_TYPED = ", typed: "  # in the name of a query set, before how many were


@dataclass(frozen=True)
class Near:
    """A pool row: its id, its source, the first characters of its text, and its similarity to the query."""

    id: str
    source: str
    text: str
    similarity: float


def typed(prompt: str, answer: str) -> Example:
    """Return what was typed as a query; DataError if a half is missing."""
    for half, text in (("prompt", prompt), ("answer", answer)):
        if not text.strip():
            raise DataError(f"the query has no {half}, expected a prompt and the answer you want to it; write both")
    messages = (Message("user", prompt), Message("assistant", answer))
    return Example(row_id(messages), messages)


def refusal(ws: Workspace, represented: Represented) -> str:
    """Say why a query can't be compared with a representation's pool; empty if it can."""
    if represented.record["representation"]["options"].get("exact", False):
        return (
            "exact LESS keeps no vectors, only how near each row is to the present queries; compute LESS with "
            "“exact” off to try other queries"
        )
    stored = ws.root / "features" / f"{represented.record['features']}-pool"  # not opened: a page asks at every click
    if not stored.is_dir():
        return "the vectors of this representation are not stored here; compute it once to try queries"
    return ""


class Probe:
    """A finished representation, held ready for queries; any number of threads may ask.

    Parameters
    ----------
    ws : Workspace
        Where its features lie.
    represented : Represented
        The representation.

    Raises
    ------
    WorkspaceError
        If it has no pool features to compare with.
    ModelError
        If its model can't be loaded.
    """

    def __init__(self, ws: Workspace, represented: Represented) -> None:
        if reason := refusal(ws, represented):
            raise WorkspaceError(reason)
        self._ws, self._pool_key = ws, str(represented.record["pool"])
        self._lock = threading.Lock()  # a model has one set of adapters
        self._representation = representation_of(ws, represented)
        store = ws.feature_store(represented.record["features"], "pool")
        ids = ws.ids(self._pool_key)
        lacking = {*store.missing(ids), *(row for row, _ in store.rejected(ids))}
        self._n_rows = len(ids)
        self._positions = np.array([i for i, row in enumerate(ids) if row not in lacking], dtype=np.int64)
        if not self._positions.size:
            raise WorkspaceError(f"no row of this pool has vectors for {represented.name}; compute it again")
        self._pool: Features = store.features([ids[i] for i in self._positions])

    @property
    def n_pool(self) -> int:
        """Pool rows that a query is compared with."""
        return int(self._positions.size)

    def similarity(self, query: Example) -> npt.NDArray[np.float32]:
        """Return how similar each row of the data set is to a query, (n_pool,); rows without vectors get the lowest.

        Raises
        ------
        DataError
            If the query can't be represented, as when it is too long.
        """
        from curation import similarity
        from curation.similarity import Features

        with self._lock:
            try:
                self._representation.length(query, "query")
            except RowError as error:
                raise DataError(f"this query can't be represented: {error.reason}") from error
            values = self._representation.compute([query], "query")
        values = values if not isinstance(values, np.ndarray) else values.astype(np.float16)  # as a stored one is
        asked = Features(values, self._pool.weights, (query.id,))
        pool, asked = self._representation.join(self._pool, asked)
        found = similarity.compute(asked, pool)[0]
        scores = np.full(self._n_rows, found.min(), dtype=np.float32)
        scores[self._positions] = found
        return scores

    def nearest(self, query: Example, n: int = 10) -> list[Near]:
        """Return the `n` pool rows most similar to a query, nearest first.

        Raises
        ------
        DataError
            If the query can't be represented, as when it is too long.
        """
        scores = self.similarity(query)[self._positions]
        best = np.argsort(-scores, kind="stable")[:n]
        examples = self._ws.some(self._pool_key, self._positions[best].tolist())
        return [
            Near(example.id, example.source or "unknown", snippet(example.text, _SNIPPET), float(scores[i]))
            for example, i in zip(examples, best, strict=True)
        ]


def representation_of(ws: Workspace, represented: Represented) -> Representation:
    """Build the representation that a record tells of; its model is loaded when it first computes."""
    from curation import representations

    record = represented.record
    model = ModelConfig.from_dict(record["model"]) if record["model"] else None
    options = options_of(RepresentationConfig.from_dict(record["representation"]), model)
    if record["warmup"] and model is not None:
        warmup = WarmupConfig.from_dict(record["warmup"])
        options["warmup"] = str(ws.artefact("warmup", key_of_warmup(record["pool"], model, warmup)))
    return representations.create(represented.name, **options)


def add(ws: Workspace, project_id: str, query: Example) -> str:
    """Give the project a query set that has one query more, and return its key; the one before is kept.

    Raises
    ------
    WorkspaceError
        If the project has no query set.
    DataError
        If the query is in it already.
    """
    present = ws.dataset(project_id, "query")
    if present is None:
        raise WorkspaceError("the project has no query set yet; load one on the Data page")
    rows = ws.examples(present.key)
    if query.id in {row.id for row in rows}:
        raise DataError("this query is in the query set already; type another one")
    base, _, more = present.name.partition(_TYPED)
    name = f"{base}{_TYPED}{int(more) + 1 if more.isdigit() else 1}"
    return query_sets.store(ws, project_id, [*rows, query], name)
