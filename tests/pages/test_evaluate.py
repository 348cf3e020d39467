"""The Evaluate page: empty, unfinished, finished; numbers as stored, answers as plain text."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from streamlit.testing.v1 import AppTest

if TYPE_CHECKING:
    from curation.workspace import Workspace

Open = Callable[..., AppTest]
Finish = Callable[..., dict[str, Any]]


def words(app: AppTest) -> str:
    kinds = ("markdown", "caption", "warning", "error", "subheader")
    return "\n".join(e.value for kind in kinds for e in app.get(kind)).replace("\\", "")


def keyed(elements: Any, key: str) -> Any:
    return next(e for e in elements if str(e.key).startswith(key))


def test_without_an_experiment_it_leads_to_training(opened: Open, sums: str) -> None:
    app = opened("evaluate", sums)
    assert not app.exception
    assert "Nothing has been tuned yet" in words(app)
    assert "Train" in [b.label for b in app.button]


def test_an_unfinished_experiment_is_not_shown_as_a_result(opened: Open, workspace: Workspace, sums: str) -> None:
    workspace.add_experiment(sums, "Waiting", key="", config={})
    app = opened("evaluate", sums)
    assert not app.exception
    assert "No experiment has finished yet" in words(app)


def test_each_arm_shows_the_stored_exact_match(opened: Open, workspace: Workspace, sums: str, finish: Finish) -> None:
    result = finish(workspace, sums)
    app = opened("evaluate", sums)
    assert not app.exception
    assert [m.label for m in app.metric] == ["Zero-shot", "Random", "Selected", "Full pool"]
    for metric, arm in zip(app.metric, ("zero_shot", "random", "selected", "full"), strict=True):
        assert metric.value == f"{100 * result['arms'][arm]['metrics']['exact_match']['mean']:.1f} %"
    assert "Exact match of each arm" in words(app)
    table = app.dataframe[0].value
    assert table["Arm"].tolist() == ["Zero-shot", "Random", "Selected", "Full pool"]
    assert len(app.get("plotly_chart")) == 1


def test_weak_evidence_is_warned_about(opened: Open, workspace: Workspace, sums: str, finish: Finish) -> None:
    finish(workspace, sums, seeds=1, better=False, arms=("zero_shot", "random", "selected"))
    text = words(opened("evaluate", sums))
    for said in ("Only 12 test examples", "One seed only", "Tuning lost", "arXiv 2602.14696"):
        assert said in text


def test_answers_are_plain_text_and_can_be_filtered(
    opened: Open, workspace: Workspace, sums: str, finish: Finish, hostile: str
) -> None:
    finish(workspace, sums)
    app = opened("evaluate", sums)
    shown = [t.value for t in app.text]
    assert hostile in shown
    assert not any(hostile in m.value for m in app.markdown)
    everything = "\n".join(m.value for m in app.markdown)
    assert "<script>" not in everything and not any(m.allow_html for m in app.markdown)
    keyed(app.selectbox, "answers-show").set_value("gained").run()
    assert not app.exception
    assert "of 12 test examples" in words(app)
    marks = [m.value for m in app.markdown if m.value.startswith(("**Random**", "**Selected**"))]
    assert marks and all(("right" in m) == m.startswith("**Selected**") for m in marks)


def test_answers_are_paged(opened: Open, workspace: Workspace, sums: str, finish: Finish) -> None:
    finish(workspace, sums)
    app = opened("evaluate", sums)
    page = keyed(app.number_input, "answers-page")
    assert page.label == "Page of 3"
    page.set_value(3).run()
    assert "Test example 11" in words(app) and "Test example 1\n" not in words(app)
    keyed(app.selectbox, "answers-show").set_value("right").run()  # fewer pages than 3
    assert not app.exception


def test_another_experiment_can_be_chosen(opened: Open, workspace: Workspace, sums: str, finish: Finish) -> None:
    finish(workspace, sums)
    finish(workspace, sums, arms=("zero_shot", "selected"))
    app = opened("evaluate", sums)
    assert len(app.metric) == 2
    choice = keyed(app.selectbox, "experiment")
    assert [o.split(" · ")[0] for o in choice.options] == ["Try 2", "Try 1"]
    choice.set_value("1").run()
    assert len(app.metric) == 4


def test_the_chart_follows_the_metric(opened: Open, workspace: Workspace, sums: str, finish: Finish) -> None:
    finish(workspace, sums)
    app = opened("evaluate", sums)
    app.session_state[f"metric.{sums}"] = "test_loss"
    app.run()
    assert not app.exception
    assert "Test loss, nats a token" in app.get("plotly_chart")[0].proto.spec


@pytest.mark.parametrize("page", ["evaluate", "report"])
def test_a_damaged_workspace_is_one_sentence_not_a_crash(
    opened: Open, workspace: Workspace, sums: str, finish: Finish, page: str
) -> None:
    import shutil

    result = finish(workspace, sums)
    shutil.rmtree(workspace.root / "artefacts" / "dataset" / result["tests"])
    shutil.rmtree(workspace.root / "artefacts" / "dataset" / result["queries"])
    app = opened(page, sums)
    assert not app.exception
    assert app.error
