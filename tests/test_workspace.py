"""Projects, decisions, selections and experiments; two tabs that write at once lose nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from curation.errors import WorkspaceError
from curation.workspace import Workspace


def test_the_default_workspace_is_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WINNOW_HOME", str(tmp_path / "here"))
    assert Workspace.default().root == tmp_path / "here"
    monkeypatch.delenv("WINNOW_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Workspace.default().root == tmp_path / ".winnow"


def test_projects_are_made_renamed_deleted_and_restored(workspace: Workspace) -> None:
    first, second = workspace.create_project("Números 2"), workspace.create_project("numeros-2", {"budget": 5})
    other = workspace.create_project("日本語")
    assert [p.id for p in (first, second, other)] == ["numeros-2", "numeros-2-2", "project"]
    assert workspace.settings(second.id) == {"budget": 5}
    workspace.rename_project(first.id, " Numbers ")
    assert [p.name for p in workspace.projects()] == ["Numbers", "日本語", "numeros-2"]  # last changed first
    workspace.delete_project(first.id)
    assert first.id not in [p.id for p in workspace.projects()]
    with pytest.raises(WorkspaceError, match="no project 'numeros-2'"):
        workspace.project(first.id)
    assert workspace.create_project("numeros 2").id == "numeros-2-3"  # a deleted one's id stays its own
    workspace.restore_project(first.id)
    assert workspace.project(first.id).name == "Numbers"
    with pytest.raises(WorkspaceError, match="needs a name"):
        workspace.create_project("  ")


def test_settings_are_merged(workspace: Workspace) -> None:
    project = workspace.create_project("P", {"a": 1, "b": 2})
    updated = workspace.update_settings(project.id, b=3, c=[1, None])
    assert (workspace.settings(project.id), updated.version) == ({"a": 1, "b": 3, "c": [1, None]}, 2)
    with pytest.raises(WorkspaceError, match="no project 'x'"):
        workspace.update_settings("x", a=1)


def test_threads_lose_nothing_of_each_other(workspace: Workspace) -> None:
    project = workspace.create_project("P")

    def tab(number: int) -> None:
        for i in range(10):
            workspace.update_settings(project.id, **{f"tab{number}_{i}": i})
            workspace.override(project.id, "pin", [f"{number}-{i}", f"{number}-{i}b"])

    tabs = [threading.Thread(target=tab, args=(number,)) for number in range(4)]
    for thread in tabs:
        thread.start()
    for thread in tabs:
        thread.join()
    assert len(workspace.settings(project.id)) == 40
    assert workspace.project(project.id).version == 41
    log = workspace.override_log(project.id)
    assert [entry.seq for entry in log] == list(range(1, 81))
    assert len(workspace.overrides(project.id).pinned) == 80
    assert all(a.step == b.step for a, b in zip(log[::2], log[1::2], strict=True))  # acts stay whole


PROCESS = """
import sys
from curation.workspace import Workspace
ws = Workspace(sys.argv[1])
for i in range(20):
    ws.update_settings("p", **{f"{sys.argv[2]}-{i}": i})
    ws.override("p", "ban", f"{sys.argv[2]}-{i}")
"""


def test_processes_lose_nothing_of_each_other(tmp_path: Path) -> None:
    Workspace(tmp_path).create_project("P")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    processes = [
        subprocess.Popen([sys.executable, "-c", PROCESS, str(tmp_path), name], env=environment) for name in "ab"
    ]
    assert [process.wait(120) for process in processes] == [0, 0]
    workspace = Workspace(tmp_path)
    assert len(workspace.settings("p")) == 40
    assert len(workspace.overrides("p").banned) == 40


def test_processes_that_open_a_new_workspace_at_once(tmp_path: Path) -> None:
    script = "import sys; from curation.workspace import Workspace; Workspace(sys.argv[1]).create_project('P')"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    processes = [
        subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "new")], env=environment) for _ in range(3)
    ]
    assert [process.wait(120) for process in processes] == [0, 0, 0]
    assert sorted(p.id for p in Workspace(tmp_path / "new").projects()) == ["p", "p-2", "p-3"]


def test_decisions_are_logged_with_who_and_when_and_undone(workspace: Workspace) -> None:
    project = workspace.create_project("P")
    workspace.override(project.id, "pin", ["a", "b"], author="Ada")
    state = workspace.override(project.id, "note", "a", text="a good one", author="Ada")
    assert (state.pinned, state.notes) == (("a", "b"), {"a": "a good one"})
    workspace.override(project.id, "undo")
    assert workspace.override(project.id, "undo").pinned == ()
    assert workspace.override(project.id, "redo").pinned == ("a", "b")
    assert workspace.overrides(project.id).can_redo
    log = workspace.override_log(project.id)
    assert [entry.action for entry in log] == ["pin", "pin", "note", "undo", "undo", "redo"]
    assert log[0].author == "Ada"
    assert log[0].time <= log[-1].time
    with pytest.raises(WorkspaceError, match="unknown action 'love'"):
        workspace.override(project.id, "love", "a")
    with pytest.raises(WorkspaceError, match="pin got an empty row id"):
        workspace.override(project.id, "pin")


def test_saving_a_selection_again_is_its_next_version(workspace: Workspace) -> None:
    project = workspace.create_project("P")
    for subset in ("k1", "k2"):
        workspace.save_selection(project.id, "mine", {"budget": 3}, subset, author="Ada", parent="other/1")
    newest, first = workspace.selections(project.id)
    assert (first.version, first.subset, newest.version, newest.subset) == (1, "k1", 2, "k2")
    assert (json.loads(newest.config), newest.parent, newest.author) == ({"budget": 3}, "other/1", "Ada")
    with pytest.raises(WorkspaceError, match="needs a name"):
        workspace.save_selection(project.id, "", {}, "k")


def test_experiments_are_listed_newest_first(workspace: Workspace) -> None:
    project = workspace.create_project("P")
    workspace.add_experiment(project.id, "one", key="k", config={"seeds": [0]})
    workspace.add_experiment(project.id, "two", job_id="j")
    assert [(e.name, e.key, e.job_id) for e in workspace.experiments(project.id)] == [
        ("two", "", "j"),
        ("one", "k", ""),
    ]
    with pytest.raises(WorkspaceError, match="no project 'x'"):
        workspace.add_experiment("x", "one")


def test_neither_torch_nor_streamlit_is_loaded() -> None:
    script = (
        "import sys, curation.jobs; print([m for m in ('torch', 'streamlit', 'duckdb', 'alembic') if m in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
