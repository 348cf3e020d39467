"""Judging arms: metrics over queries and tests, and the statistics that compare arms.

`evaluate` runs one tuned (or untouched) model through the metrics of the registry; `statistics` turns the evaluations
of several seeds into means with intervals. A metric is one file and one line of `METRICS`.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from curation.config import EvaluationConfig, ModelConfig
from curation.data.rows import Example
from curation.errors import EvaluationError
from curation.evaluation.base import Metric
from curation.progress import Progress, Silent
from curation.registry import Registry

VERSION = 1  # of what is measured: part of the content key
METRICS: Registry[Metric] = Registry(
    "metric",
    {
        "query_loss": "curation.evaluation.query_loss:QueryLoss",
        "test_loss": "curation.evaluation.test_loss:TestLoss",
        "exact_match": "curation.evaluation.exact_match:ExactMatch",
        "numeric_match": "curation.evaluation.numeric_match:NumericMatch",
        "token_f1": "curation.evaluation.token_f1:TokenF1",
        "rouge_l": "curation.evaluation.rouge_l:RougeL",
        "multiple_choice": "curation.evaluation.multiple_choice:MultipleChoice",
        "pass_at_k": "curation.evaluation.pass_at_k:PassAtK",
        "harness": "curation.evaluation.harness:Harness",
    },
)


@dataclass(frozen=True)
class Evaluation:
    """What one model scored.

    Attributes
    ----------
    per_example : dict of metric to list of float
        One value for each judged row, in the rows' order.
    ids : dict of metric to list of str
        Ids of those rows.
    summary : dict of metric to float
        Mean over the rows.
    answers : list of str
        Generated answers to the test rows, if a metric asked for them.
    answer_ids : list of str
        Ids of the rows that were answered.
    reasons : dict of metric to dict of id to str
        Why rows have the value that they have, for metrics that can say so (what a program failed with).
    rejected : list of (id, reason)
        Rows that could not be judged; they are in no mean.
    seconds : float
        Time taken.
    """

    per_example: dict[str, list[float]]
    ids: dict[str, list[str]]
    summary: dict[str, float]
    answers: list[str] = field(default_factory=list)
    answer_ids: list[str] = field(default_factory=list)
    reasons: dict[str, dict[str, str]] = field(default_factory=dict)
    rejected: list[tuple[str, str]] = field(default_factory=list)
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return dataclasses.asdict(self) | {"rejected": [list(pair) for pair in self.rejected]}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Build from what `to_dict` gave."""
        return cls(**data | {"rejected": [(row_id, reason) for row_id, reason in data["rejected"]]})


def evaluate(
    model: ModelConfig,
    adapter: Path | None,
    queries: Sequence[Example],
    tests: Sequence[Example],
    config: EvaluationConfig,
    progress: Progress | None = None,
) -> Evaluation:
    """Judge one model by every metric of `config` for which there are rows.

    Parameters
    ----------
    model : ModelConfig
        The base model.
    adapter : Path or None
        A LoRA adapter, or the folder of a fully tuned model; None judges the base model itself (zero-shot).
    queries, tests : sequence of Example
        Rows; a metric whose rows are none is left out of the result.
    config : EvaluationConfig
        Metrics, longest answer, rows at once.
    progress : Progress, optional
        Told of each batch.

    Raises
    ------
    EvaluationError
        If no metric has rows, or a metric can judge none of its rows.
    ConfigError
        If a metric is unknown.
    ModelError
        If the model can't be loaded.
    """
    from curation.evaluation.judge import Judge

    started = time.monotonic()
    rows = {"queries": queries, "tests": tests}
    metrics, lacking = check(config, queries, tests)
    judge = Judge(model, adapter, rows, config, progress or Silent())
    per_example, ids, summary = {}, {}, {}
    for name, metric in metrics.items():
        judged = metric.measured(judge)
        if not judged:
            reason = next(iter(judge.rejected.values()), "the model gave nothing")
            raise EvaluationError(
                f"{name} can judge none of the {len(rows.get(metric.role, ()))} {metric.role} ({reason})"
            )
        ids[name] = [row_id for row_id, _ in judged]
        per_example[name] = [value for _, value in judged]
        summary[name] = sum(per_example[name]) / len(judged)
    answered = judge.answered()
    return Evaluation(
        per_example=per_example,
        ids=ids,
        summary=summary,
        answers=list(answered.values()),
        answer_ids=list(answered),
        reasons={name: metric.reasons for name, metric in metrics.items() if metric.reasons},
        rejected=[*judge.rejected.items(), *lacking],
        seconds=time.monotonic() - started,
    )


class NotFiniteError(EvaluationError):
    """A model's value on some row is no number, so nothing can be said of the model."""


def require_finite(judged: Evaluation, title: str) -> None:
    """Raise NotFiniteError if a value is no finite number; `title` is the training's, empty for the untuned model."""
    cure = "lower the learning rate and start again, or leave the arm out"
    if not title:
        title, cure = "the untuned model", "choose another dtype or base model, or leave the row out"
    for name, values in judged.per_example.items():
        for row_id, value in zip(judged.ids[name], values, strict=True):
            if not math.isfinite(value):
                what = name.replace("_", " ")
                raise NotFiniteError(f"{title} can't be judged: its {what} on row {row_id[:12]} is {value}; {cure}")


def check(
    config: EvaluationConfig, queries: Sequence[Example], tests: Sequence[Example]
) -> tuple[dict[str, Metric], list[tuple[str, str]]]:
    """Refuse what can't be measured before a model is loaded, or tuned in vain.

    Returns
    -------
    dict of str to Metric
        The metrics of `config` for which there are rows.
    list of (id, reason)
        Rows that lack a field which a metric needs.

    Raises
    ------
    EvaluationError
        If no metric has rows, a metric can judge none of its rows, or can't be measured on this machine as it is set.
    ConfigError
        If a metric or one of its options is unknown.
    """
    rows = {"queries": queries, "tests": tests}
    metrics = {name: METRICS.create(name, **config.options.get(name, {})) for name in config.metrics}
    metrics = {name: metric for name, metric in metrics.items() if metric.role not in rows or rows[metric.role]}
    if not metrics:
        raise EvaluationError(
            f"nothing to judge by: metrics {', '.join(config.metrics) or 'none'} with {len(queries)} queries and "
            f"{len(tests)} tests; give rows for at least one metric"
        )
    lacking = [pair for name, metric in metrics.items() for pair in _lacking(name, metric, rows.get(metric.role, ()))]
    for metric in metrics.values():
        metric.prepare()
    return metrics, lacking


_AS_IF: dict[str, Any] = {"allow": True, "tasks": ("any",)}


def unmeasurable(queries: Sequence[Example], tests: Sequence[Example]) -> dict[str, str]:
    """Return metric → why these rows or this machine do not allow it, for those that can't be measured.

    A metric that has to be allowed first, or given a task, is looked at as if it were.
    """
    rows = {"queries": queries, "tests": tests}
    found = {}
    for name in METRICS:
        known = METRICS.load(name).Config.__dataclass_fields__
        metric = METRICS.create(name, **{k: v for k, v in _AS_IF.items() if k in known})
        judged = rows.get(metric.role, ())
        if metric.role in rows and not judged:
            found[name] = f"there are no {metric.role}; load some"
        elif judged and all(metric.lacks(row) for row in judged):
            found[name] = f"each of the {len(judged):,} {metric.role} lacks what it needs: {metric.lacks(judged[0])}"
        else:
            try:
                metric.prepare()
            except EvaluationError as error:
                found[name] = str(error)
    return found


def on_rows(metrics: Sequence[str]) -> tuple[str, ...]:
    """Return those of `metrics` that judge given rows; the others bring rows of their own."""
    return tuple(name for name in metrics if METRICS.load(name).role != "tasks")


def fingerprints(config: EvaluationConfig) -> dict[str, str]:
    """Return metric → what its values depend on beyond its options, of those that have such a thing."""
    made = {name: METRICS.create(name, **config.options.get(name, {})).fingerprint() for name in config.metrics}
    return {name: value for name, value in made.items() if value}


def _lacking(name: str, metric: Metric, rows: Sequence[Example]) -> list[tuple[str, str]]:
    """Return the rows that a metric can't judge for want of a field, with the reason; raise if it can judge none."""
    lacking = [(row.id, f"{name}: {reason}") for row in rows if (reason := metric.lacks(row))]
    if rows and len(lacking) == len(rows):
        reason = metric.lacks(rows[0])
        raise EvaluationError(
            f"{name} can judge none of the {len(rows)} {metric.role} (row {rows[0].id[:12]}: {reason}); add what is "
            "missing to the file, or leave the metric out"
        )
    return lacking
