"""From stored representations to subsets: what is kept, what features serve, quotas and minimums from the config."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from curation import pipeline, scoring, selecting, selectors, tasks
from curation.config import (
    BudgetConfig,
    DatasetConfig,
    FirstStageConfig,
    ModelConfig,
    RepresentationConfig,
    SelectionConfig,
)
from curation.errors import ConfigError, SelectionError
from curation.pipeline import Represented
from curation.progress import Silent
from curation.selectors import Problem
from curation.workspace import Workspace


def write(path: Path, lines: list[dict[str, str]]) -> DatasetConfig:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return DatasetConfig(path=str(path))


@pytest.fixture
def keys(workspace: Workspace, tmp_path: Path) -> tuple[str, str]:
    """A pool of 60 rows of two sources, the last of them empty of words, and two queries."""
    words = ("red apple", "blue whale", "green tree", "old stone", "warm wind")
    pool = [
        {
            "prompt": f"tell {i} of a {words[i % 5]} and of {words[i % 3]}",
            "response": f"well {i}",
            "source": f"s{i % 2}",
        }
        for i in range(60)
    ]
    queries = [{"prompt": "a red apple", "response": "yes"}, {"prompt": "one blue whale", "response": "no"}]
    made = [
        pipeline.load(workspace, write(tmp_path / f"{role}.jsonl", lines), role)
        for role, lines in (("pool", pool), ("query", queries))
    ]
    return made[0], made[1]


def represent(ws: Workspace, keys: tuple[str, str], **config: object) -> Represented:
    model = config.pop("model", None)
    chosen = RepresentationConfig(**{"name": "lexical", **config})
    return pipeline.represent(ws, *keys, chosen, model=model, draw_map=False)


@pytest.mark.parametrize("name", list(selectors.REGISTRY))
def test_every_selector_selects_from_what_is_stored(workspace: Workspace, keys: tuple[str, str], name: str) -> None:
    shown = represent(workspace, keys)
    ids = workspace.ids(keys[0])
    config = SelectionConfig(
        selector=name, budget=BudgetConfig(examples=20), quotas={"s0": 4}, pinned=(ids[2], ids[9]), banned=(ids[0],)
    )
    subset = pipeline.select(workspace, shown, config)
    assert len(subset) == 20 and subset.indices[:2].tolist() == [2, 9] and 0 not in subset.indices
    assert sum(i % 2 == 0 for i in subset.indices) == 4
    problem = selecting.problem(workspace, shown, config)
    given = {"sources": [f"s{i % 2}" for i in range(60)], "query_groups": workspace.column(keys[1], "group")}
    fresh = Problem(np.array(shown.similarity), **given)
    if selectors.REGISTRY.load(name).needs_features:
        fresh = fresh.having(vectors=problem.vectors)
    other = selectors.create(name).select(fresh, 20, selectors.Overrides((2, 9), (0,)), quotas={"s0": 4})
    np.testing.assert_array_equal(subset.indices, other.indices)


def test_the_problem_and_its_orderings_are_kept(workspace: Workspace, keys: tuple[str, str]) -> None:
    shown = represent(workspace, keys)
    config = SelectionConfig(budget=BudgetConfig(examples=5))
    first = selecting.problem(workspace, shown, config)
    assert selecting.problem(workspace, shown, config) is first
    pipeline.select(workspace, shown, config)
    pipeline.select(workspace, shown, SelectionConfig(budget=BudgetConfig(examples=9)))
    assert len(first.kept._found) == 1


def test_minimums_come_from_the_config(workspace: Workspace, keys: tuple[str, str]) -> None:
    shown = represent(workspace, keys)
    nearest = np.asarray(shown.similarity).max(axis=0)
    level = float(np.sort(nearest)[-12])
    n = int((nearest >= level).sum())
    config = SelectionConfig(budget=BudgetConfig(examples=n), minimum_similarity=level)
    assert (nearest[pipeline.select(workspace, shown, config).indices] >= level).all()
    more = SelectionConfig(budget=BudgetConfig(examples=n + 1), minimum_similarity=level)
    with pytest.raises(SelectionError, match=f"only {n} of 60 are neither banned nor below the minimum"):
        pipeline.select(workspace, shown, more)


def test_a_minimum_score_is_of_the_scorer_that_is_named(
    workspace: Workspace, keys: tuple[str, str], tiny_lm: Path
) -> None:
    shown, examples = represent(workspace, keys), workspace.examples(keys[0])
    long = {i for i, e in enumerate(examples) if len(e.answer) >= 7}
    assert 0 < len(long) < 60
    config = SelectionConfig(budget=BudgetConfig(examples=len(long)), minimum_score=7)
    assert set(pipeline.select(workspace, shown, config).indices.tolist()) == long
    more = dataclasses.replace(config, budget=BudgetConfig(examples=len(long) + 1))
    with pytest.raises(SelectionError, match=f"only {len(long)} of 60 are neither banned nor below the minimum"):
        pipeline.select(workspace, shown, more)
    with pytest.raises(ConfigError, match="the scorer 'perplexity' needs a base model; give a folder or a hub id"):
        pipeline.select(workspace, shown, dataclasses.replace(config, scorer="perplexity"))
    with pytest.raises(ConfigError, match="unknown scorer 'beauty'"):
        pipeline.select(workspace, shown, dataclasses.replace(config, scorer="beauty"))
    model = ModelConfig(name=str(tiny_lm), device="cpu")
    assert scoring.known(workspace, keys[0], "perplexity", model) is None
    tasks.TASKS["score"](workspace, {"pool": keys[0], "scorer": "perplexity", "model": model.to_dict()}, Silent())
    found = scoring.known(workspace, keys[0], "perplexity", model)
    assert found is not None and found.shape == (60,) and (found > 1).all()
    np.testing.assert_array_equal(scoring.scores(workspace, keys[0], "perplexity", model), found)


def test_quotas_in_a_config_are_whole_numbers() -> None:
    for bad in (-1, 2.5, "3"):
        with pytest.raises(ConfigError, match=r"the quota of the source 's' is .* expected a whole number from 0"):
            SelectionConfig(quotas={"s": bad})  # type: ignore[dict-item]
    config = SelectionConfig(quotas={"s": 3}, minimum_similarity=0.5)
    assert SelectionConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_a_row_that_is_pinned_and_banned_is_named(workspace: Workspace, keys: tuple[str, str]) -> None:
    shown, ids = represent(workspace, keys), workspace.ids(keys[0])
    for decided in ({"pinned": (ids[3],), "banned": (ids[5], ids[3])}, {"pinned": (ids[3], ids[5], ids[3])}):
        chosen = SelectionConfig(budget=BudgetConfig(examples=5), **decided)  # type: ignore[arg-type]
        with pytest.raises(SelectionError, match=f"row {ids[3]} is both pinned and banned, or pinned twice; undo one"):
            pipeline.select(workspace, shown, chosen)


def test_vectors_are_the_features_of_the_rows(workspace: Workspace, keys: tuple[str, str]) -> None:
    shown = represent(workspace, keys)
    config = SelectionConfig(selector="mmr", budget=BudgetConfig(examples=5))
    vectors = selecting.problem(workspace, shown, config).vectors
    twins = np.flatnonzero(np.arange(60) % 15 == 3)  # the same words but for their numbers
    assert (vectors @ vectors.T)[np.ix_(twins, twins)].min() > 0.2 > (vectors @ vectors.T)[3, 4]
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)


def test_that_vectors_were_narrowed_is_said(
    workspace: Workspace, keys: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selectors.problem, "WIDEST", 16)
    shown = represent(workspace, keys)
    subset = pipeline.select(workspace, shown, SelectionConfig(selector="mmr", budget=BudgetConfig(examples=5)))
    assert "in 16 dimensions, a random projection of their " in subset.notes[-1]
    assert pipeline.select(workspace, shown, SelectionConfig(budget=BudgetConfig(examples=5))).notes == ()


def test_what_a_first_stage_left_out_is_not_compared(
    workspace: Workspace, keys: tuple[str, str], tiny_lm: Path
) -> None:
    model = ModelConfig(name=str(tiny_lm), device="cpu")
    shown = represent(workspace, keys, name="rds", first_stage=FirstStageConfig(keep=0.3, audit=2), model=model)
    assert shown.seen is not None and len(shown.seen) == 20
    left = np.setdiff1d(np.arange(60), shown.seen)
    ids = workspace.ids(keys[0])
    chosen = SelectionConfig(selector="k_center", budget=BudgetConfig(examples=21), pinned=(ids[left[0]],))
    subset = pipeline.select(workspace, shown, chosen)
    assert set(subset.indices.tolist()) == {*shown.seen.tolist(), left[0]}
    with pytest.raises(SelectionError, match="the first stage left only 20 that can be compared with each other"):
        pipeline.select(workspace, shown, SelectionConfig(selector="herding", budget=BudgetConfig(examples=21)))


def test_rows_that_do_not_compare_are_refused(workspace: Workspace, keys: tuple[str, str]) -> None:
    shown = represent(workspace, keys)
    record = {**shown.record, "representation": {"name": "less", "options": {"exact": True}}}
    record["model"] = ModelConfig(name="nowhere").to_dict()
    (shown.folder / "record.json").write_text(json.dumps(record))
    exact = pipeline.read_represented(shown.folder)
    with pytest.raises(SelectionError, match=r"'less' was computed exactly.*choose a selector that goes by similarity"):
        pipeline.select(workspace, exact, SelectionConfig(selector="mmr", budget=BudgetConfig(examples=5)))
    assert len(pipeline.select(workspace, exact, SelectionConfig(budget=BudgetConfig(examples=5)))) == 5
