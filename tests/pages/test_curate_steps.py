"""The Curate page's rows in turn and in bulk: keys, what moved, the log of decisions, files of them, saved ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from streamlit.testing.v1 import AppTest

from curation import comparison, overrides, workbench
from curation.config import BudgetConfig, SelectionConfig

if TYPE_CHECKING:
    from curation.workspace import Workspace

Open = Callable[..., AppTest]


def text(app: AppTest) -> str:
    return "\n".join(e.value for kind in ("markdown", "caption", "success") for e in app.get(kind))


def table(app: AppTest) -> Any:
    return app.dataframe[-1].value


def press(app: AppTest, pid: str, name: str) -> AppTest:
    app.button(key=f"{name}.{pid}").click().run()
    assert not app.exception
    return app


def reading(app: AppTest, workspace: Workspace, pid: str) -> str:
    """The row that is read whole, by what the page says."""
    ids = workbench.view(workspace, pid).pool_ids
    return next(i for n, i in enumerate(ids, start=1) if f"row {n} " in text(app))


@pytest.fixture
def curate(opened: Open, sums: str) -> Callable[..., AppTest]:
    """Return a function that opens the page with a link's parts, and popovers open that are named."""

    def open_it(*popovers: str, **params: str) -> AppTest:
        app = opened("curate", sums)
        app.query_params.update(params)
        for name in popovers:
            app.session_state[f"{name}.{sums}"] = True
        app.run()
        assert not app.exception
        return app

    return open_it


def test_keys_go_to_the_next_row_and_back_in_the_tables_order_and_across_pages(
    curate: Callable[..., AppTest], workspace: Workspace, sums: str
) -> None:
    order = workbench.matching(workspace, workbench.view(workspace, sums), order="-length")
    app = curate(sort="-length", row=order[23])
    assert app.button(key=f"next.{sums}").proto.shortcut.lower() == "j"
    assert app.button(key=f"previous.{sums}").proto.shortcut.lower() == "k"
    press(press(app, sums, "next"), sums, "next")
    assert reading(app, workspace, sums) == order[25] and "page 2 of 3" in text(app)
    assert table(app)["id"].tolist() == order[25:50]
    press(app, sums, "previous")
    assert reading(app, workspace, sums) == order[24] and "page 1 of 3" in text(app)
    assert app.query_params["row"] == order[24]


def test_after_a_ban_the_next_row_is_the_one_that_was_next(
    curate: Callable[..., AppTest], workspace: Workspace, sums: str
) -> None:
    view = workbench.view(workspace, sums)
    picks = [view.pool_ids[i] for i in view.subset.indices]
    app = press(curate(row=picks[4]), sums, "ban")
    assert reading(app, workspace, sums) == picks[4]
    assert reading(press(app, sums, "next"), workspace, sums) == picks[5]


def test_what_a_ban_moved_is_said_and_can_be_read(
    curate: Callable[..., AppTest], workspace: Workspace, sums: str
) -> None:
    before = workbench.view(workspace, sums)
    row = before.pool_ids[before.subset.indices[3]]
    app = curate(row=row)
    assert " in, " not in "".join(p.proto.popover.label for p in app.get("popover"))
    press(app, sums, "ban")
    entered, left = workbench.moved(before, workbench.view(workspace, sums))
    labels = [p.proto.popover.label for p in app.get("popover")]
    assert left == [row] and f"{len(entered)} in, 1 out" in labels
    app.session_state[f"moved.{sums}"] = True
    app.run()
    shown = [d.value["id"].tolist() for d in app.dataframe if "id" in d.value]
    assert entered in shown and left in shown


def test_a_note_on_all_that_match_is_one_act(curate: Callable[..., AppTest], workspace: Workspace, sums: str) -> None:
    app = press(curate(source="<b>s1</b>", state="not picked"), sums, "many.note")
    app.text_area(key=f"many.text.{sums}").set_value("too <b>easy</b>")
    press(app, sums, "many.save")
    view = workbench.view(workspace, sums)
    about = workbench.matching(workspace, view, source="<b>s1</b>", state="not picked")
    assert workspace.overrides(sums).notes == dict.fromkeys(about, "too <b>easy</b>")
    press(app, sums, "undo")
    assert workspace.overrides(sums).notes == {}


def test_the_log_says_who_decided_what_and_what_was_taken_back(
    curate: Callable[..., AppTest], workspace: Workspace, sums: str
) -> None:
    ids = workbench.view(workspace, sums).pool_ids
    workspace.override(sums, "ban", ids[:3], author="Ada")
    workspace.override(sums, "pin", ids[9], author="Bo")
    workspace.override(sums, "undo", author="Bo")
    app = curate("decisions")
    log = next(d.value for d in app.dataframe if "Who" in d.value)
    assert log["What"].tolist() == ["Undo", "Pinned", "Banned"]
    assert log["Who"].tolist() == ["Bo", "Bo", "Ada"] and log["Rows"].tolist()[1:] == [1, 3]
    assert log[""].tolist() == ["", "taken back", ""]
    assert "**0** pinned · **3** banned · **0** noted" in text(app)


def test_another_curators_file_is_merged_with_conflicts_listed(
    curate: Callable[..., AppTest], workspace: Workspace, sums: str
) -> None:
    ids = workbench.view(workspace, sums).pool_ids
    workspace.override(sums, "ban", ids[1], author="Ada")
    lines = [
        {"action": "pin", "row_id": ids[1], "author": "Bo"},
        {"action": "pin", "row_id": ids[2], "author": "Bo"},
        {"action": "pin", "row_id": "gone", "author": "Bo"},
    ]
    app = curate("decisions")
    file = "".join(json.dumps(line) + "\n" for line in lines).encode()
    app.file_uploader(key=f"decisions.file.{sums}").set_value(("bo.jsonl", file, "application/jsonl")).run()
    press(app, sums, "decisions.take")
    assert "Took over 1 decision; one undo takes them all back. 1 row of the file is not here." in text(app)
    conflicts = next(d.value for d in app.dataframe if "Example" in d.value)
    assert conflicts[""].tolist() == ["Ada banned it here, Bo pinned it in the file"]
    assert workspace.overrides(sums).pinned == (ids[2],) and workspace.overrides(sums).banned == (ids[1],)
    press(app, sums, "decisions.favour")
    assert set(workspace.overrides(sums).pinned) == {ids[1], ids[2]} and workspace.overrides(sums).banned == ()
    app.file_uploader(key=f"decisions.file.{sums}").set_value(("again.jsonl", file, "application/jsonl")).run()
    press(app, sums, "decisions.take")
    assert "Nothing was taken over. 1 row of the file is not here." in text(app)


def test_a_file_that_is_none_is_a_sentence(curate: Callable[..., AppTest], workspace: Workspace, sums: str) -> None:
    app = curate("decisions")
    app.file_uploader(key=f"decisions.file.{sums}").set_value(("x.jsonl", b"{]", "application/jsonl")).run()
    press(app, sums, "decisions.take")
    assert any("ine 1 of the decisions is not JSON" in e.value for e in app.error)
    assert overrides.history(workspace.override_log(sums)) == []


def test_a_saved_selection_is_opened_with_its_decisions_and_one_undo_brings_back_the_present_ones(
    curate: Callable[..., AppTest], workspace: Workspace, sums: str
) -> None:
    ids = workbench.view(workspace, sums).pool_ids
    workspace.override(sums, "pin", [ids[30], ids[31]])
    chosen = SelectionConfig(selector="doubly_greedy", budget=BudgetConfig(examples=9))
    view = workbench.view(workspace, sums, selection=chosen)
    comparison.save_selection(workspace, view, "Mine", "Ada")
    workspace.override(sums, "ban", ids[30])
    app = press(curate(), sums, "saved-selections")
    listed = next(d.value for d in app.dataframe if "Made from" in d.value)
    assert listed[["Name", "Version", "By", "Budget", "Pinned"]].values.tolist() == [["Mine", 1, "Ada", "9", 2]]
    press(app, sums, "saved-open")
    now = workbench.view(workspace, sums)
    assert now.subset.indices.tolist() == view.subset.indices.tolist()
    assert app.query_params["selector"] == "doubly_greedy" and app.query_params["budget"] == "9"
    press(app, sums, "undo")
    assert workspace.overrides(sums).pinned == (ids[31],) and workspace.overrides(sums).banned == (ids[30],)


def test_a_saved_selection_is_read_beside_its_parent(
    curate: Callable[..., AppTest], workspace: Workspace, sums: str
) -> None:
    for size in (12, 15):
        chosen = SelectionConfig(budget=BudgetConfig(examples=size))
        comparison.save_selection(workspace, workbench.view(workspace, sums, selection=chosen), "Mine")
    app = press(curate(), sums, "saved-selections")
    assert "Since **Mine v1**: **3** in, **0** out, 12 kept." in text(app)
    assert len(next(d.value for d in app.dataframe if "Example" in d.value)) == 3
