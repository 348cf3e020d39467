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


def test_after_new_queries_it_says_that_the_pools_vectors_are_kept(
    opened: Open, sums: str, workspace: Workspace, tmp_path: Path
) -> None:
    from curation import pipeline
    from curation.config import DatasetConfig

    said = "The pool's vectors are kept"
    assert said not in text_of(opened("represent", sums))
    path = tmp_path / "new.jsonl"
    path.write_text(json.dumps({"prompt": "What is one and one?", "response": "two"}) + "\n")
    pipeline.load(workspace, DatasetConfig(path=str(path)), "query", project_id=sums)
    app = opened("represent", sums)
    assert not app.exception and "Go on to Curate" not in [b.label for b in app.button]
    assert text_of(app).count(said) == 1  # of the one that was computed


def test_every_registered_representation_can_be_started(
    opened: Open, sums: str, started: list[tuple[Any, ...]]
) -> None:
    from curation import representations

    app = opened("represent", sums)
    for name in representations.REGISTRY:
        button(app, f"compute-{name}.").click().run()
        assert not app.exception
        pid, kind, config, _ = started[-1]
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
    config = started[0][2]
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


def add_estimate(ws: Workspace, pid: str, name: str, state: str, **fields: Any) -> None:
    """Add the job that estimated what `name` costs with the options that the page shows."""
    import time

    from curation import representations, tasks
    from curation.config import RepresentationConfig
    from curation.tables import Job

    options = representations.REGISTRY.config(name).from_dict(_given(name)).to_dict()
    kept = {k: v for k, v in options.items() if k not in GIVEN}
    asked = {"representation": RepresentationConfig(name=name, options=kept).to_dict()}
    config = json.dumps(tasks._settle_represent(ws, pid, asked))
    with ws.write() as session:
        session.add(
            Job(
                id=f"cost-{name}",
                kind="estimate",
                title=f"Cost of {name}",
                project_id=pid,
                config=config,
                state=state,
                started=time.time() - 20,
                ended=time.time(),
                **fields,
            )
        )


GIVEN = ("model", "revision", "dtype", "device", "max_length", "trust_remote_code", "warmup")
COST = {
    "parts": {"the warmup": 61.0, "pool rows": 1_740.0, "similarity and map": 0.2},
    "low": 1_500.0,
    "high": 2_130.0,
    "memory": 1_400_000_000,
    "gpu_memory": 0,
    "disk": 613_000_000,
    "rows": 37_458,
    "reused": 12,
    "how": "timed 24 batches of your own rows with this model for 20 s",
    "warnings": ["It needs about 1.4 GB of memory and 0.2 GB are free."],
}


def test_the_cost_is_asked_of_a_job(opened: Open, sums: str, started: list[tuple[Any, ...]]) -> None:
    app = opened("represent", sums)
    app.number_input(key=f"less.d.{sums}").set_value(512).run()
    button(app, "cost-less.").click().run()
    assert not app.exception
    pid, kind, config, title = started[0]
    assert (pid, kind, title) == (sums, "estimate", "Cost of LESS features")
    assert config["representation"]["options"]["d"] == 512 and config["warmup"]


def test_a_cost_is_shown_until_the_options_change(opened: Open, sums: str, workspace: Workspace) -> None:
    add_estimate(workspace, sums, "less", "succeeded", result=json.dumps(COST))
    app = opened("represent", sums)
    assert not app.exception
    said = text_of(app)
    assert "**About 30 min** :gray[· between 25 min and 36 min]" in said
    assert "1.4 GB memory · 613 MB on disk · 37,458 new rows, 12 reused" in said
    assert "The warmup 1 min 1 s, pool rows 29 min. How it is known: timed 24 batches" in said
    assert "It needs about 1.4 GB of memory" in said
    app.number_input(key=f"less.d.{sums}").set_value(512).run()
    assert "About 30 min" not in text_of(app)
    app.number_input(key=f"less.d.{sums}").set_value(8192).run()
    assert "About 30 min" in text_of(app)


def test_nothing_left_to_compute_and_a_failed_estimate_are_said(opened: Open, sums: str, workspace: Workspace) -> None:
    nothing = COST | {"parts": {}, "warnings": []}
    add_estimate(workspace, sums, "rds", "succeeded", result=json.dumps(nothing))
    add_estimate(workspace, sums, "less", "failed", error="no-such/model is not on this machine; go online once")
    said = text_of(opened("represent", sums))
    assert "**Nothing to compute**" in said
    assert "no-such/model is not on this machine" in said


def test_a_cost_from_before_it_was_computed_is_not_shown(opened: Open, sums: str, workspace: Workspace) -> None:
    add_estimate(workspace, sums, "lexical", "succeeded", result=json.dumps(COST))
    from curation.tables import Job

    with workspace.write() as session:
        session.get_one(Job, "cost-lexical").ended = 1.0
    assert "About 30 min" not in text_of(opened("represent", sums))


def amend(workspace: Workspace, **changes: Any) -> None:
    """Change the record of the project's representation."""
    path = workspace.artefact("representation", "e" * 32) / "record.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_what_makes_less_doubtful_is_said(opened: Open, sums: str, workspace: Workspace) -> None:
    report = {"formula": "less", "b_to_a": [0.001], "steps": [9.0], "epsilon_share": [0.97], "momentum_share": [0.5]}
    amend(workspace, report=report)
    said = text_of(opened("represent", sums))
    assert "The warmup of 9 steps was too short" in said and "For 97 % of the LoRA weights" in said


def test_what_a_first_stage_lost_is_said(opened: Open, sums: str, workspace: Workspace) -> None:
    recall = [
        {"k": 100, "recall": 0.93, "low": 0.88, "high": 0.97},
        {"k": 500, "recall": 0.81, "low": 0.7, "high": 0.9},
    ]
    told = {"name": "lexical", "n_kept": 400, "n_audited": 50, "n_pool": 2_000, "recall": recall}
    amend(workspace, report={"first_stage": told})
    said = text_of(opened("represent", sums))
    assert "Lexical let 400 of 2,000 rows through, and with them 93 % of the best 100, 81 % of the best 500" in said
    assert "88 to 97 %" in said


def test_a_first_stage_reaches_the_job(opened: Open, sums: str, started: list[tuple[Any, ...]]) -> None:
    app = opened("represent", sums)
    app.toggle(key=f"thin-less.{sums}").set_value(True).run()
    app.number_input(key=f"thin-less.keep.{sums}").set_value(0.5).run()
    button(app, "compute-less.").click().run()
    stage = started[0][2]["representation"]["first_stage"]
    assert (stage["name"], stage["keep"]) == ("lexical", 0.5)


def represent(workspace: Workspace, pid: str) -> None:
    """Compute the project's lexical representation for real."""
    from curation import pipeline, workbench
    from curation.config import RepresentationConfig

    pool, queries = workspace.dataset(pid, "pool"), workspace.dataset(pid, "query")
    assert pool and queries
    made = pipeline.represent(workspace, pool.key, queries.key, RepresentationConfig(name="lexical"))
    workbench.change(workspace, pid, active=made.key)


def ask(app: AppTest, pid: str, prompt: str, answer: str) -> AppTest:
    app.text_area(key=f"query-prompt.{pid}").input(prompt)
    app.text_area(key=f"query-answer.{pid}").input(answer)
    return next(b for b in app.button if b.label == "Find the nearest rows").click().run()


def test_a_typed_query_shows_the_nearest_rows_and_joins_the_set(
    opened: Open, sums: str, workspace: Workspace, started: list[tuple[Any, ...]]
) -> None:
    represent(workspace, sums)
    app = ask(opened("represent", sums), sums, "pool 7: what is 7 + 2?", "9")
    assert not app.exception
    rows = app.dataframe[0].value
    assert "pool 7: what is 7 + 2?" in rows["text"][0] and rows["source"][0] == "<b>s1</b>"
    assert rows["similarity"].is_monotonic_decreasing and len(rows) == 10
    before = workspace.dataset(sums, "query")
    button(app, "query-add.").click().run()
    assert not app.exception
    after = workspace.dataset(sums, "query")
    assert before and after and after.n_rows == before.n_rows + 1 and after.key != before.key
    assert started[0][1] == "represent" and started[0][2]["representation"]["name"] == "lexical"


def test_what_is_wrong_with_a_typed_query_is_one_sentence(opened: Open, sums: str, workspace: Workspace) -> None:
    represent(workspace, sums)
    app = ask(opened("represent", sums), sums, "what is 7 + 2?", " ")
    assert "The query has no answer" in app.error[0].value.replace("\\", "")
    files = [p for p in workspace.root.glob("features/*-pool/**/*.npy") if p.name.endswith("data.npy")]
    files[0].write_bytes(b"damaged")
    app = ask(app, sums, "what is 7 + 2?", "9")
    assert "is damaged" in app.error[0].value.replace("\\", "")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "The vectors of this representation are not stored here"),
        ({"exact": True}, "Exact LESS keeps no vectors"),
    ],
)
def test_where_there_are_no_vectors_no_query_is_asked_for(
    opened: Open, sums: str, workspace: Workspace, options: dict[str, Any], said: str
) -> None:
    amend(workspace, representation={"name": "lexical", "options": options})
    app = opened("represent", sums)
    assert said in text_of(app)
    assert "Find the nearest rows" not in [b.label for b in app.button]


def test_the_published_figures_hold_the_sober_columns_too(opened: Open, sums: str) -> None:
    said = text_of(opened("represent", sums))
    for figure in ("0.89 | 0.40 | 0.30", "−0.12 | 0.27", "−9.4", "2602.14696"):
        assert figure in said
