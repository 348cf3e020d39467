"""Arms × seeds: tune the base model on each arm's subset, judge every one the same way, put error bars on it.

An arm is the selection, a random subset of the same budget, the whole pool, or the base model as it is (zero-shot,
always worth having: on modern bases 500 examples often hurt). Every tuned arm starts from the same weights with the
same options and the same number of epochs; random arms draw another subset for each seed. Tuned models and their
judgements are artefacts of their own, so a stopped experiment goes on with the arm at which it stopped.
"""

from __future__ import annotations

import dataclasses
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from curation.config import EvaluationConfig, ExperimentConfig, ModelConfig, TrainingConfig
from curation.errors import EvaluationError, SelectionError
from curation.progress import Part, Progress, Silent
from curation.workspace import Workspace, content_key

if TYPE_CHECKING:
    from curation.data.rows import Example
    from curation.evaluation import Evaluation

VERSION = 1
ZERO_SHOT = "zero_shot"


@dataclass(frozen=True)
class Inputs:
    """What an experiment compares on: the base model, what may be picked, what was picked, what judges.

    `candidates` are the ids that any arm may draw from (rows without features are left out of every arm alike),
    `selected` the ids of the selection under test.
    """

    model: ModelConfig
    pool: str
    queries: str
    tests: str | None
    candidates: tuple[str, ...]
    selected: tuple[str, ...]


def experiment(
    ws: Workspace, inputs: Inputs, config: ExperimentConfig, progress: Progress | None = None
) -> tuple[str, dict[str, Any]]:
    """Tune and judge every arm; return the result's key and the result.

    Returns
    -------
    key : str
        The artefact ``experiment/<key>`` with ``result.json``.
    result : dict
        ``arms`` (name → number of examples, tokens, seconds, metrics with mean, low, high and the value of each
        seed), ``differences`` (arm → metric → against random and zero-shot), ``curves`` (arm → points of the loss
        curve), ``evaluations`` (arm → seed → key), ``n_test``, ``n_query``, ``config``.

    Raises
    ------
    EvaluationError
        If a metric needs a test set and there is none.
    SelectionError
        If the selection is empty.
    """
    from curation.models import fingerprint

    progress = progress or Silent()
    metrics = _metrics(config.evaluation, inputs.tests)
    asked = dataclasses.replace(config.evaluation, metrics=metrics)
    if "selected" in config.arms and not inputs.selected:
        raise SelectionError("the selection is empty, expected at least one example; raise the budget and start again")
    weights = fingerprint(inputs.model.name, inputs.model.revision)
    model = {k: v for k, v in inputs.model.to_dict().items() if k not in ("name", "revision", "device")}
    key = content_key(
        "experiment",
        version=VERSION,
        weights=weights,
        model=model,
        config=config.to_dict(),
        **{k: v for k, v in dataclasses.asdict(inputs).items() if k != "model"},
    )
    if (folder := ws.find("experiment", key)) is not None:
        return key, json.loads((folder / "result.json").read_text())
    arms: dict[str, dict[str, Any]] = {}
    evaluations: dict[str, dict[str, str]] = {}
    curves: dict[str, list[dict[str, float]]] = {}
    judged: dict[str, list[Evaluation]] = {}
    for arm in sorted(config.arms, key=list(_ARM_ORDER).index):
        started = time.monotonic()
        arms[arm] = {"n_examples": 0, "tokens": 0}
        judged[arm], evaluations[arm], curves[arm] = [], {}, []
        for seed in config.seeds[:1] if arm == ZERO_SHOT else config.seeds:
            ids = arm_ids(arm, inputs, seed)
            training = config.full_training if arm == "full" and config.full_training else config.training
            adapter = None
            if arm != ZERO_SHOT:
                adapter = tune(ws, inputs, ids, training, seed, title=f"{arm}, seed {seed}", progress=progress)
                told = json.loads((adapter / "result.json").read_text())
                arms[arm] = {"n_examples": len(ids), "tokens": told["tokens"], "rejected": len(told["rejected"])}
                lines = (adapter / "log.jsonl").read_text().splitlines()
                curves[arm] += [{**json.loads(line), "seed": seed} for line in lines]
            evaluation_key, evaluation = judge(
                ws, inputs, adapter, asked, title=f"{arm}, seed {seed}", progress=progress
            )
            evaluations[arm][str(seed)] = evaluation_key
            judged[arm].append(evaluation)
        arms[arm]["seconds"] = round(time.monotonic() - started, 1)
    result: dict[str, Any] = {
        "arms": {arm: {**arms[arm], "metrics": metrics} for arm, metrics in _summaries(judged).items()},
        "differences": _differences(judged),
        "curves": curves,
        "evaluations": evaluations,
        "n_query": ws.count(inputs.queries),
        "n_test": ws.count(inputs.tests) if inputs.tests else 0,
        "metrics": list(metrics),
        "selected": list(inputs.selected),
        "queries": inputs.queries,
        "tests": inputs.tests,
        "model": inputs.model.to_dict(),
        "seeds": list(config.seeds),
        "config": config.to_dict(),
    }
    with ws.build("experiment", key, config.to_dict()) as part:
        (part / "result.json").write_text(json.dumps(result, ensure_ascii=False, indent=1, sort_keys=True))
    return key, result


_ARM_ORDER = (ZERO_SHOT, "random", "selected", "full")


def arm_ids(arm: str, inputs: Inputs, seed: int) -> tuple[str, ...]:
    """Return the ids that `arm` is tuned on; the random arm draws as many as were selected, anew for each seed."""
    if arm == "selected":
        return inputs.selected
    if arm == "random":
        drawn = np.random.default_rng(seed).choice(len(inputs.candidates), size=len(inputs.selected), replace=False)
        return tuple(inputs.candidates[i] for i in drawn)
    return inputs.candidates if arm == "full" else ()


def tune(
    ws: Workspace,
    inputs: Inputs,
    ids: tuple[str, ...],
    training: TrainingConfig,
    seed: int,
    *,
    title: str,
    progress: Progress,
) -> Path:
    """Fine-tune the base model on the rows `ids` and return the artefact's folder; made once, resumed if stopped."""
    from curation import training as trainer
    from curation.models import fingerprint

    model = inputs.model
    key = content_key(
        "arm",
        version=trainer.VERSION,
        weights=fingerprint(model.name, model.revision),
        dtype=model.dtype,
        max_length=model.max_length,
        ids=ids,
        training=training.to_dict(),
        seed=seed,
        queries=inputs.queries if training.early_stopping else None,
    )

    def make(part: Path) -> None:
        progress.log(f"tuning {title} on {len(ids)} examples")
        rows = ws.rows(inputs.pool, ids)
        queries = ws.examples(inputs.queries) if training.early_stopping else []
        trainer.fine_tune(model, rows, training, part, seed=seed, queries=queries, progress=Part(progress, title))

    return ws.produce("arm", key, make, {"title": title, "seed": seed, **training.to_dict()}, resumable=True)


def judge(
    ws: Workspace,
    inputs: Inputs,
    arm: Path | None,
    config: EvaluationConfig,
    *,
    title: str,
    progress: Progress,
) -> tuple[str, Evaluation]:
    """Judge a tuned arm (None: the base model) on the query and test sets; return its key and the judgement."""
    from curation import evaluation
    from curation.models import fingerprint

    model = inputs.model
    key = content_key(
        "evaluation",
        version=evaluation.VERSION,
        weights=fingerprint(inputs.model.name, inputs.model.revision),
        dtype=model.dtype,
        max_length=model.max_length,
        arm=arm.name if arm else None,
        queries=inputs.queries,
        tests=inputs.tests,
        metrics=config.metrics,
        max_new_tokens=config.max_new_tokens,
    )

    def make(part: Path) -> None:
        progress.log(f"judging {title}")
        queries = ws.examples(inputs.queries)
        tests: list[Example] = ws.examples(inputs.tests) if inputs.tests else []
        told = Part(progress, title)
        judged = evaluation.evaluate(model, arm / "model" if arm else None, queries, tests, config, progress=told)
        (part / "evaluation.json").write_text(json.dumps(judged.to_dict(), ensure_ascii=False, sort_keys=True))

    folder = ws.produce("evaluation", key, make, {"title": title, **config.to_dict()})
    return key, evaluation.Evaluation.from_dict(json.loads((folder / "evaluation.json").read_text()))


def _metrics(config: EvaluationConfig, tests: str | None) -> tuple[str, ...]:
    """Return the metrics that can be judged; without a test set only those on the queries."""
    from curation import evaluation

    kept = tuple(n for n in config.metrics if tests or evaluation.METRICS.load(n).role == "queries")
    if not kept:
        raise EvaluationError(
            f"the metrics {', '.join(config.metrics)} need a test set and there is none; load one, or add query_loss"
        )
    return kept


def _summaries(judged: dict[str, list[Evaluation]]) -> dict[str, dict[str, dict[str, Any]]]:
    """Arm → metric → mean and 95 % interval over seeds and examples, and the mean of each seed."""
    from curation.evaluation import statistics

    return {
        arm: {
            metric: {**interval.to_dict(), "per_seed": [e.summary[metric] for e in evaluations]}
            for metric, interval in statistics.summarise(evaluations).items()
        }
        for arm, evaluations in judged.items()
    }


def _differences(judged: dict[str, list[Evaluation]]) -> dict[str, dict[str, dict[str, Any]]]:
    """Arm → metric → difference from random and from zero-shot, paired by example."""
    from curation.evaluation import statistics

    told: dict[str, dict[str, dict[str, Any]]] = {}
    for arm, evaluations in judged.items():
        for other in ("random", ZERO_SHOT):
            if arm in (other, ZERO_SHOT) or other not in judged:
                continue
            for metric, found in statistics.compare(evaluations, judged[other]).items():
                row = {**found.to_dict(), "distinguishable": found.distinguishable}
                told.setdefault(arm, {}).setdefault(metric, {})[f"versus_{other}"] = row
    return told
