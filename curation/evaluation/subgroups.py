"""Results by subgroup of the rows: by source, by length or by task, with a warning where rows are few.

A mean over all rows can hide that one source gains what another loses. Each subgroup is judged as if it were all there
is; differences from the baseline are corrected for the number of subgroups (Holm), since among many some always look
different.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from curation.data.rows import Example
from curation.evaluation import METRICS, Evaluation
from curation.evaluation.statistics import Difference, Interval, compare, holm, summarise

FEW = 30  # rows below which a subgroup is warned of
UNLABELLED = "not given"


@dataclass(frozen=True)
class Subgroup:
    """One subgroup: its number of rows, the arm's metrics there, its differences from the baseline, a warning or ""."""

    n_examples: int
    metrics: dict[str, Interval]
    differences: dict[str, Difference]
    warning: str


def labels(examples: Sequence[Example], by: Literal["source", "length", "task"]) -> dict[str, str]:
    """Return row id → subgroup.

    Parameters
    ----------
    examples : sequence of Example
        The judged rows.
    by : {"source", "length", "task"}
        The rows' source, the length of prompt and answer in thirds, or their subtask (`group`, else a column ``task``).
    """
    if by == "length":
        return _by_length(examples)
    told = (e.source if by == "source" else e.group or e.field("task") for e in examples)
    return {example.id: str(label or UNLABELLED) for example, label in zip(examples, told, strict=True)}


def subgroups(
    arm: Sequence[Evaluation], baseline: Sequence[Evaluation], labels: Mapping[str, str], *, level: float = 0.95
) -> dict[str, Subgroup]:
    """Judge an arm, and its difference from a baseline, in each subgroup.

    Parameters
    ----------
    arm, baseline : sequence of Evaluation
        One evaluation for each seed, on the same rows.
    labels : mapping of row id to subgroup
        As `labels` returns them; rows without a label are in no subgroup.
    level : float
        As for `statistics.interval`.

    Returns
    -------
    dict of subgroup to Subgroup
        The largest first; a metric that judged none of its rows is left out of it.

    Raises
    ------
    EvaluationError
        If arm and baseline were judged on other rows.
    """
    members: dict[str, set[str]] = {}
    for row, label in labels.items():
        members.setdefault(label, set()).add(row)
    inside = {
        label: ([_only(e, ids) for e in arm], [_only(e, ids) for e in baseline]) for label, ids in members.items()
    }
    differences = {label: compare(own, other, level=level) for label, (own, other) in inside.items()}
    for metric in {name for found in differences.values() for name in found}:
        family = {label: found[metric] for label, found in differences.items() if metric in found}
        for label, one in holm(family, higher_is_better=METRICS.load(metric).higher_is_better).items():
            differences[label][metric] = one
    found = {}
    for label, (own, _) in inside.items():
        n = max((len(ids) for ids in own[0].ids.values()), default=0)
        if n:
            warning = f"only {n} row{'s' if n > 1 else ''}, too few to tell much" if n < FEW else ""
            found[label] = Subgroup(n, summarise(own, level=level), differences[label], warning)
    return dict(sorted(found.items(), key=lambda item: (-item[1].n_examples, item[0])))


def _only(evaluation: Evaluation, ids: set[str]) -> Evaluation:
    """Return what was judged of the rows `ids`."""
    kept = {name: [i for i, row in enumerate(rows) if row in ids] for name, rows in evaluation.ids.items()}
    kept = {name: places for name, places in kept.items() if places}
    values = {name: [evaluation.per_example[name][i] for i in places] for name, places in kept.items()}
    return dataclasses.replace(
        evaluation,
        per_example=values,
        ids={name: [evaluation.ids[name][i] for i in places] for name, places in kept.items()},
        summary={name: float(np.mean(found)) for name, found in values.items()},
    )


def _by_length(examples: Sequence[Example]) -> dict[str, str]:
    """Label rows by thirds of their length in characters; equal lengths are never parted."""
    lengths = np.array([sum(len(m.content) for m in e.messages) for e in examples])
    low, high = np.quantile(lengths, [1 / 3, 2 / 3], method="inverted_cdf") if len(examples) else (0, 0)
    names = (f"short (up to {low:,} characters)", f"middle (up to {high:,})", f"long (over {high:,})")
    return {
        example.id: names[0 if length <= low else 1 if length <= high else 2]
        for example, length in zip(examples, lengths, strict=True)
    }
