"""A project's query set with further rows: a data set of its own; the one before is kept."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from curation import pipeline
from curation.config import DatasetConfig, Mapping
from curation.data.rows import Example
from curation.workspace import Workspace

_TAGS = {name: name for name in ("id", "group", "source", "licence")}


def to_jsonl(rows: Iterable[Example]) -> str:
    """Return rows as JSON lines that are read again to the same ids."""
    return "".join(json.dumps(_record(row), ensure_ascii=False) + "\n" for row in rows)


def store(ws: Workspace, project_id: str, rows: Iterable[Example], name: str) -> str:
    """Make these rows the project's query set, under a name, and return its key."""
    path = ws.store_upload("queries.jsonl", to_jsonl(rows).encode())
    config = DatasetConfig(path=str(path), mapping=Mapping(schema="messages", messages="messages", **_TAGS))
    return pipeline.load(ws, config, "query", project_id=project_id, name=name)


def _record(row: Example) -> dict[str, Any]:
    turns = [{"role": m.role, "content": m.content, "tool_calls": m.tool_calls, "train": m.train} for m in row.messages]
    tags = {"id": row.user_id, "group": row.group, "source": row.source, "licence": row.licence}
    return {**json.loads(row.extra), "messages": turns, **tags}
