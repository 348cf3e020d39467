"""A killed experiment goes on to the result of one left alone, and no finished arm is begun again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from curation import pipeline
from curation.workspace import Workspace
from tests.benchmarks import experiments_kills as kills


def test_a_work_begun_again_after_another_one_was_begun_counts() -> None:
    assert kills._repeated(["tuning a", "tuning a", "judging a", "tuning b", "tuning b"]) == []
    assert kills._repeated(["tuning a", "judging a", "tuning a", "judging a"]) == ["tuning a", "judging a"]


@pytest.mark.slow
@pytest.mark.usefixtures("tiny_lm")
def test_kill_9_twice_leaves_the_same_result(tmp_path: Path) -> None:
    config = kills.small(tmp_path)
    whole = kills.settled(pipeline.run(Workspace(tmp_path / "whole"), config)["result"])
    told = kills.killed(Workspace(tmp_path / "killed"), config, ["random, seed 1", "selected, seed 0"])
    assert len(told.moments) == 2 and told.repeated == []
    assert told.result == json.loads(json.dumps(whole))
    assert told.begun <= kills._works(whole) + 2
