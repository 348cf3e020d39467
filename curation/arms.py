"""Arms as people meet them before and while they are tuned: what each will cost, how its loss runs.

Numbers and tables from configs and job readings; what came of them is in `findings` and `answers`.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from curation import design
from curation.config import ExperimentConfig
from curation.orders import training_name
from curation.wording import in_order


@dataclass(frozen=True)
class ArmPlan:
    """What one arm will cost: examples, optimizer steps of one training, examples seen in it, number of trainings."""

    arm: str
    n_examples: int
    steps: int
    seen: int
    trainings: int


def plan(
    config: ExperimentConfig, n_selected: int, n_candidates: int, others: Mapping[str, int] | None = None
) -> list[ArmPlan]:
    """Return what each arm will cost, in the order in which arms are tuned.

    Parameters
    ----------
    config : ExperimentConfig
        Arms, seeds, training.
    n_selected, n_candidates : int
        Examples of the selection, and of the pool that have features.
    others : mapping of arm to int, optional
        Sizes of further arms, as `curation.design.arm_sizes` takes them.
    """
    told = []
    for arm, n in design.arm_sizes(config, n_selected, n_candidates, others or {}).items():
        training = design.training_of(arm, config, n_selected)
        n_steps = design.steps(training, n)
        seen = n_steps * min(training.batch_size, n)
        told.append(ArmPlan(arm, n, n_steps, seen, 0 if arm in design.untuned(config) else len(config.seeds)))
    return told


_STAGE = re.compile(r"(.+), seed (\d+): (.+)")
_CURVES = ("loss", "query_loss")


def live_curves(readings: Iterable[Mapping[str, Any]]) -> dict[str, list[dict[str, float]]]:
    """Return the loss curves of a running experiment, in the form of a result's ``curves``: points of one loss each.

    Parameters
    ----------
    readings : iterable of mappings
        As `curation.jobs.metrics` returns them; what a resumed attempt did again replaces what was read before.
    """
    points: dict[tuple[str, int, int, str], float] = {}
    for r in readings:
        of = under_way(r["stage"])
        for name in _CURVES:
            if of and of[2] == "training" and r.get(name) is not None:
                points[of[0], of[1], r["done"], name] = r[name]
    curves: dict[str, list[dict[str, float]]] = {}
    for (arm, seed, step, name), loss in sorted(points.items()):
        curves.setdefault(arm, []).append({"seed": seed, "step": step, name: loss})
    return {arm: curves[arm] for arm in in_order(curves)}


_ENDED = frozenset({"judged", "unjudged", "diverged"})  # readings that tell how a training ended, also one found done


@dataclass(frozen=True)
class ArmState:
    """How an arm of a job stands (``tuned``, ``now``, ``waiting``, ``left out`` or ``failed``), and so in words."""

    arm: str
    state: str
    told: str


def states(
    planned: Sequence[Sequence[Any]],
    readings: Iterable[Mapping[str, Any]],
    left: Collection[str],
    stops: Mapping[str, int | None],
    stage: str = "",
) -> list[ArmState]:
    """Return how each arm of an experiment's job stands, in their turn; done is only what the job has told as done.

    Parameters
    ----------
    planned : sequence
        As `course_of` returns it.
    readings : iterable of mappings
        As `curation.jobs.metrics` returns them.
    left, stops
        Arms left out, and training → step at which it was stopped, as `curation.orders.Orders` has them.
    stage : str
        What the job is at; empty if it does not run.
    """
    ended = {of[:2]: r for r in readings if not _ENDED.isdisjoint(r) and (of := under_way(r["stage"]))}
    # A stopped training that is to go on after all is not done.
    ended = {of: r for of, r in ended.items() if "stopped" not in r or r["stopped"] == stops.get(training_name(*of))}
    now = under_way(stage)
    seeds: dict[str, list[int]] = {}
    for arm, seed, *_ in planned:
        seeds.setdefault(arm, []).append(seed)
    tuned = {arm for arm, *_, steps in planned if steps}
    found = []
    for arm, each in seeds.items():
        done = {seed: ended[arm, seed] for seed in each if (arm, seed) in ended}
        state, told = _stands(done, len(each), "tuned" if arm in tuned else "judged")
        if arm in left:
            state = told = "left out"
        elif now and now[0] == arm and now[2] != "done":
            state, told = "now", f"{now[2]}, seed {now[1]}"
        halted = [f"seed {seed}" for seed in each if stops.get(training_name(arm, seed))]
        found.append(ArmState(arm, state, told + (f" · stopped early: {', '.join(halted)}" if halted else "")))
    return found


def _stands(done: Mapping[int, Mapping[str, Any]], n: int, end: str) -> tuple[str, str]:
    """State and words of an arm of `n` trainings, done as `end`, that is neither left out nor under way."""
    failed = {seed: r for seed, r in done.items() if not r.get("judged")}
    rest = "" if len(done) in (0, n) else f"{len(done)} of {n} seeds done"
    if failed:
        return "failed", " · ".join(filter(None, [*(_failure(seed, r) for seed, r in failed.items()), rest]))
    return (end, end) if len(done) == n else ("waiting", ", ".join(filter(None, ["waiting", rest])))


def _failure(seed: int, told: Mapping[str, Any]) -> str:
    if not told.get("diverged"):
        return f"can't be judged with seed {seed}"
    return f"diverged with seed {seed}, " + (
        f"kept as of step {told['kept']:,.0f}" if "kept" in told else "nothing kept"
    )


def under_way(stage: str) -> tuple[str, int, str] | None:
    """Return arm, seed and what is done with it (``"training"``, …) from a job's stage; None if it is of no arm."""
    match = _STAGE.fullmatch(stage)
    return (match[1], int(match[2]), match[3]) if match else None


def course_of(config: ExperimentConfig, inputs: design.Inputs) -> list[list[Any]]:
    """Return arm, seed, examples and optimizer steps of each training of an experiment, in their turn.

    Before them stand the further models that are judged as they are, with no steps.
    """
    sizes = {arm: len(ids) for arm, ids in inputs.others.items()}
    planned = plan(config, len(inputs.selected), len(inputs.candidates), sizes)
    models = [[arm, config.seeds[0], 0, 0] for arm in config.models]
    return models + [[p.arm, seed, p.n_examples, p.steps] for p in planned if p.trainings for seed in config.seeds]


@dataclass(frozen=True)
class Course:
    """How far an experiment is: the training under way and its place, from 1; seconds left, None if not told yet."""

    arm: str
    seed: int
    place: int
    trainings: int
    seconds_left: float | None


def course(planned: Sequence[Sequence[Any]], readings: Sequence[Mapping[str, Any]]) -> Course | None:
    """Return how far a running experiment is, from what it has told; None before its first training.

    Seconds are those of the steps to come at the speed of the present attempt's steps, judging left out.

    Parameters
    ----------
    planned : sequence
        As `course_of` returns it, without the arms that are left out.
    readings : sequence of mappings
        As `curation.jobs.metrics` returns them.
    """
    steps = [(of, r) for r in readings if r.get("loss") is not None and (of := under_way(r["stage"]))]
    if not steps:
        return None
    planned = [row for row in planned if row[3]]
    (arm, seed, _), last = steps[-1]
    place = next((n for n, (a, s, *_) in enumerate(planned) if (a, s) == (arm, seed)), None)
    if place is None:
        return None
    taken = seconds = 0.0
    for (_, before), (_, after) in itertools.pairwise(steps):
        if before["stage"] == after["stage"] and before["attempt"] == after["attempt"] == last["attempt"]:
            taken += after["done"] - before["done"]
            seconds += after["time"] - before["time"]
    reached = {of[:2]: r["done"] for of, r in steps}  # a resumed experiment has done later ones before
    left = sum(row[3] - reached.get((row[0], row[1]), 0) for row in planned[place:])
    return Course(arm, seed, place + 1, len(planned), seconds / taken * left if taken > 0 else None)
