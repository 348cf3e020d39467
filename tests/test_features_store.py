"""Features by row id: resumed to the same bytes, checked, paid for once."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from curation import features_store
from curation.config import Options
from curation.data.rows import Example, Message, RowError, row_id
from curation.errors import WorkspaceError
from curation.features_store import FeatureStore
from curation.representations import Plan, Representation
from curation.similarity import Features
from curation.workspace import Workspace

SHARD = 4


class Fake(Representation):
    """Vectors from a row's id, in shards of two batches; `computed` counts rows, at `stop_at` the process is killed."""

    name = "fake"

    def __init__(self, sparse: bool = False, stop_at: int = -1) -> None:
        super().__init__(Options())
        self.sparse, self.stop_at, self.computed = sparse, stop_at, 0

    @property
    def weights(self) -> Any:
        return np.array([1.0] if self.sparse else [0.1, 0.9], dtype=np.float32)

    def key(self) -> dict[str, Any]:
        return {"name": self.name}

    def length(self, example: Example, role: str) -> int:  # noqa: ARG002
        if "reject" in example.text:
            raise RowError("it asks to be")
        return len(example.text)

    def plan(self, examples: Sequence[Example], role: str) -> Plan:
        whole = super().plan(examples, role)
        order = [i for shard in whole.shards for batch in shard for i in batch]
        shards = [tuple(order[start : start + SHARD]) for start in range(0, len(order), SHARD)]
        cut = SHARD if self.sparse else SHARD // 2
        return Plan(role, tuple(tuple(b for b in (s[:cut], s[cut:]) if b) for s in shards), whole.rejected)

    def compute(self, examples: Sequence[Example], role: str) -> Any:  # noqa: ARG002
        if self.computed == self.stop_at:
            os.kill(os.getpid(), 9)
        self.computed += len(examples)
        values = np.stack([vector(example) for example in examples])
        return csr_matrix(values[:, 0] * (values[:, 0] > 0)) if self.sparse else values


def vector(example: Example) -> np.ndarray:
    """The right features of a row, float32 (2, 8), exact in float16."""
    seed = int(example.id[:8], 16)
    return np.random.default_rng(seed).integers(-8, 8, size=(2, 8)).astype(np.float32) / 16


def rows(n: int, start: int = 0, word: str = "row") -> list[Example]:
    made = []
    for i in range(start, start + n):
        messages = (Message("user", f"{word} {i}"), Message("assistant", "x" * (i % 5)))
        made.append(Example(row_id(messages), messages))
    return made


def ids(examples: Sequence[Example]) -> list[str]:
    return [example.id for example in examples]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def assert_right(features: Features, examples: Sequence[Example]) -> None:
    assert features.ids == tuple(ids(examples))
    np.testing.assert_array_equal(features.values, np.stack([vector(example) for example in examples]))


def test_features_come_back_in_the_order_asked_for(workspace: Workspace) -> None:
    store = workspace.feature_store("k", "pool")
    assert store.missing(["a"]) == ["a"]
    examples = rows(11)
    store.fill(Fake(), examples)
    assert store.missing(ids(examples)) == []
    shuffled = [examples[i] for i in np.random.default_rng(0).permutation(11)]
    for found in (store, workspace.feature_store("k", "pool")):
        assert_right(found.features(ids(shuffled)), shuffled)
        assert_right(found.features(ids(shuffled[:1] * 2)), shuffled[:1] * 2)
    features = store.features(ids(examples))
    assert features.values.dtype == np.float16
    np.testing.assert_array_equal(features.weights, np.array([0.1, 0.9], dtype=np.float32))
    assert store.features([]).values.shape[0] == 0


def test_large_features_are_memory_mapped(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features_store, "MEMORY_BYTES", 10)
    store = workspace.feature_store("k", "pool")
    examples = rows(11)
    store.fill(Fake(), examples)
    features = store.features(ids(examples))
    assert isinstance(features.values, np.memmap)
    assert_right(features, examples)
    assert {p.name for p in store.folder.iterdir()} == {"plan-0000", "store.json", "store.lock"}  # nothing left lying


def test_sparse_features(workspace: Workspace) -> None:
    store = workspace.feature_store("k", "pool")
    examples = rows(11)
    store.fill(Fake(sparse=True), examples)
    asked = examples[::-2]
    features = store.features(ids(asked))
    expected = np.stack([vector(example)[0] for example in asked])
    np.testing.assert_array_equal(features.values.toarray(), expected * (expected > 0))
    assert features.is_sparse


def test_appended_rows_cost_only_themselves_in_any_pool(workspace: Workspace) -> None:
    store = workspace.feature_store("k", "pool")
    examples = rows(15)
    store.fill(Fake(), examples[:10])
    before = contents(store.folder / "plan-0000")
    again = Fake()
    store.fill(again, examples[::-1][:12])
    assert again.computed == 5
    assert contents(store.folder / "plan-0000") == before
    store.fill(again, examples)
    assert again.computed == 5 + 0
    assert_right(store.features(ids(examples)), examples)
    assert workspace.feature_store("other", "pool").missing(ids(examples)) == ids(examples)
    assert workspace.feature_store("k", "query").missing(ids(examples)) == ids(examples)


def test_rows_that_cannot_be_represented_are_told_and_not_tried_again(workspace: Workspace) -> None:
    store = workspace.feature_store("k", "pool")
    examples = [*rows(3), *rows(2, word="reject"), *rows(2, start=3)]
    for _ in range(2):
        store.fill(Fake(), examples)
    assert store.rejected(ids(examples)) == [(example.id, "it asks to be") for example in examples[3:5]]
    assert store.missing(ids(examples)) == []
    assert len(list(store.folder.glob("plan-*"))) == 1
    with pytest.raises(WorkspaceError, match=f"1 rows, {examples[3].id} first, have no features"):
        store.features(ids(examples[2:4]))


KILLED = """
import sys
from test_features_store import Fake, rows
from curation.workspace import Workspace
Workspace(sys.argv[1]).feature_store("k", "pool").fill(Fake(stop_at=int(sys.argv[2])), rows(14))
"""


def kill_while_filling(workspace: Workspace, at: int) -> None:
    here = Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(here.parent), str(here)])}
    killed = subprocess.run([sys.executable, "-c", KILLED, str(workspace.root), str(at)], env=environment)
    assert killed.returncode == -9


def test_a_killed_run_resumes_to_the_same_bytes(workspace: Workspace, tmp_path: Path) -> None:
    whole = FeatureStore(tmp_path / "whole", "pool")
    whole.fill(Fake(), rows(14))
    kill_while_filling(workspace, at=2 * SHARD + 2)
    store = workspace.feature_store("k", "pool")
    assert len(store.missing(ids(rows(14)))) == 14 - 2 * SHARD
    stored = [e for e in rows(14) if not store.missing([e.id])]
    assert_right(store.features(ids(stored)), stored)
    resumed = Fake()
    store.fill(resumed, rows(14)[::-1])  # the plan is the first run's, whatever the order now
    assert resumed.computed == 14 - 2 * SHARD
    assert contents(store.folder) == contents(whole.folder)


def test_a_killed_run_whose_rows_are_partly_gone(workspace: Workspace) -> None:
    kill_while_filling(workspace, at=SHARD)
    store = workspace.feature_store("k", "pool")
    gone = store.missing(ids(rows(14)))[0]
    kept = [e for e in rows(14) if e.id != gone]
    store.fill(Fake(), kept)  # its shard can't be finished, so the shard's other rows are planned anew
    assert_right(store.features(ids(kept)), kept)
    assert store.missing(ids(rows(14))) == [gone]
    store.fill(Fake(), rows(14))
    assert_right(store.features(ids(rows(14))), rows(14))


def test_a_half_written_shard_is_not_there(workspace: Workspace) -> None:
    store = workspace.feature_store("k", "pool")
    store.fill(Fake(), rows(8))
    (store.folder / "plan-0000" / "shard-00001.json").unlink()  # as a kill before the record leaves it
    again = workspace.feature_store("k", "pool")
    assert len(again.missing(ids(rows(8)))) == SHARD


@pytest.mark.parametrize("harm", ["flipped", "cut", "gone", "record"])
def test_a_damaged_shard_is_refused_and_computed_again(workspace: Workspace, harm: str) -> None:
    store = workspace.feature_store("k", "pool")
    examples = rows(11)
    store.fill(Fake(), examples)
    right = contents(store.folder)
    path = store.folder / "plan-0000" / "shard-00001.values.npy"
    data = path.read_bytes()
    match harm:
        case "flipped":
            path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        case "cut":
            path.write_bytes(data[:-10])
        case "gone":
            path.unlink()
        case "record":
            path.with_name("shard-00001.json").write_text('{"files": {"val')
    damaged = workspace.feature_store("k", "pool")
    with pytest.raises(
        WorkspaceError, match=r"shard 1 of k-pool/plan-0000 is damaged; compute the representation again"
    ):
        damaged.features(ids(examples))
    mended = Fake()
    damaged.fill(mended, examples)
    assert mended.computed == SHARD
    assert contents(store.folder) == right
    assert_right(damaged.features(ids(examples)), examples)


def test_a_number_that_float16_lacks_is_refused_by_row(workspace: Workspace) -> None:
    class Huge(Fake):
        def compute(self, examples: Sequence[Example], role: str) -> Any:
            return super().compute(examples, role) * np.float32(1e6)

    store = workspace.feature_store("k", "pool")
    with pytest.raises(WorkspaceError, match=r"feature of row [0-9a-f]{64} has numbers beyond 65504"):
        store.fill(Huge(), rows(4))
    assert len(store.missing(ids(rows(4)))) == 4


def test_a_full_disk_keeps_the_shards_finished_so_far(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    store = workspace.feature_store("k", "pool")
    save, saved = np.save, []

    def full(file: Any, array: Any, **options: Any) -> None:
        if len(saved) == 2:
            raise OSError(28, "No space left on device")
        saved.append(1)
        save(file, array, **options)

    with monkeypatch.context() as patch:
        patch.setattr(np, "save", full)
        with pytest.raises(WorkspaceError, match="a disk is full"):
            store.fill(Fake(), rows(14))
    later, rest = workspace.feature_store("k", "pool"), Fake()
    later.fill(rest, rows(14))
    assert rest.computed == 14 - 2 * SHARD
    assert_right(later.features(ids(rows(14))), rows(14))
