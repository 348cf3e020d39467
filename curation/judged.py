"""What a result holds: its arms by kind, those that a metric has judged, and the metric of the headline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curation.wording import in_order, is_loss


def arms_of(result: Mapping[str, Any]) -> list[str]:
    """Return a result's arms in the order in which they are shown: untuned, random, selected, full pool."""
    return in_order(result["arms"])


def tuned_arms(result: Mapping[str, Any]) -> list[str]:
    """Return those arms that are tuned: neither the base model as it is nor a further model."""
    return [arm for arm in arms_of(result) if arm not in ("zero_shot", *result.get("models", ()))]


def judged_arms(result: Mapping[str, Any], metric: str) -> list[str]:
    """Return those arms that a metric has judged; a model with other tokens has no loss that could be compared."""
    return [arm for arm in arms_of(result) if metric in result["arms"][arm]["metrics"]]


def main_metric(result: Mapping[str, Any]) -> str:
    """Return the metric that the headline is about: the task's own if there is one, else the test or query loss."""
    metrics: list[str] = result["metrics"]
    ranked = [m for m in metrics if not is_loss(m)] + [m for m in ("test_loss", "query_loss") if m in metrics]
    return (ranked or metrics)[0]
