"""Sentences, warnings and tables on a result (drawn numbers: selected 59.6 %, random 30.0 %, zero-shot 5.3 %)."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from curation import findings


@pytest.fixture
def result() -> dict[str, Any]:
    return json.loads((Path(__file__).parent / "experiment_result.json").read_text())


def told(mean: float, low: float | None, high: float | None, better: bool | None) -> dict[str, Any]:
    return {"mean": mean, "low": low, "high": high, "better": better}


def against(
    result: dict[str, Any], other: str, difference: dict[str, Any], metric: str = "exact_match"
) -> dict[str, Any]:
    changed = copy.deepcopy(result)
    changed["differences"]["selected"][metric][f"versus_{other}"] = difference
    return changed


def test_the_headline_says_by_how_much_the_selection_beat_random(result: dict[str, Any]) -> None:
    first, second, third = findings.findings(against(result, "random", told(0.21, 0.142, 0.274, True)))
    assert first == findings.Finding(
        "better",
        "The selected 12 examples beat as many random ones by 21.0 points exact match (95 % interval 14.2–27.4).",
    )
    assert second.verdict == "better" and second.sentence.startswith("Tuning on the selection gained 54.4 points")
    assert "full pool of 60 examples reached 86.2 %" in third.sentence and "20.0 % of it" in third.sentence


def test_a_difference_that_is_none_is_called_so(result: dict[str, Any]) -> None:
    found = findings.findings(against(result, "random", told(0.02, -0.03, 0.07, None)))[0]
    assert found.verdict == "same"
    assert "not distinguishable in exact match: +2.0 points (−3.0 to 7.0)" in found.sentence


def test_a_lost_tuning_is_said_plainly(result: dict[str, Any]) -> None:
    lost = against(result, "zero_shot", told(-0.041, -0.07, -0.01, False))
    found = findings.findings(lost)[1]
    assert found.verdict == "worse"
    assert found.sentence == (
        "Tuning lost: after tuning on the selection the model is 4.1 points exact match worse than untuned "
        "(95 % interval 1.0–7.0)."
    )
    assert any("Tuning lost against zero-shot" in w and "2602.14696" in w for w in findings.warnings(lost))
    assert not any("Tuning lost" in w for w in findings.warnings(result))


def test_a_loss_is_better_when_lower(result: dict[str, Any]) -> None:
    result["metrics"] = ["query_loss", "test_loss"]
    found = findings.findings(against(result, "random", told(-0.25, -0.3, -0.2, True), "test_loss"))[0]
    assert found.sentence == (
        "The selected 12 examples beat as many random ones by 0.250 nats of test loss (95 % interval 0.200–0.300)."
    )


def test_zero_shot_alone_has_a_sentence(result: dict[str, Any]) -> None:
    result["arms"] = {"zero_shot": result["arms"]["zero_shot"]}
    assert "no arm was tuned" in findings.findings(result)[0].sentence


def test_numbers_are_written_with_their_unit_and_a_real_minus() -> None:
    assert findings.shown("exact_match", 0.6123) == "61.2 %"
    assert findings.shown("test_loss", 1.23456) == "1.235"
    assert findings.interval("exact_match", told(0.612, 0.54, 0.681, None)) == "61.2 % (54.0–68.1)"
    assert findings.difference("test_loss", told(-0.5, -0.75, -0.0001, True)) == "−0.500 (−0.750 to 0.000)"
    assert findings.interval("exact_match", told(1.0, None, None, None)) == "100.0 % (no interval from so few examples)"


def test_warnings_are_given_where_they_apply_and_only_there(result: dict[str, Any]) -> None:
    assert findings.warnings(result, (100.0, 120.0)) == []
    few = {**result, "n_test": 40, "seeds": [0]}
    texts = findings.warnings(few, (800.0, 20.0))
    assert [t.split(":")[0].split(",")[0] for t in texts] == [
        "Only 40 test examples",
        "One seed only",
        "Query answers have about 800 characters",
    ]
    assert "no test set" in findings.warnings({**result, "n_test": 0})[0]


def test_a_lower_query_loss_without_a_better_metric_is_flagged(result: dict[str, Any]) -> None:
    flagged = findings.warnings(against(result, "random", told(0.01, -0.02, 0.04, None)))
    assert len(flagged) == 1 and "lowered the query loss but not the task metric" in flagged[0]


def test_the_advice_cites_all_three_columns() -> None:
    text = " ".join(t for t, _ in findings.ADVICE)
    for columns in ("0.89 / 0.40 / 0.30", "0.20 / −0.07 / 0.17", "0.19 / −0.12 / 0.27"):
        assert columns in text
    assert all("2602.14696" in source for _, source in findings.ADVICE)


def test_the_tables_hold_the_stored_numbers(result: dict[str, Any]) -> None:
    arms = findings.arms_table(result).set_index("Arm")
    mean = result["arms"]["selected"]["metrics"]["exact_match"]["mean"]
    assert arms.loc["Selected", "Exact match"].startswith(f"{100 * mean:.1f} %")
    assert list(arms.index) == ["Zero-shot", "Random", "Selected", "Full pool"]
    differences = findings.differences_table(result)
    assert differences.iloc[0].tolist()[:3] == ["Selected", "random", "Exact match"]
    assert len(differences) == 3 * (2 + 2 + 1)
    assert set(differences["Verdict"]) == {"better"}


def test_cost_is_told_only_for_a_gain(result: dict[str, Any]) -> None:
    gain = 100 * result["differences"]["selected"]["exact_match"]["versus_zero_shot"]["mean"]
    assert f"{12 / gain:.2g} examples" in findings.cost(result)
    assert findings.cost(against(result, "zero_shot", told(0.01, -0.02, 0.04, None))) == ""


def test_budgets_in_tokens_are_labelled_and_of_each_arm_one_size_is_shown() -> None:
    arms = ["own@60", "greedy@900t", "selected", "selected@20", "random", "random@900t", "random@60", "own@20"]
    assert findings.one_of_each(arms) == ["random", "selected", "greedy@900t", "own@20"]
    assert findings.arm_label("greedy@9000t") == "greedy, 9,000 tokens"
    assert findings.arm_label("own@1200") == "own, 1,200 examples"
