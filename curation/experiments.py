"""Arms × seeds: tune the base model on each arm's subset, judge every one the same way, put error bars on it.

An arm (`design`) is a selection, a random or off-task subset of the same size, a subset file, the whole pool, the base
model as it is (zero-shot, always worth having: on modern bases 500 examples often hurt), or a further model as it is
(`external`). Every tuned arm starts from the same weights with the same options. Tuned models and their judgements are
artefacts of their own, so a stopped experiment goes on with the arm at which it stopped. While it runs, `orders` may
leave an arm out or stop a training; the result says so and has a key of its own.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curation.budgets import budgets_of, knees
from curation.config import EvaluationConfig, ExperimentConfig, TrainingConfig
from curation.design import ZERO_SHOT, Inputs, arm_ids, arm_sizes, training_of, untuned
from curation.effects import differences, summaries, unanswered
from curation.errors import EvaluationError, SelectionError, TrainingError
from curation.external import Other, identities, others
from curation.held_out import hold_out
from curation.orders import ArmLeftOutError, Orders, training_name
from curation.progress import Progress, Silent
from curation.tuning import Obedient, arm_key, require_trackers, tune
from curation.workspace import Workspace, content_key

if TYPE_CHECKING:
    from curation.data.rows import Example
    from curation.evaluation import Evaluation

__all__ = ["ZERO_SHOT", "Inputs", "arm_ids", "arm_key", "differences", "experiment", "judge", "summaries", "tune"]

VERSION = 2
_ASIDE = ("price_per_hour", "quantiles", "trackers")  # options that change nothing of the result


def experiment(
    ws: Workspace,
    inputs: Inputs,
    config: ExperimentConfig,
    progress: Progress | None = None,
    orders: Orders | None = None,
) -> tuple[str, dict[str, Any]]:
    """Tune and judge every arm; return the result's key and the result.

    An arm whose training diverges with a seed is judged by its other seeds; the others go on.

    Parameters
    ----------
    inputs, config
        What is compared, and how.
    orders : Orders, optional
        Arms to leave out and trainings to stop, looked at after each step.

    Returns
    -------
    key : str
        The artefact ``experiment/<key>`` with ``result.json``.
    result : dict
        ``arms`` (name → number of examples, tokens, what it took, metrics with mean, low, high and the value of each
        seed), ``differences`` (arm → metric → against the random arm of its size and zero-shot, corrected for the
        number of arms), ``knees`` (see `curation.budgets`), ``curves`` (arm → points of the loss curves),
        ``evaluations`` and ``tuned`` (arm → seed → key), ``failed`` (arm → seed → why), ``stopped`` (arm → seed →
        steps taken and planned), ``left_out_arms``, ``unanswered`` (arm → empty and all answers), ``overlap`` (see
        `held_out`), ``models`` (arm → further model), ``without_losses`` (those of them with other tokens),
        ``n_test``, ``n_query``, ``n_dev``, ``config``.

    Raises
    ------
    EvaluationError
        If a metric needs a test set or a field that is not there, or no test row or arm is left to judge.
    SelectionError
        If the selection is empty, or an arm can't draw as many rows as it is to.
    TrainingError
        If training fails, or diverged in every arm.
    ModelError
        If a model can't be loaded; further ones are judged before anything is tuned.
    """
    from curation.evaluation import fingerprints
    from curation.models import fingerprint

    progress, orders = progress or Silent(), orders or Orders()
    if "selected" in config.arms and not inputs.selected:
        raise SelectionError("the selection is empty, expected at least one example; raise the budget and start again")
    inputs, overlap = hold_out(ws, inputs, config, progress)
    asked = dataclasses.replace(config.evaluation, metrics=measurable(config.evaluation, inputs.tests))
    further = others(inputs, config, asked, [*ws.examples(inputs.queries), *test_rows(ws, inputs)])
    weights = fingerprint(inputs.model.name, inputs.model.revision)
    model = {k: v for k, v in inputs.model.to_dict().items() if k not in ("name", "revision", "device")}

    depends = {"files": fingerprints(asked), "further": identities(further)}

    def key_of(**disturbed: Any) -> str:
        return content_key(
            "experiment",
            version=VERSION,
            weights=weights,
            model=model,
            config={k: v for k, v in config.to_dict().items() if k not in _ASIDE and (v or k != "models")},
            **{k: v for k, v in dataclasses.asdict(inputs).items() if k != "model"},
            **{name: value for name, value in {**disturbed, **depends}.items() if value},
        )

    key = key_of(stops=orders.stops(), left=orders.left_out())
    if (folder := ws.find("experiment", key)) is not None:
        return key, json.loads((folder / "result.json").read_text())
    check(ws, inputs, asked)
    require_trackers(config.trackers)
    tried = _run(ws, inputs, config, asked, further, progress, orders)
    key = key_of(stops={training_name(*of): steps for of, (steps, _) in tried.stopped.items()}, left=tried.left)
    n_tests = ws.count(inputs.tests) if inputs.tests else 0
    budgets = budgets_of({arm: told["n_examples"] for arm, told in tried.arms.items()}, len(inputs.selected))
    result: dict[str, Any] = {
        "arms": {arm: {**tried.arms[arm], "metrics": told} for arm, told in summaries(tried.judged).items()},
        "differences": differences(tried.judged, [arm for arm in further if arm in tried.judged]),
        "knees": knees(tried.judged, budgets),
        "curves": tried.curves,
        "evaluations": tried.evaluations,
        "tuned": tried.tuned,
        "failed": tried.failed,
        "stopped": _by_arm(tried.stopped),
        "left_out_arms": list(tried.left),
        "unanswered": unanswered(tried.judged),
        "overlap": overlap,
        "n_query": ws.count(inputs.queries),
        "n_test": n_tests - len(inputs.left_out),
        "n_dev": len(inputs.dev),
        "metrics": list(asked.metrics),
        "selected": list(inputs.selected),
        "queries": inputs.queries,
        "tests": inputs.tests,
        "left_out": list(inputs.left_out),
        "model": inputs.model.to_dict(),
        "models": {arm: one.model.to_dict() for arm, one in further.items()},
        "without_losses": [arm for arm, one in further.items() if one.asked != asked],
        "seeds": list(config.seeds),
        "config": config.to_dict(),
    }
    with ws.build("experiment", key, config.to_dict()) as part:
        (part / "result.json").write_text(json.dumps(result, ensure_ascii=False, indent=1, sort_keys=True))
    return key, result


@dataclasses.dataclass
class _Tried:
    """What came of the arms so far, each by its name."""

    arms: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    judged: dict[str, list[Evaluation]] = dataclasses.field(default_factory=dict)
    evaluations: dict[str, dict[str, str]] = dataclasses.field(default_factory=dict)
    tuned: dict[str, dict[str, str]] = dataclasses.field(default_factory=dict)
    curves: dict[str, list[dict[str, float]]] = dataclasses.field(default_factory=dict)
    failed: dict[str, dict[str, str]] = dataclasses.field(default_factory=dict)
    stopped: dict[tuple[str, int], list[int]] = dataclasses.field(default_factory=dict)
    left: tuple[str, ...] = ()

    def leave(self, arms: tuple[str, ...]) -> None:
        """Drop the arms that were left out, tuned in part or not."""
        self.left = arms
        for told in (self.arms, self.judged, self.evaluations, self.tuned, self.curves, self.failed):
            for arm in arms:
                told.pop(arm, None)
        self.stopped = {of: steps for of, steps in self.stopped.items() if of[0] not in arms}


def trainings(
    ws: Workspace, inputs: Inputs, config: ExperimentConfig
) -> Iterator[tuple[str, int, tuple[str, ...], TrainingConfig]]:
    """Yield arm, seed, ids and options of each training in its turn; arms that are not tuned once, with no ids."""
    tokens = lengths(ws, inputs) if config.equal == "tokens" else None
    sizes = {arm: len(ids) for arm, ids in inputs.others.items()}
    for arm in arm_sizes(config, len(inputs.selected), len(inputs.candidates), sizes):
        for seed in config.seeds[:1] if arm in untuned(config) else config.seeds:
            ids = arm_ids(arm, inputs, seed, tokens)
            yield arm, seed, ids, training_of(arm, config, len(inputs.selected))


def _run(
    ws: Workspace,
    inputs: Inputs,
    config: ExperimentConfig,
    asked: EvaluationConfig,
    further: Mapping[str, Other],
    progress: Progress,
    orders: Orders,
) -> _Tried:
    """Tune and judge all arms and seeds but those that are left out by the end."""
    tried, waiting = _Tried(), list(trainings(ws, inputs, config))
    error: TrainingError | None = None
    while True:
        left = orders.left_out()
        place = next((n for n, (arm, *_) in enumerate(waiting) if arm not in left), None)
        if place is None:
            break
        try:
            other = further.get(waiting[place][0])
            at = dataclasses.replace(inputs, model=other.model) if other else inputs
            judging = other.asked if other else asked
            error = _one(ws, at, waiting[place], config, judging, progress, orders, tried) or error
            waiting.pop(place)
        except ArmLeftOutError as told:
            progress.log(f"the arm {told} is left out; the others go on")
    tried.leave(left)
    if error is not None and not tried.judged.keys() - {*untuned(config)}:
        raise error
    if not tried.judged:
        raise EvaluationError("every arm was left out, so there is nothing to judge; take one in again and resume")
    return tried


def _one(
    ws: Workspace,
    inputs: Inputs,
    of: tuple[str, int, tuple[str, ...], TrainingConfig],
    config: ExperimentConfig,
    asked: EvaluationConfig,
    progress: Progress,
    orders: Orders,
    tried: _Tried,
) -> TrainingError | None:
    """Tune and judge one arm with one seed; return why that could not be done, if its training diverged."""
    from curation.training import DivergedError

    arm, seed, ids, training = of
    watching: dict[str, Any] = {"progress": progress, "orders": orders, "title": training_name(arm, seed)}
    told = tried.arms.setdefault(arm, {"n_examples": 0, "tokens": 0, "seen": 0, "seconds": 0.0})
    adapter = None
    if arm not in untuned(config):
        try:
            adapter = tune(ws, inputs, ids, training, seed, trackers=config.trackers, **watching)
        except DivergedError as failed:
            progress.log(f"{watching['title']}: {failed}")
            progress.advance(0, diverged=1.0)  # a reading of that training's stage: the page can tell
            tried.failed.setdefault(arm, {})[str(seed)] = str(failed)
            return failed
    key, evaluation = judge(ws, inputs, adapter, asked, **watching)
    if adapter is not None:
        tried.tuned.setdefault(arm, {})[str(seed)] = adapter.name
        curve, planned = _measure(told, adapter, len(ids), seed)
        tried.curves.setdefault(arm, []).extend(curve)
        if planned is not None:
            tried.stopped[arm, seed] = planned
    told["seconds"] = round(told["seconds"] + evaluation.seconds, 1)
    tried.evaluations.setdefault(arm, {})[str(seed)] = key
    tried.judged.setdefault(arm, []).append(evaluation)
    return None


def _measure(
    told: dict[str, Any], adapter: Path, n_examples: int, seed: int
) -> tuple[list[dict[str, float]], list[int] | None]:
    """Add what one training took to an arm's account; return its loss curves, and steps taken and planned if stopped.

    Points of the curve have ``loss`` and what else was logged, or ``query_loss``.
    """
    trained = json.loads((adapter / "result.json").read_text())
    points = [json.loads(line) for line in (adapter / "log.jsonl").read_text().splitlines()]
    measured = adapter / "measured.json"
    held = json.loads(measured.read_text()) if measured.is_file() else {}
    told |= {"n_examples": n_examples, "tokens": trained["tokens"], "rejected": len(trained["rejected"])}
    told["seen"] += sum(point["tokens"] for point in points)
    told["seconds"] += trained["seconds"]
    told["disk"] = told.get("disk", 0) + sum(p.stat().st_size for p in adapter.rglob("*") if p.is_file())
    for name, most in held.items():
        told[name] = max(told.get(name, 0), most)
    an_epoch = round(trained["steps"] / trained["epochs"]) if trained["epochs"] else 0
    losses = [trained.get("query_loss_before"), *trained["query_losses"]]
    for epoch, loss in enumerate(losses):
        if loss is not None:
            points.append({"step": min(epoch * an_epoch, trained["steps"]), "query_loss": loss})
    planned = trained.get("stopped_of")
    return [{**point, "seed": seed} for point in points], None if planned is None else [trained["steps"], planned]


def _by_arm(stopped: dict[tuple[str, int], list[int]]) -> dict[str, dict[str, list[int]]]:
    told: dict[str, dict[str, list[int]]] = {}
    for (arm, seed), steps in stopped.items():
        told.setdefault(arm, {})[str(seed)] = steps
    return told


def lengths(ws: Workspace, inputs: Inputs) -> dict[str, int]:
    """Return id → tokens of every pool row."""
    from curation.representing import tokens

    counted = tokens(ws, inputs.pool, inputs.model).tolist()
    return dict(zip(ws.ids(inputs.pool), counted, strict=True))


def judge(
    ws: Workspace,
    inputs: Inputs,
    arm: Path | None,
    config: EvaluationConfig,
    *,
    title: str,
    progress: Progress,
    orders: Orders | None = None,
) -> tuple[str, Evaluation]:
    """Judge a tuned arm (None: the base model) on the query and test sets; return its key and the judgement."""
    from curation import evaluation

    model, key = inputs.model, evaluation_key(inputs, arm.name if arm else None, config)

    def make(part: Path) -> None:
        progress.log(f"judging {title}")
        queries, tests = ws.examples(inputs.queries), test_rows(ws, inputs)
        told = Obedient(progress, title, orders or Orders())
        judged = evaluation.evaluate(model, arm / "model" if arm else None, queries, tests, config, progress=told)
        (part / "evaluation.json").write_text(json.dumps(judged.to_dict(), ensure_ascii=False, sort_keys=True))

    folder = ws.produce("evaluation", key, make, {"title": title, **config.to_dict()})
    return key, evaluation.Evaluation.from_dict(json.loads((folder / "evaluation.json").read_text()))


def evaluation_key(inputs: Inputs, arm: str | None, config: EvaluationConfig) -> str:
    """Return the key of the judgement of the tuned arm with the key `arm` (None: the base model)."""
    from curation import evaluation
    from curation.models import fingerprint

    model = inputs.model
    files = evaluation.fingerprints(config)
    further: dict[str, Any] = {"options": config.options, "left_out": inputs.left_out, "files": files}
    return content_key(
        "evaluation",
        version=evaluation.VERSION,
        weights=fingerprint(model.name, model.revision),
        dtype=model.dtype,
        max_length=model.max_length,
        arm=arm,
        queries=inputs.queries,
        tests=inputs.tests,
        metrics=config.metrics,
        max_new_tokens=config.max_new_tokens,
        **{name: value for name, value in further.items() if value},
    )


def test_rows(ws: Workspace, inputs: Inputs) -> list[Example]:
    """Return the test rows that judge arms."""
    left_out = set(inputs.left_out)
    return [e for e in ws.iter_examples(inputs.tests) if e.id not in left_out] if inputs.tests else []


def check(ws: Workspace, inputs: Inputs, config: EvaluationConfig) -> None:
    """Raise EvaluationError if a metric can't be measured on these rows; nothing is loaded or tuned for it."""
    from curation import evaluation

    evaluation.check(config, ws.examples(inputs.queries), test_rows(ws, inputs))


def measurable(config: EvaluationConfig, tests: str | None) -> tuple[str, ...]:
    """Return the metrics that can be judged; without a test set only those on the queries."""
    from curation import evaluation

    kept = tuple(n for n in config.metrics if tests or evaluation.METRICS.load(n).role != "tests")
    if not kept:
        raise EvaluationError(
            f"the metrics {', '.join(config.metrics)} need a test set and there is none; load one, or add query_loss"
        )
    return kept
