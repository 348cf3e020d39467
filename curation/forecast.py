"""What an experiment will take, told before it starts: seconds, memory and disk, by a trial on its own rows.

A few optimizer steps are timed, and one batch of rows is judged by the asked metrics with the untuned model; every arm
and seed that is not there yet is priced from these. Left out: that a tuned model ends its answers sooner than an
untuned one, that early stopping ends trainings sooner, and judging epochs.
"""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from curation.config import BudgetConfig, EvaluationConfig, ExperimentConfig, TrainingConfig
from curation.cost import Cost
from curation.design import Inputs, untuned
from curation.experiments import arm_key, check, evaluation_key, measurable, test_rows, trainings
from curation.external import others
from curation.held_out import hold_out
from curation.memory import Peak, free, free_on_gpu
from curation.progress import Progress, Silent
from curation.workspace import Workspace

if TYPE_CHECKING:
    from curation.config import RunConfig
    from curation.data.rows import Example
    from curation.training.trial import Tried

SAMPLE = 512  # rows of the pool whose lengths stand for all
_TUNING_SPREAD, _JUDGING_SPREAD = 0.3, 0.5  # share of the told seconds within which the true ones are expected


def estimate(ws: Workspace, inputs: Inputs, config: ExperimentConfig, progress: Progress | None = None) -> Cost:
    """Foretell what `curation.experiments.experiment` will take; what is tuned or judged already costs nothing.

    Returns
    -------
    Cost
        ``parts`` are the arms; ``rows`` and ``reused`` count trainings, to be done and done already.

    Raises
    ------
    CurationError
        As `experiment`, where that would fail before it has tuned anything.
    """
    progress = progress or Silent()
    inputs, _ = hold_out(ws, inputs, config, progress)
    asked = dataclasses.replace(config.evaluation, metrics=measurable(config.evaluation, inputs.tests))
    check(ws, inputs, asked)
    further = others(inputs, config, asked, [*ws.examples(inputs.queries), *test_rows(ws, inputs)])
    todo, judgings, reused = [], [], 0
    for arm, seed, ids, training in trainings(ws, inputs, config):
        at, judging = inputs, asked
        if arm in further:
            at, judging = dataclasses.replace(inputs, model=further[arm].model), further[arm].asked
        key = arm_key(inputs, ids, training, seed) if arm not in untuned(config) else None
        if key is not None:
            done = ws.find("arm", key) is not None
            reused += done
            todo += [] if done else [(arm, len(ids), training)]
        if ws.find("evaluation", evaluation_key(at, key, judging)) is None:
            judgings.append((arm, at, judging))
    if not (todo or judgings):
        return Cost({}, 0.0, 0.0, 0, 0, 0, 0, reused, "it is tuned and judged already")
    return _price(ws, inputs, todo, judgings, reused, progress)


def of_config(ws: Workspace, asked: RunConfig, progress: Progress | None = None) -> Cost | None:
    """Foretell what the experiment of a config takes, None without one; any rows stand for those to be selected.

    Raises
    ------
    CurationError
        As `estimate`, and if data or a subset file can't be read.
    """
    from curation import comparison, design, pipeline, subset_files

    if asked.experiment is None or asked.model is None:
        return None
    pool, queries = pipeline.load(ws, asked.pool, "pool"), pipeline.load(ws, asked.queries, "query")
    tests = pipeline.load(ws, asked.tests, "test") if asked.tests else None
    ids = tuple(ws.ids(pool))
    config, main = asked.experiment, asked.selection.budget
    lengths = pipeline.tokens(ws, pool, asked.model)

    def rows(budget: BudgetConfig) -> int:
        return round((budget.tokens or 0) / lengths.mean()) if budget.examples is None else budget.examples

    own: dict[str, tuple[BudgetConfig, int]] = {}
    for name, one in config.selections.items():
        if "saved" in one:
            saved = comparison.open_artefact(ws, str(one["saved"]), name)
            own[name] = saved.selection.budget, len(saved.ids)
        elif one.get("budget"):
            budget = BudgetConfig.from_dict(one["budget"])
            own[name] = budget, rows(budget)
    files = {name: subset_files.read(ws, Path(path), pool) for name, path in config.subsets.items()}
    own |= {name: (BudgetConfig(examples=len(given)), len(given)) for name, given in files.items()}
    ids, n = tuple(ws.ids(pool)), rows(main)
    sizes = design.further_sizes(config, main, n, own)
    others = {arm: files.get(design.base_of(arm), ids)[:size] for arm, size in sizes.items()}
    inputs = Inputs(asked.model, pool, queries, tests, ids, ids[:n], others, ids)
    return estimate(ws, inputs, asked.experiment, progress)


def _price(
    ws: Workspace,
    inputs: Inputs,
    todo: Sequence[tuple[str, int, TrainingConfig]],
    judgings: Sequence[tuple[str, Inputs, EvaluationConfig]],
    reused: int,
    progress: Progress,
) -> Cost:
    from curation import evaluation

    tuning: dict[str, float] = {}
    disk = passing = memory = gpu_memory = 0
    if todo:
        progress.start("trying a few steps of a training", 0, "steps")
        tried = _try_training(ws, inputs, todo[0][2])
        for arm, n, training in todo:
            told = tried.whole(training, n)
            tuning[arm] = tuning.get(arm, 0.0) + told.seconds
            disk, passing = disk + told.disk, max(passing, told.while_tuning)
            memory, gpu_memory = max(memory, told.memory), max(gpu_memory, told.gpu_memory)
    judging: dict[str, float] = {}
    of_model: dict[str, float] = {}
    for arm, at, asked in judgings:
        if at.model.name not in of_model:
            progress.start("trying to judge a few rows", 0, "rows")
            seconds, peak = _try_judging(at, ws.examples(inputs.queries), test_rows(ws, inputs), asked)
            of_model[at.model.name] = seconds
            memory, gpu_memory = max(memory, peak.host), max(gpu_memory, peak.gpu)
        judging[arm] = judging.get(arm, 0.0) + of_model[at.model.name]
    parts = {arm: tuning.get(arm, 0.0) + judging.get(arm, 0.0) for arm in dict.fromkeys([*tuning, *judging])}
    total = sum(parts.values())
    error = _TUNING_SPREAD * sum(tuning.values()) + _JUDGING_SPREAD * sum(judging.values())
    harness = any(evaluation.on_rows(asked.metrics) != asked.metrics for _, _, asked in judgings)
    return Cost(
        parts,
        total - error,
        total + error,
        memory,
        gpu_memory,
        disk,
        len(todo),
        reused,
        "tried a few steps of training, and judged one batch of rows, with this model on your own rows"
        + ("; harness tasks come on top, untold" if harness else ""),
        _warnings(ws, memory, gpu_memory, disk, passing),
    )


def _try_training(ws: Workspace, inputs: Inputs, training: TrainingConfig) -> Tried:
    from curation.training.trial import try_training

    drawn = np.random.default_rng(0).permutation(len(inputs.candidates))[:SAMPLE]
    rows = ws.rows(inputs.pool, [inputs.candidates[i] for i in drawn])
    with tempfile.TemporaryDirectory() as scratch:
        return try_training(inputs.model, rows, training, Path(scratch) / "trial", seed=0)


def _try_judging(
    inputs: Inputs, queries: Sequence[Example], tests: Sequence[Example], asked: EvaluationConfig
) -> tuple[float, Peak]:
    """Seconds to judge one arm, and the memory that it takes: one batch judged, the rest by the number of batches."""
    from curation import evaluation, models

    began = time.monotonic()
    models.load_causal_lm(inputs.model)
    loading = time.monotonic() - began
    asked = dataclasses.replace(asked, metrics=evaluation.on_rows(asked.metrics))
    if not asked.metrics:
        return loading, Peak()
    few = [list(rows[: asked.batch_size]) for rows in (queries, tests)]
    with Peak() as peak:
        took = evaluation.evaluate(inputs.model, None, few[0], few[1], asked).seconds
    batches = max(len(rows) / max(1, len(tried)) for rows, tried in zip((queries, tests), few, strict=True))
    return loading + max(0.0, took - loading) * batches, peak


def _warnings(ws: Workspace, memory: int, gpu_memory: int, disk: int, passing: int) -> tuple[str, ...]:
    """Say what will not fit; `passing` is what one training writes besides and removes once it is done."""
    told = []
    for needed, room, where in (
        (memory, free(), "of memory"),
        (gpu_memory, free_on_gpu() if gpu_memory else 0, "on the GPU"),
    ):
        if needed > room:
            told.append(
                f"It needs about {needed / 1e9:.1f} GB {where} and {room / 1e9:.1f} GB are free: lower "
                "micro_batch_size or the longest conversation, choose LoRA or a smaller model, or close other programs."
            )
    room = shutil.disk_usage(ws.root).free
    if disk + passing > room:
        told.append(
            f"It writes about {disk / 1e9:.1f} GB, for a while up to {passing / 1e9:.1f} GB more to resume from, and "
            f"the workspace's disk has {room / 1e9:.1f} GB free: free some space, choose LoRA, or fewer arms or seeds."
        )
    return tuple(told)
