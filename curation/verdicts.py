"""One difference between two arms in words: better, worse, or not distinguishable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from curation.wording import difference, ends, is_loss, metric_label, number


@dataclass(frozen=True)
class Finding:
    """One sentence on a result; `verdict` is better, worse or same (not distinguishable)."""

    verdict: str
    sentence: str


def verdict(told: Mapping[str, Any]) -> str:
    """Return whether a difference makes its arm better, worse or (not distinguishable) the same."""
    return {True: "better", False: "worse", None: "same"}[told["better"]]


def turned(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return a difference as seen from the other arm."""
    low, high, better = told["low"], told["high"], told["better"]
    span = {"low": None if high is None else -high, "high": None if low is None else -low}
    return {**told, "mean": -told["mean"], **span, "better": None if better is None else not better}


def compared(metric: str, arm: str, other: str, told: Mapping[str, Any]) -> Finding:
    """Tell how the examples of an arm do against others, both named as they stand within a sentence."""
    arm, found = arm[:1].upper() + arm[1:], verdict(told)
    if found == "better":
        return Finding(found, f"{arm} beat {other} by {_size(metric, told)}.")
    if found == "worse":
        return Finding(found, f"{arm} did worse than {other}, by {_size(metric, told)}.")
    return Finding(found, f"{arm} and {other} are {_alike(metric, told)}.")


def tuned(metric: str, arm: str, told: Mapping[str, Any]) -> Finding:
    """Tell what tuning on an arm, named as it stands within a sentence, gained or lost against the untuned model."""
    found = verdict(told)
    if found == "better":
        return Finding(found, f"Tuning on {arm} gained {_size(metric, told, ' over the untuned model')}.")
    if found == "worse":
        size = _size(metric, told, " worse than untuned")
        return Finding(found, f"Tuning lost: after tuning on {arm} the model is {size}.")
    return Finding(found, f"Tuning on {arm} is {_alike(metric, told, ' from the untuned model')}.")


def name_of(metric: str) -> str:
    """Return a metric's name as it stands within a sentence."""
    return metric_label(metric).lower()


def _alike(metric: str, told: Mapping[str, Any], what: str = "") -> str:
    """Say that a difference does not count, and why, though its own interval leaves zero out."""
    said = f"not distinguishable{what} in {name_of(metric)}: {difference(metric, told)}"
    if told["low"] is None or told["high"] is None or told["low"] <= 0 <= told["high"]:
        return said
    return (
        f"{said}; alone it would count, but among {told['comparisons']} arms compared at once it may be chance: tune "
        "more seeds, or fewer arms"
    )


def _size(metric: str, told: Mapping[str, Any], than: str = "") -> str:
    """How large a difference is, with its interval, smaller end first."""
    seen = told if told["mean"] > 0 else turned(told)
    unit = "nats of" if is_loss(metric) else "points"
    span = ends(metric, seen["low"], seen["high"])
    return f"{number(metric, seen['mean'])} {unit} {name_of(metric)}{than} (95 % interval {span})"
