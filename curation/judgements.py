"""What the judgements of an experiment's arms come to: means, differences between arms, answers that are empty."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from curation.design import ZERO_SHOT, base_of

if TYPE_CHECKING:
    from curation.evaluation import Evaluation

_BASELINES = (ZERO_SHOT, "random", "selected")  # each is compared with those before it, every other arm with all


def unanswered(judged: Mapping[str, Sequence[Evaluation]]) -> dict[str, list[int]]:
    """Return arm → how many answers are empty, and of how many, over all seeds."""
    told = {}
    for arm, evaluations in judged.items():
        answers = [answer for e in evaluations for answer in e.answers]
        told[arm] = [sum(not answer.strip() for answer in answers), len(answers)]
    return told


def summaries(judged: Mapping[str, Sequence[Evaluation]]) -> dict[str, dict[str, dict[str, Any]]]:
    """Return arm → metric → mean and 95 % interval over seeds and examples, and the mean of each seed."""
    from curation.evaluation import statistics

    return {
        arm: {
            metric: {**interval.to_dict(), "per_seed": [e.summary[metric] for e in evaluations]}
            for metric, interval in statistics.summarise(evaluations).items()
        }
        for arm, evaluations in judged.items()
    }


def differences(
    judged: Mapping[str, Sequence[Evaluation]], models: Collection[str] = ()
) -> dict[str, dict[str, dict[str, Any]]]:
    """Return arm → metric → difference from each baseline, paired by example.

    Baselines are zero-shot, and random picks and the selection of the arm's own size; the full pool is held against
    those of the selection's. So is each further model, on the rows that both sides judged; itself it is compared with
    nothing. The differences from one baseline are a family, corrected for its size (Holm).

    Parameters
    ----------
    judged : mapping of arm to sequence of Evaluation
        One evaluation for each seed.
    models : collection of str
        Arms that are further models, untuned.
    """
    from curation.evaluation import METRICS, statistics

    told: dict[str, dict[str, dict[str, Any]]] = {}
    for n, other in enumerate((*_BASELINES, *models)):
        passed = (*(_BASELINES[: n + 1] if other in _BASELINES else (ZERO_SHOT,)), *models)
        found = {}
        for arm, evaluations in judged.items():
            if (baseline := _baseline(arm, other)) in judged and base_of(arm) not in passed:
                pair = evaluations, judged[baseline]
                found[arm] = statistics.compare(*(_on_shared_rows(*pair) if other in models else pair))
        for metric in dict.fromkeys(name for by_metric in found.values() for name in by_metric):
            family = {arm: by_metric[metric] for arm, by_metric in found.items() if metric in by_metric}
            better = METRICS.load(metric).higher_is_better
            for arm, one in statistics.holm(family, higher_is_better=better).items():
                row = {**one.to_dict(), "distinguishable": one.distinguishable}
                told.setdefault(arm, {}).setdefault(metric, {})[f"versus_{other}"] = row
    return told


def _baseline(arm: str, other: str) -> str:
    """Name of the arm that `arm` is compared with: for random and the selection the one of its size."""
    return arm.replace(base_of(arm), other, 1) if other in ("random", "selected") else other


def _on_shared_rows(
    first: Sequence[Evaluation], second: Sequence[Evaluation]
) -> tuple[list[Evaluation], list[Evaluation]]:
    """Both arms on the rows that every one of their models judged; a metric without such rows is left out."""
    both = [*first, *second]
    shared = {m: set.intersection(*(set(e.ids.get(m, ())) for e in both)) for m in both[0].ids}

    def cut(one: Evaluation) -> Evaluation:
        kept = {
            m: [(row, v) for row, v in zip(one.ids[m], one.per_example[m], strict=True) if row in rows]
            for m, rows in shared.items()
            if rows
        }
        ids = {m: [row for row, _ in pairs] for m, pairs in kept.items()}
        return dataclasses.replace(one, ids=ids, per_example={m: [v for _, v in p] for m, p in kept.items()})

    return [cut(e) for e in first], [cut(e) for e in second]
