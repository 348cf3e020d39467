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
    assert third.verdict == "same" and third.sentence.startswith(
        "The selected 12 examples, 20.0 % of the pool, and all of it, which reached 86.2 %"
    )  # stored when the two were not compared
    assert third.sentence.endswith("were not compared when this was stored: start the experiment again to see.")


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


def beside(result: dict[str, Any], arm: str, difference: dict[str, Any], like: str = "random") -> dict[str, Any]:
    """Add an arm, judged as another is, and its difference from the selection."""
    changed = copy.deepcopy(result)
    changed["arms"].setdefault(arm, {**changed["arms"][like]})
    against = changed["differences"].setdefault(arm, copy.deepcopy(changed["differences"][like]))
    against["exact_match"]["versus_selected"] = difference
    return changed


def test_the_selection_is_told_against_the_full_pool_and_other_arms(result: dict[str, Any]) -> None:
    all_of_it = beside(result, "full", told(0.266, 0.2, 0.33, True))
    found = findings.findings(beside(all_of_it, "Greedy", {**told(0.02, -0.03, 0.07, None), "comparisons": 2}))
    assert [f.verdict for f in found] == ["better", "better", "same", "worse"]
    assert found[2].sentence == (
        "The selected 12 examples and the 12 examples of Greedy are not distinguishable in exact match: "
        "−2.0 points (−7.0 to 3.0)."
    )
    assert found[3].sentence == (
        "The selected 12 examples, 20.0 % of the pool, did worse than the full pool of 60 examples, "
        "by 26.6 points exact match (95 % interval 20.0–33.0)."
    )
    won = findings.findings(beside(result, "full", told(-0.05, -0.07, -0.02, False)))[2]
    assert won.verdict == "better" and "beat the full pool of 60 examples by 5.0 points" in won.sentence
    chance = {**told(0.05, 0.01, 0.09, None), "comparisons": 7}
    assert "among 7 arms" in findings.findings(beside(result, "full", chance))[2].sentence


def test_an_arm_of_another_size_is_told_against_random_of_that_size(result: dict[str, Any]) -> None:
    result["arms"]["own@5"] = {**result["arms"]["selected"], "n_examples": 5}
    result["differences"]["own@5"] = {"exact_match": {"versus_random": told(0.1, 0.05, 0.15, True)}}
    assert findings.findings(result)[2].sentence == (
        "The 5 examples of own beat as many random ones by 10.0 points exact match (95 % interval 5.0–15.0)."
    )
    result["config"]["equal"] = "tokens"
    assert "random ones of as many tokens" in findings.findings(result)[2].sentence


def test_off_task_rows_tell_how_much_of_the_gain_is_form(result: dict[str, Any]) -> None:
    formed = beside(result, "off_task", told(-0.45, -0.5, -0.4, False))
    formed["differences"]["off_task"]["exact_match"]["versus_zero_shot"] = told(0.094, 0.05, 0.14, True)
    beat, form = findings.findings(formed)[-2:]
    assert beat.sentence.startswith("The selected 12 examples beat 12 off-task examples by 45.0 points exact match")
    own = result["differences"]["selected"]["exact_match"]["versus_zero_shot"]
    assert form.sentence == (
        "How much of the gain is mere form: off-task examples moved exact match by +9.4 points (5.0–14.0), "
        f"the selection by {findings.difference('exact_match', own)}."
    )
    formed["differences"]["off_task"]["exact_match"]["versus_zero_shot"] = told(0.01, -0.02, 0.04, None)
    assert "(−2.0 to 4.0), which is not distinguishable from none, the" in findings.findings(formed)[-1].sentence


@pytest.mark.parametrize("arm", ["own@5", "Greedy", "off_task", "random", "full", "selected@4"])
def test_the_headline_speaks_of_whatever_arm_was_tuned(result: dict[str, Any], arm: str) -> None:
    like = result["differences"]["random"]
    result["arms"] = {"zero_shot": result["arms"]["zero_shot"], arm: result["arms"]["random"]}
    result["differences"] = {arm: like}
    sentence = findings.findings(result)[0].sentence
    assert sentence.startswith("Tuning on ") and " gained 24.7 points exact match" in sentence, sentence
    del result["arms"]["zero_shot"]
    result["differences"] = {}
    assert findings.findings(result)[0].sentence == f"{findings.arm_label(arm)}: exact match 30.0 % (22.7–38.5)."


def test_a_difference_without_an_interval_has_a_sentence(result: dict[str, Any]) -> None:
    found = findings.findings(against(result, "random", told(-0.5, None, None, None)))[0]
    assert found.sentence.endswith("in exact match: −50.0 points (no interval from so few examples).")


@pytest.mark.parametrize(
    ("further", "said"),
    [
        ({}, "the query set, which judges arms too: their query loss looks somewhat too good."),
        ({"metrics": ["exact_match"]}, "the query set, which judges no arm."),
        ({"n_dev": 37}, "37 test rows set aside, which judge no arm."),
    ],
)
def test_what_judged_the_epochs_is_said_as_it_is(result: dict[str, Any], further: dict[str, Any], said: str) -> None:
    assert "best epoch" not in findings.fairness(result)
    result["config"]["training"]["early_stopping"] = True
    told = findings.fairness({**result, **further})
    assert told.endswith(f"The best epoch of each training is kept, by the loss on {said}")


def test_a_number_of_steps_is_no_number_of_passes(result: dict[str, Any]) -> None:
    assert findings.fairness(result).startswith("Every arm makes as many passes")
    result["config"]["training"]["max_steps"] = 20
    assert findings.fairness(result).startswith("Every arm takes as many optimizer steps")


def test_budgets_in_tokens_are_labelled_and_of_each_arm_one_size_is_shown() -> None:
    arms = ["own@60", "greedy@900t", "selected", "selected@20", "random", "random@900t", "random@60", "own@20"]
    assert findings.one_of_each(arms) == ["random", "selected", "greedy@900t", "own@20"]
    assert findings.arm_label("greedy@9000t") == "greedy, 9,000 tokens"
    assert findings.arm_label("own@1200") == "own, 1,200 examples"
