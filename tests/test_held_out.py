"""Test rows that overlap are found, said and left out on request; a dev split never judges arms."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from curation import pipeline
from curation.config import DatasetConfig, ExperimentConfig, ModelConfig
from curation.design import Inputs
from curation.errors import EvaluationError
from curation.held_out import dev_split, hold_out
from curation.progress import Silent
from curation.workspace import Workspace

THINGS = ["apple", "bridge", "candle", "desert", "engine", "forest"]
THINGS += ["garden", "harbour", "island", "jacket", "kettle", "ladder"]


def rows(words: list[str]) -> list[dict[str, str]]:
    return [{"prompt": f"tell me what you know of a {w} please", "response": f"a {w} it is"} for w in words]


@pytest.fixture
def inputs(workspace: Workspace, tmp_path: Path) -> Inputs:
    """Two tests stand in the pool, one of them and another in the query set."""
    keys = {}
    sets = {"pool": [*THINGS[:2], "moon"], "query": [*THINGS[1:3], "sun"], "test": THINGS}
    for role, words in sets.items():
        path = tmp_path / f"{role}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows(words)))
        keys[role] = pipeline.load(workspace, DatasetConfig(path=str(path)), role)
    return Inputs(ModelConfig(name="m"), keys["pool"], keys["query"], keys["test"], (), ())


def test_overlap_is_found_and_left_out_on_request(workspace: Workspace, inputs: Inputs) -> None:
    kept, told = hold_out(workspace, inputs, ExperimentConfig(), Silent())
    assert told == {"queries": 2, "pool": 2, "either": 3, "excluded": 0} and kept == inputs
    without, told = hold_out(workspace, inputs, ExperimentConfig(exclude_overlap=True), Silent())
    assert told["excluded"] == 3
    assert inputs.tests is not None
    assert without.left_out == tuple(workspace.ids(inputs.tests)[:3]) and without.dev == ()


def test_a_dev_split_goes_by_ids_alone_and_judges_nothing(workspace: Workspace, inputs: Inputs) -> None:
    assert inputs.tests is not None
    ids = workspace.ids(inputs.tests)
    held, _ = hold_out(workspace, inputs, ExperimentConfig(dev_share=0.5), Silent())
    assert 0 < len(held.dev) < len(ids) and held.left_out == held.dev == dev_split(ids, 0.5)
    without, told = hold_out(workspace, inputs, ExperimentConfig(dev_share=0.5, exclude_overlap=True), Silent())
    assert without.dev == held.dev and told["excluded"] == len({*ids[:3]} - {*held.dev})
    assert dev_split(ids[3:], 0.5) == tuple(i for i in held.dev if i in ids[3:])
    many = [f"{i * 2654435761 % 2**32:08x}" + "0" * 56 for i in range(2000)]
    assert len(dev_split(many, 0.3)) == pytest.approx(600, abs=60)


def test_nothing_left_to_judge_by_is_said(workspace: Workspace, inputs: Inputs, tmp_path: Path) -> None:
    import dataclasses

    path = tmp_path / "same.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows(THINGS[:2])))
    same = dataclasses.replace(inputs, tests=pipeline.load(workspace, DatasetConfig(path=str(path)), "test"))
    with pytest.raises(EvaluationError, match=r"of 2 test rows 2 overlap the query set or the pool.*so none is left"):
        hold_out(workspace, same, ExperimentConfig(exclude_overlap=True), Silent())
    with pytest.raises(EvaluationError, match=r"a dev split of 0\.0001 of 12 test rows is empty"):
        hold_out(workspace, inputs, ExperimentConfig(dev_share=0.0001), Silent())
    without = dataclasses.replace(inputs, tests=None)
    with pytest.raises(EvaluationError, match="a dev split is a share of the test set and there is none"):
        hold_out(workspace, without, ExperimentConfig(dev_share=0.2), Silent())
    assert hold_out(workspace, without, ExperimentConfig(), Silent()) == (without, {})
