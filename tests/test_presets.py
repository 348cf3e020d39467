"""Each preset is a design of its own that leaves tuning and judging as they are."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from curation.config import EvaluationConfig, ExperimentConfig, TrainingConfig
from curation.presets import PRESETS, preset

CURRENT = ExperimentConfig(
    arms=("full",),
    budgets=(7,),
    subsets={"own": "/x.jsonl"},
    models={"Big": "owner/big"},
    equal="tokens",
    training=TrainingConfig(epochs=9.0),
    evaluation=EvaluationConfig(metrics=("rouge_l",)),
    price_per_hour=3.0,
)


def made(name: str, **changes: Any) -> ExperimentConfig:
    given = {"selector": "round_robin", "n_selected": 100, "n_candidates": 250, "saved": {"Mine v1": "k"}, **changes}
    return preset(name, CURRENT, **given)


@pytest.mark.parametrize("name", PRESETS)
def test_tuning_and_judging_stay(name: str) -> None:
    found = made(name)
    assert (found.training, found.evaluation, found.price_per_hour) == (CURRENT.training, CURRENT.evaluation, 3.0)
    assert "zero_shot" in found.arms and found.subsets == {} and found.equal == "passes"
    assert len(found.seeds) == (1 if name == "quick" else 3)


def test_each_asks_its_own_question() -> None:
    assert made("inner").arms == ("zero_shot", "random", "selected", "full")
    assert made("form").arms == ("zero_shot", "random", "off_task", "selected")
    assert made("budgets").budgets == (25, 50, 200)  # four times would be more than there are
    assert made("budgets", n_selected=1).budgets == (2, 4)
    others = {"Doubly greedy": {"selector": "doubly_greedy"}, "KNN KDE": {"selector": "knn_kde"}}
    assert made("selectors").selections == {**others, "Mine v1": {"saved": "k"}}
    assert list(made("selectors", selector="knn_kde", saved={}).selections) == ["Doubly greedy"]
    assert made("external").models == {"Big": "owner/big"} and made("external").selections == {}
    assert made("selectors").models == made("quick").models == {}


def test_the_external_comparison_takes_harness_tasks_where_they_can_be_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def metrics(**options: Any) -> tuple[str, ...]:
        judging = EvaluationConfig(metrics=("rouge_l",), options={"harness": options})
        given: Any = {"selector": "round_robin", "n_selected": 9, "n_candidates": 9, "saved": {}}
        return preset("external", dataclasses.replace(CURRENT, evaluation=judging), **given).evaluation.metrics

    monkeypatch.setattr("importlib.util.find_spec", lambda _: object())
    assert metrics(tasks=("arc_easy",)) == ("rouge_l", "harness") and metrics() == ("rouge_l",)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert metrics(tasks=("arc_easy",)) == ("rouge_l",)
