"""Append-only logs in the workspace: JSON lines that several processes write and a power cut can't spoil."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from curation.database import storage_errors

if TYPE_CHECKING:
    from curation.workspace import Workspace


def read(ws: Workspace, kind: str, name: str) -> list[dict[str, Any]]:
    """Return the entries of ``<kind>/<name>.jsonl``, oldest first; a line that was left half written is passed over."""
    path = _path(ws, kind, name)
    if not path.is_file():
        return []
    found = []
    for line in path.read_bytes().split(b"\n"):
        with suppress(ValueError):
            found.append(json.loads(line))
    return found


def append(ws: Workspace, kind: str, name: str, entry: Mapping[str, Any]) -> None:
    """Add one entry.

    Raises
    ------
    WorkspaceError
        If the disk is full or can't be written.
    """
    path = _path(ws, kind, name)
    with storage_errors(ws.root):
        path.parent.mkdir(exist_ok=True)
        with FileLock(path.with_suffix(".lock")), path.open("ab") as file:
            file.write(b"\n" + json.dumps(entry).encode())  # behind a half-written line, too


def _path(ws: Workspace, kind: str, name: str) -> Path:
    return ws.root / kind / f"{name}.jsonl"
