"""Artefacts: found only when whole, built once, safe against kills, races and a full disk."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from curation.artefacts import content_key
from curation.config import BudgetConfig
from curation.errors import DataError, WorkspaceError
from curation.tables import Artefact
from curation.workspace import Workspace

KEY = content_key("thing", n=1)


def test_a_content_key_holds_every_input_and_nothing_else() -> None:
    key = content_key("thing", a=1, b=[1.5, None], c=BudgetConfig(examples=3))
    assert len(key) == 32
    assert key == content_key("thing", c=BudgetConfig(examples=3), b=(1.5, None), a=1)
    others = [
        content_key("other", a=1, b=[1.5, None], c=BudgetConfig(examples=3)),
        content_key("thing", a=2, b=[1.5, None], c=BudgetConfig(examples=3)),
        content_key("thing", a=1, b=[1.5, None], c=BudgetConfig(tokens=3)),
    ]
    assert len({key, *others}) == 4
    with pytest.raises(TypeError, match="PosixPath"):
        content_key("thing", path=Path("/data"))
    with pytest.raises(ValueError, match="JSON"):
        content_key("thing", x=float("nan"))


def test_an_artefact_is_found_once_it_is_whole(workspace: Workspace) -> None:
    assert workspace.find("thing", KEY) is None
    with workspace.build("thing", KEY, {"n": 1}) as part:
        (part / "data.txt").write_text("half")
        assert workspace.find("thing", KEY) is None
        (part / "data.txt").write_text("whole")
    found = workspace.find("thing", KEY)
    assert found == workspace.root / "artefacts" / "thing" / KEY
    assert (found / "data.txt").read_text() == "whole"
    (record,) = workspace.artefacts("thing")
    assert (record.key, json.loads(record.config)) == (KEY, {"n": 1})
    assert record.bytes == sum(p.stat().st_size for p in found.iterdir())
    assert workspace.artefacts("other") == []


def test_what_is_not_there_is_told(workspace: Workspace) -> None:
    with pytest.raises(WorkspaceError, match=f"holds no thing {KEY}"):
        workspace.artefact("thing", KEY)


@pytest.mark.parametrize("name", ["..", "a/b", "", ".part", "a.part"])
def test_a_name_that_could_leave_the_folder_is_refused(workspace: Workspace, name: str) -> None:
    with pytest.raises(WorkspaceError, match="can't name an artefact"):
        workspace.find("thing", name)


def test_an_error_removes_what_was_begun_unless_it_can_be_resumed(workspace: Workspace) -> None:
    folder = workspace.root / "artefacts" / "thing"
    with pytest.raises(DataError, match="bad row"), workspace.build("thing", KEY) as part:
        (part / "data.txt").write_text("half")
        raise DataError("bad row")
    assert not (folder / f"{KEY}.part").exists()
    with pytest.raises(DataError), workspace.build("thing", KEY, resumable=True) as part:
        (part / "data.txt").write_text("half")
        raise DataError("bad row")
    assert workspace.find("thing", KEY) is None
    with workspace.build("thing", KEY, resumable=True) as part:
        assert (part / "data.txt").read_text() == "half"
    assert workspace.find("thing", KEY) is not None


def test_produce_makes_once(workspace: Workspace) -> None:
    made: list[Path] = []
    first = workspace.produce("thing", KEY, made.append)
    assert workspace.produce("thing", KEY, made.append) == first
    assert len(made) == 1


def test_two_at_once_build_one(workspace: Workspace) -> None:
    """Two threads with workspaces of their own meet at the same key, as two processes would."""
    made: list[int] = []

    def make(part: Path) -> None:
        made.append(1)
        time.sleep(0.2)
        (part / "data.txt").write_text("whole")

    def build(part_of: Workspace) -> None:
        with part_of.build("other", KEY) as part:
            assert not (part / "data.txt").exists()
            (part / "data.txt").write_text("whole")
            time.sleep(0.1)

    for work in (lambda ws: ws.produce("thing", KEY, make), build):
        threads = [threading.Thread(target=work, args=(Workspace(workspace.root),)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert made == [1]
    for kind in ("thing", "other"):
        found = workspace.artefact(kind, KEY)
        assert (found / "data.txt").read_text() == "whole"
        assert list(found.parent.glob("*.part")) == []


KILLED = """
import os, sys
from curation.workspace import Workspace
ws = Workspace(sys.argv[1])
with ws.build("thing", sys.argv[2], resumable=True) as part:
    (part / "data.txt").write_text("half")
    if sys.argv[3] == "inside":
        os.kill(os.getpid(), 9)
    (part / "data.txt").write_text("whole")
    ws._record = lambda folder: os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("where", ["inside", "before the record"])
def test_kill_9_while_building(workspace: Workspace, where: str) -> None:
    root = str(Path(__file__).parent.parent)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(workspace.root), KEY, where], env={**os.environ, "PYTHONPATH": root}
    )
    assert killed.returncode == -9
    if where == "inside":
        assert workspace.find("thing", KEY) is None
        with workspace.build("thing", KEY, resumable=True) as part:  # the lock died with the process
            assert (part / "data.txt").read_text() == "half"
    else:
        assert workspace.artefacts() == []
        assert workspace.find("thing", KEY) is not None
        assert [record.key for record in workspace.artefacts()] == [KEY]


def test_a_bundle_is_imported_and_imported_again(workspace: Workspace, tmp_path: Path) -> None:
    with workspace.build("thing", KEY, {"n": 1}) as part:
        (part / "sub").mkdir()
        (part / "sub" / "data.txt").write_text("whole")
    other = Workspace(tmp_path / "other")
    for _ in range(2):
        assert other.import_bundle(workspace.root / "artefacts") == [("thing", KEY)]
    assert (other.artefact("thing", KEY) / "sub" / "data.txt").read_text() == "whole"
    assert [json.loads(record.config) for record in other.artefacts()] == [{"n": 1}]


@pytest.fixture
def small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A disk of 2 MB: a real one where this user may mount it, else writes that fail as on a full one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode == 0:
        yield folder
        subprocess.run(["umount", "-l", str(folder)], check=True)
        return
    write = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if len(data) > 2**21:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    yield folder


def test_a_full_disk_gets_one_sentence_and_loses_nothing(small_disk: Path) -> None:
    workspace = Workspace(small_disk / "ws")
    workspace.create_project("before")
    with workspace.build("thing", KEY) as part:
        (part / "data.txt").write_text("whole")
    big = content_key("thing", n=2)
    with pytest.raises(WorkspaceError, match=r"a disk is full .*free some space and start again"):
        workspace.produce("thing", big, lambda part: (part / "data").write_bytes(b"x" * 3 * 2**20))
    assert workspace.find("thing", big) is None
    assert (workspace.artefact("thing", KEY) / "data.txt").read_text() == "whole"
    assert [project.name for project in workspace.projects()] == ["before"]
    workspace.produce("thing", big, lambda part: (part / "data").write_bytes(b"x" * 2**18))
    assert workspace.find("thing", big) is not None


def test_a_full_disk_stops_a_resumable_build_where_it_was(small_disk: Path) -> None:
    workspace = Workspace(small_disk / "ws")

    def make(part: Path) -> None:
        (part / "first").write_bytes(b"x" * 2**10)
        (part / "second").write_bytes(b"x" * size)

    size = 3 * 2**20
    with pytest.raises(WorkspaceError, match="a disk is full"):
        workspace.produce("thing", KEY, make, resumable=True)
    assert workspace.find("thing", KEY) is None
    size = 2**10
    assert (workspace.produce("thing", KEY, make, resumable=True) / "second").stat().st_size == size


def test_words_of_a_library_for_a_full_disk_are_understood(workspace: Workspace) -> None:
    def make(_: Path) -> None:
        raise RuntimeError("I/O error: No space left on device (os error 28)")  # as safetensors says it

    with pytest.raises(WorkspaceError, match="a disk is full"):
        workspace.produce("thing", KEY, make)


def test_an_error_elsewhere_is_not_taken_for_the_workspaces(workspace: Workspace) -> None:
    def make(_: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "/data/secret.jsonl")

    with pytest.raises(PermissionError, match="secret"):
        workspace.produce("thing", KEY, make)

    def inside(part: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(part / "x"))

    with pytest.raises(WorkspaceError, match=r"can't be written \(permission denied\)"):
        workspace.produce("thing", KEY, inside)


def test_records_heal(workspace: Workspace) -> None:
    with workspace.build("thing", KEY, {"n": 1}):
        pass
    with workspace.write() as session:
        session.delete(session.get_one(Artefact, ("thing", KEY)))
    workspace.artefact("thing", KEY)
    records: list[Any] = workspace.artefacts("thing")
    assert [json.loads(record.config) for record in records] == [{"n": 1}]
