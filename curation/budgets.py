"""Metric against budget: a line for each selection and for random picks, and the knee where gains stop.

The knee of a line is its smallest budget that no larger one beats: the differences between the same arm's sizes, paired
by example and corrected for their number (Holm), are not distinguishable. With few seeds or examples little can be told
apart, so it says where gains can no longer be seen, not that there are none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from curation.design import ZERO_SHOT, base_of
from curation.wording import in_order

if TYPE_CHECKING:
    from curation.evaluation import Evaluation


@dataclass(frozen=True)
class Point:
    """One arm on a line: its size in examples, its mean and 95 % interval (None: no end)."""

    arm: str
    budget: int
    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Line:
    """What a selection, or random picks, reach at each budget; `knee` is a budget, None if there is one size only."""

    base: str
    points: tuple[Point, ...]
    knee: int | None


def budgets_of(sizes: Mapping[str, int], main: int) -> dict[str, int]:
    """Return arm → its budget in examples, where the selection under test has `main`.

    Arms of one budget in tokens stand at one place, that of the first of them, as many rows as each may have.

    Parameters
    ----------
    sizes : mapping of arm to int
        Examples that each arm was tuned on.
    main : int
        Examples of the selection under test.
    """
    known = {"": main}
    for arm, n in sizes.items():
        size = arm.partition("@")[2]
        known.setdefault(size, int(size) if size.isdigit() else n)
    return {arm: known[arm.partition("@")[2]] for arm in sizes}


def lines(result: Mapping[str, Any], metric: str) -> list[Line]:
    """Return a line for each selection, subset and random picks of a result, in the order of its arms.

    Parameters
    ----------
    result : mapping
        As `curation.experiments.experiment` returns it.
    metric : str
        One of its metrics.
    """
    found: dict[str, list[Point]] = {}
    sizes = budgets_of(
        {arm: told.get("n_examples", 0) for arm, told in result["arms"].items()}, len(result["selected"])
    )
    for arm in in_order(result["arms"]):
        if arm not in (ZERO_SHOT, "full", "off_task", *result.get("models", ())):
            value = result["arms"][arm]["metrics"][metric]
            point = Point(arm, sizes[arm], value["mean"], value["low"], value["high"])
            found.setdefault(base_of(arm), []).append(point)
    told = result.get("knees", {})
    return [
        Line(base, tuple(sorted(points, key=lambda p: p.budget)), told.get(base, {}).get(metric))
        for base, points in found.items()
    ]


def knees(judged: Mapping[str, Sequence[Evaluation]], sizes: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """Return base → metric → budget at the knee, for what was tuned at several sizes.

    Parameters
    ----------
    judged : mapping of arm to sequence of Evaluation
        One evaluation for each seed.
    sizes : mapping of arm to int
        Their budgets, as `budgets_of` has them.
    """
    families: dict[str, dict[int, Sequence[Evaluation]]] = {}
    for arm, evaluations in judged.items():
        if arm not in (ZERO_SHOT, "full"):
            families.setdefault(base_of(arm), {})[sizes[arm]] = evaluations
    found: dict[str, dict[str, int]] = {}
    for base, family in families.items():
        if len(family) > 1:
            found[base] = {metric: _knee(family, metric) for metric in next(iter(family.values()))[0].summary}
    return found


def _knee(sizes: Mapping[int, Sequence[Evaluation]], metric: str) -> int:
    from curation.evaluation import METRICS, statistics

    better = METRICS.load(metric).higher_is_better
    for n in sorted(sizes):
        larger = {str(m): statistics.compare(sizes[m], sizes[n])[metric] for m in sizes if m > n}
        if not any(one.better for one in statistics.holm(larger, higher_is_better=better).values()):
            return n
    raise AssertionError("nothing is larger than the largest budget")
