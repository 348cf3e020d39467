"""The Train page in each state: nothing to tune, ready, started, running, failed, done, wrong options."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from streamlit.testing.v1 import AppTest

from curation import workbench

if TYPE_CHECKING:
    from curation.workspace import Workspace

Open = Callable[..., AppTest]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Jobs that the page asked for, in place of starting them."""
    from curation import tasks

    asked: list[tuple[Any, ...]] = []
    monkeypatch.setattr(tasks, "start", lambda _ws, *given: asked.append(given))
    return asked


def words(app: AppTest) -> str:
    kinds = ("markdown", "caption", "warning", "error", "subheader")
    return "\n".join(e.value for kind in kinds for e in app.get(kind)).replace("\\", "")


def keyed(elements: Any, key: str) -> Any:
    return next(e for e in elements if str(e.key).startswith(key))


def start(app: AppTest) -> Any:
    return next(b for b in app.button if b.label.startswith(("Start", "Judge the")))


def test_without_a_representation_it_says_what_to_do_next(opened: Open, workspace: Workspace) -> None:
    app = opened("train", workspace.create_project("Bare").id)
    assert not app.exception
    assert "compute a representation first" in words(app)
    assert "Represent" in [b.label for b in app.button]


def test_the_plan_counts_what_each_arm_takes(opened: Open, sums: str) -> None:
    app = opened("train", sums)
    assert not app.exception
    plan = app.dataframe[0].value
    assert plan["Arm"].tolist() == ["Zero-shot", "Random", "Selected"]
    assert plan["Examples"].tolist() == [0, 12, 12]
    assert plan["Optimizer steps"].tolist() == [0, 6, 6]  # 2 passes of 3 batches of 4
    assert plan["Trainings"].tolist() == [0, 3, 3]
    assert start(app).label == "Start 6 trainings"


def test_starting_hands_over_design_and_selection_and_remembers_them(
    opened: Open, workspace: Workspace, sums: str, started: list[tuple[Any, ...]]
) -> None:
    app = opened("train", sums)
    keyed(app.number_input, "train-seeds").set_value(2).run()
    keyed(app.number_input, "train.epochs").set_value(4.0).run()
    keyed(app.text_input, "name-1").set_value("Mine").run()
    start(app).click().run()
    assert not app.exception
    (pid, kind, config, title) = started[0]
    assert (pid, kind, title) == (sums, "experiment", "Mine")
    assert config["experiment"]["seeds"] == [0, 1]
    assert config["experiment"]["training"]["epochs"] == 4.0
    assert config["experiment"]["training"]["batch_size"] == 4
    assert config["experiment"]["arms"] == ["zero_shot", "random", "selected"]
    assert config["selection"]["budget"]["examples"] == 12
    assert workbench.settings(workspace, sums).experiment.training.epochs == 4.0


def test_a_saved_selection_can_be_the_arm(
    opened: Open, workspace: Workspace, sums: str, started: list[tuple[Any, ...]]
) -> None:
    from curation import comparison

    saved = comparison.save_selection(workspace, workbench.view(workspace, sums), "<b>Mine</b>")
    app = opened("train", sums)
    choice = keyed(app.selectbox, "train-selection")
    assert choice.options == ["As it stands on the Curate page", "<b>Mine</b> v1"]
    choice.set_value(saved.subset).run()
    start(app).click().run()
    assert started[0][2]["selection"] == {"saved": saved.subset}


def test_looking_changes_nothing_that_another_tab_has_stored(opened: Open, workspace: Workspace, sums: str) -> None:
    before = workspace.settings(sums)
    app = opened("train", sums)
    app.run()
    assert workspace.settings(sums) == before


def test_options_that_make_no_sense_are_said_and_nothing_starts(opened: Open, sums: str) -> None:
    app = opened("train", sums)
    keyed(app.multiselect, "train-metrics").set_value([]).run()
    assert not app.exception
    assert "Choose at least one metric" in words(app)
    assert start(app).disabled


def test_a_running_experiment_shows_progress_and_losses_by_arm(
    opened: Open, workspace: Workspace, sums: str, job: Callable[..., str]
) -> None:
    job(workspace, sums, "running")
    app = opened("train", sums)
    assert not app.exception
    assert "**Experiment <b>1</b>**" in words(app)
    assert "Selected, seed 0: training · 2 of 6 steps · 2/s · 2 s left" in words(app)
    assert len(app.get("plotly_chart")) == 1
    assert {"Cancel"} <= {b.label for b in app.button}
    assert "Set up another experiment" in [e.label for e in app.expander]


def test_a_failed_experiment_says_why_and_can_be_resumed(
    opened: Open, workspace: Workspace, sums: str, job: Callable[..., str]
) -> None:
    job(workspace, sums, "failed", error="training diverged at step 3; lower the learning rate")
    app = opened("train", sums)
    assert not app.exception
    assert "Training diverged at step 3; lower the learning rate" in words(app)
    assert "Resume" in {b.label for b in app.button}
    assert start(app).label == "Start 6 trainings"


def test_a_finished_experiment_leads_to_its_evaluation(
    opened: Open, workspace: Workspace, sums: str, finish: Callable[..., dict[str, Any]]
) -> None:
    finish(workspace, sums)
    app = opened("train", sums)
    assert not app.exception
    assert "**Try 1** :gray[is done]" in words(app) and "12 examples" in words(app)
    next(b for b in app.button if b.label == "Read the evaluation").click().run()
    assert not app.exception
    assert app.title[0].value == "Evaluate"


def test_without_a_test_set_it_warns(opened: Open, workspace: Workspace, bare_of_tests: str) -> None:
    assert workspace.dataset(bare_of_tests, "test") is None
    assert "There is no test set" in words(opened("train", bare_of_tests))


def test_without_a_base_model_nothing_can_be_started(opened: Open, workspace: Workspace, sums: str) -> None:
    workspace.update_settings(sums, model=None)
    app = opened("train", sums)
    assert not app.exception
    assert "Choose a base model first" in words(app)
    assert start(app).disabled
