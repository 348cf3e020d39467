"""What arms will cost, and how their loss runs."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from curation import arms, comparison, design, experiments, forecast, pipeline
from curation.config import (
    BudgetConfig,
    ExperimentConfig,
    ModelConfig,
    RepresentationConfig,
    RunConfig,
    SelectionConfig,
    TrainingConfig,
)
from curation.workspace import Workspace
from tests.scripted import design as design_of
from tests.scripted import make_run

POOL = tuple(f"r{i}" for i in range(60))


@pytest.fixture(autouse=True)
def clocked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that tells at once what a training and a judgement take."""
    trial = SimpleNamespace(seconds=1.0, disk=1, memory=1, gpu_memory=0, while_tuning=0)
    monkeypatch.setattr(forecast, "_try_training", lambda *_: SimpleNamespace(whole=lambda *_: trial))
    monkeypatch.setattr(forecast, "_try_judging", lambda *_: (1.0, SimpleNamespace(host=1, gpu=0)))


def test_a_plan_counts_steps_as_the_trainer_does() -> None:
    from curation.training.trainer import BatchPlan

    training = TrainingConfig(epochs=2.5, batch_size=16)
    for n in (1, 15, 16, 17, 100):
        plan = BatchPlan([5] * n, batch_size=16, micro_batch_size=16, seed=0)
        assert design.steps(training, n) == round(2.5 * plan.steps_per_epoch)
    assert design.steps(TrainingConfig(max_steps=7), 1000) == 7
    assert design.steps(training, 0) == 0


def test_a_plan_has_every_arm_in_order_with_its_own_training() -> None:
    config = ExperimentConfig(
        arms=("full", "selected", "zero_shot", "random"),
        seeds=(0, 1, 2),
        training=TrainingConfig(epochs=2.0, batch_size=10),
        full_training=TrainingConfig(epochs=1.0, batch_size=10),
    )
    planned = arms.plan(config, 50, 1000)
    assert planned == [
        arms.ArmPlan("zero_shot", 0, 0, 0, 0),
        arms.ArmPlan("random", 50, 10, 100, 3),
        arms.ArmPlan("selected", 50, 10, 100, 3),
        arms.ArmPlan("full", 1000, 100, 1000, 3),
    ]


DESIGNS: dict[str, dict[str, Any]] = {
    "plain": {},
    "selectors and sizes": {
        "selections": {"greedy": {"selector": "doubly_greedy"}, "kde": {"selector": "knn_kde"}},
        "budgets": (4, 8),
    },
    "saved and files": {
        "arms": ("zero_shot", "random", "off_task", "selected", "full"),
        "selections": {"mine": {"saved": ""}, "greedy": {"selector": "doubly_greedy"}},
        "subsets": {"own": ""},
        "budgets": (4,),
    },
    "other models": {"models": {"demo": "winnow-tiny"}, "budgets": (4,)},
    "nothing selected": {"arms": ("random",), "selections": {"greedy": {"selector": "doubly_greedy"}}, "seeds": (0,)},
    "budgets of their own": {
        "selections": {
            "greedy": {"selector": "doubly_greedy", "budget": {"tokens": 90}},
            "kde": {"selector": "knn_kde", "budget": {"tokens": 90}},
            "few": {"budget": {"examples": 3}},
        },
    },
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, tiny_lm: Path) -> tuple[Workspace, RunConfig, dict[str, Any]]:
    """A run on rows of many lengths that a model represents, so that budgets can be in tokens; made once."""
    folder = tmp_path_factory.mktemp("arms")
    run = make_run(folder, tiny_lm, spread=True)
    run = dataclasses.replace(run, representation=RepresentationConfig(name="rds"))
    ws = Workspace(folder / "workspace")
    return ws, run, pipeline.run(ws, dataclasses.replace(run, experiment=None))


@pytest.mark.parametrize("name", DESIGNS)
@pytest.mark.parametrize("budget", [BudgetConfig(examples=8), BudgetConfig(tokens=150)], ids=["examples", "tokens"])
@pytest.mark.parametrize("equal", ["passes", "tokens"])
def test_plan_forecast_and_run_have_the_same_trainings(
    base: tuple[Workspace, RunConfig, dict[str, Any]], tmp_path: Path, name: str, budget: BudgetConfig, equal: str
) -> None:
    workspace, run, plain = base
    asked = {**DESIGNS[name], "equal": equal}
    shown = pipeline.read_represented(workspace.artefact("representation", plain["representation"]))
    own: dict[str, tuple[BudgetConfig, int]] = {}
    if "saved" in name:
        made = SelectionConfig(budget=BudgetConfig(tokens=90))
        view = SimpleNamespace(represented=shown, selection=made, subset=pipeline.select(workspace, shown, made))
        key = comparison.store_selection(workspace, view)  # type: ignore[arg-type]
        (tmp_path / "own.jsonl").write_text("\n".join(f"p{i}" for i in range(10)))
        asked["selections"] = {**asked["selections"], "mine": {"saved": key}}
        asked["subsets"] = {"own": str(tmp_path / "own.jsonl")}
        own = {"mine": (made.budget, view.subset.indices.size), "own": (BudgetConfig(examples=10), 10)}
    run = design_of(dataclasses.replace(run, selection=SelectionConfig(budget=budget)), **asked)
    assert run.model and run.experiment
    rows = pipeline.select(workspace, shown, run.selection).indices
    selected = tuple(workspace.ids(plain["pool"])[i] for i in rows)
    inputs = pipeline.experiment_inputs(
        workspace, shown, selected, run.model, plain["tests"], run.experiment, run.selection
    )
    sizes = design.further_sizes(run.experiment, budget, len(selected), own | _given(run.experiment, own))
    planned = arms.plan(run.experiment, len(selected), 40, sizes)
    trainings = [(arm, seed) for arm, seed, ids, _ in experiments.trainings(workspace, inputs, run.experiment) if ids]
    assert [(p.arm, seed) for p in planned if p.trainings for seed in run.experiment.seeds] == trainings
    course = arms.course_of(run.experiment, inputs)
    assert [(arm, seed) for arm, seed, _, n_steps in course if n_steps] == trainings
    assert {arm for arm, *_, n_steps in course if not n_steps} == run.experiment.models.keys()
    told = forecast.of_config(workspace, run)
    assert told is not None and told.rows == len(trainings) and set(told.parts) == {p.arm for p in planned}
    budgets = {arm.partition("@")[2] for arm in inputs.others} | {""}
    drawn = [p.arm for p in planned if design.base_of(p.arm) == "random"]
    assert {arm.partition("@")[2] for arm in drawn} == budgets and len(drawn) == len(budgets)
    if budget.examples:
        of = {arm: len(ids) for arm, ids in inputs.others.items() if "t" not in arm.partition("@")[2]}
        assert {arm: sizes[arm] for arm in of} == of


def _given(config: ExperimentConfig, own: dict[str, Any]) -> dict[str, tuple[BudgetConfig, int]]:
    """Budgets of selections that have one of their own; how many rows that is can only be guessed beforehand."""
    asked = {name: one["budget"] for name, one in config.selections.items() if "budget" in one and name not in own}
    return {name: (BudgetConfig(**budget), budget.get("examples", 5)) for name, budget in asked.items()}


def test_arms_of_one_token_budget_are_not_named_by_the_rows_that_fitted() -> None:
    config = ExperimentConfig(selections={"greedy": {"selector": "doubly_greedy"}}, budgets=(20,))
    main = BudgetConfig(tokens=1000)
    assert design.further_sizes(config, main, 50, {}) == {"greedy": 50, "selected@20": 20, "greedy@20": 20}
    inputs = design.Inputs(ModelConfig(name="m"), "p", "q", None, POOL, POOL[:50], {"greedy": POOL[:47]})
    plain = dataclasses.replace(config, budgets=())
    assert [row[0] for row in arms.course_of(plain, inputs)] == ["random", "selected", "greedy"]
    saved = dataclasses.replace(config, selections={"mine": {"saved": "k"}}, budgets=())
    assert design.further_sizes(saved, main, 50, {"mine": (BudgetConfig(tokens=500), 23)}) == {"mine@500t": 23}
    assert design.further_sizes(saved, main, 50, {}) == {"mine": 50}  # it can't be opened: the job will say so


def test_live_curves_are_by_arm_and_a_resumed_step_replaces_the_old_one() -> None:
    readings = [
        {"stage": "random, seed 0: training", "done": 1, "loss": 3.0},
        {"stage": "random, seed 0: training", "done": 2, "loss": 9.0},
        {"stage": "random, seed 0: training", "done": 2, "loss": 2.0},
        {"stage": "random, seed 0: judging", "done": 5, "loss": 7.0},
        {"stage": "selected, seed 1: training", "done": 1, "loss": None},
        {"stage": "selected, seed 1: training", "done": 2, "loss": 1.0},
        {"stage": "training", "done": 1, "loss": 4.0},
        {"stage": "random, seed 0: training", "done": 2, "query_loss": 1.5},
    ]
    assert arms.live_curves(readings) == {
        "random": [
            {"seed": 0, "step": 1, "loss": 3.0},
            {"seed": 0, "step": 2, "loss": 2.0},
            {"seed": 0, "step": 2, "query_loss": 1.5},
        ],
        "selected": [{"seed": 1, "step": 2, "loss": 1.0}],
    }
    assert arms.live_curves([]) == {}


PLANNED = [[arm, seed, 12, 6] for arm in ("random", "selected", "full") for seed in (0, 1)]


def ended(arm: str, seed: int, **outcome: float) -> dict[str, Any]:
    return {"stage": f"{arm}, seed {seed}: done", "done": 1, **(outcome or {"judged": 1.0})}


def told(*readings: dict[str, Any], left: tuple[str, ...] = (), stage: str = "", **stops: int | None) -> list[str]:
    orders = {name.replace("_", ", seed "): step for name, step in stops.items()}
    return [f"{of.state}: {of.told}" for of in arms.states(PLANNED, readings, left, orders, stage)]


def test_an_arm_stands_as_the_job_has_told_not_as_its_place_in_the_order_suggests() -> None:
    whole = [ended("random", seed) for seed in (0, 1)]
    training = {"stage": "selected, seed 1: training", "done": 3, "loss": 3.0}
    assert told() == ["waiting: waiting"] * 3
    stage = "selected, seed 1: training"
    now = ["tuned: tuned", "now: training, seed 1", "waiting: waiting"]
    assert told(*whole, ended("selected", 0), training, stage=stage) == now
    # The job does not run (paused, failed, cancelled): what is done stays done.
    assert told(*whole, ended("selected", 0), training)[:2] == ["tuned: tuned", "waiting: waiting, 1 of 2 seeds done"]
    # Left out while another arm was tuned, taken in again: it waits, though its turn was earlier.
    assert told(stage=stage, left=("random",))[0] == "left out: left out"
    assert told(stage=stage)[0] == "waiting: waiting"
    assert told(ended("full", 0), ended("full", 1), stage="full, seed 1: done")[2] == "tuned: tuned"


def test_a_stop_is_told_once_it_was_obeyed_and_not_done_once_it_is_taken_back() -> None:
    stopped = [ended("random", 0), ended("random", 1, judged=1.0, stopped=4.0)]
    assert told(*stopped, random_1=4)[0] == "tuned: tuned · stopped early: seed 1"
    assert told(*stopped)[0] == "waiting: waiting, 1 of 2 seeds done"
    assert told(*stopped, ended("random", 1))[0] == "tuned: tuned"  # trained to its end
    late = [ended("random", 0), ended("random", 1)]
    assert told(*late, random_1=None)[0] == "tuned: tuned"  # ordered when there was no step left


def test_failed_trainings_are_told_with_what_is_kept_of_them() -> None:
    diverged = ended("random", 1, diverged=1.0, kept=1200.0)
    assert told(diverged)[0] == "failed: diverged with seed 1, kept as of step 1,200 · 1 of 2 seeds done"
    both = [ended("random", 0, diverged=1.0), diverged]
    assert told(*both)[0] == (
        "failed: diverged with seed 0, nothing kept · diverged with seed 1, kept as of step 1,200"
    )
    assert told(*both, stage="random, seed 0: training")[0] == "now: training, seed 0"  # tried again
    assert told(ended("full", 0, unjudged=1.0), ended("full", 1))[2] == "failed: can't be judged with seed 0"
    assert told(*both, ended("random", 0), ended("random", 1))[0] == "tuned: tuned"


def test_the_course_tells_the_training_under_way_and_what_is_left() -> None:
    planned = [["random", 0, 12, 6], ["random", 1, 12, 6], ["selected", 0, 12, 6], ["selected", 1, 12, 10]]
    stage = "random, seed 1: training"
    old = [{"stage": stage, "attempt": 1, "done": n, "time": 100.0 * n, "loss": 1.0} for n in (1, 2)]
    new = [{"stage": stage, "attempt": 2, "done": n, "time": 900.0 + 2 * n, "loss": 1.0} for n in (2, 3, 4)]
    watched = {"stage": stage, "attempt": 2, "done": 4, "time": 999.0, "query_loss": 1.0}
    told = arms.course(planned, [*old, *new, watched])
    assert told == arms.Course("random", 1, 2, 4, 2.0 * (2 + 6 + 10))
    before = {"stage": "selected, seed 0: training", "attempt": 1, "done": 6, "time": 1.0, "loss": 1.0}
    again = arms.course(planned, [before, *old, *new])
    assert again == arms.Course("random", 1, 2, 4, 2.0 * (2 + 10))  # that one was done by an earlier attempt
    assert arms.course(planned, old[:1]) == arms.Course("random", 1, 2, 4, None)
    assert arms.course(planned, []) is None
    assert arms.under_way("my, arm, seed 1: answering") == ("my, arm", 1, "answering")
    assert arms.under_way("looking for test rows") is None
    assert arms.course(planned, [{**new[0], "stage": "another, seed 9: training"}]) is None
