"""What arms will cost, and how their loss runs."""

from __future__ import annotations

from typing import Any

from curation import arms, design
from curation.config import ExperimentConfig, TrainingConfig


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


def test_the_plan_has_further_selections_files_and_sizes() -> None:
    config = ExperimentConfig(
        arms=("zero_shot", "random", "selected"),
        selections={"saved": {"saved": "k"}, "greedy": {"selector": "doubly_greedy"}},
        subsets={"own": "/x.jsonl"},
        budgets=(10, 50, 80),
    )
    sizes = arms.further_sizes(config, 50, {"saved": 30, "own": 60})
    assert sizes == {
        "saved@30": 30,
        "greedy": 50,
        "selected@10": 10,
        "selected@80": 80,
        "saved@10": 10,
        "saved": 50,
        "saved@80": 80,
        "greedy@10": 10,
        "greedy@80": 80,
        "own@60": 60,
        "own@10": 10,
        "own": 50,
    }
    assert {p.arm for p in arms.plan(config, 50, 1000, sizes)} >= {"random@30", "random@60", "own@60", "selected"}


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
