"""What is ordered while an experiment runs is obeyed, kept through restarts, told in the result, and undone."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from curation import experiments, findings, jobs, pipeline
from curation.config import RunConfig
from curation.design import Inputs
from curation.errors import EvaluationError, TrainingError
from curation.orders import Orders
from curation.workspace import Workspace
from tests.scripted import Script, make_run


@pytest.fixture
def run(tmp_path: Path, tiny_lm: Path) -> RunConfig:
    return make_run(tmp_path, tiny_lm)


@pytest.fixture
def inputs(workspace: Workspace, run: RunConfig, script: Script) -> Inputs:  # noqa: ARG001
    keys = [pipeline.load(workspace, data, role) for data, role in ((run.pool, "pool"), (run.queries, "query"))]
    assert run.tests and run.model and run.experiment
    tests = pipeline.load(workspace, run.tests, "test")
    shown = pipeline.represent(workspace, *keys, run.representation, draw_map=False)
    ids = workspace.ids(keys[0])
    return pipeline.experiment_inputs(
        workspace, shown, tuple(ids[i] for i in range(0, 32, 4)), run.model, tests, run.experiment, run.selection
    )


@pytest.fixture
def job(tmp_path: Path) -> Path:
    (tmp_path / "job").mkdir()
    return tmp_path / "job"


def test_orders_are_kept_in_the_file_and_undone(job: Path) -> None:
    given, read = Orders(job), Orders(job)
    assert (read.left_out(), read.stops()) == ((), {})
    given.leave("random")
    given.stop("my, seed arm, seed 0")
    given.stop("selected, seed 1")
    given.stopped_at("selected, seed 1", 17)
    assert read.left_out() == ("random",)
    assert read.stops() == {"my, seed arm, seed 0": None, "selected, seed 1": 17} == Orders(job).stops()
    given.take("random")
    given.take("my, seed arm")
    assert read.left_out() == () and read.stops() == {"selected, seed 1": 17}
    with (job / "orders.jsonl").open("a") as file:
        file.write('{"do": "leave", "of": "sel')  # half-written
    assert read.left_out() == () and Orders(job).left_out() == ()
    given.leave("full")  # behind the half-written line, which a full disk left
    assert read.left_out() == ("full",) == Orders(job).left_out()
    Orders().leave("random")  # nobody gives orders
    assert Orders().left_out() == ()


def test_an_arm_left_out_while_it_is_tuned_ends_there_and_the_others_go_on(
    workspace: Workspace, run: RunConfig, inputs: Inputs, script: Script, job: Path
) -> None:
    assert run.experiment
    whole = experiments.experiment(workspace, inputs, run.experiment)[0]
    script.tuned.clear()
    asked = run.experiment.from_dict({**run.experiment.to_dict(), "training": {"epochs": 9.0}})
    script.at_step = lambda n: Orders(job).leave("random") if n == 2 else None
    progress = _Log()
    key, result = experiments.experiment(workspace, inputs, asked, progress, Orders(job))
    assert list(result["arms"]) == ["zero_shot", "selected"] and result["left_out_arms"] == ["random"]
    assert "random" not in {**result["curves"], **result["evaluations"]} and len(script.tuned) == 5
    assert "versus_random" not in result["differences"]["selected"]["exact_match"]
    assert any("the arm Random was left out" in w for w in findings.warnings(result))
    assert "the arm random is left out; the others go on" in progress.lines
    script.tuned.clear()
    script.at_step = lambda _n: None
    again = experiments.experiment(workspace, inputs, asked, orders=Orders(job))
    assert again == (key, result) and script.tuned == []
    Orders(job).take("random")
    taken, result = experiments.experiment(workspace, inputs, asked, orders=Orders(job))
    assert list(result["arms"]) == ["zero_shot", "random", "selected"] and taken not in (key, whole)
    assert len(script.tuned) == 2  # its first seed and the other arms were done


def test_an_arm_taken_in_again_while_others_run_is_tuned_after_all(
    workspace: Workspace, run: RunConfig, inputs: Inputs, script: Script, job: Path
) -> None:
    assert run.experiment
    orders = {1: lambda: Orders(job).leave("random"), 2: lambda: Orders(job).take("random")}
    script.at_step = lambda n: orders.get(n, lambda: None)()
    result = experiments.experiment(workspace, inputs, run.experiment, orders=Orders(job))[1]
    assert result["left_out_arms"] == [] and len(result["arms"]["random"]["metrics"]["exact_match"]["per_seed"]) == 3


def test_a_tracker_that_is_not_installed_is_said_before_anything_is_tuned(
    workspace: Workspace, run: RunConfig, inputs: Inputs, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run.experiment
    monkeypatch.setattr("curation.tuning.find_spec", lambda _name: None)
    asked = run.experiment.from_dict({**run.experiment.to_dict(), "trackers": ["mlflow"]})
    with pytest.raises(TrainingError, match="the tracker mlflow is not installed; `pip install mlflow`, log in by its"):
        experiments.experiment(workspace, inputs, asked)
    assert script.tuned == []


def test_when_every_arm_is_left_out_it_says_so(workspace: Workspace, run: RunConfig, inputs: Inputs, job: Path) -> None:
    assert run.experiment
    for arm in run.experiment.arms:
        Orders(job).leave(arm)
    with pytest.raises(EvaluationError, match="every arm was left out, so there is nothing to judge; take one in"):
        experiments.experiment(workspace, inputs, run.experiment, orders=Orders(job))


def test_a_training_stopped_by_hand_is_kept_judged_told_and_never_taken_for_the_whole(
    workspace: Workspace, run: RunConfig, inputs: Inputs, script: Script, job: Path
) -> None:
    assert run.experiment
    script.at_step = lambda n: Orders(job).stop("random, seed 1") if n == 2 else None
    key, result = experiments.experiment(workspace, inputs, run.experiment, orders=Orders(job))
    assert result["stopped"] == {"random": {"1": [1, 2]}} and result["left_out_arms"] == []
    assert len(result["arms"]["random"]["metrics"]["exact_match"]["per_seed"]) == 3 and len(script.tuned) == 6
    assert [p["step"] for p in result["curves"]["random"] if p["seed"] == 1 and "loss" in p] == [1]
    told = next(w for w in findings.warnings(result) if "by hand" in w)
    assert told.startswith("The training of the arm Random with seed 1 was stopped by hand after step 1 of 2")
    again = experiments.experiment(workspace, inputs, run.experiment, orders=Orders(job))
    assert again == (key, result) and len(script.tuned) == 6  # a resumed job knows where it stopped
    other, undisturbed = experiments.experiment(workspace, inputs, run.experiment)
    assert other != key and undisturbed["stopped"] == {} and len(script.tuned) == 7
    keys = [r["evaluations"]["random"] for r in (result, undisturbed)]
    assert keys[0]["0"] == keys[1]["0"] and keys[0]["1"] != keys[1]["1"]
    Orders(job).take("random")
    assert experiments.experiment(workspace, inputs, run.experiment, orders=Orders(job)) == (other, undisturbed)


def test_orders_outlive_the_process_that_is_to_obey_them(
    workspace: Workspace, tiny_lm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WINNOW_TASKS", "job_tasks")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    config = {"folder": str(tmp_path), "model": str(tiny_lm), "seconds": 1.5}
    job_id = jobs.submit(workspace, "compare", config)
    _until(workspace, job_id, "random, seed 0: training")
    orders = Orders(jobs.folder(workspace, job_id))
    orders.leave("selected")
    orders.stop("random, seed 1")
    os.kill(jobs.job(workspace, job_id).pid or 0, signal.SIGKILL)
    _until(workspace, job_id, state="failed")
    jobs.resume(workspace, job_id)
    ended = jobs.wait(workspace, job_id, 120)
    result = json.loads(ended.result)
    assert (ended.state, ended.attempt) == ("succeeded", 2), ended.error
    assert (result["left_out_arms"], result["stopped"]) == (["selected"], {"random": {"1": [1, 2]}})
    orders.take("selected")
    orders.take("random")
    jobs.resume(workspace, job_id, again=True)
    _until(workspace, job_id, "selected, seed 0: training")
    orders.leave("selected")  # while it is at work
    result = json.loads(jobs.wait(workspace, job_id, 120).result)
    assert (result["left_out_arms"], result["stopped"]) == (["selected"], {})
    assert len(result["arms"]["random"]["metrics"]["query_loss"]["per_seed"]) == 3


def _until(ws: Workspace, job_id: str, stage: str = "", state: str = "running") -> None:
    deadline = time.monotonic() + 90
    while (job := jobs.job(ws, job_id)).state != state or not job.stage.startswith(stage):
        assert time.monotonic() < deadline, (job.state, job.stage, jobs.log_tail(ws, job_id))
        time.sleep(0.1)


class _Log:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def start(self, stage: str, total: int, unit: str = "examples") -> None: ...

    def advance(self, n: int = 1, **metrics: float) -> None: ...

    def log(self, message: str) -> None:
        self.lines.append(json.loads(json.dumps(message)))
