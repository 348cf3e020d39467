"""What budget curves, quantile checks and winning rates say."""

from __future__ import annotations

from typing import Any

import pytest

from curation import readings
from curation.findings import Finding


def told(mean: float, low: float | None, high: float | None) -> dict[str, Any]:
    return {"mean": mean, "low": low, "high": high, "per_seed": [mean]}


RESULT: dict[str, Any] = {
    "arms": {
        arm: {"metrics": {"exact_match": told(mean, mean - 0.1, mean + 0.1)}}
        for arm, mean in {
            "zero_shot": 0.1,
            "selected@20": 0.4,
            "selected": 0.6,
            "random@20": 0.2,
            "random": 0.5,
        }.items()
    },
    "selected": ["a"] * 1000,
    "knees": {"selected": {"exact_match": 20}, "random": {"exact_match": 1000}},
}


def test_it_says_where_gains_stop_and_where_they_may_go_on() -> None:
    assert readings.gains(RESULT, "exact_match") == [
        "Random: gains go on up to the largest size tried, 1,000 examples; more may bring more.",
        "Selected: from 20 examples on no gain can be seen; none of the larger sizes, up to 1,000, is distinguishably "
        "better.",
    ]
    one_size = {**RESULT, "arms": {k: v for k, v in RESULT["arms"].items() if "@" not in k}, "knees": {}}
    assert readings.gains(one_size, "exact_match") == []


def test_the_budget_table_has_a_row_a_size() -> None:
    table = readings.budget_table(RESULT, "exact_match")
    assert table.to_dict("list") == {
        "Examples": ["20", "1,000"],
        "Random": ["20.0 % (10.0–30.0)", "50.0 % (40.0–60.0)"],
        "Selected": ["40.0 % (30.0–50.0)", "60.0 % (50.0–70.0)"],
    }


@pytest.mark.parametrize(
    ("ends", "verdict", "words"),
    [
        (
            (0.9, 0.4, 0.98),
            "better",
            "Nearer rows teach better, by test loss (Spearman 0.90, 95 % interval 0.40 to 0.98",
        ),
        ((-0.9, -0.98, -0.4), "worse", "Nearer rows teach worse, by test loss (Spearman −0.90"),
        ((0.3, -0.4, 0.8), "same", "Nearness is not shown to predict test loss (Spearman 0.30"),
    ],
)
def test_a_check_is_told_in_words(ends: tuple[float, float, float], verdict: str, words: str) -> None:
    check = {
        "spearman": {"test_loss": dict(zip(("mean", "low", "high"), ends, strict=True))},
        "parts": [{"metrics": {}}] * 10 + [{}],
    }
    finding = readings.nearness(check, "test_loss")
    assert finding.verdict == verdict and finding.sentence.startswith(words) and "over 10 parts" in finding.sentence


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        (
            (0.7, 0.6, 0.8),
            (
                "better",
                "Ours is preferred to Theirs by people: it wins 70 % (95 % interval 60–80 over prompts, not over "
                "seeds; 50 % is even).",
            ),
        ),
        (
            (0.2, 0.1, 0.3),
            (
                "worse",
                "Theirs is preferred to Ours by people: Ours wins 20 % (95 % interval 10–30 over prompts, not "
                "over seeds; 50 % is even).",
            ),
        ),
        (
            (0.55, 0.4, 0.7),
            (
                "same",
                "Ours and Theirs are not distinguishable to people: Ours wins 55 % (95 % interval 40–70 over prompts, "
                "not over seeds; 50 % is even).",
            ),
        ),
    ],
)
def test_a_winning_rate_is_told_in_words(ends: tuple[float, float, float], expected: tuple[str, str]) -> None:
    assert readings.preferred(told(*ends), "Ours", "Theirs", "people") == Finding(*expected)
