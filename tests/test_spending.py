"""What arms took and what a point cost, from a drawn result (selected 59.6 %, zero-shot 5.3 %, full pool 86.2 %)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from curation import spending


@pytest.fixture
def result() -> dict[str, Any]:
    told: dict[str, Any] = json.loads((Path(__file__).parent / "experiment_result.json").read_text())
    told["arms"]["selected"] |= {"seconds": 3 * 3600.0, "seen": 3 * 1000, "memory": 2 * 10**9, "disk": 3 * 10**6}
    told["arms"]["full"] |= {"seconds": 3 * 36000.0, "seen": 3 * 20000}
    return told


def test_an_arm_is_told_for_one_seed_and_for_a_point(result: dict[str, Any]) -> None:
    table = spending.table(result).set_index("Arm")
    row = table.loc["Selected"]
    points = 100 * result["differences"]["selected"]["exact_match"]["versus_zero_shot"]["mean"]
    assert row["Device time"] == "1 h" and row["Tokens seen"] == "1,000"
    assert table.loc["Random", "Tokens seen"] == ""  # a result of old does not tell
    assert row["Memory"] == "2.00 GB" and row["Disk"] == "1.0 MB"
    assert row["Device time a point"] == f"{60 / points:.2g} min"
    assert row["Tokens a point"] == f"{1000 / points:.2g}" and table.loc["Random", "Tokens a point"] == ""
    assert table.loc["Zero-shot", "Device time a point"] == "no gain told" and "Price" not in table
    priced = spending.table({**result, "config": {**result["config"], "price_per_hour": 2.5}}).set_index("Arm")
    assert priced.loc["Selected", "Price"] == "2.5"
    cheap = spending.table({**result, "config": {**result["config"], "price_per_hour": 0.001}}).set_index("Arm")
    assert cheap.loc["Selected", "Price a point"] == "0.000018"
    assert priced.loc["Selected", "Price a point"] == f"{2.5 / points:.2g}"


def test_a_gain_that_is_not_told_has_no_price(result: dict[str, Any]) -> None:
    result["differences"]["selected"]["exact_match"]["versus_zero_shot"]["better"] = None
    assert spending.gained(result, "selected") is None and spending.against_full(result) == ""
    assert spending.table(result).set_index("Arm").loc["Selected", "Device time a point"] == "no gain told"


def test_the_selection_is_held_against_the_full_pool(result: dict[str, Any]) -> None:
    gains = {a: 100 * result["differences"][a]["exact_match"]["versus_zero_shot"]["mean"] for a in ("selected", "full")}
    times = 10 * gains["selected"] / gains["full"]
    told = spending.against_full(result)
    costs = [f"{60 / gains['selected']:.2g} min, {1000 / gains['selected']:.2g} tokens"]
    costs += [f"{600 / gains['full']:.2g} min, {20000 / gains['full']:,.0f} tokens"]
    assert told == (
        f"A point of exact match gained took {costs[0]} with the selection and {costs[1]} with the full pool: "
        f"{times:.2g} times as much device time."
    )
    priced = spending.against_full({**result, "config": {**result["config"], "price_per_hour": 2.5}})
    assert f"tokens, {2.5 / gains['selected']:.2g} of your currency with the selection" in priced
    del result["arms"]["full"]
    assert spending.against_full(result) == ""


def test_what_a_point_cost_is_told_only_for_a_gain(result: dict[str, Any]) -> None:
    gain = 100 * result["differences"]["selected"]["exact_match"]["versus_zero_shot"]["mean"]
    assert spending.of_a_point(result) == (
        f"A point of exact match gained cost {12 / gain:.2g} examples and {60 / gain:.2g} min of tuning and judging."
    )
    result["evaluations"]["selected"].popitem()  # one seed's training diverged, and took no time that is told
    assert f"{90 / gain:.2g} min" in spending.of_a_point(result)
    result["differences"]["selected"]["exact_match"]["versus_zero_shot"]["better"] = None
    assert spending.of_a_point(result) == ""
