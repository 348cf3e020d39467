"""Quantile check: does nearness to the queries predict loss and metrics on this pool, with this model?

After TIS (targeted instruction selection, arXiv 2602.14696, section 4): order the whole pool by round robin, cut the
order into equal parts, tune on the first examples of each part, judge each. Spearman's correlation between a part's
place and its metric says what this representation is worth here; TIS finds 0.89 for LESS with query loss but 0.40 with
test loss and 0.30 with the task metric, so all three are told, whatever the arms are judged by.

Signs are such that a positive correlation always means: the nearer, the better. The interval is that of Bonett & Wright
(2000), over the parts; where the order is perfect, its lower end is taken from the next best order. Each tuned part and
its judgement are artefacts, so that a stopped check goes on where it stopped.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from curation.config import (
    BudgetConfig,
    ExperimentConfig,
    ModelConfig,
    QuantileConfig,
    SelectionConfig,
    TrainingConfig,
)
from curation.design import Inputs
from curation.errors import ModelError, SelectionError, TrainingError
from curation.experiments import check as check_metrics
from curation.experiments import judge, test_rows, tune
from curation.held_out import hold_out
from curation.judgements import summaries
from curation.orders import training_name
from curation.progress import Progress, Silent
from curation.selecting import select
from curation.tuning import require_trackers
from curation.wording import is_loss
from curation.workspace import Workspace, content_key

if TYPE_CHECKING:
    from curation.evaluation import Evaluation
    from curation.representing import Represented

VERSION = 1
_FEWEST = 4  # parts that an interval of a correlation needs
_TASK_METRICS = ("multiple_choice", "numeric_match", "exact_match")  # the first that the rows allow stands in
_SAME = ("name", "revision", "dtype", "max_length")  # what of a base model's options changes what is found


def check(
    ws: Workspace,
    represented: Represented,
    model: ModelConfig,
    tests: str | None,
    config: ExperimentConfig,
    progress: Progress | None = None,
) -> tuple[str, dict[str, Any]]:
    """Tune on each part of the pool, judge, correlate; return the check's key and the check.

    Parameters
    ----------
    represented : Represented
        Pool and query set as the representation sees them.
    model : ModelConfig
        The base model.
    tests : str or None
        Key of the test set.
    config : ExperimentConfig
        How parts are tuned and judged (see `judged_by`); its `quantiles` say which parts (None: as `QuantileConfig`
        has it).

    Returns
    -------
    key : str
        The artefact ``quantiles/<key>`` with ``check.json``.
    check : dict
        ``parts`` (nearest first: ``distance``, ``metrics`` with mean, low, high, per_seed; one whose trainings all
        diverged, or gave values that are no numbers, has ``failed``, the reason, and no metrics), ``spearman``
        (metric → mean, low, high), ``representation`` (key) and its ``name``, ``n_examples``, ``metrics``, ``model``,
        ``seeds``.

    Raises
    ------
    SelectionError
        If a part of the pool has fewer rows than are to be tuned on.
    TrainingError
        If training diverged in so many parts that fewer than four are left.
    CurationError
        As `curation.experiments.experiment`.
    """
    from curation import evaluation
    from curation.models import fingerprint
    from curation.training import DivergedError

    progress = progress or Silent()
    asked = config.quantiles or QuantileConfig()
    pool, unusable = represented.record["pool"], represented.unusable
    candidates = tuple(i for i in ws.ids(pool) if i not in unusable)
    _refuse_small(len(candidates), asked)
    inputs = Inputs(model, pool, represented.record["queries"], tests, candidates, ())
    inputs, _ = hold_out(ws, inputs, config, progress)
    cannot = evaluation.unmeasurable(ws.examples(inputs.queries), test_rows(ws, inputs))
    metrics = judged_by(config.evaluation.metrics, cannot, with_tests=tests is not None)
    judging, weights = dataclasses.replace(config.evaluation, metrics=metrics), fingerprint(model.name, model.revision)
    key = content_key(
        "quantiles",
        version=VERSION,
        representation=represented.key,
        weights=weights,
        model={k: v for k, v in model.to_dict().items() if k not in ("name", "revision", "device")},
        tests=tests,
        left_out=inputs.left_out,
        dev=inputs.dev,
        quantiles=asked.to_dict(),
        training=config.training.to_dict(),
        evaluation=judging.to_dict(),
    )
    if (folder := ws.find("quantiles", key)) is not None:
        return key, json.loads((folder / "check.json").read_text())
    check_metrics(ws, inputs, judging)
    require_trackers(config.trackers)
    parts: dict[str, dict[str, Any]] = {}
    judged: dict[str, list[Evaluation]] = {}
    for number, (ids, distance) in enumerate(parts_of(ws, represented, asked, len(candidates)), 1):
        name = f"part {number} of {asked.bins}"
        parts[name] = {"distance": distance}
        for seed in asked.seeds:
            title = training_name(name, seed)
            try:
                adapter = tune(
                    ws, inputs, ids, config.training, seed, title=title, progress=progress, trackers=config.trackers
                )
                _, judgement = judge(ws, inputs, adapter, judging, title=title, progress=progress)
            except (DivergedError, evaluation.NotFiniteError) as failed:  # the others still tell
                progress.log(f"{title}: {failed}")
                parts[name]["failed"] = str(failed)
                continue
            judged.setdefault(name, []).append(judgement)
    for name, found in summaries(judged).items():
        parts[name] = {"distance": parts[name]["distance"], "metrics": found}
    if len(judged) < _FEWEST:
        reason = next(part["failed"] for part in parts.values() if "failed" in part)
        raise TrainingError(f"only {len(judged)} of {asked.bins} parts could be tuned, too few to correlate: {reason}")
    made = {
        "parts": list(parts.values()),
        "spearman": {metric: _correlation(parts.values(), metric) for metric in judging.metrics},
        "representation": represented.key,
        "name": represented.name,
        "n_examples": asked.examples,
        "metrics": list(judging.metrics),
        "model": model.to_dict(),
        "seeds": list(asked.seeds),
    }
    about = {"representation": represented.key, "model": model.to_dict(), "weights": weights, "tests": tests}
    with ws.build("quantiles", key, {**about, "training": config.training.to_dict()}) as folder:
        (folder / "check.json").write_text(json.dumps(made, indent=1, sort_keys=True))
    return key, made


def _refuse_small(n_candidates: int, asked: QuantileConfig) -> None:
    room = n_candidates // asked.bins
    if room < asked.examples:
        raise SelectionError(
            f"the quantile check tunes on {asked.examples:,} examples of each of {asked.bins} parts, but a part of "
            f"{n_candidates:,} usable rows has only {room:,}; lower `examples` or `bins`"
        )


def parts_of(
    ws: Workspace, represented: Represented, asked: QuantileConfig, n_candidates: int
) -> list[tuple[tuple[str, ...], float]]:
    """Return the ids that each part is tuned on, nearest part first, and their mean distance to the nearest query."""
    whole = SelectionConfig(selector="round_robin", budget=BudgetConfig(examples=n_candidates))
    order = select(ws, represented, whole).indices
    ids, nearest = ws.ids(represented.record["pool"]), np.asarray(represented.similarity).max(axis=0)  # (n_pool,)
    starts = [round(number * n_candidates / asked.bins) for number in range(asked.bins)]
    cut = [order[start : start + asked.examples] for start in starts]
    return [(tuple(ids[i] for i in rows), float(np.mean(1.0 - nearest[rows]))) for rows in cut]


def newest(
    ws: Workspace, representation: str, model: ModelConfig | None, tests: str | None, training: TrainingConfig
) -> dict[str, Any] | None:
    """Return the newest check of a representation with this very base model and test set, or None.

    One that was tuned by these options goes before a newer one that was not. It has one thing more than `check` gives:
    ``differs``, a sentence on what it was made with in place of what is set now, or an empty text.
    """
    found = []
    for artefact in ws.artefacts("quantiles"):
        about = json.loads(artefact.config)
        same = model and about.get("representation") == representation and about.get("tests", tests) == tests
        if same and model and _same_model(about, model, artefact.created):
            made: dict[str, Any] = json.loads((ws.artefact("quantiles", artefact.key) / "check.json").read_text())
            found.append({**made, "differs": _differs(about, training)})
    return next((made for made in found if not made["differs"]), found[0] if found else None)


def _same_model(about: dict[str, Any], model: ModelConfig, made: float) -> bool:
    """Whether a check is of this base model; weights are read only where files were changed since it was made."""
    from curation import models

    before = ModelConfig.from_dict(about["model"])
    if any(getattr(before, name) != getattr(model, name) for name in _SAME):
        return False
    try:
        return models.changed(model.name) <= made or about.get("weights") == models.fingerprint(model.name)
    except ModelError:  # it is not whole any more
        return False


def _differs(about: dict[str, Any], training: TrainingConfig) -> str:
    """Say how the parts were tuned, where that is not as is set now."""
    if "training" not in about:
        return "An earlier version made this check and did not keep how it tuned, nor on which test rows it judged."
    before, now = TrainingConfig.from_dict(about["training"]).to_dict(), training.to_dict()
    other = [f"{name.replace('_', ' ')} {before[name]}, now {now[name]}" for name in now if before[name] != now[name]]
    return f"It was tuned with other options than are set now ({'; '.join(other)})." if other else ""


def judged_by(chosen: Sequence[str], cannot: Collection[str], *, with_tests: bool) -> tuple[str, ...]:
    """Return the metrics that parts are judged by: query loss, and with a test set its loss and a task metric too.

    Parameters
    ----------
    chosen : sequence of str
        Metrics that arms are judged by; all are kept for which there are rows.
    cannot : collection of str
        Metrics that the rows do not allow.
    with_tests : bool
        Whether there is a test set.
    """
    from curation.evaluation import METRICS

    losses = ("query_loss", "test_loss") if with_tests else ("query_loss",)
    further = [m for m in chosen if m not in losses and (with_tests or METRICS.load(m).role != "tests")]
    if with_tests and all(is_loss(m) for m in further):
        further += [m for m in _TASK_METRICS if m not in cannot][:1]
    return (*losses, *further)


def _correlation(parts: Iterable[dict[str, Any]], metric: str) -> dict[str, float]:
    from curation.evaluation import METRICS

    sign = -1.0 if METRICS.load(metric).higher_is_better else 1.0
    return spearman([sign * part["metrics"][metric]["mean"] for part in parts if "metrics" in part])


def spearman(values: Sequence[float], level: float = 0.95) -> dict[str, float]:
    """Spearman's correlation of values with their places, and its interval (Bonett & Wright, 2000).

    Parameters
    ----------
    values : sequence of float
        At least four; the n-th belongs to place n.
    level : float
        Coverage that is aimed at.

    Returns
    -------
    dict
        ``mean``, ``low``, ``high``; without any spread of values the mean is 0 and nothing is excluded.
    """
    from scipy.special import ndtri
    from scipy.stats import rankdata

    n = len(values)
    ranks = rankdata(values)
    if np.ptp(ranks) == 0:
        return {"mean": 0.0, "low": -1.0, "high": 1.0}
    found = float(np.corrcoef(ranks, np.arange(n))[0, 1])
    next_best = 1 - 12 / (n * (n * n - 1))  # two neighbouring places exchanged
    half = float(ndtri(0.5 + level / 2)) * math.sqrt((1 + found**2 / 2) / (n - 3))
    centre = math.atanh(min(max(found, -next_best), next_best))
    low, high = math.tanh(centre - half), math.tanh(centre + half)
    perfect = abs(found) > next_best
    return {
        "mean": found,
        "low": -1.0 if perfect and found < 0 else low,
        "high": 1.0 if perfect and found > 0 else high,
    }
