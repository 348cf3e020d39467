"""What the pages see: steps, the view under overrides, its table, details, lasso, saved selections, exports."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from curation import comparison, export, jobs, pipeline, report, tasks, workbench
from curation.config import BudgetConfig, DatasetConfig, RepresentationConfig, RunConfig, SelectionConfig
from curation.config_files import read_config
from curation.errors import ConfigError, DataError, JobError, SelectionError, WorkspaceError
from curation.tables import SavedSelection
from curation.workspace import Workspace


@pytest.fixture
def project(workspace: Workspace, tmp_path: Path) -> str:
    """A project with a pool of 30 rows, two queries and a lexical representation."""
    made = workspace.create_project("Trial").id
    words = ("red apple", "blue whale", "green tree")
    pool = [{"prompt": f"tell of a {words[i % 3]} {i}", "response": "well", "source": f"s{i % 2}"} for i in range(30)]
    queries = [{"prompt": "a red apple please", "response": "yes"}, {"prompt": "one blue whale", "response": "no"}]
    for role, lines in (("pool", pool), ("query", queries)):
        path = tmp_path / f"{role}.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        pipeline.load(workspace, DatasetConfig(path=str(path)), role, project_id=made)
    workbench.change(workspace, made, selection=SelectionConfig(budget=BudgetConfig(examples=6)))
    keys = [workspace.dataset(made, role).key for role in ("pool", "query")]  # type: ignore[union-attr]
    pipeline.represent(workspace, keys[0], keys[1], RepresentationConfig(name="lexical"))
    return made


def states(ws: Workspace, project: str) -> dict[str, str]:
    return {step.page: step.state for step in workbench.steps(ws, project)}


def test_steps_lead_through_the_work(workspace: Workspace, project: str) -> None:
    empty = workspace.create_project("Empty").id
    assert states(workspace, empty)["data"] == "next" and states(workspace, empty)["curate"] == "todo"
    assert [states(workspace, project)[p] for p in ("data", "represent", "curate", "train")] == [
        "done",
        "done",
        "next",
        "todo",
    ]
    comparison.save_selection(workspace, workbench.view(workspace, project), "first")
    assert states(workspace, project)["curate"] == "done" and states(workspace, project)["train"] == "next"


def test_a_view_honours_every_decision_at_the_exact_budget(workspace: Workspace, project: str) -> None:
    before = workbench.view(workspace, project)
    assert len(before.subset) == 6 and before.summary["n_picked"] == 6
    banned, pinned = before.pool_ids[before.subset.indices[0]], before.pool_ids[2]
    workspace.override(project, "ban", banned, author="Ada")
    workspace.override(project, "pin", pinned)
    after = workbench.view(workspace, project)
    picked = [after.pool_ids[i] for i in after.subset.indices]
    assert len(picked) == 6 and picked[0] == pinned and banned not in picked
    assert after.state[after.rows.position[banned]] == workbench.STATES.index("banned")
    workspace.override(project, "undo")
    workspace.override(project, "undo")
    again = workbench.view(workspace, project)
    assert again.subset.indices.tolist() == before.subset.indices.tolist()


def test_a_budget_over_the_pool_is_said(workspace: Workspace, project: str) -> None:
    with pytest.raises(SelectionError, match="only 30 of 30"):
        workbench.view(workspace, project, selection=SelectionConfig(budget=BudgetConfig(examples=31)))
    with pytest.raises(WorkspaceError, match="nothing is represented yet"):
        workbench.view(workspace, workspace.create_project("Empty").id)


def test_the_table_pages_filters_and_sorts(workspace: Workspace, project: str) -> None:
    view = workbench.view(workspace, project)
    page, total = workbench.table(workspace, view, limit=4)
    assert total == 30 and page["rank"].tolist() == [1, 2, 3, 4]
    page, total = workbench.table(workspace, view, search="BLUE whale")
    assert total == 10 and all("blue whale" in text for text in page["text"])
    page, total = workbench.table(workspace, view, state="picked")
    assert total == 6 and set(page["state"]) == {"picked"}
    page, total = workbench.table(workspace, view, source="s1", order="similarity")
    assert total == 15 and page["similarity"].is_monotonic_decreasing
    some = view.pool_ids[3:6]
    page, total = workbench.table(workspace, view, ids=some, order="length")
    assert total == 3 and set(page["id"]) == set(some)
    page, total = workbench.table(workspace, view, search="nothing like it")
    assert total == 0 and page.empty


def test_a_lasso_catches_what_lies_inside(workspace: Workspace, project: str) -> None:
    view = workbench.view(workspace, project)
    xy = view.represented.pool_xy
    left, right = xy.min(axis=0) - 1, xy.max(axis=0) + 1
    corners = [float(left[0]), float(right[0]), float(right[0]), float(left[0])]
    heights = [float(left[1]), float(left[1]), float(right[1]), float(right[1])]
    assert workbench.lasso(view, corners, heights) == view.pool_ids
    middle = float(xy[:, 0].mean())
    half = workbench.lasso(view, [corners[0], middle, middle, corners[0]], heights)
    assert half == [i for i, x in zip(view.pool_ids, xy[:, 0], strict=True) if x < middle]
    assert workbench.box(view, [corners[0], middle], [heights[0], heights[2]]) == half
    assert workbench.lasso(view, [0.0, 1.0], [0.0, 1.0]) == []


def test_a_detail_says_why(workspace: Workspace, project: str) -> None:
    view = workbench.view(workspace, project)
    first = view.pool_ids[view.subset.indices[0]]
    told = workbench.detail(workspace, view, first)
    assert told.rank == 1 and told.state == "picked" and "number 1" in told.sentence
    assert told.nearest[0][1] == pytest.approx(told.similarity)
    left = next(i for i in view.pool_ids if view.rank[view.rows.position[i]] == 0)
    assert "Not picked" in workbench.detail(workspace, view, left).sentence
    workspace.override(project, "note", left, text="look again", author="Ada")
    noted = workbench.detail(workspace, workbench.view(workspace, project), left)
    assert (noted.note, noted.note_author) == ("look again", "Ada")
    with pytest.raises(WorkspaceError, match="is not in this pool"):
        workbench.detail(workspace, view, "nowhere")


def test_saved_selections_are_versions_and_compare(workspace: Workspace, project: str) -> None:
    first = comparison.save_selection(workspace, workbench.view(workspace, project), "mine", "Ada")
    workspace.override(project, "ban", workbench.view(workspace, project).pool_ids[0])
    second = comparison.save_selection(workspace, workbench.view(workspace, project), "mine", "Ada")
    assert (first.version, second.version, second.parent) == (1, 2, "mine v1")
    a, b = (comparison.open_saved(workspace, s) for s in (first, second))
    told = comparison.compare(workspace, a, b)
    assert len(told.both) + len(told.only_a) == 6 and len(told.both) + len(told.only_b) == 6
    assert told.jaccard == len(told.both) / len({*a.ids, *b.ids})
    assert told.coverage_a.shape == (2,)
    assert comparison.parent_of(workspace, first) is None
    parent = comparison.parent_of(workspace, second)
    assert parent is not None and (parent.name, parent.version) == ("mine", 1)
    entered, left = comparison.diff(b, a)
    assert (set(entered), set(left)) == (set(told.only_b), set(told.only_a))
    assert a.ids == tuple(comparison.open_saved(workspace, first).table["id"])  # version 2 overwrote nothing


def test_the_parent_is_the_one_that_was_opened(workspace: Workspace, project: str) -> None:
    def save(name: str) -> SavedSelection:
        return comparison.save_selection(workspace, workbench.view(workspace, project), name)

    first, second = save("one"), save("two")
    assert (first.parent, second.parent) == ("", "one v1")
    comparison.restore(workspace, first)
    assert save("three").parent == "one v1"
    assert save("three").parent == "three v1"


def test_a_saved_selection_is_restored_with_its_decisions_in_one_act(workspace: Workspace, project: str) -> None:
    ids = workbench.view(workspace, project).pool_ids
    workspace.override(project, "pin", [ids[9], ids[2]])
    chosen = SelectionConfig(selector="doubly_greedy", budget=BudgetConfig(examples=4), quotas={"s1": 2})
    then = workbench.view(workspace, project, selection=chosen)
    saved = comparison.save_selection(workspace, then, "mine", "Ada")
    workspace.override(project, "note", ids[5], text="later")
    workspace.override(project, "ban", [ids[2], ids[3]])
    key, opened = comparison.restore(workspace, saved, "Bo")
    now = workbench.view(workspace, project)
    assert (key, opened) == (then.represented.key, chosen)
    assert now.subset.indices.tolist() == then.subset.indices.tolist()
    assert workspace.overrides(project).notes == {ids[5]: "later"}
    before = len(workspace.override_log(project))
    comparison.restore(workspace, saved)  # what stands already is not decided again
    assert len(workspace.override_log(project)) == before
    workspace.override(project, "undo")
    assert workspace.overrides(project).banned == (ids[2], ids[3])
    pool = DatasetConfig(path=json.loads(workspace.dataset(project, "query").config)["path"])  # type: ignore[union-attr]
    pipeline.load(workspace, pool, "pool", project_id=project)
    with pytest.raises(WorkspaceError, match="of another pool or query set than the present ones; choose those again"):
        comparison.restore(workspace, saved)


def test_overlaps_are_of_the_first_picks(workspace: Workspace, project: str) -> None:
    now = comparison.as_saved(workspace, workbench.view(workspace, project))
    chosen = SelectionConfig(selector="random", budget=BudgetConfig(examples=15))
    other = comparison.as_saved(workspace, workbench.view(workspace, project, selection=chosen))
    told = comparison.overlaps([now, other, now])
    assert told.budgets == [10, 15] and told.jaccard.shape == (2, 3, 3)
    for k, budget in enumerate(told.budgets):
        a, b = set(now.ids[:budget]), set(other.ids[:budget])
        assert told.jaccard[k, 0, 1] == told.jaccard[k, 1, 0] == len(a & b) / len(a | b)
    assert (told.jaccard[:, 0, 2] == 1).all() and (np.diagonal(told.jaccard, axis1=1, axis2=2) == 1).all()
    assert comparison.overlaps([now, other], [3]).budgets == [3]


def test_what_one_person_decided_stands_beside_what_nobody_did(workspace: Workspace, project: str) -> None:
    before = workbench.view(workspace, project)
    ids = [before.pool_ids[i] for i in before.subset.indices]
    workspace.override(project, "ban", ids[0], author="Ada")
    workspace.override(project, "ban", ids[1], author="Bo")
    view = workbench.view(workspace, project)
    entered, left = workbench.moved(before, view)
    assert set(left) == {ids[0], ids[1]} and len(entered) == 2 and not set(entered) & set(ids)
    assert comparison.authors(workspace, project) == ["Ada", "Bo"]
    assert comparison.decided_by(workspace, view, None).ids == tuple(ids)
    ada = comparison.decided_by(workspace, view, "Ada")
    assert ids[0] not in ada.ids and ids[1] in ada.ids and ada.name == "decided by Ada"


def test_an_export_replays_to_the_same_bytes(workspace: Workspace, project: str, tmp_path: Path) -> None:
    view = workbench.view(workspace, project)
    workspace.override(project, "pin", view.pool_ids[5], author="Ada")
    workspace.override(project, "note", view.pool_ids[5], text="the one")
    records = report.of_project(workspace, project, workbench.view(workspace, project))
    folder = export.write(workspace, records, tmp_path / "out")
    lines = [json.loads(line) for line in (folder / "subset.jsonl").read_text().splitlines()]
    assert len(lines) == 6 and lines[0]["winnow"]["override"] == "pinned" and lines[0]["winnow"]["note"] == "the one"
    assert len((folder / "overrides.jsonl").read_text().splitlines()) == 2
    other = Workspace(tmp_path / "other")
    config: RunConfig = read_config(folder / "run.json")
    made = pipeline.run(other, pipeline.settle(config))
    again = export.contents(other, report.of_run(other, made, config, "again"))
    for name in ("subset.jsonl", "subset.parquet", "run.json", "manifest.json"):
        assert again[name] == (folder / name).read_bytes(), name
    with zipfile.ZipFile(io.BytesIO(export.archive(workspace, records))) as archive:
        assert archive.read("subset.jsonl") == (folder / "subset.jsonl").read_bytes()
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkspaceError, match="expected a folder"):
        export.write(workspace, records, tmp_path / "file")


def test_decisions_cross_to_another_persons_workspace(workspace: Workspace, project: str) -> None:
    ids = workbench.view(workspace, project).pool_ids
    workspace.override(project, "pin", ids[:2], author="Ada")
    workspace.override(project, "note", ids[1], text="look", author="Ada")
    file = export.overrides_jsonl(workspace, project) + json.dumps({"action": "ban", "row_id": "gone"}) + "\n"
    for action, count in (("undo", 2), ("ban", 1)):
        for _ in range(count):
            workspace.override(project, action, ids[0] if action == "ban" else "", author="Bo")
    told = workbench.import_overrides(workspace, project, file, "Cy")
    state = workspace.overrides(project)
    assert (state.pinned, state.banned, state.notes) == ((ids[1],), (ids[0],), {ids[1]: "look"})
    assert (told.applied, told.unknown) == (2, ["gone"])
    assert [(c.row_id, c.sentence) for c in told.conflicts] == [
        (ids[0], "Bo banned it here, Ada pinned it in the file")
    ]
    assert [e.author for e in workspace.override_log(project)[-2:]] == ["Ada", "Ada"]
    workbench.import_overrides(workspace, project, file, favour=[ids[0]])
    assert workspace.overrides(project).pinned == (ids[1], ids[0])
    for _ in range(2):  # each import was one act
        workspace.override(project, "undo")
    assert workspace.overrides(project).pinned == () and workspace.overrides(project).banned == (ids[0],)
    with pytest.raises(DataError, match="line 1 of the decisions is not JSON"):
        workbench.import_overrides(workspace, project, "pin everything")
    with pytest.raises(WorkspaceError, match="no pool yet that decisions could be about"):
        workbench.import_overrides(workspace, workspace.create_project("Empty").id, file)


def test_undo_survives_a_restart_and_has_no_limit(workspace: Workspace, project: str) -> None:
    ids = workbench.view(workspace, project).pool_ids
    for row in ids[:20]:
        workspace.override(project, "ban", row)
    again = Workspace(workspace.root)
    for left in range(19, -1, -1):
        assert again.override(project, "undo").banned == tuple(ids[:left])
    assert len(Workspace(workspace.root).override(project, "redo").banned) == 1


def test_a_job_is_settled_before_it_waits(workspace: Workspace, project: str) -> None:
    with pytest.raises(JobError, match="unknown kind of job 'dance'"):
        tasks.start(workspace, project, "dance", {})
    with pytest.raises(ConfigError, match="loaded as 'pond'"):
        tasks.start(workspace, project, "load", {"data": {"path": "x"}, "role": "pond"})
    with pytest.raises(ConfigError, match="needs a base model"):
        tasks.start(workspace, project, "experiment", {"experiment": {}})
    with pytest.raises(WorkspaceError, match="no pool yet"):
        empty = workspace.create_project("Empty").id
        tasks.start(workspace, empty, "represent", {"representation": {"name": "lexical"}})
    assert jobs.jobs(workspace) == []


def test_a_represent_job_makes_what_the_page_shows(workspace: Workspace, project: str) -> None:
    config = {"representation": {"name": "lexical"}}
    job = jobs.wait(workspace, tasks.start(workspace, project, "represent", config), 120)
    assert job.state == "succeeded", jobs.log_tail(workspace, job.id)
    shown = workbench.represented(workspace, project)
    assert len(shown) == 1 and workbench.settings(workspace, project).active == shown[0].key
