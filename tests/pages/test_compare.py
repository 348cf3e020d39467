"""The Compare page: saved selections, the present one and random beside each other, measured and read."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from streamlit.testing.v1 import AppTest

from curation import comparison, workbench
from curation.config import BudgetConfig, SelectionConfig

if TYPE_CHECKING:
    from curation.workspace import Workspace

Open = Callable[..., AppTest]


@pytest.fixture
def saved(workspace: Workspace, sums: str) -> tuple[Any, Any]:
    """Two saved selections: 12 by round robin, 20 at random."""
    made = []
    for name, config in (
        ("First", SelectionConfig(budget=BudgetConfig(examples=12))),
        ("<b>Second</b>", SelectionConfig(selector="random", budget=BudgetConfig(examples=20), seed=3)),
    ):
        view = workbench.view(workspace, sums, selection=config)
        made.append(comparison.open_saved(workspace, comparison.save_selection(workspace, view, name)))
    return made[0], made[1]


def text(app: AppTest) -> str:
    return "\n".join(e.value for kind in ("markdown", "caption") for e in app.get(kind))


def choose(app: AppTest, pid: str, a: str, b: str) -> AppTest:
    app.selectbox(key=f"curate.a.{pid}").select(a).run()
    app.selectbox(key=f"curate.b.{pid}").select(b).run()
    assert not app.exception and not app.error
    return app


def rows(app: AppTest) -> Any:
    return next(d.value for d in app.dataframe if "id" in d.value)


def measures(app: AppTest) -> Any:
    return next(d.value for d in app.dataframe if "id" not in d.value).set_index("")


def test_without_a_representation_it_leads_there(opened: Open, workspace: Workspace) -> None:
    app = opened("compare", workspace.create_project("Bare").id)
    assert not app.exception and "nothing to compare yet" in text(app)


def test_without_a_saved_selection_it_compares_the_present_one_with_random(opened: Open, sums: str) -> None:
    app = opened("compare", sums)
    assert not app.exception and not app.error
    assert measures(app).loc["Picks"].tolist()[:2] == ["12", "12"]


def test_two_saved_selections_are_measured_and_their_rows_can_be_read(
    opened: Open, workspace: Workspace, sums: str, saved: tuple[Any, Any]
) -> None:
    first, second = saved
    app = choose(opened("compare", sums), sums, "First v1", "<b>Second</b> v1")
    told = comparison.compare(workspace, first, second)
    shared = set(first.ids) & set(second.ids)
    assert f"They share **{len(shared)}** picks, {len(shared) / (32 - len(shared)):.0%}" in text(app)
    assert measures(app).loc["Picks"].tolist()[:2] == ["12", "20"]
    distance = measures(app).loc["Distance to the nearest pick, mean over queries"].tolist()
    assert distance[:2] == [f"{s['distance']:.3f}" for s in (told.summary_a, told.summary_b)]
    assert all(0 < float(random) < 1 for random in distance[2:])
    assert set(rows(app)["id"]) == set(first.ids) - set(second.ids)
    group = next(g for g in app.get("button_group") if g.label == "Rows")
    group.set_value("b").run()
    assert set(rows(app)["id"]) == set(second.ids) - set(first.ids)
    group = next(g for g in app.get("button_group") if g.label == "Rows")
    assert "<b>" not in "".join(o.content for o in group.proto.options)
    assert app.query_params["part"] == "b"


def test_the_row_of_the_link_is_read_whole(
    opened: Open, workspace: Workspace, sums: str, saved: tuple[Any, Any]
) -> None:
    app = choose(opened("compare", sums), sums, "First v1", "<b>Second</b> v1")
    row = saved[0].ids[3]
    app.query_params["row"] = row
    app.run()
    number = workbench.view(workspace, sums).rows.position[row] + 1
    assert f"**Row {number}**" in text(app)
    example = workspace.rows(workspace.dataset(sums, "pool").key, [row])[0]  # type: ignore[union-attr]
    assert example.messages[0].content in [t.value for t in app.text]


def test_random_takes_the_budget_of_the_other_one(opened: Open, sums: str, saved: tuple[Any, Any]) -> None:
    assert len(saved[0].ids) == 12
    app = choose(opened("compare", sums), sums, "random", "First v1")
    assert measures(app).loc["Picks"].tolist()[:2] == ["12", "12"]
    app.button[[b.label for b in app.button].index("Swap")].click().run()
    assert app.query_params["a"] == "First v1" and app.query_params["b"] == "random"


def test_a_selection_beside_itself_has_no_difference(opened: Open, sums: str, saved: tuple[Any, Any]) -> None:
    assert saved
    app = choose(opened("compare", sums), sums, "First v1", "First v1")
    assert "100%" in text(app) and "every pick of the one is a pick of the other" in text(app)


def test_other_pools_can_not_be_compared(
    opened: Open, workspace: Workspace, sums: str, saved: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = saved
    strange = dataclasses.replace(second.represented, record={**second.represented.record, "pool": "0" * 32})
    other = dataclasses.replace(second, represented=strange)
    monkeypatch.setattr(comparison, "open_saved", lambda ws, s: first if s.name == "First" else other)  # noqa: ARG005
    app = opened("compare", sums)
    app.selectbox(key=f"curate.a.{sums}").select("First v1").run()
    app.selectbox(key=f"curate.b.{sums}").select("<b>Second</b> v1").run()
    assert not app.exception
    assert "picked from different pools" in app.error[0].value
    assert workspace.selections(sums)


def test_the_overlap_of_all_saved_ones_is_told_at_several_budgets(
    opened: Open, sums: str, saved: tuple[Any, Any]
) -> None:
    first, second = saved
    app = choose(opened("compare", sums), sums, "First v1", "<b>Second</b> v1")
    app.select_slider[0].set_value(10).run()
    assert app.query_params["first"] == "10" and not app.exception
    shared, union = set(first.ids[:10]) & set(second.ids[:10]), {*first.ids[:10], *second.ids[:10]}
    told = next(json.loads(c.proto.spec) for c in app.get("plotly_chart") if "heatmap" in c.proto.spec)
    shown = [a["text"] for a in told["layout"]["annotations"]]
    assert shown == ["100%", f"{len(shared) / len(union):.0%}", f"{len(shared) / len(union):.0%}", "100%"]


def test_two_peoples_decisions_and_nobodys_can_be_compared(opened: Open, workspace: Workspace, sums: str) -> None:
    view = workbench.view(workspace, sums)
    picks = [view.pool_ids[i] for i in view.subset.indices]
    out = next(i for i in view.pool_ids if i not in picks)
    workspace.override(sums, "ban", picks[0], author="Ada")
    workspace.override(sums, "pin", out, author="Bo")
    ada, bo, nobody = (
        comparison.decided_by(workspace, workbench.view(workspace, sums), who) for who in ("Ada", "Bo", None)
    )
    assert picks[0] not in ada.ids and out not in ada.ids and {picks[0], out} < set(bo.ids)
    assert list(nobody.ids) == picks
    app = choose(opened("compare", sums), sums, "by:Ada", "by:Bo")
    assert set(rows(app)["id"]) == set(ada.ids) - set(bo.ids)
    app = choose(app, sums, "nobody", "present")
    assert (
        f"They share **{len(set(picks) & set(comparison.as_saved(workspace, workbench.view(workspace, sums)).ids))}**"
        in text(app)
    )
