"""The selection card from plain records: what it says, and that it says the same twice."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from curation import comparison, report, results, workbench
from curation.config import (
    BudgetConfig,
    DatasetConfig,
    ExperimentConfig,
    ModelConfig,
    RunConfig,
    SelectionConfig,
)
from curation.errors import WorkspaceError
from curation.findings import Finding
from curation.preferences import Preferred
from curation.report import Records
from curation.tables import OverrideEntry
from curation.workspace import Workspace
from tests.pages.conftest import add_result, make_project

HOSTILE = "<script>alert(1)</script> **bold**"


@pytest.fixture
def records() -> Records:
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
        "decided": {"r0": HOSTILE, "r9": "a banned row"},
    }
    result = json.loads((Path(__file__).parent / "experiment_result.json").read_text())
    log = [OverrideEntry(project_id="p", seq=1, step=1, action="pin", row_id="r0", author="Ada")]
    log.append(OverrideEntry(project_id="p", seq=2, step=2, action="note", row_id="r0", author=HOSTILE))
    return Records(HOSTILE, config, subset, summary, result, {"MIT": 30}, log=log)


def with_result(records: Records, **further: Any) -> Records:
    return dataclasses.replace(records, result={**(records.result or {}), **further})


def with_summary(records: Records, **further: Any) -> Records:
    return dataclasses.replace(records, summary={**records.summary, **further})


def test_the_card_says_what_was_chosen_how_and_with_what_effect(records: Records) -> None:
    text = report.markdown(records).replace("\\", "")
    for said in (
        "beat as many random ones by 29.8 points exact match",
        "Pool: 200 rows, pool.jsonl, SHA-256 aaaaaaaaaaaaaaaa…",
        "Selector: round_robin",
        "Base model: some/model",
        "Distance to the query set: 0.420, random 0.710",
        "Queries that no pick comes near: 2",
        "| MIT | 30 |",
        "1 pinned, 1 banned, 1 noted.",
        "Decided by <script>alert(1)</script> **bold** (1), Ada (1), not named (1).",
        "| pinned | <script>alert(1)</script> **bold** | Ada, <script>alert(1)</script> **bold** |",
        "| banned |  | not named | a banned row | r9 |",
        "The first 25 of 30",
        "LESS 0.89 / 0.40 / 0.30",
        "Warmup: 5 % of the pool, seed 0: LoRA of rank 16, 4 passes, learning rate 2e-05 (linear), batches of 16",
        '"selector": "round_robin"',
    ):
        assert said in text


def test_the_html_holds_the_same_and_no_markup_from_data(records: Records) -> None:
    page = report.html(records)
    assert "<script>alert(1)" not in page
    assert page.startswith("<!doctype html>") and "beat as many random ones by 29.8 points" in page
    assert page.count('<div id="figure-') == 3
    assert page == report.html(records)


def test_a_selection_that_was_not_tuned_says_so(records: Records) -> None:
    text = report.markdown(dataclasses.replace(records, result=None))
    assert "Nothing was tuned on this selection yet" in text
    assert "## The experiment" not in text and "## Results" not in text and "## What it cost" not in text


def test_records_that_lack_what_is_optional_still_make_a_card(records: Records) -> None:
    bare = dataclasses.replace(records, summary={}, licences={}, result=None)
    text = report.markdown(bare)
    assert "## How near" not in text and "## First picks" in text
    assert "Nothing was picked" in report.markdown(dataclasses.replace(bare, subset=records.subset.iloc[:0]))


def test_the_config_in_the_card_reads_back(records: Records) -> None:
    text = report.markdown(records)
    config = text.rpartition("## Make it again")[2].partition("```\n")[2].partition("\n```")[0]
    assert RunConfig.from_dict(json.loads(config)) == records.config


def test_a_quantile_check_and_what_arms_took_are_on_the_card(records: Records) -> None:
    assert "Does nearness predict" not in report.markdown(records)
    told = {"mean": 1.0, "low": 0.9, "high": 1.1, "per_seed": [1.0]}
    check = {
        "metrics": ["query_loss"],
        "parts": [{"distance": 0.1 * n, "metrics": {"query_loss": told}} for n in range(10)],
        "spearman": {"query_loss": {"mean": 0.9, "low": 0.6, "high": 0.98}},
        "n_examples": 200,
        "name": "less",
    }
    text = report.markdown(with_summary(records, quantiles=check)).replace("\\", "")
    assert "Spearman correlation of nearness by LESS" in text and "0.90 (0.60 to 0.98) with query loss" in text
    assert "Device time a point" in text and "Every arm makes as many passes over its own rows" in text
    assert "with the full pool" in text


def test_a_further_model_is_on_the_card_and_a_loss_that_it_lacks_is_a_dash(records: Records) -> None:
    arms = dict((records.result or {})["arms"])
    metrics = {"exact_match": arms["zero_shot"]["metrics"]["exact_match"]}
    arms["Big"] = arms["zero_shot"] | {"metrics": metrics}
    evaluations = (records.result or {})["evaluations"] | {"Big": {"0": "k"}}
    model = {"name": "owner/big", "dtype": "bfloat16", "max_length": 512}
    told = with_result(records, arms=arms, evaluations=evaluations, models={"Big": model}, without_losses=["Big"])
    text = report.markdown(told).replace("\\", "")
    assert "Big (another model, untuned: owner/big, weights in bfloat16, at most 512 tokens a conversation)" in text
    assert "Big cuts answers into other tokens than the base model" in text and "| Big | none | –" in text
    before = report.markdown(records).replace("\\", "")
    seeds = next(line for line in before.splitlines() if line.startswith("- Seeds"))
    assert seeds in text  # it is no training


def test_the_card_says_how_the_arms_were_compared(records: Records) -> None:
    selections = {"Greedy": {"selector": "doubly_greedy"}, "Kept": {"saved": "k" * 32}}
    design = ExperimentConfig(
        selections=selections, subsets={HOSTILE: "mine.jsonl"}, seeds=(0, 1, 2), dev_share=0.3, exclude_overlap=True
    )
    config = dataclasses.replace(records.config, experiment=design)
    result = dict(records.result or {})
    arms, differences = result["arms"], result["differences"]
    for arm in ("Greedy", "Kept@4", f"{HOSTILE}@9"):
        arms = arms | {arm: arms["selected"] | {"n_examples": 4}}
        differences = differences | {arm: differences["selected"]}
        result["evaluations"] = result["evaluations"] | {arm: result["evaluations"]["selected"]}
    for by_metric in differences.values():
        by_metric["exact_match"]["versus_zero_shot"] |= {"comparisons": 6}
    overlap = {"queries": 1, "pool": 2, "either": 3, "excluded": 3}
    told = with_result(
        dataclasses.replace(records, config=config, result=result),
        arms=arms,
        differences=differences,
        overlap=overlap,
        n_dev=37,
        model={"name": "some/model", "dtype": "float32", "max_length": 512},
    )
    text = report.markdown(told).replace("\\", "")
    for said in (
        "- Base model: some/model, weights in float32, at most 512 tokens a conversation",
        "Zero-shot (the model untuned); Random (rows drawn anew for each seed); Selected; Full pool",
        "Greedy (selector = doubly_greedy); Kept, 4 examples (a saved selection)",
        f"{HOSTILE}, 9 examples (the rows of mine.jsonl)",
        "- Budgets: 4, 12 examples",
        "- Seeds: 0, 1, 2 (18 trainings)",
        "- Tuned by: LoRA of rank 16, 3 passes, learning rate 0.0002 (linear), batches of 16",
        "- What is equal: Every arm makes as many passes over its own rows",
        "- Judged by: Query loss, Test loss, Exact match",
        "- Judged on: 150 test rows, 4 queries",
        "- Dev split: 37 test rows set aside; they judge no arm",
        "- Test rows found in the queries or the pool: 3, left out",
        "- Answers: written greedily, at most 64 tokens",
        "corrected for the number of comparisons shown (1 with random, 6 with zero-shot; Holm)",
        "| Greedy | random | +29.8 points (20.0–38.7) | better |",
        "The arms Kept are selections saved in this workspace, so they replay in it alone.",
    ):
        assert said in text, said
    assert "<script>alert(1)" not in report.html(told)


def test_what_was_set_for_the_selection_is_on_the_card(records: Records) -> None:
    selection = SelectionConfig(quotas={"web": 5}, minimum_similarity=0.2, minimum_score=40.0, feedback=True)
    text = report.markdown(
        dataclasses.replace(records, config=dataclasses.replace(records.config, selection=selection))
    )
    for said in (
        "At most of a source: web = 5",
        "Least similarity to the nearest query: 0.2",
        "Least score: 40 (length)",
        "Feedback: pins ask for more of their kind, bans for less (0.5)",
        "Nothing was pinned, banned or noted.",
    ):
        assert said in text.replace("\\", ""), said


def test_the_budget_curve_is_there_with_its_knee_in_words(records: Records) -> None:
    assert "by budget" not in report.markdown(records)
    arms = dict((records.result or {})["arms"])
    arms |= {"random@4": arms["random"] | {"n_examples": 4}, "selected@4": arms["selected"] | {"n_examples": 4}}
    knees = {"random": {"exact_match": 4}, "selected": {"exact_match": 12}}
    evaluations = {arm: {"0": "e"} for arm in arms}
    text = report.markdown(with_result(records, arms=arms, knees=knees, evaluations=evaluations)).replace("\\", "")
    assert "Random: no larger budget is told to be better than 4 examples." in text
    assert "Selected: still gaining at 12 examples, the largest budget tried." in text


def test_the_data_set_card_opens_with_what_the_hub_reads(records: Records) -> None:
    title = "Sums: ---\n\"x\": 'y' # 😀\x07"
    text = report.dataset_card(dataclasses.replace(records, title=title))
    head, _, rest = text.removeprefix("---\n").partition("\n---\n")
    fields = yaml.safe_load(head)
    assert fields["pretty_name"] == "Sums: ---\"x\": 'y' # 😀"
    assert fields["license"] == ["mit"] and fields["size_categories"] == ["n<1K"]
    assert fields["configs"] == [{"config_name": "default", "data_files": "subset.parquet"}]
    assert rest.strip() == report.markdown(dataclasses.replace(records, title=title)).strip()


@pytest.mark.parametrize(
    ("licences", "said"),
    [
        ({"not stated": 3}, "unknown"),
        ({"CC BY 4.0": 2, "MIT": 1}, ["cc-by-4.0", "mit"]),
        ({"our own": 2, "MIT": 1}, "other"),
        ({"not stated": 2, "MIT": 1}, "other"),
    ],
)
def test_licences_are_those_that_the_hub_knows(records: Records, licences: dict[str, int], said: Any) -> None:
    text = report.dataset_card(dataclasses.replace(records, licences=licences))
    assert yaml.safe_load(text.split("---\n")[1])["license"] == said


def test_subgroups_and_what_people_and_judges_preferred_are_on_the_card(records: Records) -> None:
    frame = pd.DataFrame({"Subgroup": [HOSTILE], "Rows": [12], "Verdict": ["better"], "Caution": ["only 12 rows"]})
    told = Preferred(Finding("better", "Ours is preferred to theirs by people."), ("9 votes for ours.",))
    shown = with_summary(records, subgroups={"Source": frame}, preferences=[told])
    text = report.markdown(shown).replace("\\", "")
    for said in (
        "## Where it gains",
        "Exact match by source.",
        f"| {HOSTILE} | 12 | better | only 12 rows |",
        "## Whose answers are preferred",
        "Ours is preferred to theirs by people.",
        "9 votes for ours.",
    ):
        assert said in text, said
    assert "<script>alert" not in report.html(shown)
    plain = report.markdown(records)
    assert "Where it gains" not in plain and "preferred" not in plain


def test_records_are_found_by_name_with_the_newest_experiment_on_the_very_picks(
    workspace: Workspace, tmp_path: Path
) -> None:
    project = make_project(workspace, tmp_path)
    assert report.named(workspace, project).result is None
    add_result(workspace, project)
    newest = add_result(workspace, project, seeds=2)
    add_result(workspace, project, arms=("zero_shot", "random"))  # nothing was tuned on the selection
    comparison.save_selection(workspace, workbench.view(workspace, project), "Mine")
    workbench.change(workspace, project, selection=SelectionConfig(budget=BudgetConfig(examples=9)))
    assert report.named(workspace, project).result is None
    found = report.named(workspace, project, selection="Mine")
    assert found.result == newest and found.title == "Sums: Mine v1, Try 2"
    key = results.experiments(workspace, project)[2].key
    for name in ("Try 1", key):
        first = report.named(workspace, project, experiment=name)
        assert first.result is not None and first.result["seeds"] == [0, 1, 2] and first.title == "Sums: Try 1"
        assert list(first.subset["id"]) == first.result["selected"]
    assert report.named(workspace, project, selection="Mine", experiment="Try 1").title == "Sums: Mine v1, Try 1"


def test_what_is_named_wrongly_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    project = make_project(workspace, tmp_path)
    add_result(workspace, project)
    workbench.change(workspace, project, selection=SelectionConfig(budget=BudgetConfig(examples=9)))
    comparison.save_selection(workspace, workbench.view(workspace, project), "Other")
    for asked, said in (
        ({"selection": "None"}, "no saved selection 'None'; it has: Other"),
        ({"experiment": "None"}, "no finished experiment 'None'; it has: Try 1"),
        ({"experiment": "Try 1"}, "the picks that 'Try 1' tuned on are neither saved nor the present ones"),
        ({"experiment": "Try 1", "selection": "Other"}, "'Try 1' tuned on other picks than Other v1"),
    ):
        with pytest.raises(WorkspaceError, match=said):
            report.named(workspace, project, **asked)


def test_the_card_says_what_judged_and_no_more(records: Records) -> None:
    text = report.markdown(records)
    assert "Of a loss, lower is better." in text and "- Judged on: 150 test rows, 4 queries" in text
    text = report.markdown(with_result(records, metrics=["exact_match"]))
    assert "Of a loss" not in text and "- Judged on: 150 test rows\n" in text and "- Answers: written greedily" in text
    losses = with_result(records, metrics=["query_loss"])
    for further in (losses, with_result(losses, unanswered={"selected": [0, 0]})):
        text = report.markdown(further)
        assert "- Judged on: 4 queries\n" in text and "- Answers" not in text
    asked = report.markdown(with_result(losses, unanswered={"selected": [0, 9]}))
    assert "- Answers: written greedily" in asked
