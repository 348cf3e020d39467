"""What each arm took, and what a point gained over the untuned model cost: device time, tokens, money.

All of it is for one seed: what the seeds that were judged took, shared among them.

Time is that of tuning and judging as it was measured then, whatever was found again since; of a training that was
resumed it counts from there on.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from curation.findings import arms_of, main_metric
from curation.wording import arm_label, is_loss, metric_label

if TYPE_CHECKING:
    import pandas as pd


def hours(result: Mapping[str, Any], arm: str) -> float:
    """Return the device-hours that one seed of an arm took, tuning and judging."""
    return float(result["arms"][arm]["seconds"]) / 3600 / _seeds(result, arm)


def tokens(result: Mapping[str, Any], arm: str) -> float | None:
    """Return the tokens that one seed of an arm was tuned on, every pass counted; None where that is not told."""
    seen = result["arms"][arm].get("seen")
    return None if seen is None else seen / _seeds(result, arm)


def _seeds(result: Mapping[str, Any], arm: str) -> int:
    return max(1, len(result["evaluations"].get(arm, ())))


def gained(result: Mapping[str, Any], arm: str) -> float | None:
    """Return the points, or nats, by which an arm is better than the untuned model; None where that is not told.

    Only a difference that is distinguishable counts.
    """
    metric = main_metric(result)
    told = result["differences"].get(arm, {}).get(metric, {}).get("versus_zero_shot")
    if told is None or not told["better"]:
        return None
    return abs(float(told["mean"])) * (1.0 if is_loss(metric) else 100.0)


def table(result: Mapping[str, Any]) -> pd.DataFrame:
    """Return arms × what they took, for one seed, and for a point gained, as text."""
    import pandas as pd

    price = result["config"].get("price_per_hour", 0.0)
    unit = "nat" if is_loss(main_metric(result)) else "point"
    rows = []
    for arm in arms_of(result):
        told, took, gain = result["arms"][arm], hours(result, arm), gained(result, arm)
        seen = tokens(result, arm)
        row = {
            "Arm": arm_label(arm),
            "Device time": _time(took),
            "Tokens seen": f"{seen:,.0f}" if seen is not None else "",
            "Memory": f"{told['memory'] / 1e9:.2f} GB" if told.get("memory") else "",
            "Disk": f"{told['disk'] / _seeds(result, arm) / 1e6:,.1f} MB" if told.get("disk") else "",
            f"Device time a {unit}": _time(took / gain) if gain else "no gain told",
            f"Tokens a {unit}": _amount(seen / gain) if gain and seen is not None else "",
        }
        if price:
            row |= {"Price": _amount(price * took)}
            row |= {f"Price a {unit}": _amount(price * took / gain) if gain else ""}
        rows.append(row)
    return pd.DataFrame(rows)


def against_full(result: Mapping[str, Any]) -> str:
    """Say what a point gained by the selection cost against one gained by the full pool; empty where one is missing."""
    if not {"selected", "full"} <= result["arms"].keys():
        return ""
    gains = {arm: gained(result, arm) for arm in ("selected", "full")}
    metric = main_metric(result)
    unit = "nat" if is_loss(metric) else "point"
    selected, full = gains["selected"], gains["full"]
    if not selected or not full:
        return ""
    costs = [hours(result, "selected") / selected, hours(result, "full") / full]
    return (
        f"A {unit} of {metric_label(metric).lower()} gained took {_paid(result, 'selected', selected)} with the "
        f"selection and {_paid(result, 'full', full)} with the full pool: {_amount(costs[1] / costs[0])} times as much "
        "device time."
    )


def of_a_point(result: Mapping[str, Any]) -> str:
    """Say what a point gained by the selection cost, in examples and time; empty where nothing was gained."""
    gain, metric = gained(result, "selected"), main_metric(result)
    if gain is None or is_loss(metric):
        return ""
    return (
        f"A point of {metric_label(metric).lower()} gained cost "
        f"{_amount(result['arms']['selected']['n_examples'] / gain)} examples and "
        f"{_time(hours(result, 'selected') / gain)} of tuning and judging."
    )


def _paid(result: Mapping[str, Any], arm: str, gain: float) -> str:
    """What an arm took for each point gained: time, tokens where they are told, money where time has a price."""
    time, seen = hours(result, arm) / gain, tokens(result, arm)
    price = result["config"].get("price_per_hour", 0.0) * time
    told = [_time(time)]
    told += [f"{_amount(seen / gain)} tokens"] if seen is not None else []
    told += [f"{_amount(price)} of your currency"] if price else []
    return ", ".join(told)


def _time(hours: float) -> str:
    """Device time in the unit that leaves few digits."""
    for unit, of_an_hour in (("h", 1.0), ("min", 60.0)):
        if hours * of_an_hour >= 1:
            return f"{_amount(hours * of_an_hour)} {unit}"
    return f"{_amount(3600 * hours)} s"


def _amount(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{Decimal(f'{value:.2g}'):f}"
