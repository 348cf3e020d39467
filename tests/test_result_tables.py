"""A result's tables, from a drawn result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from curation import result_tables


@pytest.fixture
def result() -> dict[str, Any]:
    told: dict[str, Any] = json.loads((Path(__file__).parent / "experiment_result.json").read_text())
    return told


def test_the_tables_hold_the_stored_numbers(result: dict[str, Any]) -> None:
    arms = result_tables.arms_table(result).set_index("Arm")
    mean = result["arms"]["selected"]["metrics"]["exact_match"]["mean"]
    assert arms.loc["Selected", "Exact match"].startswith(f"{100 * mean:.1f} %")
    assert list(arms.index) == ["Zero-shot", "Random", "Selected", "Full pool"]
    differences = result_tables.differences_table(result)
    assert differences.iloc[0].tolist()[:3] == ["Selected", "random", "Exact match"]
    assert len(differences) == 3 * (2 + 2 + 1)
    assert set(differences["Verdict"]) == {"better"}


def test_what_differs_from_the_selection_is_in_the_table(result: dict[str, Any]) -> None:
    told = {"mean": 0.02, "low": -0.03, "high": 0.07, "better": None}
    result["differences"]["full"]["exact_match"]["versus_selected"] = told
    rows = result_tables.differences_table(result).to_dict("records")
    assert {
        "Arm": "Full pool",
        "Against": "selected",
        "Metric": "Exact match",
        "Difference (95 % interval)": "+2.0 points (−3.0 to 7.0)",
        "Verdict": "not distinguishable",
    } in rows
