"""Features by row id: resumed to the same bytes, checked, paid for once."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from curation import codecs, similarity
from curation.codecs import CODECS, Stored
from curation.config import Options
from curation.data.rows import Example, Message, RowError, row_id
from curation.errors import WorkspaceError
from curation.features_store import FeatureStore
from curation.progress import Silent
from curation.representations import Plan, Representation
from curation.similarity import Features
from curation.workspace import Workspace

SHARD = 4


class Fake(Representation):
    """Vectors from a row's id, in shards of two batches; `computed` counts rows, at `stop_at` the process is killed."""

    name = "fake"
    storage = "float16"
    d = 8

    def __init__(self, sparse: bool = False, stop_at: int = -1, storage: str = "float16") -> None:
        super().__init__(Options())
        self.sparse, self.stop_at, self.storage, self.computed = sparse, stop_at, storage, 0

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
        values = np.stack([vector(example, self.d) for example in examples])
        return csr_matrix(values[:, 0] * (values[:, 0] > 0)) if self.sparse else values


class Slow(Fake):
    """Takes its time, and writes into the file `log` a byte for each row that it computed."""

    def __init__(self, log: Path) -> None:
        super().__init__()
        self.log = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def compute(self, examples: Sequence[Example], role: str) -> Any:
        time.sleep(0.01)
        values = super().compute(examples, role)
        os.write(self.log, bytes(len(examples)))
        return values


class Wide(Fake):
    """Vectors of 2 × 1024 numbers, or of others: 4 KB a row in float16."""

    def __init__(self, d: int = 1024) -> None:
        super().__init__()
        self.d = d


def vector(example: Example, d: int = 8) -> np.ndarray:
    """The right features of a row, float32 (2, d), exact in float16."""
    seed = int(example.id[:8], 16)
    return np.random.default_rng(seed).integers(-8, 8, size=(2, d)).astype(np.float32) / 16


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
    expected = np.stack([vector(example) for example in examples])
    np.testing.assert_array_equal(features.values[:], expected)
    assert features.dense(np.array([], dtype=np.int64)).shape == (0, 16)
    for rows, block in features.tiles(3):
        np.testing.assert_array_equal(block, features.dense(rows))


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
    np.testing.assert_array_equal(features.weights, np.array([0.1, 0.9], dtype=np.float32))
    assert store.features([]).values.shape[0] == 0


@pytest.mark.parametrize("codec", CODECS)
def test_every_way_of_keeping_features(workspace: Workspace, codec: str) -> None:
    examples = rows(11)
    expected = np.stack([vector(example) for example in examples])
    found, decoded = {}, np.empty_like(expected)
    for role in ("pool", "query"):
        store = workspace.feature_store("k", role)
        store.fill(Fake(storage=codec), examples)
        kept = codec if role == "pool" or codec == "float32" else "float16"
        record = json.loads((store.folder / "plan-0000" / "shard-00001.json").read_text())
        assert (record["codec"], record["columns"]) == (kept, 8)
        stored = np.load(store.folder / "plan-0000" / "shard-00001.values.npy")
        assert stored.dtype == ("uint8" if kept == "1-bit" else kept)
        assert stored.shape == (SHARD, 2, 1 if kept == "1-bit" else 8)
        for asked in (store, workspace.feature_store("k", role)):
            found[role] = asked.features(ids(examples))
            codecs.decode(codecs.encode(expected, kept), kept, decoded)
            np.testing.assert_array_equal(found[role].values[:], decoded, strict=True)
    products = np.einsum("c,qcd,pcd->qp", found["pool"].weights, *(found[role].values[:] for role in ("query", "pool")))
    for max_bytes in (1, 200, 10_000):
        got = similarity.compute(found["query"], found["pool"], max_bytes=max_bytes)
        np.testing.assert_allclose(got, products, atol=1e-6)


def test_a_store_keeps_features_in_one_way_only(workspace: Workspace) -> None:
    store = workspace.feature_store("k", "pool")
    store.fill(Fake(storage="int8"), rows(5))
    before = contents(store.folder)
    with pytest.raises(
        WorkspaceError, match="k-pool keeps its features as int8, the representation fake asks for 1-bit; its key must"
    ):
        store.fill(Fake(storage="1-bit"), rows(9))
    assert contents(store.folder) == before
    store.fill(Fake(storage="int8"), rows(9))
    with pytest.raises(WorkspaceError, match="can't be kept as 'int3'; expected one of: float16, float32, int8, 1-bit"):
        workspace.feature_store("other", "pool").fill(Fake(storage="int3"), rows(1))


def test_large_features_stay_on_disk(workspace: Workspace) -> None:
    store, examples = workspace.feature_store("k", "pool"), rows(500)
    shuffled = [examples[i] for i in np.random.default_rng(0).permutation(len(examples))]
    store.fill(Wide(), examples)
    query = workspace.feature_store("k", "query")
    query.fill(Wide(), examples[:3])
    whole, tile = 4 * 500 * 2 * 1024, 2**17
    tracemalloc.start()
    pool = store.features(ids(shuffled))
    assert isinstance(pool.values, Stored)
    got = similarity.compute(query.features(ids(examples[:3])), pool, max_bytes=tile)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 6 * tile < whole / 4
    place = {e.id: i for i, e in enumerate(shuffled)}
    expected = sum(
        w * np.stack([vector(e, 1024)[c] for e in examples[:3]]) @ np.stack([vector(e, 1024)[c] for e in shuffled]).T
        for c, w in enumerate(pool.weights)
    )
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-4)
    assert got[0, place[examples[0].id]] == pytest.approx(float(expected[0].max()))
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


def test_new_queries_and_appended_rows_cost_only_themselves(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from curation import pipeline
    from curation.config import DatasetConfig, RepresentationConfig
    from curation.representations.lexical import Lexical

    computed: dict[str, int] = {}
    compute = Lexical.compute

    def counted(self: Lexical, examples: Sequence[Example], role: str) -> Any:
        computed[role] = computed.get(role, 0) + len(examples)
        return compute(self, examples, role)

    monkeypatch.setattr(Lexical, "compute", counted)
    sizes = {"pool": range(30), "wider": range(37), "queries": range(100, 104), "more": range(100, 107)}
    keys = {}
    for name, numbers in sizes.items():
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(f'{{"prompt": "word {i}", "response": "{i}"}}\n' for i in numbers))
        keys[name] = pipeline.load(workspace, DatasetConfig(path=str(path)), "pool")
    for pool, queries, cost in (
        ("pool", "queries", {"pool": 30, "query": 4}),
        ("pool", "more", {"query": 3}),
        ("wider", "more", {"pool": 7}),
        ("wider", "queries", {}),
    ):
        computed.clear()
        shown = pipeline.represent(
            workspace, keys[pool], keys[queries], RepresentationConfig(name="lexical"), draw_map=False
        )
        assert computed == cost
        assert shown.similarity.shape == (len(sizes[queries]), len(sizes[pool]))


def test_another_config_leaves_the_old_store_untouched(workspace: Workspace) -> None:
    old = workspace.feature_store("old", "pool")
    old.fill(Fake(), rows(9))
    before = contents(old.folder)
    new, cost = workspace.feature_store("new", "pool"), Fake(storage="int8")
    new.fill(cost, rows(9))
    assert cost.computed == 9
    assert contents(old.folder) == before
    assert_right(old.features(ids(rows(9))), rows(9))


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


def start(code: str, *given: Any) -> subprocess.Popen[str]:
    """Run Python code in a process of its own that can import this module."""
    here = Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(here.parent), str(here)])}
    command = [sys.executable, "-c", code, *map(str, given)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


KILLED = """
import sys
from test_features_store import Fake, rows
from curation.workspace import Workspace
Workspace(sys.argv[1]).feature_store("k", "pool").fill(Fake(stop_at=int(sys.argv[2])), rows(14))
"""


def kill_while_filling(workspace: Workspace, at: int) -> None:
    assert start(KILLED, workspace.root, at).wait() == -9


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


SLOW = """
import sys
from pathlib import Path
from test_features_store import FeatureStore, Slow, rows
folder, log, n = map(Path, sys.argv[1:])
store, examples = FeatureStore(folder, "pool"), rows(int(n.name))
print("go", flush=True)
store.fill(Slow(log), examples)
"""


def parts(folder: Path) -> set[tuple[Path, int]]:
    """Files that are being written, or were when their writer was killed, and since when."""
    found = set()
    for path in folder.rglob("*.part"):
        with suppress(FileNotFoundError):
            found.add((path, path.stat().st_mtime_ns))
    return found


def test_ten_kills_from_outside_cost_a_shard_each_and_no_byte(tmp_path: Path) -> None:
    examples, log = rows(1_000), tmp_path / "log"
    whole, folder = FeatureStore(tmp_path / "whole", "pool"), tmp_path / "killed"
    whole.fill(Fake(), examples)
    log.touch()
    delay, left = np.random.default_rng(0).uniform(0.0, 0.4, size=10), len(examples)
    for kill in range(10):
        before, stale = log.stat().st_size, parts(folder)
        process = start(SLOW, folder, log, len(examples))
        assert process.stdout is not None and process.stdout.readline() == "go\n"
        time.sleep(delay[kill])
        while kill % 2 and process.poll() is None and parts(folder) <= stale:
            pass  # every second one in the midst of a write
        process.kill()
        assert process.wait() == -9
        process.stdout.close()
        still = len(FeatureStore(folder, "pool").missing(ids(examples)))
        lost = log.stat().st_size - before - (left - still)
        assert 0 <= lost <= SHARD
        left = still
    assert 0 < left < len(examples)
    last = Fake()
    FeatureStore(folder, "pool").fill(last, examples)
    assert last.computed == left
    assert contents(folder) == contents(whole.folder)


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


@pytest.mark.parametrize("harm", ["flipped", "cut", "emptied", "gone", "record"])
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
        case "emptied":
            path.write_bytes(b"")
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


@pytest.mark.parametrize("harm", [b'{"role":"pool","shards":[[["12', b"[]", b"", None])
def test_the_rows_of_a_damaged_plan_are_computed_again(workspace: Workspace, harm: bytes | None) -> None:
    store = workspace.feature_store("k", "pool")
    examples = [*rows(11), *rows(1, word="reject")]
    store.fill(Fake(), examples[:7])
    store.fill(Fake(), examples)
    second = contents(store.folder / "plan-0001")
    path = store.folder / "plan-0000" / "plan.json"
    path.unlink() if harm is None else path.write_bytes(harm)
    damaged = workspace.feature_store("k", "pool")
    assert damaged.missing(ids(examples)) == ids(examples[:7])
    assert_right(damaged.features(ids(examples[7:11])), examples[7:11])
    with pytest.raises(
        WorkspaceError, match=r"7 rows, .* first, have no features in k-pool; compute the representation"
    ):
        damaged.features(ids(examples[:11]))
    (store.folder / "plan-0002").mkdir()  # as a kill before a plan leaves it
    mended, told = Fake(), Told()
    damaged.fill(mended, examples, told)
    assert mended.computed == 7
    assert [line for line in told.lines if "damaged" in line] == [
        "plan-0000 is damaged and its rows are computed again"
    ]
    assert_right(damaged.features(ids(examples[:11])), examples[:11])
    assert contents(store.folder / "plan-0001") == second
    assert workspace.feature_store("k", "pool").missing(ids(examples)) == []
    assert sorted(path.name for path in store.folder.glob("plan-*")) == ["plan-0001", "plan-0002"]


def test_shards_of_a_damaged_plan_are_not_taken_for_those_of_the_next(workspace: Workspace) -> None:
    store = workspace.feature_store("k", "pool")
    store.fill(Fake(), rows(9))
    (store.folder / "plan-0000" / "plan.json").write_text("{")
    others = [*rows(6, start=50), *rows(4)]
    store.fill(Fake(), others)
    assert_right(store.features(ids(others)), others)


class Told(Silent):
    """Progress that keeps the log."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def log(self, message: str) -> None:
        self.lines.append(message)


@pytest.mark.parametrize("harm", ['{"role":"pool","wei', "3", "{}"])
def test_a_damaged_store_file_is_refused_and_written_again(workspace: Workspace, harm: str) -> None:
    store = workspace.feature_store("k", "pool")
    store.fill(Fake(), rows(5))
    (store.folder / "store.json").write_text(harm)
    damaged = workspace.feature_store("k", "pool")
    with pytest.raises(WorkspaceError, match=r"store.json of k-pool is damaged; compute the representation again"):
        damaged.features(ids(rows(5)))
    mended = Fake()
    damaged.fill(mended, rows(5))
    assert mended.computed == 0
    assert_right(damaged.features(ids(rows(5))), rows(5))


def test_a_number_that_float16_lacks_is_refused_by_row(workspace: Workspace) -> None:
    class Huge(Fake):
        def compute(self, examples: Sequence[Example], role: str) -> Any:
            return super().compute(examples, role) * np.float32(1e6)

    store = workspace.feature_store("k", "pool")
    with pytest.raises(WorkspaceError, match=r"feature of row [0-9a-f]{64} has numbers beyond 65504"):
        store.fill(Huge(), rows(4))
    assert len(store.missing(ids(rows(4)))) == 4


def test_a_full_disk_in_the_midst_of_a_shard_keeps_the_shards_before_it(tmp_path: Path) -> None:
    examples = rows(16)
    whole, disk = FeatureStore(tmp_path / "whole", "pool"), tmp_path / "disk"
    whole.fill(Wide(d=2**14), examples)  # four shards of 256 KB
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("only root may mount a small disk")
    try:
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(2**21 - 2**19 - 2**17))  # leaves room for two and almost half a shard
        store = FeatureStore(disk / "store", "pool")
        stopped = Wide(d=2**14)
        with pytest.raises(WorkspaceError, match=r"a disk is full .*free some space and start again"):
            store.fill(stopped, examples)
        assert stopped.computed == 3 * SHARD
        assert not list(store.folder.rglob("*.part"))
        again = FeatureStore(store.folder, "pool")
        left = again.missing(ids(examples))
        assert len(left) == 2 * SHARD
        kept = [e for e in examples if e.id not in left]
        np.testing.assert_array_equal(again.features(ids(kept)).values[:], [vector(e, 2**14) for e in kept])
        ballast.unlink()
        rest = Wide(d=2**14)
        again.fill(rest, examples)
        assert rest.computed == 2 * SHARD
        assert contents(store.folder) == contents(whole.folder)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_full_disk_is_told_to_who_may_not_mount_one(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    store, flush, flushed = workspace.feature_store("k", "pool"), os.fsync, []

    def full(descriptor: int) -> None:
        if len(flushed) == 6:  # in the third shard
            raise OSError(errno.ENOSPC, "No space left on device")
        flushed.append(1)
        flush(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(WorkspaceError, match="a disk is full"):
            store.fill(Fake(), rows(14))
    later, rest = workspace.feature_store("k", "pool"), Fake()
    later.fill(rest, rows(14))
    assert rest.computed == 14 - 2 * SHARD
    assert_right(later.features(ids(rows(14))), rows(14))
