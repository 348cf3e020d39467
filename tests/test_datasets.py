"""Data sets: which project uses which, rows by id, by page and by search, uploads."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.config import DatasetConfig
from curation.data import validation
from curation.errors import WorkspaceError
from curation.progress import Silent
from curation.tables import DatasetRow
from curation.workspace import Workspace

KEY = "dataset1"


@pytest.fixture
def project(workspace: Workspace, tmp_path: Path) -> str:
    """A project with a pool of 30 rows (and two rejected ones), really loaded."""
    lines = [
        json.dumps(
            {"prompt": f"Question {i}?", "response": f"Straße {i} 'quoted' {'x' * (i % 7)}", "source": f"s{i % 3}"}
        )
        for i in range(30)
    ]
    lines.insert(5, "{broken")
    lines.append(json.dumps({"prompt": "No answer", "response": "", "source": "s1"}))
    path = tmp_path / "pool.jsonl"
    path.write_text("\n".join(lines), "utf-8")
    with workspace.build("dataset", KEY) as part:
        report = validation.load(DatasetConfig(path=str(path)), part, Silent(), role="pool")
    project = workspace.create_project("P")
    workspace.add_dataset(project.id, "pool", "pool.jsonl", KEY, report.accepted, report.rejected, {"a": 1})
    return project.id


def add(workspace: Workspace, project: str, role: str, key: str) -> None:
    with workspace.build("dataset", key):
        pass
    workspace.add_dataset(project, role, key, key, 1, 0)


def active(workspace: Workspace, project: str, role: str) -> str | None:
    row = workspace.dataset(project, role)
    return row.key if isinstance(row, DatasetRow) else None


def test_the_data_set_added_last_is_active_until_another_is_chosen(workspace: Workspace, project: str) -> None:
    assert workspace.dataset(project, "query") is None
    add(workspace, project, "query", "q1")
    add(workspace, project, "pool", "pool2")
    assert [active(workspace, project, role) for role in ("pool", "query")] == ["pool2", "q1"]
    workspace.activate(project, "pool", KEY)
    assert [active(workspace, project, role) for role in ("pool", "query")] == [KEY, "q1"]
    add(workspace, project, "pool", "pool2")  # once more: the same row, active again
    assert active(workspace, project, "pool") == "pool2"
    assert [row.key for row in workspace.datasets(project)] == ["pool2", "q1", KEY]
    found = next(row for row in workspace.datasets(project) if row.key == KEY)
    assert (found.n_rows, found.n_rejected, json.loads(found.config)) == (30, 2, {"a": 1})
    with pytest.raises(WorkspaceError, match="has no data set nothing as pool"):
        workspace.activate(project, "pool", "nothing")
    with pytest.raises(WorkspaceError, match="holds no dataset missing"):
        workspace.add_dataset(project, "pool", "n", "missing", 1, 0)
    with pytest.raises(WorkspaceError, match="no project 'x'"):
        workspace.add_dataset("x", "pool", "n", KEY, 1, 0)


@pytest.mark.usefixtures("project")
def test_rows_come_back_in_order(workspace: Workspace) -> None:
    examples = workspace.examples(KEY)
    assert [e.messages[0].content for e in examples] == [f"Question {i}?" for i in range(30)]
    assert workspace.ids(KEY) == [e.id for e in examples]
    assert list(workspace.iter_examples(KEY)) == examples
    assert workspace.column(KEY, "source") == [f"s{i % 3}" for i in range(30)]
    assert workspace.rows(KEY, [examples[4].id, examples[2].id]) == [examples[4], examples[2]]
    assert workspace.some(KEY, [7, 3]) == [examples[7], examples[3]]
    with pytest.raises(WorkspaceError, match="has no row nothing"):
        workspace.rows(KEY, ["nothing"])


@pytest.mark.usefixtures("project")
def test_a_page_filters_searches_and_sorts(workspace: Workspace) -> None:
    first = workspace.page(KEY, offset=3, limit=4)
    assert list(first["row"]) == [3, 4, 5, 6]
    assert list(first["line"]) == [4, 5, 7, 8]  # the broken line is counted
    assert first["messages"].iloc[0][0]["content"] == "Question 3?"
    assert [list(tags) for tags in first["tags"]] == [[]] * 4
    assert list(workspace.page(KEY, where={"source": "s1"})["row"]) == list(range(1, 30, 3))
    assert list(workspace.page(KEY, where={"source": ["s1", "s2"]}, limit=3)["row"]) == [1, 2, 4]
    assert list(workspace.page(KEY, search="QUESTION 2")["row"]) == [2, *range(20, 30)]
    assert list(workspace.page(KEY, search="STRASSE")["row"]) == []
    assert len(workspace.page(KEY, search="STRAßE 7 'quoted'")) == 1
    assert workspace.count(KEY, search="question 2", where={"source": "s2"}) == 5
    assert workspace.count(KEY) == 30
    longest = workspace.page(KEY, order="-n_chars", limit=30)["n_chars"]
    assert list(longest) == sorted(longest, reverse=True)
    assert workspace.positions(KEY, "question 2?") == [2]


@pytest.mark.usefixtures("project")
def test_a_page_of_given_ids_keeps_their_order(workspace: Workspace) -> None:
    ids = workspace.ids(KEY)
    asked = [ids[9], ids[2], ids[25], "gone"]
    assert list(workspace.page(KEY, ids=asked)["row"]) == [9, 2, 25]
    assert list(workspace.page(KEY, ids=asked, limit=1, offset=1)["row"]) == [2]
    assert list(workspace.page(KEY, ids=asked, order="row")["row"]) == [2, 9, 25]
    assert len(workspace.page(KEY, ids=[])) == 0
    assert "rank" not in workspace.page(KEY, ids=asked).columns


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("name", ['id" OR 1=1 --', "messages", "nothing"])
def test_only_known_columns_filter_and_sort(workspace: Workspace, name: str) -> None:
    with pytest.raises(WorkspaceError, match="expected one of: row, id, group"):
        workspace.page(KEY, where={name: 1})
    with pytest.raises(WorkspaceError, match="expected one of: row, id, group"):
        workspace.page(KEY, order=name)


@pytest.mark.usefixtures("project")
def test_a_search_is_words_never_code(workspace: Workspace) -> None:
    assert workspace.count(KEY, search="') OR 1=1 --") == 0
    assert workspace.count(KEY, search="%") == 0
    assert workspace.count(KEY, search="'quoted'") == 30


@pytest.mark.usefixtures("project")
def test_tags_filter(workspace: Workspace) -> None:
    ids = workspace.ids(KEY)
    table = pa.table({"id": [ids[3], ids[8]], "tags": [["exact_duplicate"], ["refused", "short"]]})
    pq.write_table(table, workspace.rows_path(KEY).with_name("tags.parquet"))
    assert list(workspace.page(KEY, where={"tag": "refused"})["row"]) == [8]
    assert list(workspace.page(KEY, where={"tag": ["short", "exact_duplicate"]})["row"]) == [3, 8]
    assert list(workspace.page(KEY, limit=30)["row"]) == list(range(30))
    assert list(workspace.page(KEY, ids=[ids[8]])["tags"].iloc[0]) == ["refused", "short"]


@pytest.mark.usefixtures("project")
def test_rejected_rows_are_listed_and_downloaded(workspace: Workspace, tmp_path: Path) -> None:
    page = workspace.rejects(KEY)
    assert list(page["line"]) == [6, 32]
    assert page["raw"].iloc[0] == "{broken"
    assert list(workspace.rejects(KEY, offset=1)["line"]) == [32]
    lines = workspace.rejects_file(KEY, tmp_path / "rejects.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line) for line in lines] == page.to_dict("records")


def test_uploads_are_kept_once_under_a_safe_name(workspace: Workspace) -> None:
    path = workspace.store_upload("../../etc/my pool (1).jsonl", b"abc")
    assert path.read_bytes() == b"abc"
    assert path.name == "my_pool_1_.jsonl"
    assert path.parent.parent == workspace.root / "uploads"
    assert workspace.store_upload("my pool (1).jsonl", io.BytesIO(b"abc")) == path
    assert workspace.store_upload("..\\..", b"").name == "upload"
    assert workspace.store_upload("pool.jsonl", b"other") != workspace.store_upload("pool.jsonl", b"abc")
    assert list((workspace.root / "uploads").glob("*.part")) == []


def test_an_upload_on_a_full_disk_leaves_nothing(workspace: Workspace) -> None:
    class Full(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:  # noqa: ARG002
            raise OSError(28, "No space left on device")

    with pytest.raises(WorkspaceError, match="a disk is full"):
        workspace.store_upload("pool.jsonl", Full())
    assert list((workspace.root / "uploads").iterdir()) == []
