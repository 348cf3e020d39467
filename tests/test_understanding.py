"""What the Curate page says of a selection: its measures, and what moved between two of them."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest

from curation import pipeline, selecting, workbench
from curation.config import BudgetConfig, DatasetConfig, RepresentationConfig, SelectionConfig
from curation.data import quality
from curation.errors import SelectionError, WorkspaceError
from curation.progress import Silent
from curation.views import View
from curation.workspace import Workspace

WORDS = ("red apple pie", "blue whale song", "green tree top", "old stone wall")


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, str]:
    """A project with 60 rows, some of them near-duplicates or noise, three queries and a lexical representation."""
    folder = tmp_path_factory.mktemp("understanding")
    ws = Workspace(folder / "workspace")
    project = ws.create_project("Trial").id
    pool = [
        {"prompt": f"tell of a {WORDS[i % 4]} " + " ".join(f"w{j}" for j in range(i, i + 6)), "response": f"well {i}"}
        | {"source": f"s{i % 3}"}
        for i in range(56)
    ]
    pool += [{"prompt": f"tell of a red apple pie and more and more{x}", "response": "well, well"} for x in "!?"]
    pool += [
        {"prompt": "one red apple", "response": "n/a"},
        {"prompt": "una " * 30 + "la casa de los que no", "response": "sí, y como"},
    ]
    queries = [{"prompt": p, "response": "yes"} for p in ("a red apple pie please", "one blue whale song", "old wall")]
    for role, lines in (("pool", pool), ("query", queries)):
        path = folder / f"{role}.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        pipeline.load(ws, DatasetConfig(path=str(path)), role, project_id=project)
    workbench.change(ws, project, selection=SelectionConfig(budget=BudgetConfig(examples=12)))
    keys = [ws.dataset(project, role).key for role in ("pool", "query")]  # type: ignore[union-attr]
    pipeline.represent(ws, keys[0], keys[1], RepresentationConfig(name="lexical"))
    return ws, project


def view(ready: tuple[Workspace, str], selector: str = "round_robin", budget: int = 12, **more: Any) -> View:
    config = SelectionConfig(selector=selector, budget=BudgetConfig(examples=budget), **more)
    return workbench.view(*ready, selection=config)


def test_a_selection_is_measured_beside_random_and_bounds(ready: tuple[Workspace, str]) -> None:
    ws, _ = ready
    now = view(ready)
    told = workbench.understanding(ws, now)
    assert told["n_picked"] == 12 and set(told["distances"]) == {"mean_nearest", "wasserstein", "mmd"}
    for name in ("mean_nearest", "wasserstein"):
        assert told["distances"][name]["bound"] <= told["distances"][name]["value"] + 1e-6
        assert told["distances"][name]["value"] < told["distances"][name]["random"]
    assert told["distances"]["mmd"]["value"] > 0
    assert told["distances"]["mean_nearest"]["value"] == pytest.approx(now.summary["distance"])
    assert [len(told["coverage"][k]) for k in ("value", "random", "bound")] == [3, 3, 3]
    assert sum(c["picked"] for c in told["composition"]["source"].values()) == 12
    assert sum(c["pool"] for c in told["composition"]["length"].values()) == 60
    assert 0 <= told["stability"] <= 1
    assert workbench.stability(ws, now).shape == (12,)
    ids = [now.pool_ids[i] for i in now.subset.indices]
    ws.override(ready[1], "pin", ids[:2])
    assert workbench.understanding(ws, view(ready, budget=2))["stability"] is None
    ws.override(ready[1], "undo")
    again = workbench.measured(ws, now.represented, ids)
    assert again == {k: v for k, v in told.items() if k != "stability"}
    assert json.loads(json.dumps(told)) == told


def test_noise_and_language_come_from_the_quality_check(ready: tuple[Workspace, str]) -> None:
    ws, project = ready
    pool = ws.dataset(project, "pool")
    assert pool is not None
    tags = ws.rows_path(pool.key).with_name(quality.TAGS)
    now = view(ready, budget=60)
    assert workbench.understanding(ws, now)["noise"] is None
    quality.check(tags.parent, Silent())
    now = view(ready, budget=59)
    told = workbench.understanding(ws, now)
    assert told["noise"]["blank_answer"]["picked"] in (0, 1)
    assert told["noise"]["blank_answer"]["expected"] == pytest.approx(59 / 60)
    assert "n/a" in told["noise"]["blank_answer"]["meaning"]
    assert told["composition"]["language"]["es"]["pool"] == 1
    tags.unlink()


def test_what_moved_is_told_within_one_pool(ready: tuple[Workspace, str]) -> None:
    small, large = view(ready, budget=5), view(ready, budget=9)
    entered, left = workbench.moved(small, large)
    assert left == [] and entered == [large.pool_ids[i] for i in large.subset.indices[5:]]
    other = dataclasses.replace(small, rows=dataclasses.replace(small.rows, ids=["x"]))
    with pytest.raises(WorkspaceError, match="the two selections are of different pools"):
        workbench.moved(small, other)


def test_advice_is_from_this_projects_figures(ready: tuple[Workspace, str]) -> None:
    ws, project = ready
    told = workbench.advice(ws, project)
    assert told.selector == "round_robin" and told.tune
    assert "lexical" in told.reasons[0] and any("Only 3 queries" in c for c in told.caveats)
    workbench.change(ws, project, model={"name": "some/Model-3B-Instruct"})
    told = workbench.advice(ws, project)
    assert not told.tune and "12 examples rarely better such a one" in told.sentence
    workbench.change(ws, project, model=None)


def test_a_search_by_meaning_goes_by_stored_vectors(ready: tuple[Workspace, str]) -> None:
    ws, _ = ready
    now = view(ready)
    near = workbench.search_by_meaning(ws, now, "blue whale")
    assert near.shape == (60,) and {int(i) % 4 for i in np.argsort(-near)[:10]} == {1}
    page, total = workbench.table(ws, now, search="blue whale", by="meaning", limit=5)
    assert total == 60 and page["id"].tolist() == [now.pool_ids[i] for i in np.argsort(-near, kind="stable")[:5]]
    page, total = workbench.table(ws, now, search="blue whale", by="meaning", state="not picked", order="length")
    assert total == 48 and set(page["state"]) == {"pool"}
    assert workbench.matching(ws, now, search="blue whale", by="meaning")[0] == now.pool_ids[int(near.argmax())]
    (ws.root / "features").rename(ws.root / "gone")
    with pytest.raises(WorkspaceError, match="a search by meaning needs vectors"):
        workbench.search_by_meaning(ws, now, "blue whale")
    (ws.root / "gone").rename(ws.root / "features")


def test_decisions_steer_the_other_picks_where_that_is_on(ready: tuple[Workspace, str]) -> None:
    ws, project = ready
    before = view(ready)
    tree = 2  # of a kind that no query asks for
    ws.override(project, "pin", before.pool_ids[tree])
    plain, steered = view(ready), view(ready, feedback=True)
    took = [int((v.subset.query == 3).sum()) for v in (plain, steered)]  # the turns of a fourth query: the pin
    assert took[0] == 0 and took[1] >= 2 and len(steered.subset) == 12
    entered, left = workbench.moved(plain, steered)
    assert entered and len(entered) == len(left)
    for row in entered:
        told = workbench.detail(ws, steered, row)
        assert all(q < 3 for q, _, _ in told.nearest)
        if told.picked_by == 3:
            assert f"on the turn of the pinned row {tree + 1} " in told.sentence
    assert any(workbench.detail(ws, steered, row).picked_by == 3 for row in entered)
    table = pipeline.subset_table(ws, steered.represented, steered.selection, steered.subset)
    assert set(table["query_id"]) <= set(steered.query_ids)
    assert view(ready, feedback=False).subset.indices.tolist() == plain.subset.indices.tolist()  # one click undoes it
    ws.override(project, "undo")
    ws.override(project, "ban", before.pool_ids[before.subset.indices[0]])
    mild, hard = (view(ready, feedback=True, feedback_weight=w) for w in (0.0, 1.0))
    assert mild.subset.indices.tolist() == view(ready).subset.indices.tolist() != hard.subset.indices.tolist()
    ws.override(project, "undo")
    (ws.root / "features").rename(ws.root / "gone")
    selecting._vectors.cache_clear()
    ws.override(project, "pin", before.pool_ids[7])
    try:
        with pytest.raises(SelectionError, match="decisions can't steer the other picks here"):
            view(ready, feedback=True)
    finally:
        ws.override(project, "undo")
        (ws.root / "gone").rename(ws.root / "features")
