"""What a representation will cost in a workspace: what is new, what is reused, the warmup, what will not fit."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

from curation import cost, pipeline, representations, tasks, workbench
from curation.config import (
    DatasetConfig,
    FirstStageConfig,
    ModelConfig,
    RepresentationConfig,
    TrainingConfig,
    WarmupConfig,
)
from curation.cost import Cost
from curation.data.rows import Example, Message
from curation.errors import ConfigError, DataError
from curation.progress import Silent
from curation.representing import make_warmup
from curation.workspace import Workspace

LEXICAL = RepresentationConfig(name="lexical")
LESS = RepresentationConfig(name="less", options={"d": 64})
WARMUP = WarmupConfig(
    share=0.5, training=TrainingConfig(epochs=2.0, batch_size=4, micro_batch_size=4, lora_r=2, save_every_epoch=True)
)


def load(ws: Workspace, folder: Path, role: str, n: int) -> str:
    rows = [{"prompt": f"{role} {i}: add {i} and {i}", "response": f"it is {2 * i} " * (1 + i % 3)} for i in range(n)]
    path = folder / f"{role}-{n}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return pipeline.load(ws, DatasetConfig(path=str(path)), role)


@pytest.fixture
def small(workspace: Workspace, tmp_path: Path) -> tuple[Workspace, str, str]:
    return workspace, load(workspace, tmp_path, "pool", 40), load(workspace, tmp_path, "query", 3)


def test_only_what_is_not_stored_is_priced(small: tuple[Workspace, str, str], tmp_path: Path) -> None:
    ws, pool, queries = small
    first = cost.estimate(ws, pool, queries, LEXICAL)
    assert (first.rows, first.reused) == (43, 0)
    assert first.parts.keys() == {"loading the model", "queries", "pool rows", "similarity and map"}
    assert 0 <= first.low < first.seconds < first.high and first.disk > 4 * 3 * 40 and first.memory > 10**7
    assert not (ws.root / "features").exists()
    pipeline.represent(ws, pool, queries, LEXICAL)
    again = cost.estimate(ws, pool, queries, LEXICAL)
    assert (again.seconds, again.rows, again.reused, again.how) == (0.0, 0, 43, "it is computed already")
    grown = cost.estimate(ws, load(ws, tmp_path, "pool", 50), queries, LEXICAL, draw_map=False)
    assert (grown.rows, grown.reused) == (10, 43)
    asked = cost.estimate(ws, pool, load(ws, tmp_path, "query", 5), LEXICAL)
    assert (asked.rows, asked.reused) == (2, 43)
    assert asked.parts.keys() == {"loading the model", "queries", "pool rows", "similarity"}  # the map is the pool's
    assert asked.parts["pool rows"] == 0.0


def test_a_cost_is_written_and_read_again(small: tuple[Workspace, str, str]) -> None:
    told = dataclasses.replace(cost.estimate(*small, LEXICAL), warnings=("too large",))
    plain = json.loads(json.dumps(told.to_dict()))
    assert plain["seconds"] == pytest.approx(sum(told.parts.values()))
    assert Cost.from_dict(plain) == told


def test_a_prediction_without_a_workspace_scales_with_the_rows() -> None:
    rows = [Example(f"r{i}", (Message("user", f"word{i}"), Message("assistant", "yes " * i))) for i in range(60)]
    told = cost.predict(representations.create("lexical"), rows, total=6_000, seconds=1.0)
    assert told.rows == 6_000 and told.reused == 0
    assert told.low < told.seconds < told.high and told.disk > 6_000 * 20
    assert "batches of your own rows" in told.how


def test_a_first_stage_is_priced_too_and_spares_rows(small: tuple[Workspace, str, str]) -> None:
    ws, pool, queries = small
    embed = RepresentationConfig(name="embed", first_stage=FirstStageConfig(name="lexical", keep=0.25, audit=5))
    todo = cost._Todo.of(ws, pool, queries, embed, "", draw_map=True)
    assert (todo.n_new, todo.n_compared, todo.n_pool) == (15, 15, 40)


def test_what_will_not_fit_is_said(small: tuple[Workspace, str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil

    monkeypatch.setattr(shutil, "disk_usage", lambda _: namedtuple("Usage", "free")(10))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: namedtuple("Memory", "available")(0))
    monkeypatch.setattr("curation.memory.resident", lambda: 1_000)
    told = cost.estimate(*small, LEXICAL).warnings
    assert len(told) == 2
    assert "GB of memory and 0.0 GB are free" in told[0] and "disk has 0.0 GB free" in told[1]


def test_what_would_fail_is_refused(small: tuple[Workspace, str, str], tiny_lm: Path) -> None:
    with pytest.raises(ConfigError, match="'less' needs a base model"):
        cost.estimate(*small, LESS)
    model = ModelConfig(name=str(tiny_lm), device="cpu", max_length=8)
    with pytest.raises(DataError, match="none of 40 rows can be represented"):
        cost.estimate(*small, RepresentationConfig(name="rds"), model=model)


@pytest.mark.slow
def test_less_is_priced_with_its_warmup_and_at_every_checkpoint(
    small: tuple[Workspace, str, str], tiny_lm: Path
) -> None:
    ws, pool, queries = small
    model = ModelConfig(name=str(tiny_lm), device="cpu", max_length=64)
    before = cost.estimate(ws, pool, queries, LESS, model=model, warmup=WARMUP, draw_map=False)
    assert before.parts["the warmup"] > 0 and before.rows == 43
    assert not ws.artefacts("warmup") and not (ws.root / "features").exists()  # nothing is left behind
    make_warmup(ws, pool, model, WARMUP, Silent())
    trained = cost.estimate(ws, pool, queries, LESS, model=model, warmup=WARMUP, draw_map=False)
    assert trained.parts["the warmup"] == 0.0
    features = 43 * 64 * 2 * 2  # rows × d × checkpoints × float16
    assert trained.disk == features + 4 * 3 * 40
    written = sum(p.stat().st_size for p in (ws.root / "artefacts" / "warmup").rglob("*") if p.is_file())
    assert before.disk - trained.disk == pytest.approx(written, rel=0.3)
    made = pipeline.represent(ws, pool, queries, LESS, model=model, warmup=WARMUP, draw_map=False)
    assert made.record["features"]
    assert cost.estimate(ws, pool, queries, LESS, model=model, warmup=WARMUP, draw_map=False).seconds == 0.0
    exact = RepresentationConfig(name="less", options={"exact": True})
    told = cost.estimate(ws, pool, queries, exact, model=model, warmup=WARMUP, draw_map=False)
    assert told.parts["queries"] > 0 and told.disk == (43 * 3) * 4 + 4 * 3 * 40  # n_queries float32 a row


def test_an_estimate_is_a_job_found_again_by_its_options(
    small: tuple[Workspace, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from curation import jobs

    ws, pool, queries = small
    pid = ws.create_project("Sums").id
    for role, key, n in (("pool", pool, 40), ("query", queries, 3)):
        ws.add_dataset(pid, role, role, key, n, 0)
    asked: list[dict[str, Any]] = []

    def submit(ws: Workspace, kind: str, config: dict[str, Any], project: str, title: str) -> str:
        from curation.tables import Job

        asked.append(config)
        with ws.write() as session:
            session.add(Job(id="one", kind=kind, title=title, project_id=project, config=json.dumps(config)))
        return "one"

    monkeypatch.setattr(jobs, "submit", submit)
    job = {"representation": LEXICAL.to_dict()}
    assert tasks.newest(ws, pid, "estimate", job) is None
    tasks.start(ws, pid, "estimate", job)
    found = tasks.newest(ws, pid, "estimate", job)
    assert found is not None and found.id == "one"
    assert tasks.newest(ws, pid, "estimate", {"representation": LESS.to_dict()}) is None
    assert tasks.newest(ws, pid, "represent", job) is None
    workbench.change(ws, pid, model=ModelConfig(name="other/model"))
    assert tasks.newest(ws, pid, "estimate", job) is None  # another model, another cost
    told = tasks.TASKS["estimate"](ws, asked[0], Silent())
    assert Cost.from_dict(told).rows == 43
