"""A subset file names rows of the pool by id, by the user's own id, or whole; what is wrong is one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from curation import pipeline, subset_files
from curation.config import DatasetConfig
from curation.errors import DataError
from curation.workspace import Workspace

ROWS = [{"prompt": f"what is {i}?", "response": f"it is {i}", "id": f"mine-{i}"} for i in range(6)]


@pytest.fixture
def pool(workspace: Workspace, tmp_path: Path) -> str:
    path = tmp_path / "pool.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return pipeline.load(workspace, DatasetConfig(path=str(path)), "pool")


def write(folder: Path, *lines: str) -> Path:
    path = folder / "subset.jsonl"
    path.write_text("\n".join(lines))
    return path


def test_rows_are_found_however_they_are_named(workspace: Workspace, pool: str, tmp_path: Path) -> None:
    ids = workspace.ids(pool)
    lines = (
        ids[4],
        f'"{ids[3]}"',
        json.dumps({"id": ids[2]}),
        "",
        "mine-5",
        json.dumps({"id": "mine-0", "prompt": "other words", "response": "x"}),
        json.dumps({"prompt": "what is 1?", "response": "it is 1"}),
    )
    found = subset_files.read(workspace, write(tmp_path, *lines), pool)
    assert found == (ids[4], ids[3], ids[2], ids[5], ids[0], ids[1])


def test_what_export_writes_is_read_back(workspace: Workspace, pool: str, tmp_path: Path) -> None:
    rows = workspace.rows(pool, workspace.ids(pool)[:2])
    lines = [
        json.dumps({"id": e.id, "messages": [{"role": m.role, "content": m.content} for m in e.messages]}) for e in rows
    ]
    assert subset_files.read(workspace, write(tmp_path, *lines), pool) == tuple(e.id for e in rows)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ((), r"subset.jsonl holds no row, expected one id or row of the pool a line"),
        (("nobody",), r"subset.jsonl, line 1: the row 'nobody' is not in the pool; a subset can only name rows"),
        (("mine-1", '{"id": "mine-1"}'), r"line 2: the row stands on line 1 already; name each row once"),
        (('{"id": 3',), r"line 1: it is not JSON.*; write an id or a row of the pool on each line"),
        (('{"name": "x"}',), r"line 1: the object has no column `id`"),
        (('{"prompt": "new", "response": "row"}',), r"line 1: the row is not in the pool"),
        (('{"a": 1, "b": 2}',), r"line 1: the columns are a, b; expected messages"),
    ],
)
def test_a_bad_file_is_one_clear_sentence(
    workspace: Workspace, pool: str, tmp_path: Path, lines: tuple[str, ...], said: str
) -> None:
    with pytest.raises(DataError, match=said):
        subset_files.read(workspace, write(tmp_path, *lines), pool)


def test_a_missing_or_binary_file_is_said(workspace: Workspace, pool: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.jsonl can't be read \(No such file"):
        subset_files.read(workspace, tmp_path / "none.jsonl", pool)
    (tmp_path / "odd.jsonl").write_bytes(b"\xff\xfe\x00\xd8")
    with pytest.raises(DataError, match=r"odd\.jsonl is not UTF-8 text"):
        subset_files.read(workspace, tmp_path / "odd.jsonl", pool)
