"""Artefacts: folders of finished work, found by content key, never recomputed and never seen half-written.

An artefact's key is the hash of everything that it was made from; the folder ``artefacts/<kind>/<key>`` holds its
files and an `artefact.json` that says so. It is written beside, in ``<key>.part``, and renamed when it is whole, so
what `find` returns is always complete, also after ``kill -9`` or a power cut. Left out: a cleaner of old artefacts.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from filelock import FileLock
from sqlmodel import col, select

from curation.config import Options
from curation.database import Database, storage_errors
from curation.errors import WorkspaceError
from curation.tables import Artefact

CARD = "artefact.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


def content_key(kind: str, **inputs: Any) -> str:
    """Return the content key (32 hex digits) of what `kind` makes from `inputs`.

    Parameters
    ----------
    kind : str
        What is made; part of the key.
    **inputs
        Everything that the result depends on, as plain JSON values or `Options`: keys of other artefacts, options,
        algorithm version. Never a path: a path says nothing of what lies there, so `Path` objects raise TypeError.
    """
    form = json.dumps(
        {"kind": kind, "inputs": inputs}, sort_keys=True, separators=(",", ":"), allow_nan=False, default=_plain
    )
    return hashlib.sha256(form.encode()).hexdigest()[:32]


def _plain(value: object) -> Any:
    if isinstance(value, Options):
        return value.to_dict()
    raise TypeError(f"a content key can't hold {type(value).__name__}; give plain JSON values")


class ArtefactStore(Database):
    """The part of a workspace that keeps artefacts."""

    content_key = staticmethod(content_key)

    def find(self, kind: str, key: str) -> Path | None:
        """Return the folder of the finished artefact, or None; a folder still being written is never returned."""
        folder = self._folder(kind, key)
        if not (folder / CARD).is_file():
            return None
        with self.read() as session:
            known = session.get(Artefact, (kind, key))
        if known is None:  # killed between the rename and the record
            self._record(folder)
        return folder

    def artefact(self, kind: str, key: str) -> Path:
        """Return the folder of a finished artefact; WorkspaceError if there is none."""
        folder = self.find(kind, key)
        if folder is None:
            raise WorkspaceError(
                f"the workspace {self.root} holds no {kind} {key}, which was expected; compute it again, or point "
                "--workspace at the folder that has it"
            )
        return folder

    def artefacts(self, kind: str | None = None) -> list[Artefact]:
        """List the recorded artefacts, newest first; of one kind if given."""
        query = select(Artefact).order_by(col(Artefact.created).desc())
        with self.read() as session:
            return list(session.exec(query if kind is None else query.where(Artefact.kind == kind)))

    @contextmanager
    def build(
        self, kind: str, key: str, config: dict[str, Any] | None = None, *, resumable: bool = False
    ) -> Iterator[Path]:
        """Yield a folder to write an artefact in; on success it becomes the artefact, on error it is removed.

        Builders of one key take turns, across processes. Who finds it finished when the turn comes builds in a
        folder that is thrown away; `produce` spares that work.

        Parameters
        ----------
        kind, key : str
            What is built.
        config : dict, optional
            What it was made from, in plain JSON, for people to read.
        resumable : bool
            Keep the unfinished folder on error, and begin with what a former attempt left in it.

        Raises
        ------
        WorkspaceError
            If the disk is full or not writable; what was finished before is untouched.
        """
        with self._turn(kind, key), self._part(kind, key, config or {}, resumable=resumable) as part:
            yield part

    def produce(
        self,
        kind: str,
        key: str,
        make: Callable[[Path], object],
        config: dict[str, Any] | None = None,
        *,
        resumable: bool = False,
    ) -> Path:
        """Return the artefact's folder, calling ``make(folder)`` to write it only if no process has built it yet."""
        found = self.find(kind, key)
        if found is None:
            with self._turn(kind, key):
                found = self.find(kind, key)
                if found is None:
                    with self._part(kind, key, config or {}, resumable=resumable) as part:
                        make(part)
                    found = self._folder(kind, key)
        return found

    def import_bundle(self, folder: Path) -> list[tuple[str, str]]:
        """Copy every ``<kind>/<key>/`` in `folder` that is not here yet into the workspace.

        Returns
        -------
        list of (kind, key)
            What the bundle holds, whether it was here before or not.
        """
        held = []
        for source in sorted(p for p in Path(folder).glob("*/*") if p.is_dir()):
            kind, key = source.parent.name, source.name
            card = source / CARD
            config = json.loads(card.read_text("utf-8"))["config"] if card.is_file() else {}
            self.produce(kind, key, partial(shutil.copytree, source, dirs_exist_ok=True), config)
            held.append((kind, key))
        return held

    def _folder(self, kind: str, key: str) -> Path:
        for name in (kind, key):
            if not _NAME.fullmatch(name):
                raise WorkspaceError(f"{name!r} can't name an artefact; use letters, digits, - and _")
        return self.root / "artefacts" / kind / key

    @contextmanager
    def _turn(self, kind: str, key: str) -> Iterator[None]:
        folder = self._folder(kind, key)
        with storage_errors(self.root):
            folder.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(folder.with_name(f"{key}.lock"))  # the system frees it when the process dies
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def _part(self, kind: str, key: str, config: dict[str, Any], *, resumable: bool) -> Iterator[Path]:
        folder = self._folder(kind, key)
        part = folder.with_name(f"{key}.part")
        if not resumable:
            _remove(part)
        try:
            with storage_errors(self.root):
                part.mkdir(exist_ok=True)
                yield part
                if (folder / CARD).is_file():  # built by who had the turn before
                    _remove(part)
                    return
                card = {"kind": kind, "key": key, "config": config, "created": time.time()}
                (part / CARD).write_text(json.dumps(card, indent=1), "utf-8")
                _flush(part)
                _remove(folder)  # debris without a card is no artefact
                part.rename(folder)
        except BaseException:
            if not resumable:
                _remove(part)
            raise
        self._record(folder)

    def _record(self, folder: Path) -> None:
        card = json.loads((folder / CARD).read_text("utf-8"))
        size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
        with self.write() as session:
            session.merge(
                Artefact(
                    kind=card["kind"],
                    key=card["key"],
                    config=json.dumps(card["config"]),
                    bytes=size,
                    created=card["created"],
                )
            )


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def _flush(folder: Path) -> None:
    """Force a folder's files to the disk, so that a power cut after the rename leaves no empty ones."""
    for path in [*folder.rglob("*"), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
