"""The thin thread on real rows and a real model: load, represent, select, tune, judge; nothing computed twice."""

from __future__ import annotations

import dataclasses
import gzip
import json
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from curation import pipeline
from curation.config import (
    BudgetConfig,
    DatasetConfig,
    EvaluationConfig,
    ExperimentConfig,
    FirstStageConfig,
    ModelConfig,
    RepresentationConfig,
    RunConfig,
    SelectionConfig,
    TrainingConfig,
    WarmupConfig,
)
from curation.errors import ConfigError, DataError, SelectionError
from curation.workspace import Workspace


def rows(n: int) -> list[dict[str, str]]:
    kinds = ("add the numbers {0} and {1}", "spell the word number {0}", "name a colour like {0}", "count to {0}")
    prompts = [kinds[i % 4].format(i, i + 1) for i in range(n)]
    return [{"prompt": p, "response": f"answer {i}", "source": f"s{i % 2}"} for i, p in enumerate(prompts)]


def write(path: Path, lines: list[dict[str, str]]) -> DatasetConfig:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return DatasetConfig(path=str(path))


@pytest.fixture
def small(tmp_path: Path) -> RunConfig:
    return RunConfig(
        pool=write(tmp_path / "pool.jsonl", rows(40)),
        queries=write(tmp_path / "queries.jsonl", [{"prompt": "add the numbers 900 and 901", "response": "1801"}]),
        representation=RepresentationConfig(name="lexical"),
        selection=SelectionConfig(budget=BudgetConfig(examples=5)),
    )


def test_lexical_needs_no_model_and_finds_its_kind(workspace: Workspace, small: RunConfig) -> None:
    made = pipeline.run(workspace, small)
    texts = [e.text for e in workspace.rows(made["pool"], list(made["subset"]["id"]))]
    assert len(texts) == 5 and all("add the numbers" in text for text in texts)
    assert made["subset"]["rank"].tolist() == [1, 2, 3, 4, 5]
    shown = pipeline.read_represented(workspace.artefact("representation", made["representation"]))
    assert shown.similarity.shape == (1, 40) and shown.similarity.dtype == np.float32
    assert not shown.has_map


def test_the_map_is_drawn_for_projects_and_belongs_to_the_pool(
    workspace: Workspace, small: RunConfig, tmp_path: Path
) -> None:
    project = workspace.create_project("Drawn").id
    made = pipeline.run(workspace, small, project_id=project)
    shown = pipeline.read_represented(workspace.artefact("representation", made["representation"]))
    assert shown.has_map and shown.pool_xy.shape == (40, 2) and shown.query_xy.shape == (1, 2)
    assert np.isfinite(shown.pool_xy).all() and np.isfinite(shown.query_xy).all()
    low, high = shown.pool_xy.min(axis=0), shown.pool_xy.max(axis=0)
    assert ((shown.query_xy >= low) & (shown.query_xy <= high)).all()
    other = write(tmp_path / "other.jsonl", [{"prompt": "spell the word number 3", "response": "three"}])
    pipeline.run(workspace, dataclasses.replace(small, queries=other), project_id=project)
    assert len(workspace.artefacts("map")) == 1 and len(workspace.artefacts("representation")) == 2


def test_nothing_is_computed_twice(workspace: Workspace, small: RunConfig) -> None:
    first = pipeline.run(workspace, small)
    stamps = {p: p.stat().st_mtime_ns for p in workspace.root.rglob("*.npy")}
    again = pipeline.run(workspace, small)
    assert again["representation"] == first["representation"]
    assert {p: p.stat().st_mtime_ns for p in workspace.root.rglob("*.npy")} == stamps


def test_a_grown_pool_costs_only_its_new_rows(workspace: Workspace, small: RunConfig, tmp_path: Path) -> None:
    pipeline.run(workspace, small)
    stored = {p: p.stat().st_mtime_ns for p in workspace.root.glob("features/*-pool/**/*.npy")}
    grown = dataclasses.replace(small, pool=write(tmp_path / "grown.jsonl", rows(44)))
    made = pipeline.run(workspace, grown)
    after = {p: p.stat().st_mtime_ns for p in workspace.root.glob("features/*-pool/**/*.npy")}
    assert stored.items() <= after.items() and len(after) > len(stored)
    assert workspace.count(made["pool"]) == 44


def test_a_map_keeps_its_places_when_rows_join_or_leave(
    workspace: Workspace, small: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = workspace.create_project("Growing").id

    def shown(pool: list[dict[str, str]], queries: DatasetConfig = small.queries) -> pipeline.Represented:
        config = dataclasses.replace(small, pool=write(tmp_path / f"{len(pool)}.jsonl", pool), queries=queries)
        made = pipeline.run(workspace, config, project_id=project)
        return pipeline.read_represented(workspace.artefact("representation", made["representation"]))

    before = shown(rows(40))
    monkeypatch.setattr("curation.maps.fit", lambda *_, **__: pytest.fail("laid out again"))
    grown = shown(rows(44))
    np.testing.assert_array_equal(grown.pool_xy[:40], before.pool_xy)
    assert np.isfinite(grown.pool_xy).all() and grown.record["map_base"] == before.record["map"]
    other = write(tmp_path / "other.jsonl", [{"prompt": "spell the word number 3", "response": "three"}])
    assert shown(rows(44), other).record["map"] == grown.record["map"]
    np.testing.assert_array_equal(shown(rows(38)).pool_xy, before.pool_xy[:38])
    monkeypatch.undo()
    many = shown(rows(300))  # too many new ones for the old map to say where they belong
    assert many.record["map_base"] == "" and (many.pool_xy[:40] != before.pool_xy).any()


def test_neighbours_are_kept_with_the_map_and_leave_out_unusable_rows(
    workspace: Workspace, small: RunConfig, tmp_path: Path
) -> None:
    project = workspace.create_project("Neighbours").id
    pool = rows(40)
    pool[5] = dict(pool[9])
    config = dataclasses.replace(small, pool=write(tmp_path / "twins.jsonl", pool))
    assert (
        pipeline.read_represented(
            workspace.artefact("representation", pipeline.run(workspace, config)["representation"])
        ).neighbours
        is None
    )
    made = pipeline.run(workspace, config, project_id=project)
    shown = pipeline.read_represented(workspace.artefact("representation", made["representation"]))
    assert shown.neighbours is not None and shown.twins is not None
    indices, distances = shown.neighbours
    assert indices.shape == distances.shape == (40, 15)
    assert indices[5, 0] == 9 and indices[9, 0] == 5 and distances[5, 0] < 1e-6
    assert shown.twins[9] == shown.twins[5] == 5


def test_pins_bans_and_the_exact_budget(workspace: Workspace, small: RunConfig) -> None:
    made = pipeline.run(workspace, small)
    ids = workspace.ids(made["pool"])
    best = made["subset"]["id"][0]
    chosen = dataclasses.replace(small.selection, pinned=(ids[1],), banned=(best,), notes={ids[1]: "mine"})
    subset = pipeline.run(workspace, dataclasses.replace(small, selection=chosen))["subset"]
    assert len(subset) == 5 and subset["id"][0] == ids[1] and best not in set(subset["id"])
    assert subset["override"].tolist() == ["pinned", "", "", "", ""] and subset["note"][0] == "mine"
    unknown = dataclasses.replace(small, selection=dataclasses.replace(small.selection, pinned=("nowhere",)))
    with pytest.raises(SelectionError, match="nowhere is pinned or banned but not in this pool"):
        pipeline.run(workspace, unknown)


def test_a_first_stage_thins_the_pool_and_tells_what_that_loses(
    workspace: Workspace, small: RunConfig, tiny_lm: Path
) -> None:
    model = ModelConfig(name=str(tiny_lm), device="cpu")
    whole = RepresentationConfig(name="rds")
    thin = RepresentationConfig(name="rds", first_stage=FirstStageConfig(keep=0.25, audit=5))
    made = {
        kind: pipeline.run(workspace, dataclasses.replace(small, representation=config, model=model))
        for kind, config in (("thin", thin), ("whole", whole))
    }
    shown, full = (
        pipeline.read_represented(workspace.artefact("representation", made[kind]["representation"]))
        for kind in ("thin", "whole")
    )
    assert shown.seen is not None and len(shown.seen) == 15 and full.seen is None
    told = shown.record["report"]["first_stage"]
    assert (told["name"], told["n_kept"], told["n_audited"], told["n_pool"]) == ("lexical", 10, 5, 40)
    left = np.setdiff1d(np.arange(40), shown.seen)
    np.testing.assert_allclose(shown.similarity[:, shown.seen], full.similarity[:, shown.seen], atol=1e-3)
    assert (shown.similarity[:, left] == shown.similarity.min()).all()
    ids = workspace.ids(made["thin"]["pool"])
    assert {ids.index(i) for i in made["thin"]["subset"]["id"]} <= set(shown.seen.tolist())
    pinned = dataclasses.replace(small.selection, pinned=(ids[left[0]],))
    assert pipeline.select(workspace, shown, pinned).indices[0] == left[0]
    drawn = dataclasses.replace(small.selection, selector="random", budget=BudgetConfig(examples=39))
    assert len(pipeline.select(workspace, shown, drawn).indices) == 39


def test_changed_bytes_are_refused_on_replay(workspace: Workspace, small: RunConfig, tmp_path: Path) -> None:
    settled = pipeline.settle(small)
    assert settled.pool.sha256 and settled.queries.sha256
    write(tmp_path / "pool.jsonl", rows(41))
    with pytest.raises(DataError, match="the config expects"):
        pipeline.run(workspace, settled)


def test_what_needs_a_model_says_so(workspace: Workspace, small: RunConfig) -> None:
    with pytest.raises(ConfigError, match="'rds' needs a base model"):
        pipeline.run(workspace, dataclasses.replace(small, representation=RepresentationConfig(name="rds")))
    tokens = dataclasses.replace(small.selection, budget=BudgetConfig(tokens=100))
    with pytest.raises(ConfigError, match="budget in tokens needs a model"):
        pipeline.run(workspace, dataclasses.replace(small, selection=tokens))
    with pytest.raises(ConfigError, match="experiment needs a base model"):
        pipeline.run(workspace, dataclasses.replace(small, experiment=ExperimentConfig()))


@pytest.mark.slow
def test_the_whole_loop_on_real_rows(workspace: Workspace, shared: Path, tiny_lm: Path, tmp_path: Path) -> None:
    with gzip.open(shared / "data" / "pool_small.jsonl.gz") as file:
        (tmp_path / "pool.jsonl").write_bytes(b"".join(islice(file, 200)))
    quick = TrainingConfig(max_steps=6, batch_size=8, micro_batch_size=8, learning_rate=1e-3, lora_r=4, lora_alpha=8)
    config = RunConfig(
        pool=DatasetConfig(path=str(tmp_path / "pool.jsonl")),
        queries=DatasetConfig(path=str(shared / "data" / "queries" / "gsm8k.jsonl")),
        tests=DatasetConfig(path=str(shared / "data" / "queries" / "nat_inst_task835.jsonl")),
        model=ModelConfig(name=str(tiny_lm), max_length=256),
        representation=RepresentationConfig(name="less", options={"d": 512}),
        warmup=WarmupConfig(share=0.1, training=dataclasses.replace(quick, epochs=1.0, max_steps=0)),
        selection=SelectionConfig(budget=BudgetConfig(tokens=4000)),
        experiment=ExperimentConfig(
            arms=("zero_shot", "random", "selected"),
            seeds=(0, 1),
            training=quick,
            evaluation=EvaluationConfig(max_new_tokens=4),
        ),
    )
    made = pipeline.run(workspace, config)
    sources = {e.source for e in workspace.rows(made["pool"], list(made["subset"]["id"]))}
    assert "gsm8k" in sources
    assert made["subset"]["id"].is_unique
    costs = pipeline.tokens(workspace, made["pool"], config.model)  # type: ignore[arg-type]
    ids = workspace.ids(made["pool"])
    assert 3500 < sum(costs[ids.index(i)] for i in made["subset"]["id"]) <= 4000
    result = made["result"]
    assert set(result["arms"]) == {"zero_shot", "random", "selected"}
    for arm, told in result["arms"].items():
        assert set(told["metrics"]) == {"query_loss", "test_loss", "exact_match"}
        loss = told["metrics"]["test_loss"]
        assert loss["low"] < loss["mean"] < loss["high"]
        assert len(loss["per_seed"]) == (1 if arm == "zero_shot" else 2)
    assert result["arms"]["selected"]["n_examples"] == result["arms"]["random"]["n_examples"] == len(made["subset"])
    losses = {arm: told["metrics"]["query_loss"]["mean"] for arm, told in result["arms"].items()}
    assert losses["selected"] < losses["random"]
    again = pipeline.run(workspace, config)
    assert again["experiment"] == made["experiment"] and again["result"] == result
    options = {"exact": True}
    exact = dataclasses.replace(
        config, representation=RepresentationConfig(name="less", options=options), experiment=None
    )
    similarity, sketched = (
        pipeline.read_represented(workspace.artefact("representation", key)).similarity
        for key in (pipeline.run(workspace, exact)["representation"], made["representation"])
    )
    assert similarity.shape == sketched.shape
    assert 0 < np.sqrt(np.mean((similarity - sketched) ** 2)) < 1.5 / np.sqrt(512)
    assert len(workspace.artefacts("warmup")) == 1
