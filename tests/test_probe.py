"""A typed query: the rows nearest to it, and a query set that has it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from curation import pipeline, probe
from curation.config import (
    DatasetConfig,
    FirstStageConfig,
    ModelConfig,
    RepresentationConfig,
    TrainingConfig,
    WarmupConfig,
)
from curation.errors import DataError, ModelError, WorkspaceError
from curation.probe import Probe, add, typed
from curation.representing import Represented
from curation.workspace import Workspace

KINDS = ("add the numbers {0} and {1}", "spell the word number {0}", "name a colour like {0}")


def load(ws: Workspace, folder: Path, role: str, rows: list[dict[str, object]], project: str | None = None) -> str:
    path = folder / f"{role}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return pipeline.load(ws, DatasetConfig(path=str(path)), role, project_id=project)


@pytest.fixture
def pool(workspace: Workspace, tmp_path: Path) -> str:
    rows = [
        {"prompt": KINDS[i % 3].format(i, i + 1), "response": f"answer {i}", "source": f"s{i % 3}"} for i in range(30)
    ]
    return load(workspace, tmp_path, "pool", list(rows))


@pytest.fixture
def queries(workspace: Workspace, tmp_path: Path) -> str:
    return load(workspace, tmp_path, "query", [{"prompt": "spell the word number 4", "response": "answer 4"}])


def shown(ws: Workspace, pool: str, queries: str, config: RepresentationConfig, **more: object) -> Represented:
    return pipeline.represent(ws, pool, queries, config, draw_map=False, **more)  # type: ignore[arg-type]


def test_the_nearest_rows_come_first(workspace: Workspace, pool: str, queries: str) -> None:
    ready = Probe(workspace, shown(workspace, pool, queries, RepresentationConfig(name="lexical")))
    assert ready.n_pool == 30
    rows = ready.nearest(typed("add the numbers 70 and 71", "answer 141"), n=5)
    assert len(rows) == 5 and {row.source for row in rows} == {"s0"}
    assert all("add the numbers" in row.text for row in rows)
    values = [row.similarity for row in rows]
    assert values == sorted(values, reverse=True) and values[0] > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["less", "rds"])
def test_a_query_of_the_set_finds_what_it_found_there(
    workspace: Workspace, pool: str, queries: str, tiny_lm: Path, name: str
) -> None:
    model = ModelConfig(name=str(tiny_lm), device="cpu", max_length=64)
    training = TrainingConfig(epochs=2.0, batch_size=4, lora_r=2, learning_rate=1e-3, save_every_epoch=True)
    config = RepresentationConfig(name=name, options={"d": 256} if name == "less" else {})
    made = shown(workspace, pool, queries, config, model=model, warmup=WarmupConfig(share=0.4, training=training))
    rows = Probe(workspace, made).nearest(typed("spell the word number 4", "answer 4"), n=30)
    stored = dict(zip(workspace.ids(pool), made.similarity[0], strict=True))
    np.testing.assert_allclose([row.similarity for row in rows], [stored[row.id] for row in rows], atol=2e-3)


def test_rows_that_a_first_stage_left_out_are_not_compared(workspace: Workspace, pool: str, queries: str) -> None:
    config = RepresentationConfig(name="embed", first_stage=FirstStageConfig(name="lexical", keep=0.3, audit=2))
    made = shown(workspace, pool, queries, config)
    ready = Probe(workspace, made)
    assert made.seen is not None and ready.n_pool == len(made.seen) == 11
    ids = workspace.ids(pool)
    assert {row.id for row in ready.nearest(typed("a", "b"), n=30)} == {ids[i] for i in made.seen}


def test_what_is_missing_is_said(workspace: Workspace, pool: str, queries: str, tiny_lm: Path) -> None:
    with pytest.raises(DataError, match="the query has no answer"):
        typed("why?", " ")
    with pytest.raises(DataError, match="the query has no prompt"):
        typed("", "because")
    made = shown(workspace, pool, queries, RepresentationConfig(name="lexical"))
    gone = Represented(made.key, made.folder, made.record | {"features": "f" * 32})
    with pytest.raises(WorkspaceError, match="vectors of this representation are not stored here"):
        Probe(workspace, gone)
    exact = {"representation": {"name": "less", "options": {"exact": True}}}
    with pytest.raises(WorkspaceError, match="exact LESS keeps no vectors"):
        Probe(workspace, Represented(made.key, made.folder, made.record | exact))
    assert probe.refusal(workspace, made) == ""
    model = ModelConfig(name=str(tiny_lm), device="cpu", max_length=64)
    read = Probe(workspace, shown(workspace, pool, queries, RepresentationConfig(name="rds"), model=model))
    with pytest.raises(DataError, match="this query can't be represented: its first answer token is number"):
        read.nearest(typed("long " * 100, "too late"))
    lost = made.record | {"representation": {"name": "rds", "options": {}}, "model": {"name": "/no/such/model"}}
    with pytest.raises(ModelError, match="no model folder at"):
        Probe(workspace, Represented(made.key, made.folder, lost)).nearest(typed("a", "b"))


def test_a_query_is_added_and_the_set_before_is_kept(workspace: Workspace, tmp_path: Path) -> None:
    pid = workspace.create_project("Sums").id
    calls = [{"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}]
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "call\u2028it  "},
        {"role": "assistant", "content": "", "tool_calls": calls, "train": False},
        {"role": "tool", "content": "2"},
        {"role": "assistant", "content": "Two."},
    ]
    rows: list[dict[str, object]] = [
        {"messages": turns, "task": "tools", "dataset": "mine", "licence": "CC0", "id": 7, "answer": "2"},
        {"messages": turns, "task": "tools", "dataset": "mine", "licence": "CC0", "id": 8, "answer": "3"},
        {"messages": [turns[1], turns[4]], "task": None, "dataset": None, "licence": None, "id": None, "answer": None},
    ]
    before = load(workspace, tmp_path, "query", rows, pid)
    after = add(workspace, pid, typed("What is 2 + 2?", "4"))
    old, new = workspace.examples(before), workspace.examples(after)
    assert new[:3] == old and len(new) == 4  # ids, tags and further columns, repeated rows too
    assert [m.content for m in new[3].messages] == ["What is 2 + 2?", "4"]
    active = workspace.dataset(pid, "query")
    assert active is not None and (active.key, active.name) == (after, "query.jsonl, typed: 1")
    assert {d.key for d in workspace.datasets(pid)} == {before, after}
    add(workspace, pid, typed("What is 2 + 3?", "5"))
    active = workspace.dataset(pid, "query")
    assert active is not None and (active.n_rows, active.name) == (5, "query.jsonl, typed: 2")
    with pytest.raises(DataError, match="is in the query set already"):
        add(workspace, pid, typed("What is 2 + 2?", "4"))


def test_without_a_query_set_nothing_is_added(workspace: Workspace) -> None:
    with pytest.raises(WorkspaceError, match="has no query set yet"):
        add(workspace, workspace.create_project("Bare").id, typed("a", "b"))
