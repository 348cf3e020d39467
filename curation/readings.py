"""What a budget curve, a quantile check and a winning rate say, in sentences and tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from curation.budgets import lines
from curation.findings import Finding
from curation.wording import arm_label, interval, metric_label, minus

if TYPE_CHECKING:
    import pandas as pd


def gains(result: Mapping[str, Any], metric: str) -> list[str]:
    """Say for each selection, and for random picks, at which budget gains stop; empty where there is one size only."""
    told = []
    for line in lines(result, metric):
        if line.knee is None or len(line.points) < 2:
            continue
        name, last = arm_label(line.base), line.points[-1].budget
        if line.knee == last:
            told.append(f"{name}: gains go on up to the largest size tried, {last:,} examples; more may bring more.")
        else:
            told.append(
                f"{name}: from {line.knee:,} examples on no gain can be seen; none of the larger sizes, up to "
                f"{last:,}, is distinguishably better."
            )
    return told


def budget_table(result: Mapping[str, Any], metric: str) -> pd.DataFrame:
    """Return sizes × selections as text: mean with 95 % interval."""
    import pandas as pd

    columns = {
        arm_label(line.base): {p.budget: interval(metric, dataclasses.asdict(p)) for p in line.points}
        for line in lines(result, metric)
    }
    sizes = sorted({size for told in columns.values() for size in told})
    return pd.DataFrame(
        [{"Examples": f"{n:,}", **{name: told.get(n, "–") for name, told in columns.items()}} for n in sizes]
    )


def nearness(check: Mapping[str, Any], metric: str) -> Finding:
    """Say whether nearness to the queries predicts a metric here, and what that means for this representation.

    Parameters
    ----------
    check : mapping
        As `curation.quantiles.check` returns it.
    metric : str
        One of its metrics.
    """
    told, name = check["spearman"][metric], metric_label(metric).lower()
    n = sum("metrics" in part for part in check["parts"])  # the others diverged
    mean, low, high = (minus(f"{told[end]:.2f}") for end in ("mean", "low", "high"))
    number = f"Spearman {mean}, 95 % interval {low} to {high}, over {n} parts"
    if told["low"] > 0:
        return Finding(
            "better", f"Nearer rows teach better, by {name} ({number}): picking by this representation pays for it."
        )
    if told["high"] < 0:
        return Finding(
            "worse", f"Nearer rows teach worse, by {name} ({number}): do not pick by this representation for it."
        )
    return Finding(
        "same",
        f"Nearness is not shown to predict {name} ({number}): it may or may not, so judge selections by experiment.",
    )


def preferred(told: Mapping[str, Any], first: str, second: str, who: str) -> Finding:
    """Say who is preferred to whom.

    Parameters
    ----------
    told : mapping
        ``mean``, ``low`` and ``high`` of the first one's winning rate, as `Interval.to_dict` has them; of one training
        each, so the interval covers prompts only, and it is said so.
    first, second : str
        Names of the two.
    who : str
        Who preferred, as "people" or "the judge".
    """
    share = f"{100 * told['mean']:.0f} %"
    span = f"95 % interval {100 * told['low']:.0f}–{100 * told['high']:.0f} over prompts, not over seeds; 50 % is even"
    if told["low"] > 0.5:
        return Finding("better", f"{first} is preferred to {second} by {who}: it wins {share} ({span}).")
    if told["high"] < 0.5:
        return Finding("worse", f"{second} is preferred to {first} by {who}: {first} wins {share} ({span}).")
    return Finding("same", f"{first} and {second} are not distinguishable to {who}: {first} wins {share} ({span}).")
