"""The Train page in each state: nothing to tune, ready, started, running, failed, done, wrong options."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from streamlit.testing.v1 import AppTest

from curation import workbench

if TYPE_CHECKING:
    from curation.workspace import Workspace

Open = Callable[..., AppTest]


def words(app: AppTest) -> str:
    kinds = ("markdown", "caption", "warning", "error", "subheader")
    return "\n".join(e.value for kind in kinds for e in app.get(kind)).replace("\\", "")


def keyed(elements: Any, key: str) -> Any:
    return next(e for e in elements if str(e.key).startswith(key))


def start(app: AppTest) -> Any:
    return next(b for b in app.button if b.label.startswith(("Start", "Judge the")))


def test_without_a_representation_it_says_what_to_do_next(opened: Open, workspace: Workspace) -> None:
    app = opened("train", workspace.create_project("Bare").id)
    assert not app.exception
    assert "compute a representation first" in words(app)
    assert "Represent" in [b.label for b in app.button]


def test_the_plan_counts_what_each_arm_takes(opened: Open, sums: str) -> None:
    app = opened("train", sums)
    assert not app.exception
    plan = app.dataframe[0].value
    assert plan["Arm"].tolist() == ["Zero-shot", "Random", "Selected"]
    assert plan["Examples"].tolist() == [0, 12, 12]
    assert plan["Optimizer steps"].tolist() == [0, 6, 6]  # 2 passes of 3 batches of 4
    assert plan["Trainings"].tolist() == [0, 3, 3]
    assert start(app).label == "Start 6 trainings"


def test_starting_hands_over_design_and_selection_and_remembers_them(
    opened: Open, workspace: Workspace, sums: str, started: list[tuple[Any, ...]]
) -> None:
    app = opened("train", sums)
    keyed(app.number_input, "train-seeds").set_value(2).run()
    keyed(app.number_input, "train.epochs").set_value(4.0).run()
    keyed(app.text_input, "name-1").set_value("Mine").run()
    start(app).click().run()
    assert not app.exception
    (pid, kind, config, title) = started[0]
    assert (pid, kind, title) == (sums, "experiment", "Mine")
    assert config["experiment"]["seeds"] == [0, 1]
    assert config["experiment"]["training"]["epochs"] == 4.0
    assert config["experiment"]["training"]["batch_size"] == 4
    assert config["experiment"]["arms"] == ["zero_shot", "random", "selected"]
    assert config["selection"]["budget"]["examples"] == 12
    assert workbench.settings(workspace, sums).experiment.training.epochs == 4.0


def test_a_saved_selection_can_be_the_arm(
    opened: Open, workspace: Workspace, sums: str, started: list[tuple[Any, ...]]
) -> None:
    from curation import comparison

    saved = comparison.save_selection(workspace, workbench.view(workspace, sums), "<b>Mine</b>")
    app = opened("train", sums)
    choice = keyed(app.selectbox, "train-selection")
    assert choice.options == ["As it stands on the Curate page", "<b>Mine</b> v1"]
    choice.set_value(saved.subset).run()
    start(app).click().run()
    assert started[0][2]["selection"] == {"saved": saved.subset}


def test_looking_changes_nothing_that_another_tab_has_stored(opened: Open, workspace: Workspace, sums: str) -> None:
    before = workspace.settings(sums)
    app = opened("train", sums)
    app.run()
    assert workspace.settings(sums) == before


def test_options_that_make_no_sense_are_said_and_nothing_starts(opened: Open, sums: str) -> None:
    app = opened("train", sums)
    keyed(app.multiselect, "train-metrics").set_value([]).run()
    assert not app.exception
    assert "Choose at least one metric" in words(app)
    assert start(app).disabled


def test_a_running_experiment_shows_progress_and_losses_by_arm(
    opened: Open, workspace: Workspace, sums: str, job: Callable[..., str]
) -> None:
    job(workspace, sums, "running")
    app = opened("train", sums)
    assert not app.exception
    assert "**Experiment <b>1</b>**" in words(app)
    assert "Selected, seed 0: training · 2 of 6 steps · 2/s · 2 s left" in words(app)
    assert len(app.get("plotly_chart")) == 1
    assert {"Cancel"} <= {b.label for b in app.button}
    assert "Set up another experiment" in [e.label for e in app.expander]


def test_a_failed_experiment_says_why_and_can_be_resumed(
    opened: Open, workspace: Workspace, sums: str, job: Callable[..., str]
) -> None:
    job(workspace, sums, "failed", error="training diverged at step 3; lower the learning rate")
    app = opened("train", sums)
    assert not app.exception
    assert "Training diverged at step 3; lower the learning rate" in words(app)
    assert "Resume" in {b.label for b in app.button}
    assert start(app).label == "Start 6 trainings"


def test_a_finished_experiment_leads_to_its_evaluation(
    opened: Open, workspace: Workspace, sums: str, finish: Callable[..., dict[str, Any]]
) -> None:
    finish(workspace, sums)
    app = opened("train", sums)
    assert not app.exception
    assert "**Try 1** :gray[is done]" in words(app) and "12 examples" in words(app)
    next(b for b in app.button if b.label == "Read the evaluation").click().run()
    assert not app.exception
    assert app.title[0].value == "Evaluate"


def test_without_a_test_set_it_warns(opened: Open, workspace: Workspace, bare_of_tests: str) -> None:
    assert workspace.dataset(bare_of_tests, "test") is None
    assert "There is no test set" in words(opened("train", bare_of_tests))


def test_without_a_base_model_nothing_can_be_started(opened: Open, workspace: Workspace, sums: str) -> None:
    workspace.update_settings(sums, model=None)
    app = opened("train", sums)
    assert not app.exception
    assert "Choose a base model first" in words(app)
    assert start(app).disabled


COURSE = [["random", 0, 12, 6], ["random", 1, 12, 6], ["selected", 0, 12, 6], ["full", 0, 60, 30]]


def test_arms_of_a_running_experiment_are_told_and_one_can_be_left_out_or_stopped(
    opened: Open, workspace: Workspace, sums: str, job: Callable[..., str]
) -> None:
    from curation import jobs
    from curation.orders import Orders

    here = jobs.folder(workspace, job(workspace, sums, "running"))
    (here / "course.json").write_text(json.dumps(COURSE))
    ended = [{"stage": f"random, seed {n}: done", "done": 1, "time": 1.0, "attempt": 1, "judged": 1.0} for n in (0, 1)]
    with (here / "metrics.jsonl").open("a") as history:
        history.writelines(json.dumps(reading) + "\n" for reading in ended)
    app = opened("train", sums)
    assert not app.exception
    told = words(app)
    assert "**3 of 4**" in told and "**Random** :gray[tuned]" in told and "**Full pool** :gray[waiting]" in told
    assert "**Selected** :gray[training, seed 0]" in told
    with (here / "metrics.jsonl").open("a") as history:
        reading = {"stage": "random, seed 1: done", "done": 1, "time": 1.0, "attempt": 1, "diverged": 1.0}
        history.write(json.dumps(reading) + "\n")
    assert "**Random** :gray[diverged with seed 1, nothing kept]" in words(app.run())
    keyed(app.button, "Leave out-jobrunning-full").click().run()
    keyed(app.button, "Stop and keep-jobrunning-selected, seed 0").click().run()
    assert Orders(here).left_out() == ("full",) and Orders(here).stops() == {"selected, seed 0": None}
    assert "**Full pool** :gray[left out]" in words(app) and "Stopping after this step" in words(app)
    keyed(app.button, "Take in again-jobrunning-full").click().run()
    assert Orders(here).left_out() == ()


def test_a_further_model_of_a_running_experiment_is_judged_not_tuned(
    opened: Open, workspace: Workspace, sums: str, job: Callable[..., str]
) -> None:
    from curation import jobs

    here = jobs.folder(workspace, job(workspace, sums, "running"))
    (here / "course.json").write_text(json.dumps([["Big", 0, 0, 0], *COURSE]))
    with (here / "metrics.jsonl").open("a") as history:
        reading = {"stage": "Big, seed 0: done", "done": 1, "time": 1.0, "attempt": 1, "judged": 1.0}
        history.write(json.dumps(reading) + "\n")
    app = opened("train", sums)
    assert not app.exception
    assert "**Big** :gray[judged]" in words(app) and "**Random** :gray[waiting]" in words(app)
    assert "**3 of 4**" in words(app)


def test_a_paused_experiment_says_so_and_can_be_resumed(
    opened: Open, workspace: Workspace, sums: str, job: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from curation import jobs

    asked: list[tuple[str, bool]] = []
    monkeypatch.setattr(jobs, "cancel", lambda _ws, job_id, *, pause=False: asked.append((job_id, pause)))
    monkeypatch.setattr(jobs, "resume", lambda _ws, job_id, *, again=False: asked.append((job_id, again)))
    job(workspace, sums, "running")
    app = opened("train", sums)
    keyed(app.button, "Pause-page-jobrunning").click().run()
    assert asked == [("jobrunning", True)]
    here = jobs.folder(workspace, job(workspace, sums, "paused"))
    (here / "course.json").write_text(json.dumps(COURSE))
    reading = {"stage": "random, seed 0: done", "done": 1, "time": 1.0, "attempt": 1, "judged": 1.0}
    (here / "metrics.jsonl").open("a").write(json.dumps(reading) + "\n")
    with workspace.write() as session:
        from curation.tables import Job

        session.delete(session.get_one(Job, "jobrunning"))
    app.run()
    assert "Paused. Resume it to go on from what is finished." in words(app)
    assert "**Random** :gray[waiting, 1 of 2 seeds done]" in words(app)
    keyed(app.button, "Resume-page-jobpaused").click().run()
    assert asked[1:] == [("jobpaused", False)]


def test_a_finished_experiment_says_what_was_left_out_and_adds_it(
    opened: Open,
    workspace: Workspace,
    sums: str,
    finish: Callable[..., dict[str, Any]],
    job: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from curation import jobs
    from curation.orders import Orders

    result = finish(workspace, sums, arms=("zero_shot", "selected"))
    result |= {"left_out_arms": ["random"], "stopped": {"selected": {"0": [3, 6]}}}
    result["failed"] = {"full": {"1": "training diverged at step 3: loss nan; lower the learning rate (it is 0.5)"}}
    newest = workspace.experiments(sums)[0]
    (workspace.artefact("experiment", newest.key) / "result.json").write_text(json.dumps(result))
    job_id = job(workspace, sums, "succeeded", result=json.dumps({"experiment": newest.key}))
    workspace.add_experiment(sums, "Try 2", job_id=job_id, config=result["config"])
    Orders(jobs.folder(workspace, job_id)).leave("random")
    again: list[tuple[str, bool]] = []
    monkeypatch.setattr(jobs, "resume", lambda _ws, job_id, *, again=False, to=again: to.append((job_id, again)))
    app = opened("train", sums)
    assert not app.exception
    assert "The arm **Random** was left out." in words(app)
    assert "The arm **Selected** was stopped early." in words(app)
    assert "**Full pool**, seed 1: Training diverged at step 3: loss nan; lower the learning rate" in words(app)
    keyed(app.button, "complete-left_out_arms-random").click().run()
    assert again == [(job_id, True)]
    assert Orders(jobs.folder(workspace, job_id)).left_out() == ()
    finish(workspace, sums)
    app.run()
    assert not app.exception
    assert "Earlier experiments that can be completed" in [e.label for e in app.expander]
    keyed(app.button, f"complete-stopped-selected-{job_id}").click().run()
    assert again == [(job_id, True)] * 2


def test_an_arms_name_in_the_headline_is_plain_text(
    opened: Open,
    workspace: Workspace,
    sums: str,
    finish: Callable[..., dict[str, Any]],
    result_of: Callable[..., dict[str, Any]],
    hostile: str,
) -> None:
    told = finish(workspace, sums, arms=("zero_shot", "random"))
    renamed = {
        key: {hostile if arm == "random" else arm: value for arm, value in told[key].items()}
        for key in ("arms", "differences", "evaluations", "curves")
    }
    result_of(workspace, sums, **renamed)
    app = opened("train", sums)
    assert not app.exception
    said = [m.value for m in app.markdown if "12 examples of" in m.value]
    assert len(said) == 1 and hostile not in said[0] and "\\*\\*bold\\*\\*" in said[0]
