"""The next round's queries come from the dev split alone, and from what the tuned arm got wrong there."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from curation import figures_results, pipeline, rounds, tasks
from curation.config import DatasetConfig, EvaluationConfig, ExperimentConfig, RunConfig
from curation.errors import ConfigError, DataError, EvaluationError, JobError
from curation.held_out import dev_split
from curation.results import ExperimentRecord
from curation.tables import Job
from curation.workspace import Workspace, content_key
from tests.scripted import Script, design, make_run


@pytest.fixture
def run(tmp_path: Path, tiny_lm: Path) -> RunConfig:
    return design(make_run(tmp_path, tiny_lm), seeds=(0,), dev_share=0.5)


@pytest.mark.parametrize("metric", ["exact_match", "test_loss"])
def test_failures_join_the_queries_and_load_as_the_next_query_set(
    workspace: Workspace, run: RunConfig, script: Script, tmp_path: Path, metric: str
) -> None:
    script.word = "answer 1"  # some of the rows that were selected: part of the dev split is answered wrong
    asked = design(run, evaluation=EvaluationConfig(metrics=(metric,)))
    text, n_new = pipeline.next_queries(workspace, asked)
    rows = [json.loads(line) for line in text.splitlines()]
    assert rows[0]["messages"][0]["content"] == "add the numbers 900 and 901"
    made = pipeline.run(workspace, asked)
    dev = dev_split(workspace.ids(made["tests"]), 0.5)
    prompts = {e.id: e.prompt[0].content for e in workspace.rows(made["tests"], dev)}
    new = [row["messages"][0]["content"] for row in rows[1:]]
    picked = workspace.rows(made["pool"], list(made["subset"]["id"]))
    share = sum(script.word in e.text for e in picked) / len(picked)
    assert 0 < share < 1
    wrong = {
        "exact_match": sum((i + 0.5) / len(dev) >= share for i in range(len(dev))),
        "test_loss": (len(dev) + 3) // 4,
    }
    assert n_new == len(new) == wrong[metric] and set(new) <= set(prompts.values())
    assert {row["source"] for row in rows[1:]} == {"dev split, answered wrong"}
    (tmp_path / "next.jsonl").write_text(text)
    second = dataclasses.replace(asked, queries=DatasetConfig(path=str(tmp_path / "next.jsonl")))
    told = pipeline.run(workspace, second)
    assert workspace.count(told["queries"]) == 1 + n_new and told["result"]["n_query"] == 1 + n_new
    assert told["result"]["overlap"]["queries"] == 0  # what became a query judges no arm


def test_without_a_dev_split_or_an_experiment_it_is_refused(
    workspace: Workspace, run: RunConfig, script: Script
) -> None:
    with pytest.raises(EvaluationError, match=r"from the dev split and there is none; set dev_share, to 0\.3 say"):
        pipeline.next_queries(workspace, design(run, dev_share=0.0))
    with pytest.raises(EvaluationError, match="no tuned arm 'selected', expected one of: random"):
        pipeline.next_queries(workspace, design(run, arms=("zero_shot", "random")))
    with pytest.raises(ConfigError, match="come from a tuned model; give `model` and `experiment`"):
        pipeline.next_queries(workspace, dataclasses.replace(run, experiment=None))
    assert len(script.tuned) == 2  # random draws the same rows with a dev split and without


def judged(ws: Workspace, pid: str, asked: RunConfig) -> tuple[str, rounds.Proposal]:
    """Run an experiment in a project and look for its selection's failures."""
    made = pipeline.run(ws, asked, project_id=pid)
    ws.add_experiment(pid, "Try", key=made["experiment"])
    shown = pipeline.read_represented(ws.artefact("representation", made["representation"]))
    assert asked.model is not None and asked.experiment is not None
    ids = tuple(made["subset"]["id"])
    inputs = pipeline.experiment_inputs(ws, shown, ids, asked.model, made["tests"], asked.experiment, asked.selection)
    key = rounds.propose(ws, inputs, asked.experiment, "selected")
    assert rounds.propose(ws, inputs, asked.experiment, "selected") == key
    found = rounds.proposal(ws, made["experiment"], "selected")
    assert found is not None and found.key == key
    return made["experiment"], found


def test_rounds_are_linked_and_their_results_stand_side_by_side(
    workspace: Workspace, run: RunConfig, script: Script
) -> None:
    script.word = "answer 1"
    pid = workspace.create_project("Sums").id
    assert rounds.rounds(workspace, pid) == []
    experiment, found = judged(workspace, pid, run)
    assert rounds.proposal(workspace, experiment, "random") is None
    assert found.metric == "exact_match" and 0 < len(found.failures) < found.n_dev
    assert {f.answer for f in found.failures} == {"words"} and {f.value for f in found.failures} == {0.0}
    (first,) = rounds.rounds(workspace, pid)
    assert (first.number, first.n_queries, first.n_added, first.comparable) == (1, 1, 0, True)
    taken = [f.row.id for f in found.failures[:2]]
    with pytest.raises(DataError, match="no further query was taken, expected at least one"):
        rounds.begin(workspace, pid, found, [])
    made = rounds.begin(workspace, pid, found, taken)
    assert rounds.begin(workspace, pid, found, taken) == made
    active = workspace.dataset(pid, "query")
    assert active is not None and (active.key, active.name, active.n_rows) == (made, "queries.jsonl, round 2", 3)
    assert [e.source for e in workspace.examples(made)][1:] == [rounds.WRONG] * 2
    assert [(r.number, r.n_added, r.record is None) for r in rounds.rounds(workspace, pid)] == [
        (1, 0, False),
        (2, 2, True),
    ]
    config = DatasetConfig.from_dict(json.loads(active.config))
    _, again = judged(workspace, pid, dataclasses.replace(run, queries=config))
    rounds.begin(workspace, pid, again, [again.failures[-1].row.id])
    told = rounds.rounds(workspace, pid)
    assert [(r.number, r.n_queries, r.comparable) for r in told] == [(1, 1, True), (2, 3, True), (3, 4, False)]
    drawn = figures_results.rounds(told, "exact_match")
    assert [t.name for t in drawn.data] == ["Random", "Selected"]
    for trace, arm in zip(drawn.data, ("random", "selected"), strict=True):
        means = [
            r.record.result["arms"][arm]["metrics"]["exact_match"] for r in told[:2] if r.record and r.record.result
        ]
        assert list(trace.y) == pytest.approx([100 * m["mean"] for m in means])
        tops = [y + up for y, up in zip(trace.y, trace.error_y.array, strict=True)]
        assert tops == pytest.approx([100 * m["high"] for m in means])
        assert [round(x) for x in trace.x] == [1, 2]
    assert drawn.layout.xaxis.ticktext[:2] == ("Round 1<br>1 query", "Round 2<br>3 queries")
    assert rounds.rounds(workspace, workspace.create_project("Other").id) == []


@pytest.mark.parametrize(
    ("metrics", "looked_by"),
    [
        (("query_loss",), "test_loss"),
        (("query_loss", "test_loss", "harness"), "test_loss"),
        (("harness", "query_loss", "rouge_l", "test_loss"), "rouge_l"),
        (("query_loss", "exact_match"), "exact_match"),
    ],
)
def test_the_dev_split_is_judged_by_a_metric_of_test_rows(metrics: tuple[str, ...], looked_by: str) -> None:
    assert rounds.dev_metric(metrics) == looked_by


def test_an_experiment_judged_on_queries_alone_still_finds_what_is_wrong(
    workspace: Workspace, run: RunConfig, script: Script
) -> None:
    script.word = "answer 1"
    pid = workspace.create_project("Sums").id
    _, found = judged(workspace, pid, design(run, evaluation=EvaluationConfig(metrics=("query_loss",))))
    assert found.metric == "test_loss" and len(found.failures) == (found.n_dev + 3) // 4
    assert all(f.value > 1 and not f.answer for f in found.failures)


def test_a_seed_that_diverged_is_passed_over(workspace: Workspace, run: RunConfig, script: Script) -> None:
    script.word = "answer 1"
    script.diverging = {(0, 8)}
    pid = workspace.create_project("Sums").id
    _, found = judged(workspace, pid, design(run, arms=("selected",), seeds=(0, 1)))
    assert found.failures and [seed for seed, _ in script.tuned] == [0, 1]  # that of seed 0 is not tried again


def test_what_an_earlier_version_found_by_another_metric_is_looked_for_anew(
    workspace: Workspace, run: RunConfig, script: Script
) -> None:
    script.word = "answer 1"
    experiment, found = judged(workspace, workspace.create_project("Sums").id, run)
    told = json.loads((workspace.artefact("proposal", found.key) / "proposal.json").read_text())
    for arm, metric in (("old", "exact_match"), ("wrong", "query_loss"), ("worse", "harness")):
        key = content_key("proposal", version=1, experiment=experiment, arm=arm)
        with workspace.build("proposal", key, {}) as part:
            (part / "proposal.json").write_text(json.dumps(told | {"metric": metric}))
    old = rounds.proposal(workspace, experiment, "old")
    assert old is not None and old.failures == found.failures
    assert rounds.proposal(workspace, experiment, "wrong") is rounds.proposal(workspace, experiment, "worse") is None


def told_round(number: int, *metrics: str, comparable: bool = True) -> rounds.Round:
    value = {"mean": 0.5, "low": 0.4, "high": 0.6}
    arms = {arm: {"metrics": dict.fromkeys(metrics, value)} for arm in ("random", "selected")}
    record = ExperimentRecord(None, ExperimentConfig(), {"arms": arms, "metrics": list(metrics)})  # type: ignore[arg-type]
    return rounds.Round(number, "q", 4, 0, record, comparable)


def test_rounds_are_compared_by_a_metric_that_all_of_them_have() -> None:
    told = [
        told_round(1, "exact_match", "query_loss", "test_loss"),
        told_round(2, "query_loss", "test_loss", "rouge_l"),
    ]
    assert rounds.shared_metric(told) == "test_loss"
    drawn = figures_results.rounds(told, "test_loss")
    assert [len(trace.x) for trace in drawn.data] == [2, 2]
    assert rounds.shared_metric([*told, told_round(3, "exact_match", comparable=False)]) == "test_loss"
    assert rounds.shared_metric([*told, told_round(3, "exact_match", "query_loss")]) is None
    assert rounds.shared_metric([]) is None


def test_a_round_that_other_rows_judged_is_not_comparable(workspace: Workspace, run: RunConfig, script: Script) -> None:
    script.word = "answer 1"
    pid = workspace.create_project("Sums").id
    _, found = judged(workspace, pid, run)
    rounds.begin(workspace, pid, found, [found.failures[0].row.id])
    active = workspace.dataset(pid, "query")
    assert active is not None
    second = dataclasses.replace(run, queries=DatasetConfig.from_dict(json.loads(active.config)))
    judged(workspace, pid, design(second, dev_share=0.3))
    told = rounds.rounds(workspace, pid)
    assert [(r.record is not None, r.comparable) for r in told] == [(True, True), (True, False)]


def test_a_job_looks_for_failures_of_an_experiment_that_has_a_dev_split(workspace: Workspace) -> None:
    pid = workspace.create_project("Sums").id
    with workspace.write() as session:
        for kind, share in (("experiment", 0.0), ("represent", 0.3)):
            config = json.dumps({"experiment": {"dev_share": share}})
            session.add(Job(id=kind, kind=kind, title=kind, project_id=pid, state="succeeded", config=config))
    with pytest.raises(EvaluationError, match="no dev split to look for failures in; set dev_share and start again"):
        tasks.start(workspace, pid, "proposal", {"of": "experiment", "arm": "selected"})
    with pytest.raises(JobError, match="job represent is no experiment of this project; choose one of its"):
        tasks.start(workspace, pid, "proposal", {"of": "represent", "arm": "selected"})
    with pytest.raises(JobError, match="is no experiment of this project"):
        tasks.start(workspace, workspace.create_project("Other").id, "proposal", {"of": "experiment", "arm": "x"})
