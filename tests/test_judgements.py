"""Which arms are held against which, each family corrected for its size."""

from __future__ import annotations

from curation.evaluation import Evaluation
from curation.judgements import differences, unanswered

SHARES = {
    "zero_shot": 0.1,
    "random": 0.3,
    "random@4": 0.3,
    "off_task": 0.2,
    "selected": 0.6,
    "selected@4": 0.4,
    "Greedy": 0.6,
    "Greedy@4": 0.6,
    "own@5": 0.5,
    "full": 0.9,
}


def judged(share: float) -> list[Evaluation]:
    values = [float(n < 100 * share) for n in range(100)]
    ids = [str(n) for n in range(100)]
    return [Evaluation({"exact_match": values}, {"exact_match": ids}, {"exact_match": share}, ["", "a", " "])]


def test_each_arm_is_held_against_the_baselines_of_its_size() -> None:
    told = differences({arm: judged(share) for arm, share in SHARES.items()})
    against = {arm: {other.removeprefix("versus_") for other in found["exact_match"]} for arm, found in told.items()}
    assert against == {
        "random": {"zero_shot"},
        "random@4": {"zero_shot"},
        "selected": {"zero_shot", "random"},
        "selected@4": {"zero_shot", "random"},
        "off_task": {"zero_shot", "random", "selected"},
        "Greedy": {"zero_shot", "random", "selected"},
        "Greedy@4": {"zero_shot", "random", "selected"},
        "own@5": {"zero_shot"},  # neither random nor the selection has its size here
        "full": {"zero_shot", "random", "selected"},
    }
    means = {
        arm: round(told[arm]["exact_match"]["versus_selected"]["mean"], 6) for arm in ("Greedy", "Greedy@4", "full")
    }
    assert means == {"Greedy": 0.0, "Greedy@4": 0.2, "full": 0.3}
    full, greedy = (told[arm]["exact_match"]["versus_selected"] for arm in ("full", "Greedy"))
    assert full["better"] and full["distinguishable"] and full["comparisons"] == 4
    assert greedy["better"] is None and not greedy["distinguishable"]


def test_answers_that_are_empty_are_counted() -> None:
    assert unanswered({"selected": judged(0.5) * 2}) == {"selected": [4, 6]}
