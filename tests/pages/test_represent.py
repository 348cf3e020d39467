"""The Represent page: what is missing, what exists, choosing the model, starting, watching, failing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from streamlit.testing.v1 import AppTest

if TYPE_CHECKING:
    from curation.workspace import Workspace

Open = Callable[..., AppTest]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Jobs that the page asked for, in place of starting them."""
    from curation import tasks

    asked: list[tuple[Any, ...]] = []
    monkeypatch.setattr(tasks, "start", lambda *given: asked.append(given))
    return asked


def text_of(app: AppTest) -> str:
    return "\n".join(e.value for kind in ("markdown", "caption", "warning") for e in app.get(kind)).replace("\\", "")


def button(app: AppTest, key: str) -> Any:
    return next(b for b in app.button if str(b.key).startswith(key))


def test_without_data_it_leads_to_loading_it(opened: Open, workspace: Workspace) -> None:
    app = opened("represent", workspace.create_project("Bare").id)
    assert not app.exception
    assert "The pool and query set must be loaded" in text_of(app)
    assert "Load data" in [b.label for b in app.button]


def test_what_is_computed_is_shown_with_its_rows_and_use(opened: Open, sums: str) -> None:
    app = opened("represent", sums)
    assert not app.exception
    assert "**lexical**" in text_of(app).lower()
    assert "60 rows" in text_of(app)
    assert "Go on to Curate" in [b.label for b in app.button]


def test_every_registered_representation_can_be_started(
    opened: Open, sums: str, started: list[tuple[Any, ...]]
) -> None:
    from curation import representations

    app = opened("represent", sums)
    for name in representations.REGISTRY:
        button(app, f"compute-{name}.").click().run()
        assert not app.exception
        _, pid, kind, config, _ = started[-1]
        assert (pid, kind, config["representation"]["name"]) == (sums, "represent", name)
        representations.REGISTRY.config(name).from_dict(config["representation"]["options"] | _given(name))


def _given(name: str) -> dict[str, Any]:
    from curation import representations

    method = representations.REGISTRY.load(name)
    return ({"model": "x"} if method.needs_base_model else {}) | ({"warmup": "y"} if method.needs_warmup else {})


def test_options_and_warmup_reach_the_job_and_are_kept(
    opened: Open, sums: str, workspace: Workspace, started: list[tuple[Any, ...]]
) -> None:
    from curation import workbench

    app = opened("represent", sums)
    app.number_input(key=f"less.d.{sums}").set_value(512)
    app.number_input(key=f"warmup.share.{sums}").set_value(0.2)
    app.number_input(key=f"warmup-training.epochs.{sums}").set_value(2.0).run()
    button(app, "compute-less.").click().run()
    config = started[0][3]
    assert config["representation"]["options"]["d"] == 512
    assert (config["warmup"]["share"], config["warmup"]["training"]["epochs"]) == (0.2, 2.0)
    kept = workbench.settings(workspace, sums)
    assert (kept.representation.options["d"], kept.warmup.share) == (512, 0.2)
    again = opened("represent", sums)
    assert again.number_input(key=f"less.d.{sums}").value == 512


def test_without_a_base_model_only_what_needs_none_can_start(opened: Open, sums: str, workspace: Workspace) -> None:
    workspace.update_settings(sums, model=None)
    app = opened("represent", sums)
    assert button(app, "compute-less.").disabled
    assert not button(app, "compute-lexical.").disabled
    assert "Needs a base model" in text_of(app)


def test_a_model_folder_is_looked_at_before_it_is_kept(
    opened: Open, sums: str, workspace: Workspace, tiny_lm: Path, tmp_path: Path
) -> None:
    from curation import workbench

    workspace.update_settings(sums, model=None)
    app = opened("represent", sums)
    control = next(g for g in app.get("button_group") if "Folder" in [o.content for o in g.proto.options])
    control.set_value("Folder").run()
    app.text_input(key=f"model-folder.{sums}").input(str(tmp_path / "none")).run()
    button(app, "model-use.").click().run()
    assert "No model folder at" in app.error[0].value.replace("\\", "")
    assert workbench.settings(workspace, sums).model is None
    app.text_input(key=f"model-folder.{sums}").input(str(tiny_lm)).run()
    button(app, "model-use.").click().run()
    kept = workbench.settings(workspace, sums).model
    assert kept is not None and kept.name == str(tiny_lm)
    assert "5.9 M weights" in text_of(app)


def test_the_models_own_code_runs_only_where_ticked_and_the_risk_is_said(
    opened: Open, sums: str, workspace: Workspace
) -> None:
    from curation import workbench

    app = opened("represent", sums)
    control = next(g for g in app.get("button_group") if "Folder" in [o.content for o in g.proto.options])
    control.set_value("Hugging Face hub").run()
    app.text_input(key=f"model-hub.{sums}").input("some/model").run()
    button(app, "model-use.").click().run()
    kept = workbench.settings(workspace, sums).model
    assert kept is not None and not kept.trust_remote_code
    app.checkbox(key=f"model-trust.{sums}").check().run()
    assert "can read your files" in app.warning[0].value
    button(app, "model-use.").click().run()
    kept = workbench.settings(workspace, sums).model
    assert kept is not None and kept.trust_remote_code


def test_rows_that_have_no_features_are_listed(opened: Open, sums: str, workspace: Workspace) -> None:
    folder = workspace.artefact("representation", "e" * 32)
    record = json.loads((folder / "record.json").read_text())
    record["unusable"] = {"some-row": "its prompt takes 9,000 tokens"}
    (folder / "record.json").write_text(json.dumps(record))
    app = opened("represent", sums)
    assert "59 rows" in text_of(app)
    assert app.dataframe[0].value["reason"].tolist() == ["its prompt takes 9,000 tokens"]


def test_a_failed_job_stands_on_the_page_until_hidden(opened: Open, sums: str, workspace: Workspace) -> None:
    import time

    from curation.tables import Job

    with workspace.write() as session:
        session.add(
            Job(
                id="dead",
                kind="represent",
                title="LESS features",
                project_id=sums,
                state="failed",
                error="out of memory; choose a smaller model",
                ended=time.time(),
            )
        )
    app = opened("represent", sums)
    assert "Out of memory; choose a smaller model" in text_of(app)
    assert button(app, "Resume-page-dead")
    button(app, "Hide-page-dead").click().run()
    assert not app.exception
    assert not [b for b in app.button if str(b.key) == "Resume-page-dead"]


def test_the_published_figures_hold_the_sober_columns_too(opened: Open, sums: str) -> None:
    said = text_of(opened("represent", sums))
    for figure in ("0.89 | 0.40 | 0.30", "−0.12 | 0.27", "−9.4", "2602.14696"):
        assert figure in said
