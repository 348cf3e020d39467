"""The Curate page: what it shows, what it changes, what it keeps in the link, and what it says when it can't."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from curation import workbench
from curation.errors import CurationError

if TYPE_CHECKING:
    from curation.workspace import Workspace

Open = Callable[..., AppTest]
LEFT = "box:-1,-1,0.5,2"  # the half of the fixture's map with x up to 0.5


def text(app: AppTest) -> str:
    return "\n".join(e.value for kind in ("markdown", "caption") for e in app.get(kind))


def table(app: AppTest) -> Any:
    return app.dataframe[-1].value


def press(app: AppTest, pid: str, name: str) -> AppTest:
    return app.button(key=f"{name}.{pid}").click().run()


def budget(app: AppTest, size: int) -> AppTest:
    return next(n for n in app.number_input if n.label == "Exactly").set_value(size).run()


@pytest.fixture
def curate(opened: Open, sums: str) -> Callable[..., AppTest]:
    """Return a function that opens the page in a new tab, with a link's parts if they are given."""

    def open_it(**params: str) -> AppTest:
        app = opened("curate", sums)
        for name in [n for n in app.query_params if params and n != "project"]:
            del app.query_params[name]
        app.query_params.update(params)
        app.run()
        assert not app.exception
        return app

    return open_it


def test_without_data_it_leads_to_the_data_page(opened: Open, workspace: Workspace) -> None:
    app = opened("curate", workspace.create_project("Bare").id)
    assert "A selection needs a pool and a query set" in text(app)


def test_without_a_representation_it_leads_to_the_represent_page(
    opened: Open, workspace: Workspace, sums: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workbench, "represented", lambda ws, pid: [])  # noqa: ARG005
    assert "Nothing is represented yet" in text(opened("curate", sums))
    assert workspace.project(sums).id == sums


def test_it_opens_on_the_stored_selection_with_the_first_pick_to_read(
    curate: Open, workspace: Workspace, sums: str
) -> None:
    app = curate()
    assert "**12** picked :gray[of 60]" in text(app)
    assert table(app)["rank"].tolist()[:13] == [*range(1, 13), None] or np.isnan(table(app)["rank"].iloc[12])
    view = workbench.view(workspace, sums)
    first = view.pool_ids[view.subset.indices[0]]
    assert table(app)["id"].iloc[0] == first
    assert f"row {view.rows.position[first] + 1}" in text(app)


def test_the_budget_is_met_exactly_kept_in_the_link_and_in_the_project(
    curate: Open, workspace: Workspace, sums: str
) -> None:
    app = budget(curate(), 20)
    assert "**20** picked" in text(app)
    assert app.query_params["budget"] == "20"
    assert workbench.settings(workspace, sums).selection.budget.examples == 20
    app.select_slider[0].set_value(30).run()
    assert "**30** picked" in text(app)
    assert next(n for n in app.number_input if n.label == "Exactly").value == 30


def test_another_selector_picks_others(curate: Open, workspace: Workspace, sums: str) -> None:
    app = curate()
    before = table(app)["id"].tolist()[:12]
    app.selectbox(key=f"curate.selector.{sums}").select("random").run()
    assert table(app)["id"].tolist()[:12] != before
    assert workbench.settings(workspace, sums).selection.selector == "random"


def test_a_budget_over_the_pool_is_one_sentence_and_the_app_stays_up(curate: Open) -> None:
    app = budget(curate(), 61)
    assert not app.exception
    assert (
        len(app.error) == 1
        and "the budget is 61 examples but only 60 of 60 are not banned" in app.error[0].value.lower()
    )
    assert "**5** picked" in text(budget(app, 5))


def test_pins_over_the_budget_can_be_taken_back(curate: Open, workspace: Workspace, sums: str) -> None:
    ids = workbench.view(workspace, sums).pool_ids
    workspace.override(sums, "pin", ids[:15])
    app = curate()
    assert "15 examples are pinned but the budget is 12" in app.error[0].value
    next(b for b in app.button if b.label == "Unpin all 15").click().run()
    assert not app.error and "**12** picked" in text(app)


def test_a_token_budget_without_a_tokenizer_says_what_to_do(curate: Open) -> None:
    app = curate(selector="round_robin", budget="500t", seed="0")
    assert "a budget in tokens needs a model" in app.error[0].value.lower()


def test_pin_ban_undo_and_redo_of_the_row_that_is_read(curate: Open, workspace: Workspace, sums: str) -> None:
    row = workbench.view(workspace, sums).pool_ids[7]
    app = curate(row=row)
    press(app, sums, "pin")
    assert workspace.overrides(sums).pinned == (row,)
    assert table(app).iloc[0]["id"] == row and "pinned" in table(app).iloc[0]["state"]
    assert "**12** picked" in text(app)
    press(app, sums, "ban")
    assert workspace.overrides(sums).banned == (row,) and workspace.overrides(sums).pinned == ()
    press(app, sums, "undo")
    assert workspace.overrides(sums).pinned == (row,)
    press(press(app, sums, "undo"), sums, "redo")
    assert workspace.overrides(sums).pinned == (row,)
    assert app.query_params["row"] == row


def test_a_note_is_kept_with_the_row(curate: Open, workspace: Workspace, sums: str) -> None:
    row = workbench.view(workspace, sums).pool_ids[3]
    app = press(curate(row=row), sums, "note")
    app.text_area[0].set_value("look <b>here</b>")
    next(b for b in app.button if b.label == "Save note").click().run()
    assert workspace.overrides(sums).notes == {row: "look <b>here</b>"}
    assert r"look \<b\>here\<\/b\>" in text(curate(row=row))


def test_a_lasso_filters_the_table_and_is_decided_on_as_one_act(curate: Open, workspace: Workspace, sums: str) -> None:
    view = workbench.view(workspace, sums)
    inside = {view.pool_ids[i] for i in np.flatnonzero(view.represented.pool_xy[:, 0] <= 0.5)}
    app = curate(area=LEFT)
    assert set(table(app)["id"]) < inside and len(table(app)) == 25
    assert f"**{len(inside)}** rows in the lasso" in text(app)
    press(app, sums, "many.ban")
    assert f"{len(inside)} rows banned. One undo takes it back." in [t.value for t in app.toast]
    assert set(workspace.overrides(sums).banned) == inside
    assert not (set(table(app)["id"]) - inside) and "picked" not in set(table(app)["state"].str[2:])
    press(app, sums, "undo")
    assert workspace.overrides(sums).banned == ()
    press(app, sums, "clear")
    assert "**60** rows" in text(app) and "area" not in app.query_params


def test_a_lasso_of_the_link_selects_what_lies_inside_it(curate: Open, workspace: Workspace, sums: str) -> None:
    view = workbench.view(workspace, sums)
    corners = ((0.1, 0.0), (0.9, 0.0), (0.5, 0.987654))
    app = curate(area="lasso:" + ",".join(f"{v:g}" for xy in corners for v in xy))
    x, y = zip(*corners, strict=True)
    assert set(table(app)["id"]) == set(workbench.lasso(view, [*x], [*y])) != set()


def test_search_filters_and_order_narrow_the_table(curate: Open, sums: str) -> None:
    app = curate()
    app.text_input(key=f"curate.search.{sums}").set_value("pool 17").run()
    assert len(table(app)) == 1 and "what is 17 + 2" in table(app)["text"].iloc[0]
    assert app.query_params["search"] == "pool 17"
    app.text_input(key=f"curate.search.{sums}").set_value("").run()
    app.selectbox(key=f"curate.state.{sums}").select("picked").run()
    assert len(table(app)) == 12
    app.selectbox(key=f"curate.source.{sums}").select("<b>s1</b>").run()
    assert set(table(app)["source"]) == {"<b>s1</b>"}
    app.selectbox(key=f"curate.sort.{sums}").select("similarity").run()
    assert table(app)["similarity"].is_monotonic_decreasing


def test_the_table_is_paged(curate: Open, sums: str) -> None:
    app = press(curate(), sums, "chevron_right")
    assert len(table(app)) == 25 and "page 2 of 3" in text(app)
    assert len(table(curate(at="3"))) == 10


def test_a_query_shows_itself_and_its_rows(curate: Open) -> None:
    app = curate(query="3")
    assert set(table(app)["query"]) == {3}
    assert "query 3" in text(app)


def test_a_link_that_names_one_choice_alone_takes_the_others_from_the_project(curate: Open) -> None:
    app = curate(budget="7")
    assert "**7** picked" in text(app) and app.query_params["selector"] == "round_robin"


def test_a_reload_brings_everything_back(curate: Open) -> None:
    app = budget(curate(colour="source", state="picked", area=LEFT), 9)
    link = {name: value for name, value in app.query_params.items() if name != "project"}
    again = curate(**link)
    assert table(again).equals(table(app))
    assert {n: v for n, v in again.query_params.items() if n != "project"} == link
    assert next(g for g in again.get("button_group") if g.label == "Colour by").value == "source"


@pytest.mark.parametrize(
    "params",
    [
        {"budget": "many", "selector": "round_robin"},
        {"selector": "no_such", "budget": "5"},
        {"area": "lasso:1,2,x"},
        {"area": "lasso:1,2"},
        {"row": "gone", "query": "99"},
        {"at": "-3", "state": "odd", "sort": "odd", "colour": "odd", "source": "odd"},
        {"representation": "0" * 32},
        {"options": "[", "selector": "round_robin", "budget": "5"},
    ],
)
def test_a_broken_link_breaks_nothing(curate: Open, params: dict[str, str]) -> None:
    app = curate(**params)
    assert len(app.error) <= 1
    assert not any("Traceback" in e.value for e in app.error)


def test_two_tabs_keep_their_own_selection_and_store_whole_ones(curate: Open, workspace: Workspace, sums: str) -> None:
    one, two = curate(), curate()
    budget(one, 10)
    two.selectbox(key=f"curate.selector.{sums}").select("random").run()
    one.run()
    assert "**10** picked" in text(one) and "**12** picked" in text(two)
    stored = workbench.settings(workspace, sums).selection
    assert (stored.selector, stored.budget.examples) == ("random", 12)


def test_decisions_of_one_tab_reach_the_other(curate: Open, workspace: Workspace, sums: str) -> None:
    row = workbench.view(workspace, sums).pool_ids[7]
    one, two = curate(row=row), curate()
    press(one, sums, "pin")
    assert table(two.run())["id"].iloc[0] == row


def test_saving_again_makes_the_next_version(curate: Open, workspace: Workspace, sums: str) -> None:
    app = curate()
    for version in (1, 2):
        next(t for t in app.text_input if t.label == "Name").set_value("Mine")
        next(b for b in app.button if b.label == "Save selection").click().run()
        assert not app.exception
        assert workspace.selections(sums)[0].version == version


def test_text_from_data_is_never_markup(curate: Open, workspace: Workspace, sums: str) -> None:
    view = workbench.view(workspace, sums)
    app = curate(row=view.pool_ids[0], colour="source")  # the fixture's hostile row
    for element in [*app.markdown, *app.caption]:
        assert "<script>" not in element.value and "[link](" not in element.value
    assert any("<script>alert(1)</script>" in t.value for t in app.text)


def test_an_unforeseen_failure_of_the_library_is_a_sentence(curate: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise CurationError("the disk is full; free some space")

    monkeypatch.setattr(workbench, "view", broken)
    assert "The disk is full" in curate().error[0].value


def test_pages_import_neither_numpy_nor_torch() -> None:
    for page in (Path(__file__).parents[2] / "pages").glob("*.py"):
        code = page.read_text("utf-8")
        assert not any(f"import {name}" in code for name in ("numpy", "torch")), page.name
