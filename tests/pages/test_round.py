"""The Report page's next round: what is missing, what was answered wrong, what is taken, where it leads."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from streamlit.testing.v1 import AppTest

from curation import comparison, rounds, tasks, workbench
from curation.config import ExperimentConfig
from curation.results import ExperimentRecord
from curation.workspace import content_key

if TYPE_CHECKING:
    from curation.workspace import Workspace

Open = Callable[..., AppTest]
Finish = Callable[..., dict[str, Any]]


def words(app: AppTest) -> str:
    kinds = ("markdown", "caption", "text", "error")
    return "\n".join(e.value for kind in kinds for e in app.get(kind)).replace("\\", "")


def press(app: AppTest, label: str) -> AppTest:
    return next(b for b in app.button if b.label.startswith(label)).click().run()


@pytest.fixture
def judged(workspace: Workspace, sums: str, finish: Finish, job: Callable[..., str]) -> dict[str, Any]:
    """An experiment with a dev split of four rows, made by a job; returns its result."""
    result = finish(workspace, sums) | {"n_dev": 4}
    key = workspace.experiments(sums)[0].key
    (workspace.artefact("experiment", key) / "result.json").write_text(json.dumps(result))
    view = workbench.view(workspace, sums)
    config = {"selection": comparison.store_selection(workspace, view), "experiment": result["config"]}
    config["experiment"] |= {"dev_share": 0.3}
    made = job(workspace, sums, "succeeded", config=json.dumps(config), result=json.dumps({"experiment": key}))
    workspace.add_experiment(sums, "With a dev split", job_id=made, config=config["experiment"])
    return result


def propose(ws: Workspace, pid: str, result: dict[str, Any], n: int) -> None:
    """Keep the first `n` test rows as what the selection got wrong."""
    experiment = ws.experiments(pid)[1].key
    key = content_key("proposal", version=1, experiment=experiment, arm="selected")
    failures = [[row, f"wrong {place}", 0.0] for place, row in enumerate(ws.ids(result["tests"])[:n])]
    told = {"arm": "selected", "metric": "exact_match", "n_dev": 9, "failures": failures}
    told |= {"queries": result["queries"], "tests": result["tests"]}
    with ws.build("proposal", key, {}) as part:
        (part / "proposal.json").write_text(json.dumps(told))


def test_without_an_experiment_or_a_dev_split_it_says_what_to_do(
    opened: Open, workspace: Workspace, sums: str, finish: Finish
) -> None:
    app = opened("report", sums, part="Next round")
    assert not app.exception and "Tune this selection first" in words(app)
    finish(workspace, sums)
    app = opened("report", sums, part="Next round")
    assert "set a share of the test rows aside as a dev split, 30 % say" in words(app)


@pytest.mark.usefixtures("judged")
def test_the_search_is_a_job(opened: Open, workspace: Workspace, sums: str, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(tasks, "start", lambda _ws, _pid, kind, config, _title: started.append((kind, config)))
    app = opened("report", sums, part="Next round")
    assert "on the 4 test rows that were set aside" in words(app)
    app = press(app, "Find what it gets wrong")
    assert not app.exception
    assert started == [("proposal", {"of": workspace.experiments(sums)[0].job_id, "arm": "selected"})]


def test_failures_are_read_taken_or_left_and_begin_a_round(
    opened: Open,
    workspace: Workspace,
    sums: str,
    judged: dict[str, Any],
    hostile: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    propose(workspace, sums, judged, 7)
    started: list[dict[str, Any]] = []
    monkeypatch.setattr(tasks, "start", lambda _ws, _pid, _kind, config, _title: started.append(config))
    app = opened("report", sums, part="Next round")
    assert not app.exception
    said = words(app)
    assert "7 of 9 rows of the dev split were answered wrong" in said and "wrong 4" in said and "wrong 5" not in said
    assert [t.value for t in app.text if t.value == hostile] == [hostile]  # as text, never as markup
    app.checkbox[1].uncheck().run()
    assert "Start round 2 with 6 further queries" in [b.label for b in app.button]
    press(app, "Take none")
    assert next(b for b in app.button if b.label.startswith("Start round 2")).disabled
    press(app, "Take all")
    app.checkbox[0].uncheck().run()
    press(app, "Start round 2 with 6 further queries")
    assert not app.exception
    active = workspace.dataset(sums, "query")
    assert active is not None and active.name == "query.jsonl, round 2" and active.n_rows == 4 + 6
    assert [e.id for e in workspace.examples(active.key)][4:] == workspace.ids(judged["tests"])[1:7]
    assert [c["representation"]["name"] for c in started] == ["lexical"]
    assert [r.number for r in rounds.rounds(workspace, sums)] == [1, 2]
    app = opened("report", sums, part="Next round")  # the new queries have no representation yet
    assert not app.exception and "Rounds so far" in words(app)


@pytest.mark.usefixtures("judged")
@pytest.mark.parametrize(
    ("second", "charts", "said"),
    [("test_loss", 1, "on the same test rows"), ("rouge_l", 0, "share no metric but the loss on their own queries")],
)
def test_rounds_with_other_metrics_stand_on_the_chart_by_what_they_share(
    opened: Open, sums: str, second: str, charts: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = {"mean": 0.5, "low": 0.4, "high": 0.6}

    def told(number: int, *metrics: str) -> rounds.Round:
        result = {"arms": {"selected": {"metrics": dict.fromkeys(metrics, value)}}, "metrics": list(metrics)}
        record = ExperimentRecord(SimpleNamespace(name="Try"), ExperimentConfig(), result)  # type: ignore[arg-type]
        return rounds.Round(number, "q", 4, 0, record, True)

    monkeypatch.setattr(rounds, "rounds", lambda *_: [told(1, "exact_match", "test_loss"), told(2, second)])
    app = opened("report", sums, part="Next round")
    assert not app.exception and said in words(app)
    assert len(app.get("plotly_chart")) == charts


def test_an_arm_without_failures_is_said(opened: Open, workspace: Workspace, sums: str, judged: dict[str, Any]) -> None:
    propose(workspace, sums, judged, 0)
    assert "all 9 rows of the dev split right" in words(opened("report", sums, part="Next round"))
