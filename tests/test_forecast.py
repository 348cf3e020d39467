"""An experiment's cost is told before it starts, counts only what is not there, and is near what it then takes."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from curation import forecast, pipeline
from curation.config import EvaluationConfig, RunConfig, TrainingConfig
from curation.errors import EvaluationError
from curation.training.recorder import RESUME_KEPT
from curation.training.trial import Tried
from curation.workspace import Workspace
from tests.scripted import Script, design, make_run


@pytest.fixture
def run(tmp_path: Path, tiny_lm: Path) -> RunConfig:
    return make_run(tmp_path, tiny_lm)


TRIED = Tried((10,) * 40, 4, 0, 2.0, 0.01, 100, 1000, 1500, 0, 0, 7)


@pytest.fixture
def clocked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which a padded token takes 0.01 s, a start 2 s, and a judgement 5 s."""
    monkeypatch.setattr(forecast, "_try_training", lambda *_: TRIED)
    peak = SimpleNamespace(host=1200, gpu=0)
    monkeypatch.setattr(forecast, "_try_judging", lambda *_: (5.0, peak))


def inputs_of(ws: Workspace, run: RunConfig) -> Any:
    made = pipeline.run(ws, dataclasses.replace(run, experiment=None))
    shown = pipeline.read_represented(ws.artefact("representation", made["representation"]))
    assert run.model and run.experiment
    ids = tuple(made["subset"]["id"])
    return pipeline.experiment_inputs(ws, shown, ids, run.model, made["tests"], run.experiment, run.selection)


@pytest.mark.usefixtures("clocked")
def test_every_arm_and_seed_that_is_missing_is_priced(workspace: Workspace, run: RunConfig, script: Script) -> None:
    asked = design(run, training=TrainingConfig(epochs=2.0, batch_size=4, micro_batch_size=4))
    assert asked.experiment is not None
    inputs = inputs_of(workspace, asked)
    told = forecast.estimate(workspace, inputs, asked.experiment)
    # 2 passes of 8 rows of 10 tokens: 2 + 0.01 · 160 s a training, three seeds, each judged for 5 s
    assert told.parts == pytest.approx({"random": 3 * (3.6 + 5), "selected": 3 * (3.6 + 5), "zero_shot": 5.0})
    assert (told.rows, told.reused, told.disk, told.memory) == (6, 0, 6 * 7, 1500)
    assert told.low == pytest.approx(told.seconds - 0.3 * 6 * 3.6 - 0.5 * 35)
    script.dies_at = 5
    with pytest.raises(KeyboardInterrupt):
        pipeline.run(workspace, asked)
    left = forecast.estimate(workspace, inputs, asked.experiment)
    assert left.parts == pytest.approx({"selected": 2 * (3.6 + 5)}) and (left.rows, left.reused) == (2, 4)
    script.dies_at = 0
    pipeline.run(workspace, asked)
    assert forecast.estimate(workspace, inputs, asked.experiment).parts == {}


@pytest.mark.usefixtures("clocked")
def test_what_will_not_fit_or_can_not_be_judged_is_said(
    workspace: Workspace, run: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    huge = dataclasses.replace(TRIED, memory=10**16, saved=10**16)
    monkeypatch.setattr(forecast, "_try_training", lambda *_: huge)
    inputs = inputs_of(workspace, run)
    assert run.experiment is not None
    memory, disk = forecast.estimate(workspace, inputs, run.experiment).warnings
    assert "GB of memory" in memory and "lower micro_batch_size" in memory
    assert "the workspace's disk has" in disk and "fewer arms or seeds" in disk
    monkeypatch.setattr(forecast, "_try_training", lambda *_: dataclasses.replace(TRIED, gpu_memory=15 * 10**8))
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda: (10**9, 8 * 10**9))
    assert forecast.estimate(workspace, inputs, run.experiment).warnings == (
        "It needs about 3.0 GB on the GPU and 1.0 GB are free: lower micro_batch_size or the longest conversation, "
        "choose LoRA or a smaller model, or close other programs.",
    )
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda: (4 * 10**9, 8 * 10**9))
    assert forecast.estimate(workspace, inputs, run.experiment).warnings == ()
    asked = design(run, evaluation=EvaluationConfig(metrics=("multiple_choice",))).experiment
    assert asked is not None
    with pytest.raises(EvaluationError, match="multiple_choice can judge none"):
        forecast.estimate(workspace, inputs, asked)


@pytest.mark.usefixtures("clocked")
def test_what_is_written_to_resume_from_must_fit_too(
    workspace: Workspace, run: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run.experiment is not None
    long = dataclasses.replace(TRIED, rate=1.0, saved=10**9)  # some minutes a training
    whole = long.whole(run.experiment.training, 8)
    assert whole.disk == 10**9 and whole.while_tuning == (RESUME_KEPT + 1) * 3 * 10**9
    early = TrainingConfig(early_stopping=True)
    assert TRIED.whole(early, 8).while_tuning == 7  # over before the first is due: the best epoch's weights alone
    monkeypatch.setattr(forecast, "_try_training", lambda *_: long)
    inputs = inputs_of(workspace, run)
    for room, fits in ((16 * 10**9, True), (14 * 10**9, False)):  # six trainings of 1 GB, and 9 GB while one runs
        monkeypatch.setattr("shutil.disk_usage", lambda _, room=room: SimpleNamespace(free=room))
        told = forecast.estimate(workspace, inputs, run.experiment)
        assert told.disk == 6 * 10**9 and (told.warnings == ()) == fits
    assert told.warnings[0].startswith(
        "It writes about 6.0 GB, for a while up to 9.0 GB more to resume from, and the workspace's disk has 14.0 GB"
    )


@pytest.mark.slow
def test_the_trials_are_real(workspace: Workspace, run: RunConfig) -> None:
    quick = design(run, seeds=(0,), training=TrainingConfig(epochs=1.0, batch_size=4, micro_batch_size=4))
    quick = design(quick, evaluation=EvaluationConfig(metrics=("query_loss", "exact_match"), max_new_tokens=4))
    assert quick.experiment is not None
    told = forecast.estimate(workspace, inputs_of(workspace, quick), quick.experiment)
    assert set(told.parts) == {"zero_shot", "random", "selected"} and all(s > 0 for s in told.parts.values())
    assert told.memory > 10**8 and told.disk > 10**4 and told.rows == 2 and told.low < told.seconds < told.high
    assert not workspace.artefacts("arm")


def test_rows_that_a_metric_brings_itself_are_not_tried_and_it_says_so(
    workspace: Workspace, run: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    from curation import evaluation, experiments, models
    from curation.config import EvaluationConfig
    from curation.evaluation import Evaluation

    judged: list[tuple[str, ...]] = []

    def judge(_model: Any, _adapter: Any, _queries: Any, _tests: Any, asked: EvaluationConfig) -> Evaluation:
        judged.append(asked.metrics)
        return Evaluation({}, {}, {}, seconds=1.0)

    monkeypatch.setattr(evaluation, "evaluate", judge)
    monkeypatch.setattr(models, "load_causal_lm", lambda _model: None)
    monkeypatch.setattr(forecast, "check", lambda *_: None)
    monkeypatch.setattr(experiments, "check", lambda *_: None)
    inputs = inputs_of(workspace, run)
    for metrics, tried in ((("harness", "query_loss"), [("query_loss",)]), (("harness",), [])):
        judged.clear()
        asked = design(run, arms=("zero_shot",), evaluation=EvaluationConfig(metrics=metrics)).experiment
        assert asked is not None
        assert forecast.estimate(workspace, inputs, asked).how.endswith("harness tasks come on top, untold")
        assert judged == tried
