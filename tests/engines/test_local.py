"""Shards shared out among processes are those of one process; what goes wrong in one is told."""

from __future__ import annotations

import os
import pickle
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from curation import engines
from curation.config import Options
from curation.data.rows import Example, Message
from curation.errors import ModelError
from curation.progress import Silent
from curation.representations import Representation, base


class Letters(Representation):
    """Stand for a row by its number of letters; ``nan`` has none, ``die`` ends the process."""

    name = "letters"

    def key(self) -> dict[str, Any]:
        return {}

    def length(self, example: Example, role: str) -> int:  # noqa: ARG002
        return len(example.answer)

    def compute(self, examples: Sequence[Example], role: str) -> Any:  # noqa: ARG002
        if any(example.answer == "die" for example in examples):
            os._exit(9)
        values = [np.nan if example.answer == "nan" else len(example.answer) for example in examples]
        return np.array([[[value, os.getpid()]] for value in values], dtype=np.float32)


class Kept:
    """A sink that keeps shards in memory, and the order in which they came."""

    def __init__(self) -> None:
        self.shards: dict[int, Any] = {}

    def has(self, shard: int) -> bool:
        return shard in self.shards

    def write(self, shard: int, ids: Sequence[str], values: Any) -> None:
        assert len(ids) == len(values)
        self.shards[shard] = values


def rows(answers: Sequence[str]) -> list[Example]:
    return [Example(f"row{i}", (Message("user", "?"), Message("assistant", a))) for i, a in enumerate(answers)]


def streamed(answers: Sequence[str], monkeypatch: pytest.MonkeyPatch, on: Sequence[str]) -> dict[int, Any]:
    monkeypatch.setattr(base, "SHARD_SIZE", 2)
    letters, sink, examples = Letters(Options()), Kept(), rows(answers)
    plan = letters.plan(examples, "pool")
    sink.shards[0] = "stored before"
    engines.stream(letters, examples, plan, sink, Silent(), on=on)
    assert sink.shards.pop(0) == "stored before"
    return sink.shards


def test_shards_of_two_processes_are_those_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = ["x" * n for n in range(1, 20)]
    alone = streamed(answers, monkeypatch, ["cpu"])
    shared = streamed(answers, monkeypatch, ["cpu", "cpu"])
    assert alone.keys() == shared.keys()
    for number, values in alone.items():
        np.testing.assert_array_equal(values[:, :, 0], shared[number][:, :, 0])
    assert {values[0, 0, 1] for values in alone.values()} == {np.float32(os.getpid())}
    assert np.float32(os.getpid()) not in {values[0, 0, 1] for values in shared.values()}


def test_gpus_are_all_used_where_there_are_several(monkeypatch: pytest.MonkeyPatch) -> None:
    letters = Letters(Options())
    assert engines.devices(letters) == ["cpu"]
    monkeypatch.setattr(Letters, "device", "cuda")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    assert engines.devices(letters) == ["cuda:0", "cuda:1", "cuda:2"]


def test_what_was_loaded_stays_behind() -> None:
    letters = Letters(Options())
    letters.prepare(rows(["a"]))
    letters.__dict__["loaded"] = 1
    assert b"loaded" not in pickle.dumps(letters)


def test_error_in_a_process_is_raised_here(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match="the feature of row row5 is not finite"):
        streamed(["long words"] * 5 + ["nan"] + ["x"] * 4, monkeypatch, ["cpu", "cpu"])


def test_process_that_dies_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match=r"ended without a word \(exit code 9\); most often memory ran out"):
        streamed(["long words"] * 5 + ["die"] + ["x"] * 4, monkeypatch, ["cpu", "cpu"])
