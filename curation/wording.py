"""How arms, representations, metrics and numbers are written on screen; text from data never enters a sentence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

ARMS = {
    "zero_shot": "Zero-shot",
    "random": "Random",
    "off_task": "Off-task",
    "selected": "Selected",
    "full": "Full pool",
}
_REPRESENTATIONS = {"less": "LESS", "rds": "RDS+"}
_METRICS = {"token_f1": "Token F1", "rouge_l": "ROUGE-L", "pass_at_k": "pass@k"}


def in_order(arms: Iterable[str]) -> list[str]:
    """Return arms in the order in which they are shown; those of a size of their own behind, the smallest first."""

    def place(arm: str) -> tuple[int, str, bool, int]:
        base, _, size = arm.partition("@")
        known = list(ARMS).index(base) if base in ARMS else len(ARMS)
        return known, base, size.endswith("t"), int(size.rstrip("t") or 0)

    return sorted(arms, key=place)


def one_of_each(arms: Iterable[str]) -> list[str]:
    """Return arms in order, of those that differ in size alone one: that of the main budget, or else the smallest."""
    found: dict[str, str] = {}
    for arm in in_order(arms):
        found.setdefault(arm.partition("@")[0], arm)
    return list(found.values())


def arm_label(arm: str) -> str:
    """Return an arm's name as people write it, with its size where it has one of its own."""
    base, _, size = arm.partition("@")
    unit = "tokens" if size.endswith("t") else "examples"
    return ARMS.get(base, base) + (f", {int(size.rstrip('t')):,} {unit}" if size else "")


def arm_words(arm: str) -> str:
    """Return an arm's name as it stands within a sentence: names that people gave keep their letters."""
    return arm_label(arm).lower() if arm.partition("@")[0] in ARMS else arm_label(arm)


def representation_label(name: str) -> str:
    """Return a representation's name as people write it."""
    return _REPRESENTATIONS.get(name, name.capitalize())


def metric_label(metric: str) -> str:
    """Return a metric's name as people write it."""
    return _METRICS.get(metric, metric.replace("_", " ").capitalize())


@lru_cache
def is_loss(metric: str) -> bool:
    """Whether a metric is a loss, in nats; the others are shares between 0 and 1, shown in percent."""
    from curation.evaluation import METRICS

    return METRICS.load(metric).highest != 1.0


def shown(metric: str, value: float) -> str:
    """Return a metric's value as it stands on screen: a loss with three digits, a share in percent with one."""
    return minus(f"{value:.3f}") if is_loss(metric) else minus(f"{100 * value:.1f} %")


def interval(metric: str, told: Mapping[str, Any]) -> str:
    """Return a metric's mean with its 95 % interval, as ``61.2 % (54.0–68.1)``."""
    return f"{shown(metric, told['mean'])} ({ends(metric, told['low'], told['high'])})"


def difference(metric: str, told: Mapping[str, Any]) -> str:
    """Return a difference between two arms with its 95 % interval, as ``+21.0 points (14.2–27.4)``."""
    unit = "" if is_loss(metric) else " points"
    span = ends(metric, told["low"], told["high"])
    return f"{'+' if told['mean'] > 0 else ''}{number(metric, told['mean'])}{unit} ({span})"


def number(metric: str, value: float) -> str:
    """Return a value without its unit: nats, or points of a percentage."""
    text = f"{value:.3f}" if is_loss(metric) else f"{100 * value:.1f}"
    return minus(text.removeprefix("-") if float(text) == 0 else text)


def listed(metrics: Sequence[str]) -> str:
    """Return metrics as they stand in a sentence: ``query loss, test loss and exact match``."""
    names = [metric_label(m) if m in _METRICS else metric_label(m).lower() for m in metrics]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def counted(n: int, thing: str) -> str:
    """Return a count with its noun: ``1 row``, ``2,000 rows``."""
    return f"{n:,} {thing}" if n == 1 else f"{n:,} {thing}s"


def minus(text: str) -> str:
    """Return a number's text with a real minus sign."""
    return text.replace("-", "−")


def ends(metric: str, low: float | None, high: float | None) -> str:
    """Write an interval; an end that is None is infinite, which is what one example tells of others."""
    if low is None or high is None:
        return "no interval from so few examples"
    both = number(metric, low), number(metric, high)
    return (" to " if "−" in "".join(both) else "–").join(both)
