"""Further models as arms: judged untuned, before anything is tuned, without losses that mean something else."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest

from curation import (
    arms,
    external,
    figures_results,
    findings,
    forecast,
    jobs,
    pipeline,
    replies,
    result_tables,
    tasks,
    workbench,
)
from curation.config import EvaluationConfig, ExperimentConfig, ModelConfig, RunConfig
from curation.errors import ConfigError, EvaluationError, ModelError
from curation.evaluation import Evaluation
from curation.models import DEMO_MODEL
from curation.workspace import Workspace
from tests.scripted import Script, design, make_run


@pytest.fixture
def run(tmp_path: Path, tiny_lm: Path) -> RunConfig:
    """Two further models: the base with other weights, and one with another tokenizer."""
    twin = {"name": str(shutil.copytree(tiny_lm, tmp_path / "twin")), "dtype": "bfloat16"}
    return design(make_run(tmp_path, tiny_lm), seeds=(0,), models={"Twin": twin, "Other": DEMO_MODEL})


BASE = ModelConfig(name="base", dtype="bfloat16", max_length=99, revision="r", trust_remote_code=True)


def test_what_is_not_said_of_a_model_is_as_of_the_base_but_for_revision_and_trust() -> None:
    config = ExperimentConfig(models={"a": "owner/name", "b": {"name": "x", "dtype": "float16", "revision": "7"}})
    found = external.models_of(config, BASE)
    assert found["a"] == ModelConfig(name="owner/name", dtype="bfloat16", max_length=99)
    assert found["b"] == ModelConfig(name="x", dtype="float16", max_length=99, revision="7")
    with pytest.raises(ConfigError, match="model 'a' has no option 'size'"):
        external.models_of(ExperimentConfig(models={"a": {"name": "x", "size": 3}}), BASE)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"models": {"full": "x"}}, "an arm is named 'full', expected a name of its own"),
        ({"models": {"a": "x"}, "subsets": {"a": "y"}}, "an arm is named 'a'"),
        ({"models": {"a": " "}}, "the model 'a' is ' ', expected a hub id, a folder, or an object"),
        ({"models": {"a": {"dtype": "float32"}}}, "expected a hub id, a folder, or an object of options with `name`"),
    ],
)
def test_a_model_that_can_not_be_one_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        ExperimentConfig(**options)


def test_models_get_short_names_of_their_own_and_keep_those_they_have() -> None:
    known = {"Mine": {"name": "owner/a", "dtype": "float16"}}
    found = external.named(["owner/a", "/models/big@home", "other/a", " other/a ", "else/a", ""], known, {"full"})
    assert found == {
        "Mine": {"name": "owner/a", "dtype": "float16"},
        "big at home": "/models/big@home",
        "a": "other/a",
        "a (2)": "else/a",
    }
    assert external.named(["x/full", "y/kept"], {}, {"kept"}) == {"full (2)": "x/full", "kept (2)": "y/kept"}


def test_further_models_are_judged_untuned_first_and_compared_with(
    workspace: Workspace, run: RunConfig, script: Script, tmp_path: Path
) -> None:
    script.knows = {str(tmp_path / "twin"): 0.7, DEMO_MODEL: 0.2}
    made = pipeline.run(workspace, run)
    result = made["result"]
    assert list(result["arms"]) == ["zero_shot", "Twin", "Other", "random", "selected"]
    names = [Path(name).name for name, _ in script.judged]
    assert names == ["tiny-lm", "twin", DEMO_MODEL, "tiny-lm", "tiny-lm"]
    assert script.judged[1][1] == ("query_loss", "test_loss", "exact_match")
    assert script.judged[2][1] == ("exact_match",) and result["without_losses"] == ["Other"]
    against = result["differences"]["selected"]["exact_match"]
    assert [against[f"versus_{name}"]["mean"] for name in ("Twin", "Other")] == pytest.approx([0.3, 0.8])
    assert "versus_Other" not in result["differences"]["selected"]["test_loss"]
    assert not {"Twin", "Other", "zero_shot"} & result["differences"].keys()
    assert against["versus_random"]["comparisons"] == 1 and against["versus_zero_shot"]["comparisons"] == 2
    told = [f.sentence for f in findings.findings(result)]
    assert any(t.startswith("The model tuned on the selection beat Other as it is by 80.0 points exact") for t in told)
    assert findings.warnings(result)[1].startswith(
        "Other cuts answers into other tokens than the base model; a loss is"
    )
    assert findings.tuned_arms(result) == ["random", "selected"]
    table = result_tables.arms_table(result).set_index("Arm")
    assert table.loc["Other", "Test loss"] == "–" and table.loc["Other", "Exact match"].startswith("20.0 %")
    assert "Other" in list(result_tables.differences_table(result)["Against"])
    assert [t.name for t in figures_results.arms(result, "test_loss").data if t.name] == [
        *("Zero-shot", "Random", "Selected", "Twin")
    ]
    judged = len(script.judged)
    assert pipeline.run(workspace, run)["experiment"] == made["experiment"] and len(script.judged) == judged
    assert replies.can_talk(workspace, result, "Other/0") and not replies.can_talk(workspace, result, "Third/0")


def test_a_killed_experiment_does_not_judge_them_again(workspace: Workspace, run: RunConfig, script: Script) -> None:
    script.dies_at = 1
    with pytest.raises(KeyboardInterrupt):
        pipeline.run(workspace, run)
    script.dies_at = 0
    pipeline.run(workspace, run)
    assert len(script.judged) == 5


def test_a_model_that_judged_fewer_rows_is_compared_on_those(
    workspace: Workspace, run: RunConfig, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fewer(model: ModelConfig, *given: Any, **named: Any) -> Evaluation:
        found = script.evaluate(model, *given, **named)
        if model.name != DEMO_MODEL:
            return found
        ids, values = found.ids["exact_match"][5:], found.per_example["exact_match"][5:]
        return dataclasses.replace(found, ids={"exact_match": ids}, per_example={"exact_match": values})

    monkeypatch.setattr("curation.evaluation.evaluate", fewer)
    result = pipeline.run(workspace, run)["result"]
    assert result["differences"]["selected"]["exact_match"]["versus_Other"]["n_examples"] == 15
    assert result["differences"]["selected"]["exact_match"]["versus_Twin"]["n_examples"] == 20
    assert any("Exact match judged 15 of 20 test examples" in told for told in findings.warnings(result))


@pytest.mark.parametrize(
    ("models", "metrics", "error", "said"),
    [
        ({"Gone": "/no/such/folder"}, ("exact_match",), ModelError, "no model folder at /no/such/folder"),
        (
            {"Other": DEMO_MODEL},
            ("query_loss", "test_loss"),
            EvaluationError,
            "the model Other cuts answers into other",
        ),
    ],
)
def test_what_can_not_be_judged_is_refused_before_anything_is_tuned(
    workspace: Workspace,
    run: RunConfig,
    script: Script,
    models: dict[str, Any],
    metrics: tuple[str, ...],
    error: type[Exception],
    said: str,
) -> None:
    asked = design(run, models=models, evaluation=EvaluationConfig(metrics=metrics))
    with pytest.raises(error, match=said):
        pipeline.run(workspace, asked)
    with pytest.raises(error, match=said):
        forecast.of_config(workspace, asked)
    assert script.tuned == [] and script.judged == []


def test_a_folder_without_a_model_is_refused_before_a_job_waits(workspace: Workspace, run: RunConfig) -> None:
    project = workspace.create_project("Other models").id
    pipeline.run(workspace, dataclasses.replace(run, experiment=None), project_id=project)
    workbench.change(workspace, project, model=run.model)
    for models, said in (({"Gone": "/no/such"}, "no model folder at /no/such"), ({"Hub": "owner/name"}, "")):
        asked = {"experiment": {"models": models}, "selection": run.selection.to_dict()}
        if said:
            with pytest.raises(ModelError, match=said):
                tasks.start(workspace, project, "experiment", asked)
        else:
            assert tasks.newest(workspace, project, "experiment", asked) is None  # the hub is not asked
    assert jobs.jobs(workspace) == []


def test_keys_of_experiments_without_further_models_are_those_they_were(
    workspace: Workspace, run: RunConfig, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = design(run, models={})
    made = pipeline.run(workspace, plain)
    before = ExperimentConfig.to_dict
    monkeypatch.setattr(ExperimentConfig, "to_dict", lambda c: {k: v for k, v in before(c).items() if k != "models"})
    script.judged.clear()
    assert pipeline.run(workspace, plain)["experiment"] == made["experiment"] and script.judged == []
    old = {k: v for k, v in made["result"].items() if k not in ("models", "without_losses")}
    assert findings.tuned_arms(old) == ["random", "selected"] and findings.findings(old) and findings.warnings(old)


def test_plan_course_and_forecast_have_them(
    workspace: Workspace, run: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run.experiment is not None
    planned = arms.plan(run.experiment, 8, 40)
    assert [(p.arm, p.trainings, p.steps) for p in planned[:3]] == [(a, 0, 0) for a in ("zero_shot", "Twin", "Other")]
    tried: list[tuple[str, tuple[str, ...]]] = []

    def judge(inputs: Any, _queries: Any, _tests: Any, asked: EvaluationConfig) -> Any:
        tried.append((Path(inputs.model.name).name, asked.metrics))
        return float(len(tried)), type("Peak", (), {"host": 1, "gpu": 0})

    monkeypatch.setattr(forecast, "_try_judging", judge)
    monkeypatch.setattr(forecast, "_try_training", lambda *_: pytest.fail("nothing is tuned"))
    told = forecast.of_config(workspace, design(run, arms=("zero_shot",)))
    assert told is not None and told.parts == {"zero_shot": 1.0, "Twin": 2.0, "Other": 3.0}
    assert tried[1:] == [("twin", ("query_loss", "test_loss", "exact_match")), (DEMO_MODEL, ("exact_match",))]


def test_the_course_of_a_running_experiment_counts_trainings_alone() -> None:
    planned = [["Twin", 0, 0, 0], ["random", 0, 12, 6], ["selected", 0, 12, 6]]
    reading = {"stage": "random, seed 0: training", "attempt": 1, "done": 2, "time": 1.0, "loss": 1.0}
    told = arms.course(planned, [reading])
    assert told is not None and (told.place, told.trainings) == (1, 2)
