"""The Curate page's further choices: quotas, a minimum, feedback, advice, all figures; and what can't be met."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from curation import figures_map, listing, pipeline, scoring, selecting, tasks, workbench
from curation.config import BudgetConfig, DatasetConfig, ModelConfig, SelectionConfig
from curation.overrides import OverrideState

if TYPE_CHECKING:
    from curation.workspace import Workspace

Open = Callable[..., AppTest]
TINY = Path(__file__).parents[2] / "assets" / "winnow-tiny"


def text(app: AppTest) -> str:
    return "\n".join(e.value for kind in ("markdown", "caption", "warning") for e in app.get(kind))


def refusal(app: AppTest) -> str:
    """The one sentence in which something is refused."""
    (error,) = app.error
    return error.value.replace("\\", "")


def click(app: AppTest, label: str) -> AppTest:
    next(b for b in app.button if b.label == label).click().run()
    assert not app.exception
    return app


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


def test_quotas_and_a_minimum_of_the_link_are_kept_and_stored(
    curate: Callable[..., AppTest], workspace: Workspace, sums: str
) -> None:
    quotas = {"<b>s0</b>": 2, "<b>s1</b>": 3}
    app = curate(selector="round_robin", budget="10", seed="0", quotas=json.dumps(quotas), minimum="0.3")
    assert not app.error and "**10** picked" in text(app)
    chosen = SelectionConfig(budget=BudgetConfig(examples=10), quotas=quotas, minimum_similarity=0.3)
    view = workbench.view(workspace, sums, selection=chosen)
    picked = Counter(view.sources[i] for i in view.subset.indices)
    assert picked["<b>s0</b>"] == 2 and picked["<b>s1</b>"] == 3 and picked["<b>s2</b>"] == 5
    shown = next(d.value for d in app.dataframe if "rank" in d.value)
    assert shown["id"].tolist()[:10] == [view.pool_ids[i] for i in view.subset.indices]
    next(n for n in app.number_input if n.label == "Exactly").set_value(9).run()
    assert json.loads(app.query_params["quotas"]) == quotas and app.query_params["minimum"] == "0.3"
    stored = workbench.settings(workspace, sums).selection
    assert (stored.quotas, stored.minimum_similarity, stored.budget.examples) == (quotas, 0.3, 9)


def test_a_shortest_answer_is_kept_in_the_link_and_can_be_lifted(
    curate: Callable[..., AppTest], workspace: Workspace, sums: str
) -> None:
    pool = workspace.examples(workspace.dataset(sums, "pool").key)  # type: ignore[union-attr]
    long = [e.id for e in pool if len(e.answer) >= 2]
    assert 12 <= len(long) < 60
    app = curate(selector="round_robin", budget="12", seed="0", score="length:2")
    shown = next(d.value for d in app.dataframe if "rank" in d.value)
    assert not app.error and set(shown["id"][:12]) <= set(long)
    next(n for n in app.number_input if n.label == "Exactly").set_value(len(long) + 1).run()
    assert app.query_params["score"] == "length:2"
    assert f"only {len(long)} of 60 are neither banned nor below" in refusal(app)
    click(app, "Lift the minimum score")
    assert not app.error and "score" not in app.query_params
    assert workbench.settings(workspace, sums).selection.minimum_score is None


def test_quotas_that_cant_be_met_are_a_sentence_with_a_way_out(
    curate: Callable[..., AppTest], workspace: Workspace, sums: str
) -> None:
    quotas = {f"<b>s{i}</b>": 2 for i in range(3)}
    app = curate(selector="round_robin", budget="12", seed="0", quotas=json.dumps(quotas))
    assert len(app.error) == 1 and "the quotas leave room for 6" in app.error[0].value
    click(app, "Lift the quotas")
    assert not app.error and "**12** picked" in text(app) and "quotas" not in app.query_params
    assert workbench.settings(workspace, sums).selection.quotas == {}


@pytest.mark.parametrize(
    ("params", "said", "way", "picked"),
    [
        ({"budget": "70"}, "the budget is 70 examples", "Budget 60, all that are left", 60),
        ({"budget": "12", "minimum": "0.99"}, "minimum", "Lift the minimum similarity", 12),
    ],
)
def test_what_cant_be_met_has_a_way_out(
    curate: Callable[..., AppTest], params: dict[str, str], said: str, way: str, picked: int
) -> None:
    app = curate(selector="round_robin", seed="0", **params)
    assert len(app.error) == 1 and said in app.error[0].value.lower()
    app = click(app, way)
    assert not app.error and f"**{picked}** picked" in text(app)


def test_pins_over_the_budget_have_a_way_out_that_keeps_them(
    curate: Callable[..., AppTest], workspace: Workspace, sums: str
) -> None:
    workspace.override(sums, "pin", workbench.view(workspace, sums).pool_ids[:15])
    app = click(curate(), "Budget 15, all that are pinned")
    assert not app.error and "**15** picked" in text(app) and len(workspace.overrides(sums).pinned) == 15


def test_a_budget_of_none_is_a_sentence(curate: Callable[..., AppTest]) -> None:
    app = curate(selector="round_robin", budget="0", seed="0")
    assert refusal(app) == "The budget is 0, expected a whole number of at least 1; raise it"
    app = next(n for n in app.number_input if n.label == "Exactly").set_value(7).run()
    assert not app.error and "**7** picked" in text(app)


def test_a_pool_without_queries_leads_to_the_data_page(opened: Open, workspace: Workspace, tmp_path: Path) -> None:
    project = workspace.create_project("Alone").id
    (tmp_path / "alone.jsonl").write_text(json.dumps({"prompt": "one", "response": "two"}) + "\n")
    pipeline.load(workspace, DatasetConfig(path=str(tmp_path / "alone.jsonl")), "pool", project_id=project)
    app = opened("curate", project)
    assert not app.exception and "A selection needs a pool and a query set" in text(app)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_similarity_that_is_not_finite_is_a_sentence(
    curate: Callable[..., AppTest], workspace: Workspace, sums: str, bad: float
) -> None:
    path = workbench.represented(workspace, sums)[0].folder / "similarity.npy"
    similarity = np.load(path)
    similarity[1, 4] = bad
    np.save(path, similarity)
    app = curate()
    assert f"imilarity of query 1 to candidate 4 is {bad}, expected finite numbers; compute" in refusal(app)


def test_one_candidate_is_picked_and_shown(curate: Callable[..., AppTest], workspace: Workspace, sums: str) -> None:
    workspace.override(sums, "ban", workbench.view(workspace, sums).pool_ids[1:])
    app = curate()
    assert "but only 1 of 60 are not banned" in refusal(app)
    app = click(app, "Budget 1, all that are left")
    assert not app.error and not app.exception and "**1** picked" in text(app)


def test_a_row_both_pinned_and_banned_is_a_sentence(
    curate: Callable[..., AppTest], workspace: Workspace, sums: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = workbench.view(workspace, sums).pool_ids[7]  # the log's last decision wins: only a damaged one holds both
    monkeypatch.setattr(type(workspace), "overrides", lambda *_: OverrideState(pinned=(row,), banned=(row,)))
    app = curate()
    assert f"ow {row} is both pinned and banned" in refusal(app)
    assert {"Unpin all 1", "Unban all 1"} <= {b.label for b in app.button}


def test_advice_says_why_and_is_applied_by_one_click(
    curate: Callable[..., AppTest], workspace: Workspace, sums: str
) -> None:
    told = workbench.advice(workspace, sums)
    app = curate("advice", selector="random", budget="12", seed="0")
    shown = text(app).replace("\\", "")
    assert told.sentence in shown and all(part in shown for part in (*told.reasons, *told.caveats, *told.citations))
    app.button(key=f"advice.use.{sums}").click().run()
    assert app.query_params["selector"] == told.selector != "random"
    assert "It is the selector in use." in text(app)


def test_all_figures_stand_beside_random_ones(curate: Callable[..., AppTest], workspace: Workspace, sums: str) -> None:
    app = curate()
    app.button(key=f"figures.{sums}").click().run()
    assert not app.exception and not app.error
    told = workbench.understanding(workspace, workbench.view(workspace, sums))
    shown = next(d.value for d in app.dataframe if "Random" in d.value).set_index("")
    nearest = told["distances"]["mean_nearest"]
    assert shown.loc["Distance to the nearest pick, mean over queries", "This selection"] == f"{nearest['value']:.3f}"
    assert shown.loc["Distance to the nearest pick, mean over queries", "Random"] == f"{nearest['random']:.3f}"
    sources = next(d.value for d in app.dataframe if "Share of pool" in d.value)
    assert sources["Picked"].sum() == 12
    assert f"stability **{workbench.stability(workspace, workbench.view(workspace, sums)).mean():.2f}**" in text(app)


def test_why_a_row_is_out_leads_to_the_row_before_it(
    curate: Callable[..., AppTest], workspace: Workspace, sums: str
) -> None:
    view = workbench.view(workspace, sums)
    left_out: Any = next(
        d for i in view.pool_ids if (d := workbench.detail(workspace, view, i)).rank is None and d.rows
    )
    app = curate(row=left_out.example.id)
    app.button(key=f"why.0.{sums}").click().run()
    assert app.query_params["row"] == left_out.rows[0]


def test_feedback_is_off_until_chosen_shows_its_weight_and_goes_with_one_click(
    curate: Callable[..., AppTest], workspace: Workspace, sums: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = np.random.default_rng(1).normal(size=(60, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    monkeypatch.setattr(selecting, "_vectors", lambda root, folder: (vectors, 8))  # noqa: ARG005
    ids = workbench.view(workspace, sums).pool_ids
    workspace.override(sums, "ban", ids[:4])
    app = curate()
    assert not app.toggle(key=f"curate.feedback.{sums}").value and "against" not in text(app)
    app.toggle(key=f"curate.feedback.{sums}").set_value(True).run()
    assert "0 pins asked as queries], :red[4 bans against, with weight 0.5]" in text(app)
    assert app.query_params["feedback"] == "0.5" and workbench.settings(workspace, sums).selection.feedback
    steered = workbench.settings(workspace, sums).selection
    without = workbench.view(workspace, sums, selection=dataclasses.replace(steered, feedback=False))
    entered, left = workbench.moved(without, workbench.view(workspace, sums, selection=steered))
    labels = [p.proto.popover.label for p in app.get("popover")]
    assert entered and labels.count(f"{len(entered)} in, {len(left)} out") == 2  # what moved last; what feedback moved
    app.toggle(key=f"curate.feedback.{sums}").set_value(False).run()
    assert "feedback" not in app.query_params and not workbench.settings(workspace, sums).selection.feedback


def test_feedback_that_the_representation_can_not_give_is_turned_off_by_a_button(
    curate: Callable[..., AppTest], workspace: Workspace, sums: str
) -> None:
    workspace.override(sums, "ban", workbench.view(workspace, sums).pool_ids[0])
    app = curate(feedback="0.5")
    assert "no vectors are stored" in app.error[0].value
    next(b for b in app.button if b.label == "Don't learn from my decisions").click().run()
    assert not app.error and "**12** picked" in text(app) and "feedback" not in app.query_params


def test_a_search_by_meaning_ranks_by_it_and_without_vectors_is_a_sentence(
    curate: Callable[..., AppTest], workspace: Workspace, sums: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = curate(search="what is 4 + 2?", by="meaning")
    assert len(app.error) == 1 and "search by meaning needs vectors" in app.error[0].value
    similarity = np.linspace(1, 0, 60, dtype=np.float32)[np.random.default_rng(0).permutation(60)]
    monkeypatch.setattr(listing, "search_by_meaning", lambda ws, view, text: similarity)  # noqa: ARG005
    monkeypatch.setattr(listing, "MEANT", 10)
    app.run()
    ids = workbench.view(workspace, sums).pool_ids
    shown = next(d.value for d in app.dataframe if "rank" in d.value)
    assert shown["id"].tolist() == [ids[i] for i in np.argsort(-similarity)[:10]]
    assert "**10** rows nearest in meaning" in text(app) and not app.error
    group = next(g for g in app.get("button_group") if g.label == "Search by")
    group.set_value("words").run()
    assert "by" not in app.query_params and "**1** rows" in text(app)


def test_the_map_is_coloured_by_a_scorer_once_its_scores_are_found(
    curate: Callable[..., AppTest], workspace: Workspace, sums: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[dict[str, Any]] = []
    draw = figures_map.pool_map
    monkeypatch.setattr(figures_map, "pool_map", lambda view, **given: drawn.append(given) or draw(view, **given))
    asked: list[Any] = []
    monkeypatch.setattr(tasks, "start", lambda *given: asked.append(given))
    app = curate(colour="perplexity")
    assert "no-such/model" in refusal(app)
    model = ModelConfig(name=str(TINY), max_length=256)
    workbench.change(workspace, sums, model=model)
    app = curate(colour="perplexity")
    assert not app.error and "surprises the base model" in text(app)
    assert drawn[-1]["colour"] == "state" and drawn[-1]["scores"] is None
    click(app, "Find each row's perplexity")
    assert asked[0][1:4] == (sums, "score", {"scorer": "perplexity"})
    pool = workspace.dataset(sums, "pool").key  # type: ignore[union-attr]
    found = scoring.scores(workspace, pool, "perplexity", model)
    app = curate(colour="perplexity")
    assert drawn[-1]["colour"] == "perplexity" and "surprises the base model" not in text(app)
    np.testing.assert_array_equal(drawn[-1]["scores"], found)
