"""`kill -9` at random moments of an experiment, each job resumed as the app resumes it, beside a run left alone.

Trainings save for resuming every second here, not every thirty, so that kills fall before and after a save.
"""

from __future__ import annotations

import dataclasses
import json
import os
import random
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from curation import jobs, tasks
from curation.config import (
    BudgetConfig,
    DatasetConfig,
    EvaluationConfig,
    ExperimentConfig,
    ModelConfig,
    RepresentationConfig,
    RunConfig,
    SelectionConfig,
    TrainingConfig,
)
from curation.progress import Progress
from curation.tables import Job
from curation.workspace import Workspace
from tests.benchmarks.measure import SHARED, TINY, Bench, Figure

SAVE_SECONDS = 1.0
PATIENCE = 600.0
MEASURED = ("seconds", "memory", "gpu_memory", "disk")  # what two runs of the same differ in
KINDS = ("tuning", "judging")


def _run(ws: Workspace, config: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """The product's own task, with trainings that save more often."""
    from curation.training import recorder

    recorder.CHECKPOINT_SECONDS = SAVE_SECONDS
    return tasks.TASKS["run"](ws, config, progress)


TASKS = {"run": _run}  # what `WINNOW_TASKS` names


@dataclasses.dataclass(frozen=True)
class Killed:
    """What became of an experiment under kills.

    Attributes
    ----------
    moments : list of (float, str)
        Seconds after the attempt began to work, and the stage that it was in.
    repeated : list of str
        Arms and judgements that were finished and were begun again; there should be none.
    begun : int
        Trainings and judgements that were begun, those that a kill cut short counted each time.
    resumed : int
        Trainings that went on from a save.
    result : dict
        The experiment's result, less what was measured.
    """

    moments: list[tuple[float, str]]
    repeated: list[str]
    begun: int
    resumed: int
    result: dict[str, Any]


def undisturbed(ws: Workspace, config: RunConfig) -> tuple[dict[str, Any], float]:
    """Run the job left alone; return its result, less what was measured, and the seconds that it worked."""
    job = jobs.wait(ws, _submit(ws, config), PATIENCE)
    if job.state != "succeeded" or job.started is None or job.ended is None:
        raise SystemExit(f"the undisturbed run failed: {job.error}")
    return settled(_result(ws, job.id)), job.ended - job.started


def killed(ws: Workspace, config: RunConfig, moments: Sequence[float | str]) -> Killed:
    """Kill the job's process at each moment, resume it, and let the last attempt end.

    Parameters
    ----------
    moments : sequence of float or str
        Seconds of an attempt's work, or the beginning of the stage in which it is killed. Those that come after the
        end of the work are left out.
    """
    job_id, told = _submit(ws, config), list[tuple[float, str]]()
    for moment in moments:
        job, began = _at(ws, job_id, "running"), time.monotonic()
        if isinstance(moment, str):
            while job.state == "running" and not job.stage.startswith(moment):
                time.sleep(0.05)
                job = jobs.job(ws, job_id)
        else:
            time.sleep(moment)
            job = jobs.job(ws, job_id)
        if job.state != "running" or job.pid is None:
            break
        os.kill(job.pid, signal.SIGKILL)
        _at(ws, job_id, "failed")
        told.append((round(time.monotonic() - began, 1), job.stage))
        jobs.resume(ws, job_id)
    if (job := jobs.wait(ws, job_id, PATIENCE)).state != "succeeded":
        raise SystemExit(f"the killed run failed: {job.error}")
    lines = jobs.log_tail(ws, job_id, 100_000).splitlines()
    begun = [line.partition(" ")[2] for line in lines if line[9:].startswith(KINDS)]
    resumed = sum("going on after step" in line for line in lines)
    return Killed(told, _repeated(begun), len(begun), resumed, settled(_result(ws, job_id)))


def _repeated(begun: list[str]) -> list[str]:
    """Works that were begun again though another one had been begun after them: only the last one can be cut short."""
    return [work for place, work in enumerate(begun) if work in begun[:place] and begun[place - 1] != work]


def _submit(ws: Workspace, config: RunConfig) -> str:
    os.environ["WINNOW_TASKS"] = "tests.benchmarks.experiments_kills"
    try:
        return jobs.submit(ws, "run", config.to_dict())
    finally:
        del os.environ["WINNOW_TASKS"]


def _at(ws: Workspace, job_id: str, state: str) -> Job:
    """Wait until the job is in a state, or has ended."""
    while (job := jobs.job(ws, job_id)).state != state and job.state in jobs.ACTIVE:
        time.sleep(0.05)
    return job


def _result(ws: Workspace, job_id: str) -> dict[str, Any]:
    key = json.loads(jobs.job(ws, job_id).result)["experiment"]
    result: dict[str, Any] = json.loads((ws.artefact("experiment", key) / "result.json").read_text())
    return result


def settled(result: dict[str, Any]) -> dict[str, Any]:
    """Return a result less what was measured."""
    arms = {arm: {k: v for k, v in told.items() if k not in MEASURED} for arm, told in result["arms"].items()}
    return result | {"arms": arms}


def small(folder: Path, *, pool: int = 40, seeds: int = 2, epochs: float = 3.0) -> RunConfig:
    """Return an experiment on sums that takes some seconds: two tuned arms and zero-shot."""
    files = {}
    for name, first, n in (("pool", 0, pool), ("queries", 900, 4), ("tests", 500, 12)):
        rows = [
            {"prompt": f"add the numbers {i} and {i + 7}", "response": str(2 * i + 7)} for i in range(first, first + n)
        ]
        files[name] = DatasetConfig(path=str(folder / f"{name}.jsonl"))
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return RunConfig(
        **files,
        model=ModelConfig(name=str(TINY), max_length=64, device="cpu"),
        representation=RepresentationConfig(name="lexical"),
        selection=SelectionConfig(budget=BudgetConfig(examples=pool // 2)),
        experiment=ExperimentConfig(
            arms=("zero_shot", "random", "selected"),
            seeds=tuple(range(seeds)),
            training=TrainingConfig(epochs=epochs, batch_size=4, micro_batch_size=4, learning_rate=1e-3, lora_r=4),
            evaluation=EvaluationConfig(max_new_tokens=4),
        ),
    )


def kills(bench: Bench) -> tuple[list[Figure], list[str]]:
    """Kill an experiment ten times at random moments and compare its end with that of a run left alone."""
    home = bench.cache / "experiment-kills"
    home.mkdir(parents=True, exist_ok=True)
    config = small(home) if bench.quick else _real(home)
    n_kills, clock, told = (2 if bench.quick else 10), random.Random(0), list[Killed]()
    whole, seconds = undisturbed(Workspace(home / "whole"), config)
    while (done := sum(len(one.moments) for one in told)) < n_kills:
        moments = [clock.uniform(0, 2 * seconds / n_kills) for _ in range(n_kills - done)]
        told.append(killed(Workspace(home / f"killed-{len(told)}"), config, moments))
    apart = max(_apart(whole, one.result) for one in told)
    repeated = [work for one in told for work in one.repeated]
    where = [f"{moment:.1f} s: {stage or 'preparing'}" for one in told for moment, stage in one.moments]
    begun, works = sum(one.begun for one in told), len(told) * _works(whole)
    words = [
        f"An experiment of {seconds:.0f} s, killed {len(where)} times in {len(told)} runs, so many seconds after an "
        f"attempt began to work: {'; '.join(where)}. {begun} trainings and judgements were begun, {works} are due; "
        f"{sum(one.resumed for one in told)} trainings went on from a save.",
    ]
    return [
        Figure("kills: most that a final metric is off", "nats or share", apart, None, 0.0, "= 0", higher=False),
        Figure("kills: finished arms or judgements begun again", "", len(repeated), None, 0, "= 0", higher=False),
        Figure("kills: kill -9 survived", "", len(where), None, n_kills, f"≥ {n_kills}"),
    ], words


def _real(folder: Path) -> RunConfig:
    """An experiment on real rows: two tuned arms with three seeds, some seconds a training."""
    run = small(folder, seeds=3, epochs=2.0)
    data = SHARED / "data"
    assert run.experiment is not None
    return dataclasses.replace(
        run,
        pool=DatasetConfig(path=str(data / "pool_small.jsonl.gz")),
        queries=DatasetConfig(path=str(data / "queries" / "gsm8k.jsonl")),
        tests=DatasetConfig(path=str(data / "tests" / "nat_inst_task835.jsonl")),
        model=ModelConfig(name=str(TINY), max_length=256, device="cpu"),
        selection=SelectionConfig(budget=BudgetConfig(examples=64)),
    )


def _works(result: dict[str, Any]) -> int:
    """Trainings and judgements that an experiment takes."""
    return sum(len(seeds) * (1 if arm == "zero_shot" else 2) for arm, seeds in result["evaluations"].items())


def _apart(ours: dict[str, Any], theirs: dict[str, Any]) -> float:
    """Largest distance between two results' metrics, seed by seed; infinite where all else is not the same."""
    values = [
        [v for told in one["arms"].values() for m in told["metrics"].values() for v in (m["mean"], *m["per_seed"])]
        for one in (ours, theirs)
    ]
    if len(values[0]) != len(values[1]) or ours["evaluations"] != theirs["evaluations"]:
        return float("inf")
    return max(abs(a - b) for a, b in zip(*values, strict=True))
