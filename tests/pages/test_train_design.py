"""The design of an experiment as a form: named starts, further arms, judging, what it takes, the quantile check."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from streamlit.testing.v1 import AppTest

from curation import comparison, workbench
from curation.cost import Cost
from tests.pages.test_train import keyed, start, words

if TYPE_CHECKING:
    from curation.workspace import Workspace

Open = Callable[..., AppTest]


def plan(app: AppTest) -> dict[str, int]:
    frame = app.dataframe[0].value
    return dict(zip(frame["Arm"], frame["Examples"], strict=True))


def test_a_named_start_fills_the_form_and_the_next_one_replaces_it(
    opened: Open, workspace: Workspace, sums: str, started: list[tuple[Any, ...]]
) -> None:
    saved = comparison.save_selection(workspace, workbench.view(workspace, sums), "Mine@home")
    app = opened("train", sums)
    keyed(app.button, "preset-selectors").click().run()
    assert not app.exception
    assert list(plan(app)) == ["Zero-shot", "Random", "Selected", "Mine at home v1", "Doubly greedy", "KNN KDE"]
    start(app).click().run()
    assert started[0][2]["experiment"]["selections"] == {
        "Mine at home v1": {"saved": saved.subset},
        "Doubly greedy": {"selector": "doubly_greedy"},
        "KNN KDE": {"selector": "knn_kde"},
    }
    keyed(app.button, "preset-budgets").click().run()
    expected = ("Zero-shot", "Random, 3 examples", "Random, 6 examples", "Random", "Random, 24 examples")
    assert tuple(plan(app))[:5] == expected and plan(app)["Selected, 48 examples"] == 48
    keyed(app.button, "preset-quick").click().run()
    assert plan(app) == {"Zero-shot": 0, "Random": 12, "Selected": 12}
    assert start(app).label == "Start 2 trainings"
    assert workbench.settings(workspace, sums).experiment.selections == {}


def test_the_external_comparison_asks_for_other_models_and_judges_those_that_are_named(
    opened: Open, sums: str, started: list[tuple[Any, ...]]
) -> None:
    app = opened("train", sums)
    keyed(app.button, "preset-external").click().run()
    assert not app.exception
    assert [note.value for note in app.info] == ["Name at least one other model to compare with."]
    keyed(app.multiselect, "train-models").set_value(["owner/big@home", "/models/no such"]).run()
    assert not app.exception and not app.info
    assert list(plan(app)) == ["Zero-shot", "big at home", "no such", "Random", "Selected"]
    assert start(app).label == "Start 6 trainings"  # three seeds of two arms
    start(app).click().run()
    assert started[0][2]["experiment"]["models"] == {"big at home": "owner/big@home", "no such": "/models/no such"}
    keyed(app.button, "preset-external").click().run()
    assert "big at home" in plan(app) and keyed(app.multiselect, "train-metrics").value
    keyed(app.button, "preset-quick").click().run()
    assert list(plan(app)) == ["Zero-shot", "Random", "Selected"] and not app.info


def test_sizes_of_ones_own_and_what_is_alike_are_handed_over(
    opened: Open, sums: str, started: list[tuple[Any, ...]]
) -> None:
    app = opened("train", sums)
    keyed(app.multiselect, "train-budgets").set_value(["6", "many"]).run()
    assert "many is no number of examples; write a whole number above 0." in words(app)
    keyed(app.multiselect, "train-budgets").set_value(["6", "24"]).run()
    keyed(app.button_group, "train-equal").set_value("steps").run()
    start(app).click().run()
    assert not app.exception
    experiment = started[0][2]["experiment"]
    assert (experiment["budgets"], experiment["equal"]) == ([6, 24], "steps")


def test_a_subset_file_is_added_by_its_path_and_a_bad_one_is_said(
    opened: Open, workspace: Workspace, sums: str, started: list[tuple[Any, ...]], tmp_path: Path
) -> None:
    pool = workspace.dataset(sums, "pool")
    assert pool is not None
    (tmp_path / "picked.jsonl").write_text("\n".join(workspace.ids(pool.key)[:5]))
    app = opened("train", sums)
    keyed(app.text_input, "train-path").set_value(str(tmp_path / "picked.jsonl")).run()
    keyed(app.button, "train-file-add").click().run()
    assert not app.exception
    assert plan(app)["picked, 5 examples"] == 5 == plan(app)["Random, 5 examples"]
    start(app).click().run()
    assert started[0][2]["experiment"]["subsets"] == {"picked": str(tmp_path / "picked.jsonl")}
    (tmp_path / "other.jsonl").write_text("no-such-row\n")
    keyed(app.text_input, "train-path").set_value(str(tmp_path / "other.jsonl")).run()
    keyed(app.button, "train-file-add").click().run()
    assert "the row 'no-such-row' is not in the pool" in words(app)
    assert not [b for b in app.button if b.label.startswith("Start ") and b.key is None]


def test_what_the_test_rows_do_not_allow_is_said_and_nothing_starts(opened: Open, sums: str) -> None:
    app = opened("train", sums)
    metrics = keyed(app.multiselect, "train-metrics")
    assert "Multiple choice (can't be used yet)" in metrics.options and "pass@k" not in metrics.options
    assert "train-programs" not in {str(t.key).partition(".")[0] for t in app.toggle}  # no row has a program's tests
    metrics.set_value(["query_loss", "multiple_choice"]).run()
    assert "each of the 12 tests lacks what it needs: it has no column `choices`" in words(app)
    assert start(app).disabled


def test_a_metric_that_lacks_its_task_is_said_before_the_start(opened: Open, sums: str) -> None:
    pytest.importorskip("lm_eval")
    app = opened("train", sums)
    keyed(app.multiselect, "train-metrics").set_value(["query_loss", "harness"]).run()
    assert "The metric harness names no task" in words(app) and start(app).disabled
    keyed(app.text_input, "metric-harness.tasks").set_value("arc_easy").run()
    assert "names no task" not in words(app) and not start(app).disabled


def test_programs_run_only_once_the_risk_was_taken(
    opened: Open, sums: str, started: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from curation import evaluation

    monkeypatch.setattr(evaluation, "unmeasurable", lambda _queries, _tests: {"multiple_choice": "it has no choices"})
    app = opened("train", sums)
    assert "pass@k" not in keyed(app.multiselect, "train-metrics").options
    keyed(app.toggle, "train-programs").set_value(True).run()
    assert "The model writes programs and this machine runs them" in words(app)
    keyed(app.multiselect, "train-metrics").set_value(["query_loss", "pass_at_k"]).run()
    start(app).click().run()
    assert not app.exception
    assert started[0][2]["experiment"]["evaluation"]["options"]["pass_at_k"]["allow"] is True


def test_overlap_is_said_before_the_start_and_left_out_on_request(
    opened: Open, sums: str, started: list[tuple[Any, ...]]
) -> None:
    app = opened("train", sums)
    assert "None of the 12 test prompts stands in the pool or the query set." in words(app)
    keyed(app.toggle, "train-exclude").set_value(True).run()
    keyed(app.slider, "train-dev").set_value(0.25).run()
    keyed(app.toggle, "train.early_stopping").set_value(True).run()
    start(app).click().run()
    experiment = started[0][2]["experiment"]
    assert (experiment["exclude_overlap"], experiment["dev_share"]) == (True, 0.25)
    assert experiment["training"]["early_stopping"] is True


def known(ws: Workspace, pid: str, warnings: tuple[str, ...] = ()) -> None:
    """Add what a forecast of the page's present design would have found."""
    from curation import tasks
    from curation.tables import Job

    experiment = {**workbench.settings(ws, pid).experiment.to_dict(), "price_per_hour": 2.0}
    asked = {"experiment": experiment, "selection": workbench.view(ws, pid).selection.to_dict()}
    told = Cost({"zero_shot": 36.0, "random": 1800.0}, 1500, 2200, 10**9, 0, 5 * 10**8, 3, 3, "tried", warnings)
    config = json.dumps(tasks._settle_experiment(ws, pid, asked))
    with ws.write() as session:
        session.add(
            Job(
                id="told",
                kind="forecast",
                title="What it takes",
                project_id=pid,
                config=config,
                state="succeeded",
                result=json.dumps(told.to_dict()),
                ended=time.time(),
            )
        )


def test_what_it_takes_is_asked_and_then_told_for_each_arm_in_money_too(
    opened: Open, workspace: Workspace, sums: str, started: list[tuple[Any, ...]]
) -> None:
    app = opened("train", sums)
    keyed(app.number_input, "experiment.price_per_hour").set_value(2.0).run()
    keyed(app.button, "forecast").click().run()
    assert started[0][1] == "forecast" and started[0][2]["experiment"]["price_per_hour"] == 2.0
    known(workspace, sums)
    app.run()
    assert not app.exception
    assert "**About 30 min 36 s**" in words(app) and "1.0 GB memory · 500 MB on disk · 1.02 in money" in words(app)
    frame = app.dataframe[0].value
    assert list(frame["Time, all seeds"]) == ["36 s", "30 min 0 s", "there already"]
    assert list(frame["Price"]) == ["0.02", "1.00", "0.00"]
    assert not start(app).disabled


def test_what_does_not_fit_is_refused_unless_insisted_on(opened: Open, workspace: Workspace, sums: str) -> None:
    workbench.change(workspace, sums, experiment=_priced(workspace, sums))
    known(workspace, sums, ("It writes about 900.0 GB and the workspace's disk has 4.0 GB free: free some space.",))
    app = opened("train", sums)
    assert "It writes about 900.0 GB" in words(app) and "does not fit on this machine" in words(app)
    assert start(app).disabled
    keyed(app.checkbox, "train-anyway").set_value(True).run()
    assert not start(app).disabled


def _priced(ws: Workspace, pid: str) -> Any:
    import dataclasses

    return dataclasses.replace(workbench.settings(ws, pid).experiment, price_per_hour=2.0)


def test_the_quantile_check_starts_at_a_click_with_what_fits_the_pool(
    opened: Open, sums: str, started: list[tuple[Any, ...]]
) -> None:
    app = opened("train", sums)
    assert keyed(app.number_input, "quantiles.examples").value == 6  # a tenth of 60 rows, not 500
    assert "Tuned like the arms above, and judged by query loss, test loss and exact match" in words(app)
    keyed(app.multiselect, "train-metrics").set_value(["query_loss"]).run()
    assert "judged by query loss, test loss and numeric match, whichever of them judge the arms" in words(app)
    keyed(app.number_input, "quantiles.bins").set_value(20).run()
    assert "A part of the pool has 3 usable rows; choose fewer examples or parts." in words(app)
    assert keyed(app.button, "quantiles-start").disabled
    keyed(app.number_input, "quantiles.bins").set_value(5).run()
    keyed(app.button, "quantiles-start").click().run()
    assert not app.exception
    (pid, kind, config, _) = started[0]
    assert (pid, kind) == (sums, "quantiles")
    assert config["experiment"]["quantiles"] == {"bins": 5, "examples": 6, "seeds": [0]}


def test_a_service_is_told_only_if_chosen_and_what_is_not_installed_is_marked(
    opened: Open, sums: str, started: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pages._design.find_spec", {"wandb": None, "mlflow": "there"}.get)
    app = opened("train", sums)
    trackers = keyed(app.multiselect, "train-trackers")
    assert trackers.options == ["Weights & Biases (not installed)", "MLflow"] and trackers.value == []
    trackers.set_value(["mlflow"]).run()
    start(app).click().run()
    assert not app.exception
    assert started[0][2]["experiment"]["trackers"] == ["mlflow"]


def test_a_tuned_adapter_is_shown_where_it_lies_and_merged_at_a_click(
    opened: Open,
    workspace: Workspace,
    sums: str,
    started: list[tuple[Any, ...]],
    finish: Callable[..., dict[str, Any]],
) -> None:
    from curation import merging

    result = finish(workspace, sums) | {"tuned": {"selected": {"0": "a" * 32}, "random": {"0": "b" * 32}}}
    result["kept"] = {"random": {"1": ["c" * 32, 4]}}
    key = workspace.experiments(sums)[0].key
    (workspace.artefact("experiment", key) / "result.json").write_text(json.dumps(result))
    for arm in "ac":
        with workspace.build("arm", arm * 32) as part:
            (part / "model").mkdir()
            (part / "model" / "adapter_config.json").write_text("{}")
    app = opened("train", sums)
    assert keyed(app.selectbox, "model-of").options == [  # the third one is not there any more
        "Selected, seed 0",
        "Random, seed 1, diverged: kept as of step 4",
    ]
    assert str(workspace.artefact("arm", "a" * 32) / "model") in [c.value for c in app.code]
    next(b for b in app.button if b.label == "Merge into one model").click().run()
    assert not app.exception
    assert started == [(sums, "merge", {"arm": "a" * 32, "model": {"name": "no-such/model"}}, "Merge Selected, seed 0")]
    with workspace.build("merged", merging._key("a" * 32)) as part:
        (part / "model.safetensors").touch()
    app.run()
    assert str(merging.whole_model(workspace, "a" * 32)) in [c.value for c in app.code]
    assert "Merge into one model" not in [b.label for b in app.button]


def test_a_check_is_watched_beside_an_experiment_that_failed(
    opened: Open, workspace: Workspace, sums: str, job: Callable[..., str]
) -> None:
    from curation import jobs
    from curation.tables import Job

    for state in ("failed", "running"):
        here = jobs.folder(workspace, job(workspace, sums, state))
        (here / "course.json").write_text(json.dumps([["random", 0, 12, 6], ["selected", 0, 12, 6]]))
    with workspace.write() as session:
        session.get_one(Job, "jobrunning").kind = "quantiles"
    app = opened("train", sums)
    assert not app.exception
    assert len(app.get("plotly_chart")) == 2
    assert "Check again" in [e.label for e in app.expander]
