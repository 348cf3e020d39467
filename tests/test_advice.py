"""Advice follows the published figures, names them, and says so when tuning is not worth it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from curation import advice, selectors
from curation.advice import advise

USUAL: dict[str, Any] = {"n_pool": 200_000, "n_queries": 50, "budget": 10_000, "representation": "less"}


@pytest.mark.parametrize(
    ("changed", "selector", "figure"),
    [
        ({}, "knn_uniform", "knn uniform +6.9, knn kde +6.8, uot +6.4, round robin +6.0, doubly greedy +5.8"),
        ({"budget": 500}, "round_robin", "knn uniform +2.2, round robin +2.1"),
        ({"budget": 2_000}, "round_robin", "random +3.0 points over the untuned model at 2,500 examples"),
        ({"representation": "embed"}, "round_robin", "With EMBED, round robin +4.4"),
        ({"representation": "rds"}, "round_robin", "only selector with published figures for RDS+"),
        ({"representation": "lexical"}, "round_robin", "No figure is published for lexical features"),
    ],
)
def test_the_selector_is_the_published_best(changed: dict[str, Any], selector: str, figure: str) -> None:
    told = advise(**{**USUAL, **changed})
    assert (told.selector, told.tune) == (selector, True)
    assert figure in " ".join(told.reasons)
    assert told.sentence == f"Pick with {selector.replace('_', ' ')}."
    assert told.selector in selectors.REGISTRY


def test_every_reason_and_caveat_names_its_figure_and_source() -> None:
    for representation in ("less", "embed", "rds", "lexical"):
        told = advise(**{**USUAL, "representation": representation}, lengths=(800.0, 20.0))
        for sentence in [*told.reasons, *told.caveats]:
            assert any(letter.isdigit() for letter in sentence) or "simplest" in sentence or "only selector" in sentence
            assert "TIS" in sentence or "here" in sentence or "TSDS" in sentence or "simplest" in sentence, sentence
        assert any("arXiv 2602.14696" in source for source in told.citations)
    assert any("0.89 with query loss, 0.40 with test loss, 0.30 with the metric" in c for c in advise(**USUAL).caveats)
    rds = advise(**{**USUAL, "representation": "rds"}).caveats
    assert any("0.20 with query loss, −0.07 with test loss" in c for c in rds)


def test_caveats_follow_the_case() -> None:
    plain = " ".join(advise(**USUAL).caveats)
    assert "No selector wins everywhere" in plain and "500 examples can hurt" in plain and "characters" not in plain
    odd = " ".join(advise(**{**USUAL, "n_queries": 4, "n_pool": 6_000}, lengths=(900.0, 20.0)).caveats)
    assert "In a pool of 6,000 rows the neighbour selectors" in odd and "neighbour" not in plain
    assert "Query answers have about 900 characters, test answers about 20" in odd and "Only 4 queries" in odd


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"budget": 500, "model": "HuggingFaceTB/SmolLM3-3B-Base"}, "SmolLM3-3B lost 1.0 (random) to 6.5 points"),
        ({"budget": 500, "model": "Qwen/Qwen3-4B"}, "Qwen3-4B lost 1.2 (uot) to 9.4 points"),
        ({"budget": 300, "model": "meta-llama/Llama-3.2-3B-Instruct"}, "tuned to follow instructions already"),
        ({"nearest": (0.698, 0.7)}, "nearest possible subset has the distance 0.698, a random one 0.700"),
    ],
)
def test_it_can_say_do_not_tune(changed: dict[str, Any], said: str) -> None:
    told = advise(**{**USUAL, **changed})
    assert not told.tune and told.sentence.startswith("Do not tune on this: ") and said in told.sentence
    assert told.reasons[0][1:] in told.sentence


@pytest.mark.parametrize(
    "changed",
    [
        {"budget": 10_000, "model": "Qwen/Qwen3-4B"},
        {"budget": 500, "model": "meta-llama/Llama-2-7b-hf"},
        {"budget": 500, "model": "some/digit-fit-model"},
        {"nearest": (0.4, 0.7)},
    ],
)
def test_it_does_not_cry_wolf(changed: dict[str, Any]) -> None:
    assert advise(**{**USUAL, **changed}).tune


def result(better: bool | None, mean: float) -> dict[str, Any]:
    told = json.loads((Path(__file__).parent / "experiment_result.json").read_text())
    metric = told["differences"]["selected"]["exact_match"]
    metric["versus_zero_shot"] = {"mean": mean, "low": mean - 0.02, "high": mean + 0.02, "better": better}
    return told


def test_the_projects_own_experiment_weighs_most() -> None:
    told = advise(**USUAL, result=result(False, -0.06), nearest=(0.7, 0.7))
    assert not told.tune and "lost against the untuned model: −6.0 points (−8.0 to −4.0)" in told.sentence
    assert advice.OWN in told.citations and len(told.reasons) > 2
    for better, mean in ((True, 0.06), (None, -0.01)):
        assert advise(**USUAL, result=result(better, mean)).tune


def test_the_tables_are_the_papers() -> None:
    assert advice.GAINS["less", "knn_uniform"] == (2.2, 5.1, 6.9) and advice.RANDOM == (0.5, 3.0, 4.2)
    assert {s for _, s in advice.GAINS} <= set(selectors.REGISTRY)
    gaps = [round(a - b, 1) for a, b in zip(advice.GAINS["less", "round_robin"], advice.RANDOM, strict=True)]
    assert gaps == [1.6, 2.1, 1.8]
