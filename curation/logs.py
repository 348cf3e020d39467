"""Append-only logs of JSON lines, which several processes write and neither a power cut nor a full disk can spoil."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock

from curation.database import storage_errors


def read(path: Path) -> list[dict[str, Any]]:
    """Return a log's entries, oldest first, none where there is no file; a half-written line is passed over."""
    if not path.is_file():
        return []
    found = []
    for line in path.read_bytes().split(b"\n"):
        with suppress(ValueError):
            found.append(json.loads(line))
    return found


def append(path: Path, entry: Mapping[str, Any]) -> None:
    """Add one entry; the folder is made if only it is missing.

    Raises
    ------
    WorkspaceError
        If the disk is full or can't be written.
    """
    with storage_errors(path.parent):
        path.parent.mkdir(exist_ok=True)
        with FileLock(path.with_suffix(".lock")), path.open("ab") as file:
            file.write(b"\n" + json.dumps(entry).encode() + b"\n")  # behind a half-written line, too
