"""One difference in words, from either side."""

from __future__ import annotations

from typing import Any

import pytest

from curation.verdicts import Finding, compared, tuned, turned

GAIN = {"mean": 0.2, "low": 0.1, "high": 0.3, "better": True, "comparisons": 3}


def test_a_difference_is_the_same_from_either_side() -> None:
    assert turned(turned(GAIN)) == GAIN
    assert turned({"mean": 1.0, "low": None, "high": 2.0, "better": None})["high"] is None
    size = "20.0 points exact match (95 % interval 10.0–30.0)"
    assert compared("exact_match", "the first", "the second", GAIN) == Finding(
        "better", f"The first beat the second by {size}."
    )
    assert compared("exact_match", "the second", "the first", turned(GAIN)) == Finding(
        "worse", f"The second did worse than the first, by {size}."
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "Tuning on it gained 20.0 points exact match over the untuned model (95 % interval 10.0–30.0)."),
        (
            {"better": None, "low": -0.1},
            "Tuning on it is not distinguishable from the untuned model in exact match: +20.0",
        ),
        ({"better": None}, "but among 3 arms compared at once it may be chance"),
        (
            {"mean": -0.2, "low": -0.3, "high": -0.1, "better": False},
            "Tuning lost: after tuning on it the model is 20.0 points",
        ),
    ],
)
def test_what_tuning_gained_or_lost_is_said(changes: dict[str, Any], said: str) -> None:
    assert said in tuned("exact_match", "it", {**GAIN, **changes}).sentence
