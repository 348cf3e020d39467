"""The selection card from plain records: what it says, and that it says the same twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from curation import report
from curation.config import DatasetConfig, ExperimentConfig, ModelConfig, RunConfig, SelectionConfig

HOSTILE = "<script>alert(1)</script> **bold**"


@pytest.fixture
def records() -> dict[str, Any]:
    config = RunConfig(
        pool=DatasetConfig(path="pool.jsonl", sha256="a" * 64),
        queries=DatasetConfig(path="queries.jsonl"),
        model=ModelConfig(name="some/model"),
        selection=SelectionConfig(pinned=("r0",), banned=("r9",), notes={"r0": HOSTILE}),
        experiment=ExperimentConfig(),
    )
    subset = pd.DataFrame(
        {
            "rank": range(1, 31),
            "id": [f"r{i}" for i in range(30)],
            "similarity": [0.5] * 30,
            "query_id": ["q"] * 30,
            "reason": [HOSTILE] * 30,
            "override": ["pinned"] + [""] * 29,
            "note": [HOSTILE] + [""] * 29,
        }
    )
    summary = {
        "distance": 0.42,
        "random_distance": 0.71,
        "uncovered": [3, 4],
        "redundancy": 0.03,
        "composition": {HOSTILE: 20, "b": 10},
        "pool_composition": {HOSTILE: 100, "b": 100},
        "n_pool": 200,
        "decisions": [{"action": "pin", "row_id": "r0", "text": HOSTILE, "author": "Ada"}],
    }
    result = json.loads((Path(__file__).parent / "experiment_result.json").read_text())
    return {
        "title": HOSTILE,
        "config": config.to_dict(),
        "subset": subset,
        "summary": summary,
        "result": result,
        "licences": {"MIT": 30},
    }


def test_the_card_says_what_was_chosen_how_and_with_what_effect(records: dict[str, Any]) -> None:
    text = report.markdown_from(**records).replace("\\", "")
    for said in (
        "beat as many random ones by 29.8 points exact match",
        "Pool: 200 rows, pool.jsonl, SHA-256 aaaaaaaaaaaaaaaa…",
        "Selector: round_robin",
        "Base model: some/model",
        "Distance to the query set: 0.420, random 0.710",
        "Queries that no pick comes near: 2",
        "| MIT | 30 |",
        "1 pinned, 1 banned, 1 noted.",
        "| pinned | <script>alert(1)</script> **bold** | Ada |",
        "The first 25 of 30",
        "LESS 0.89 / 0.40 / 0.30",
        '"selector": "round_robin"',
    ):
        assert said in text


def test_the_html_holds_the_same_and_no_markup_from_data(records: dict[str, Any]) -> None:
    page = report.html_from(**records)
    assert "<script>alert(1)" not in page
    assert page.startswith("<!doctype html>") and "beat as many random ones by 29.8 points" in page
    assert page.count('<div id="figure-') == 3
    assert page == report.html_from(**records)


def test_a_selection_that_was_not_tuned_says_so(records: dict[str, Any]) -> None:
    text = report.markdown_from(**{**records, "result": None})
    assert "Nothing was tuned on this selection yet" in text and "## Training" not in text


def test_records_that_lack_what_is_optional_still_make_a_card(records: dict[str, Any]) -> None:
    bare = {**records, "summary": {}, "licences": {}, "result": None}
    text = report.markdown_from(**bare)
    assert "## How near" not in text and "## First picks" in text
    assert "Nothing was picked" in report.markdown_from(**{**bare, "subset": records["subset"].iloc[:0]})


def test_the_config_in_the_card_reads_back(records: dict[str, Any]) -> None:
    text = report.markdown_from(**records)
    config = text.rpartition("## Make it again")[2].partition("```\n")[2].partition("\n```")[0]
    assert RunConfig.from_dict(json.loads(config)).to_dict() == records["config"]


def test_a_quantile_check_and_what_arms_took_are_on_the_card(records: dict[str, Any]) -> None:
    assert "Does nearness predict" not in report.markdown_from(**records)
    told = {"mean": 1.0, "low": 0.9, "high": 1.1, "per_seed": [1.0]}
    records["summary"]["quantiles"] = {
        "metrics": ["query_loss"],
        "parts": [{"distance": 0.1 * n, "metrics": {"query_loss": told}} for n in range(10)],
        "spearman": {"query_loss": {"mean": 0.9, "low": 0.6, "high": 0.98}},
        "n_examples": 200,
        "name": "less",
    }
    text = report.markdown_from(**records).replace("\\", "")
    assert "Spearman correlation of nearness by LESS" in text and "0.90 (0.60 to 0.98) with query loss" in text
    assert "Device-hours a point" in text and "Every arm makes as many passes over its own rows" in text
    assert "with the full pool" in text
