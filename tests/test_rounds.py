"""The next round's queries come from the dev split alone, and from what the tuned arm got wrong there."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from curation import pipeline
from curation.config import DatasetConfig, EvaluationConfig, RunConfig
from curation.errors import ConfigError, EvaluationError
from curation.held_out import dev_split
from curation.workspace import Workspace
from tests.scripted import Script, design, make_run


@pytest.fixture
def run(tmp_path: Path, tiny_lm: Path) -> RunConfig:
    return design(make_run(tmp_path, tiny_lm), seeds=(0,), dev_share=0.5)


@pytest.mark.parametrize("metric", ["exact_match", "test_loss"])
def test_failures_join_the_queries_and_load_as_the_next_query_set(
    workspace: Workspace, run: RunConfig, script: Script, tmp_path: Path, metric: str
) -> None:
    script.word = "answer 1"  # some of the rows that were selected: part of the dev split is answered wrong
    asked = design(run, evaluation=EvaluationConfig(metrics=(metric,)))
    text, n_new = pipeline.next_queries(workspace, asked)
    rows = [json.loads(line) for line in text.splitlines()]
    assert rows[0]["messages"][0]["content"] == "add the numbers 900 and 901"
    made = pipeline.run(workspace, asked)
    dev = dev_split(workspace.ids(made["tests"]), 0.5)
    prompts = {e.id: e.prompt[0].content for e in workspace.rows(made["tests"], dev)}
    new = [row["messages"][0]["content"] for row in rows[1:]]
    picked = workspace.rows(made["pool"], list(made["subset"]["id"]))
    share = sum(script.word in e.text for e in picked) / len(picked)
    assert 0 < share < 1
    wrong = {
        "exact_match": sum((i + 0.5) / len(dev) >= share for i in range(len(dev))),
        "test_loss": (len(dev) + 3) // 4,
    }
    assert n_new == len(new) == wrong[metric] and set(new) <= set(prompts.values())
    assert {row["source"] for row in rows[1:]} == {"dev split, answered wrong"}
    (tmp_path / "next.jsonl").write_text(text)
    second = dataclasses.replace(asked, queries=DatasetConfig(path=str(tmp_path / "next.jsonl")))
    told = pipeline.run(workspace, second)
    assert workspace.count(told["queries"]) == 1 + n_new and told["result"]["n_query"] == 1 + n_new
    assert told["result"]["overlap"]["queries"] == 0  # what became a query judges no arm


def test_without_a_dev_split_or_an_experiment_it_is_refused(
    workspace: Workspace, run: RunConfig, script: Script
) -> None:
    with pytest.raises(EvaluationError, match=r"from the dev split and there is none; set dev_share, to 0\.3 say"):
        pipeline.next_queries(workspace, design(run, dev_share=0.0))
    with pytest.raises(EvaluationError, match="no tuned arm 'selected', expected one of: random"):
        pipeline.next_queries(workspace, design(run, arms=("zero_shot", "random")))
    with pytest.raises(ConfigError, match="come from a tuned model; give `model` and `experiment`"):
        pipeline.next_queries(workspace, dataclasses.replace(run, experiment=None))
    assert len(script.tuned) == 2  # random draws the same rows with a dev split and without
