"""The Report page: nothing yet, a selection without a result, an experiment; every download."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from io import BytesIO
from typing import TYPE_CHECKING, Any

import pytest
from streamlit.testing.v1 import AppTest

from curation import comparison, report, results, workbench

if TYPE_CHECKING:
    from curation.workspace import Workspace

Open = Callable[..., AppTest]
Finish = Callable[..., dict[str, Any]]


def words(app: AppTest) -> str:
    kinds = ("markdown", "caption", "warning", "info", "error", "subheader")
    return "\n".join(e.value for kind in kinds for e in app.get(kind)).replace("\\", "")


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What each download button would hand over, by file name."""
    import streamlit as st

    made: dict[str, Any] = {}
    monkeypatch.setattr(st, "download_button", lambda _label, make, name, *_a, **_k: made.update({name: make}))
    return made


def card_of(app: AppTest) -> str:
    return str(app.get("iframe")[0].proto.srcdoc)


def test_without_a_selection_it_says_what_to_do_next(opened: Open, workspace: Workspace) -> None:
    app = opened("report", workspace.create_project("Bare").id)
    assert not app.exception
    assert "nothing to report yet" in words(app)


def test_an_untuned_selection_makes_a_card_that_claims_nothing(opened: Open, sums: str) -> None:
    app = opened("report", sums)
    assert not app.exception
    assert "Nothing was tuned on this selection" in words(app)
    assert "its effect is not known" in card_of(app)


def test_an_experiment_makes_a_card_with_its_result(
    opened: Open, workspace: Workspace, sums: str, finish: Finish, hostile: str
) -> None:
    finish(workspace, sums)
    app = opened("report", sums)
    assert not app.exception
    page = card_of(app)
    assert "<h1>Sums: Try 1</h1>" in page and "The selected 12 examples" in page
    assert "&lt;b&gt;s0&lt;/b&gt;" in page and "<b>s0" not in page and hostile not in page


def test_every_download_is_what_it_says(
    opened: Open,
    workspace: Workspace,
    sums: str,
    finish: Finish,
    downloads: dict[str, Any],
) -> None:
    finish(workspace, sums)
    app = opened("report", sums)
    assert not app.exception
    assert downloads["selection-card.html"]().startswith("<!doctype html>")
    assert downloads["selection-card.md"]().startswith("# Sums: Try 1")
    rows = [json.loads(line) for line in downloads["subset.jsonl"]().splitlines()]
    assert [r["id"] for r in rows] == list(comparison.as_saved(workspace, workbench.view(workspace, sums)).ids)
    assert downloads["subset.parquet"]()[:4] == b"PAR1"
    assert downloads["README.md"]().startswith(b'---\npretty_name: "Sums: Try 1"')
    assert json.loads(downloads["run.json"]())["selection"]["budget"]["examples"] == 12
    archive = zipfile.ZipFile(BytesIO(downloads["selection.zip"]()))
    names = archive.namelist()
    assert json.loads(archive.read("manifest.json"))["model"]["sha256"] is None  # it is not on this machine
    assert {"subset.jsonl", "subset.parquet", "run.json", "manifest.json", "README.md"} <= set(names)
    for card in ("selection-card.html", "selection-card.md"):
        assert archive.read(card).decode() == downloads[card]()


def test_a_result_is_never_shown_beside_other_picks(
    opened: Open, workspace: Workspace, sums: str, finish: Finish
) -> None:
    from curation.config import BudgetConfig, SelectionConfig

    finish(workspace, sums)
    view = workbench.view(workspace, sums)
    workbench.change(workspace, sums, selection=SelectionConfig(budget=BudgetConfig(examples=20)))
    app = opened("report", sums)
    assert "neither saved nor the present ones" in words(app)
    assert "its effect is not known" in card_of(app)
    comparison.save_selection(workspace, view, "Kept")
    record = results.experiments(workspace, sums)[0]
    found = report.tuned_on(workspace, sums, record)
    assert found is not None and found.name == "Try 1" and len(found.ids) == 12


def test_a_saved_selection_can_be_reported_on(opened: Open, workspace: Workspace, sums: str) -> None:
    comparison.save_selection(workspace, workbench.view(workspace, sums), "Mine")
    app = opened("report", sums)
    choice = next(s for s in app.selectbox if str(s.key).startswith("report-on"))
    assert choice.options == ["Selection as it stands on the Curate page", "Saved selection: Mine v1"]
    choice.select_index(1).run()
    assert not app.exception
    assert "<h1>Sums: Mine v1</h1>" in card_of(app)


@pytest.mark.parametrize("which", ["present", "saved"])
def test_a_selection_is_shown_with_the_newest_experiment_on_it(
    opened: Open, workspace: Workspace, sums: str, finish: Finish, which: str
) -> None:
    finish(workspace, sums)
    finish(workspace, sums, seeds=2)
    saved = comparison.save_selection(workspace, workbench.view(workspace, sums), "Mine")
    key = f"saved-{saved.subset}" if which == "saved" else which
    app = opened("report", sums)
    next(s for s in app.selectbox if str(s.key).startswith("report-on")).set_value(key).run()
    assert not app.exception
    name = {"present": "present selection", "saved": "Mine v1"}[which]
    assert f"<h1>Sums: {name}, Try 2</h1>" in card_of(app) and "The selected 12 examples beat" in card_of(app)
    assert "Nothing was tuned" not in words(app) + card_of(app)


def test_the_card_of_a_project_names_who_decided(workspace: Workspace, sums: str) -> None:
    view = workbench.view(workspace, sums)
    workspace.override(sums, "pin", view.pool_ids[3], author="Ada")
    workspace.override(sums, "note", view.pool_ids[3], text="**keep**", author="Ada")
    records = report.of_project(workspace, sums, workbench.view(workspace, sums))
    text = report.markdown(records)
    assert "1 pinned, 0 banned, 1 noted." in text
    assert "| pinned | \\*\\*keep\\*\\* | Ada |" in text
    again = report.of_project(workspace, sums, workbench.view(workspace, sums))
    assert report.html(records) == report.html(again)


def test_a_push_tells_what_leaves_before_it_goes(opened: Open, sums: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from curation import publishing
    from curation.errors import PublishError

    pushed: list[tuple[str, bool]] = []

    def push(_ws: Any, _records: Any, repo: str, *, private: bool) -> str:
        pushed.append((repo, private))
        if repo == "not/mine":
            raise PublishError("the hub did not take the data set")
        return "https://hub.example/datasets/ada/picks"

    monkeypatch.setattr(publishing, "push", push)
    app = opened("report", sums)
    assert "What leaves this machine" not in words(app)
    app.session_state[f"push.{sums}"] = True  # opened
    app.run()
    assert not app.exception
    assert "What leaves this machine" in words(app) and "licences" in words(app)

    def button() -> Any:
        return next(b for b in app.button if b.label.startswith("Push "))

    assert button().disabled
    for repo in ("ada/picks", "not/mine"):
        next(t for t in app.text_input if t.label == "Data set").set_value(repo).run()
        button().click().run()
    assert pushed == [("ada/picks", True), ("not/mine", True)]
    assert "did not take the data set" in words(app)
