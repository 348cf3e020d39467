"""The batch plan packs by length within its bound, survives JSON and new orders; streams skip what is stored."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.config import Options
from curation.data.rows import Example, Message, RowError
from curation.errors import ModelError
from curation.progress import Silent
from curation.representations import Plan, Representation, base


class Letters(Representation):
    """Stand for a row by its number of letters."""

    name = "letters"

    def __init__(self, batch_tokens: int = 100) -> None:
        super().__init__(Options())
        self.bound, self.calls = batch_tokens, 0

    @property
    def batch_tokens(self) -> int:
        return self.bound

    def key(self) -> dict[str, Any]:
        return {}

    def length(self, example: Example, role: str) -> int:  # noqa: ARG002
        if not example.answer:
            raise RowError("its answer is empty")
        return len(example.answer)

    def compute(self, examples: Sequence[Example], role: str) -> Any:  # noqa: ARG002
        self.calls += 1
        return np.array([[[np.nan if e.answer == "nan" else len(e.answer)]] for e in examples], dtype=np.float32)


class Memory:
    """A sink that keeps shards in memory."""

    def __init__(self) -> None:
        self.shards: dict[int, tuple[list[str], Any]] = {}

    def has(self, shard: int) -> bool:
        return shard in self.shards

    def write(self, shard: int, ids: Sequence[str], values: Any) -> None:
        self.shards[shard] = (list(ids), values)


def rows(answers: Sequence[str]) -> list[Example]:
    return [Example(f"row{i}", (Message("user", "?"), Message("assistant", a))) for i, a in enumerate(answers)]


@given(lengths=st.lists(st.integers(0, 60), max_size=60), shard_size=st.integers(1, 20))
def test_plan_holds_every_row_once_within_the_bound(lengths: list[int], shard_size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base, "SHARD_SIZE", shard_size)
        plan = Letters().plan(rows(["x" * n for n in lengths]), "pool")
    kept = [i for number in range(len(plan.shards)) for i in plan.rows(number)]
    assert sorted(kept) == [i for i, n in enumerate(lengths) if n]
    assert [row_id for row_id, _ in plan.rejected] == [f"row{i}" for i, n in enumerate(lengths) if not n]
    assert all(reason == "its answer is empty" for _, reason in plan.rejected)
    for shard in plan.shards:
        assert sum(len(batch) for batch in shard) <= shard_size
        for batch in shard:
            assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= 100
    assert [lengths[i] for i in kept] == sorted((n for n in lengths if n), reverse=True)


def test_plan_is_written_with_ids_in_place_of_indices() -> None:
    plan = Plan("pool", (((0, 2), (1,)), ((3,),)), (("e", "no answer"),))
    written = json.loads(plan.to_json(["a", "b", "c", "d", "e"]))
    assert written == {"role": "pool", "shards": [[["a", "c"], ["b"]], [["d"]]], "rejected": [["e", "no answer"]]}


def test_stream_computes_only_missing_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "SHARD_SIZE", 2)
    examples, letters, sink = rows(["a", "bbb", "cc", "dddd", "eeeee"]), Letters(), Memory()
    plan = letters.plan(examples, "pool")
    letters.stream(examples, plan, sink)
    assert sink.shards[0][0] == ["row4", "row3"]
    assert sink.shards[0][1].ravel().tolist() == [5.0, 4.0]
    before, letters.calls = dict(sink.shards), 0
    del sink.shards[1]
    letters.stream(examples, plan, sink)
    assert letters.calls == 1
    assert sink.shards[1][0] == before[1][0]


def test_feature_that_is_not_finite_is_refused_by_id() -> None:
    examples, letters = rows(["a", "nan", "b"]), Letters()
    with pytest.raises(ModelError, match="the feature of row row1 is not finite"):
        letters.stream(examples, letters.plan(examples, "pool"), Memory())


def test_a_row_that_does_not_fit_alone_ends_the_work() -> None:
    letters = Letters()
    sizes = []

    def compute(part: Sequence[int]) -> Any:
        sizes.append(len(part))
        raise MemoryError

    with pytest.raises(ModelError, match="memory does not suffice for one row alone; lower max_length"):
        letters.split([1, 2, 3, 4], compute, Silent())
    assert sizes == [4, 2, 1]


def test_other_errors_are_not_taken_for_a_lack_of_memory() -> None:
    def compute(_part: Sequence[int]) -> Any:
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        Letters().split([1, 2], compute, Silent())
