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

from curation.accounts import Tried
from curation.budgets import budgets_of, knees
from curation.config import EvaluationConfig, ExperimentConfig, TrainingConfig
from curation.design import ZERO_SHOT, Inputs, arm_ids, arm_sizes, training_of, untuned
from curation.errors import CurationError, EvaluationError, SelectionError, TrainingError
from curation.external import Other, identities, others
from curation.held_out import hold_out
from curation.judgements import differences, summaries, unanswered
from curation.orders import ArmLeftOutError, Orders, training_name
from curation.progress import Part, Progress, Silent
from curation.tuning import Obedient, arm_key, require_trackers, tune, watched_here
from curation.workspace import Workspace, content_key

if TYPE_CHECKING:
    from curation.data.rows import Example
    from curation.evaluation import Evaluation

__all__ = ["ZERO_SHOT", "Inputs", "arm_ids", "arm_key", "experiment", "judge", "tune"]

VERSION = 3
_ASIDE = ("price_per_hour", "quantiles", "trackers")  # options that change nothing of the result


def experiment(
    ws: Workspace,
    inputs: Inputs,
    config: ExperimentConfig,
    progress: Progress | None = None,
    orders: Orders | None = None,
) -> tuple[str, dict[str, Any]]:
    """Tune and judge every arm; return the result's key and the result.

    An arm whose training diverges with a seed, or whose model then gives values that are no numbers, is judged by its
    other seeds; the others go on.

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
        seed), ``differences`` (arm → metric → against zero-shot and the random arm and selection of its size, corrected
        for the number of arms), ``knees`` (see `curation.budgets`), ``curves`` (arm → points of the loss curves),
        ``evaluations`` and ``tuned`` (arm → seed → key), ``failed`` (arm → seed → why), ``kept`` (arm → seed → key and
        steps of the weights that a diverged training left, if any), ``stopped`` (arm → seed → steps taken and
        planned), ``left_out_arms``, ``unanswered`` (arm → empty and all answers), ``overlap`` (see
        `held_out`), ``models`` (arm → further model), ``without_losses`` (those of them with other tokens),
        ``n_test``, ``n_query``, ``n_dev``, ``config``.

    Raises
    ------
    EvaluationError
        If a metric needs a test set or a field that is not there, no test row or arm is left to judge, or the values
        of the untuned model, or of every tuned one, are no numbers.
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
        "kept": tried.kept,
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
) -> Tried:
    """Tune and judge all arms and seeds but those that are left out by the end."""
    tried, waiting = Tried(), list(trainings(ws, inputs, config))
    error: CurationError | None = None
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
        if (kept := getattr(error, "artefact", None)) is not None:  # no result will lead there
            raise TrainingError(f"{error}, in {(kept / 'model').relative_to(ws.root)} of the workspace") from error
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
    tried: Tried,
) -> CurationError | None:
    """Tune and judge one arm with one seed; return why that could not be done, if no number came of it."""
    from curation.evaluation import NotFiniteError
    from curation.training import WATCHED, DivergedError

    arm, seed, ids, training = of
    title = training_name(arm, seed)
    watching: dict[str, Any] = {"progress": progress, "orders": orders, "title": title}
    adapter, failed = None, None
    try:
        if arm not in untuned(config):
            adapter = tune(ws, inputs, ids, training, seed, trackers=config.trackers, **watching)
        key, evaluation = judge(ws, inputs, adapter, asked, **watching)
    except (DivergedError, NotFiniteError) as error:
        if arm == ZERO_SHOT:
            raise
        failed = error
    tried.begin(arm)
    watched = adapter is None or watched_here(adapter, inputs, training)
    steps = tried.trained(arm, seed, adapter, len(ids), watched=watched) if adapter is not None else 0
    if failed is not None:
        progress.log(f"{title}: {failed}")
        _tell(progress, title, **tried.fail(arm, seed, failed))
        return failed
    tried.judge(arm, seed, key, evaluation)
    if not watched:
        tried.ends(arm, seed, steps, ws.ids(inputs.queries)[:WATCHED])
    _tell(progress, title, judged=1.0, **({"stopped": float(steps)} if (arm, seed) in tried.stopped else {}))
    return None


def _tell(progress: Progress, title: str, **outcome: float) -> None:
    """Tell how one training ended, found done or just done: a reading of its own, from which pages know."""
    Part(progress, title).start("done", 1, "model")
    progress.advance(1, **outcome)


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
    """Judge a tuned arm (None: the base model) on the query and test sets; return its key and the judgement.

    Raises
    ------
    NotFiniteError
        If a value is no number; nothing is kept of such a judgement.
    CurationError
        As `curation.evaluation.evaluate`.
    """
    from curation import evaluation

    model, key = inputs.model, evaluation_key(inputs, arm.name if arm else None, config)

    def make(part: Path) -> None:
        progress.log(f"judging {title}")
        queries, tests = ws.examples(inputs.queries), test_rows(ws, inputs)
        told = Obedient(progress, title, orders or Orders())
        judged = evaluation.evaluate(model, arm / "model" if arm else None, queries, tests, config, progress=told)
        evaluation.require_finite(judged, title if arm else "")
        (part / "evaluation.json").write_text(json.dumps(judged.to_dict(), ensure_ascii=False, sort_keys=True))

    folder = ws.produce("evaluation", key, make, {"title": title, **config.to_dict()})
    found = evaluation.Evaluation.from_dict(json.loads((folder / "evaluation.json").read_text()))
    evaluation.require_finite(found, title if arm else "")  # earlier versions kept any value
    return key, found


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
