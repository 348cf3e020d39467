"""The Data page: empty, loading, loaded, rejected rows, learned tokens, checks, and what goes wrong."""

from __future__ import annotations

import gzip
import importlib
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
def bare(workspace: Workspace) -> str:
    """A project without data."""
    return workspace.create_project("Bare").id


def control(app: AppTest, label: str) -> Any:
    """The button group of which `label` is one option."""
    return next(g for g in app.get("button_group") if label in [o.content for o in g.proto.options])


def text_of(app: AppTest) -> str:
    return "\n".join(e.value for kind in ("markdown", "caption", "success", "info") for e in app.get(kind))


def test_without_data_it_says_what_a_pool_is_and_how_to_load_one(opened: Open, bare: str) -> None:
    app = opened("data", bare)
    assert not app.exception
    assert "There is no pool yet." in text_of(app)
    assert app.get("file_uploader")


def test_the_link_chooses_the_set(opened: Open, bare: str) -> None:
    assert "There is no test set yet." in text_of(opened("data", bare, set="Test set"))


def test_loaded_rows_are_counted_and_paged(opened: Open, sums: str) -> None:
    app = opened("data", sums)
    assert not app.exception
    assert {m.label: m.value for m in app.metric} == {"Read": "60", "Accepted": "60", "Rejected": "0"}
    assert app.dataframe[0].value["row"].tolist() == list(range(1, 26))
    last = opened("data", sums, at="3")
    assert last.dataframe[0].value["row"].tolist() == list(range(51, 61))


def test_search_narrows_the_rows_and_says_when_none_match(opened: Open, sums: str) -> None:
    app = opened("data", sums, find="what is 17 + 2")
    assert app.dataframe[0].value["prompt"].tolist() == ["pool 17: what is 17 + 2?"]
    app.text_input(key="find").input("no such words").run()
    assert app.info[0].value == "No row matches."


def test_a_linked_row_is_read_whole_and_as_text(opened: Open, sums: str) -> None:
    app = opened("data", sums, row="1")
    assert not app.exception
    prompt, answer = (t.value for t in app.text)
    assert prompt == "pool 0: what is 0 + 2?"
    assert answer.startswith("<script>alert(1)</script> **bold**")
    assert "alert" not in text_of(app)
    assert r"source \<b\>s0\<\/b\>" in text_of(app)


def test_a_path_is_looked_at_mapped_and_loaded(opened: Open, bare: str, workspace: Workspace, tmp_path: Path) -> None:
    rows = [{"q": f"Add {i}.", "a": "" if i == 3 else f"{i} done"} for i in range(5)]
    path = tmp_path / "odd columns.jsonl.gz"
    path.write_bytes(gzip.compress("".join(json.dumps(r) + "\n" for r in rows).encode()))
    app = opened("data", bare)
    control(app, "Path").set_value("Path").run()
    app.text_input(key=f"path-pool.{bare}").input(str(path)).run()
    assert "fit no schema" in app.warning[0].value
    by_label = {s.label: s for s in app.selectbox}
    by_label["Rows are written as"].select("prompt_response").run()
    {s.label: s for s in app.selectbox}["Prompt"].select("q").run()
    {s.label: s for s in app.selectbox}["Response"].select("a").run()
    assert not app.exception
    assert [t.value for t in app.text] == ["Add 0.", "0 done"]
    next(b for b in app.button if b.label == "Load all rows").click().run()
    assert not app.exception
    loaded = workspace.dataset(bare, "pool")
    assert loaded is not None
    assert (loaded.n_rows, loaded.n_rejected) == (4, 1)
    assert {m.label: m.value for m in app.metric} == {"Read": "5", "Accepted": "4", "Rejected": "1"}


def test_a_large_file_is_loaded_as_a_job(
    opened: Open, bare: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from curation import tasks

    started: list[tuple[Any, ...]] = []
    monkeypatch.setattr(tasks, "start", lambda *given: started.append(given))
    path = tmp_path / "big.jsonl"
    with path.open("w") as file:
        file.write(json.dumps({"prompt": "a", "response": "b"}) + "\n")
        file.write(" " * (21 << 20))
    app = opened("data", bare)
    control(app, "Path").set_value("Path").run()
    app.text_input(key=f"path-pool.{bare}").input(str(path)).run()
    next(b for b in app.button if b.label == "Load all rows").click().run()
    (_, pid, kind, config, title), *_ = started
    assert (pid, kind, config["role"], title) == (bare, "load", "pool", "Load big.jsonl")
    assert config["data"]["path"] == str(path)
    assert config["data"]["mapping"]["schema"] == "prompt_response"


def test_pasted_rows_are_loaded_and_the_rejected_ones_listed(opened: Open, bare: str) -> None:
    app = opened("data", bare)
    control(app, "Paste").set_value("Paste").run()
    app.text_area[0].input('{"prompt": "<i>x</i>", "response": "y"}\n{"prompt": "x", "response": ""}\n{oops').run()
    assert [t.value for t in app.text] == ["<i>x</i>", "y"]
    next(b for b in app.button if b.label == "Load all rows").click().run()
    assert {m.label: m.value for m in app.metric} == {"Read": "3", "Accepted": "1", "Rejected": "2"}
    app = opened("data", bare, show="Rejected")
    listed = app.dataframe[1].value
    assert listed["line"].tolist() == [2, 3]
    assert listed["reason"].tolist()[0] == "its answer is empty"
    assert listed["raw"].tolist()[1] == "{oops"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.jsonl", b"", "is empty"),
        ("cut.jsonl.gz", gzip.compress(b'{"prompt": "a", "response": "b"}\n' * 999)[:40], "cut"),
        ("junk.bin", bytes(range(256)) * 64, r"junk\.bin"),
        ("missing.jsonl", None, r"missing\.jsonl"),
    ],
)
def test_a_bad_file_gets_one_sentence_and_the_page_stays(
    opened: Open, bare: str, tmp_path: Path, name: str, content: bytes | None, said: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    app = opened("data", bare)
    control(app, "Path").set_value("Path").run()
    app.text_input(key=f"path-pool.{bare}").input(str(tmp_path / name)).run()
    assert not app.exception
    assert len(app.error) == 1
    assert said in app.error[0].value
    assert app.title[0].value == "Data"


def test_another_data_set_can_be_switched_back_to(
    opened: Open, sums: str, workspace: Workspace, tmp_path: Path
) -> None:
    from curation import pipeline
    from curation.config import DatasetConfig

    first = workspace.dataset(sums, "pool")
    assert first is not None
    other = tmp_path / "other.jsonl"
    other.write_text('{"prompt": "a", "response": "b"}\n')
    pipeline.load(workspace, DatasetConfig(path=str(other)), "pool", project_id=sums)
    app = opened("data", sums)
    assert app.metric[1].value == "1"
    next(s for s in app.selectbox if s.label == "In use").select(first.key).run()
    assert app.metric[1].value == "60"
    active = workspace.dataset(sums, "pool")
    assert active is not None and active.key == first.key


def test_learned_tokens_are_marked_and_data_in_them_escaped(
    opened: Open, sums: str, workspace: Workspace, tiny_lm: Path
) -> None:
    from curation import workbench
    from curation.config import ModelConfig

    workbench.change(workspace, sums, model=ModelConfig(name=str(tiny_lm)))
    app = opened("data", sums, row="1")
    next(t for t in app.toggle if t.label == "Show what the model learns").set_value(True).run()
    assert not app.exception
    shown = next(h.proto.body for h in app.get("html") if "&lt;script&gt;" in h.proto.body)
    assert "<script" not in shown and "<b>" not in shown
    learned = shown.split("background:rgba")[1]
    assert "&lt;script&gt;alert(1)&lt;/script&gt; **bold**" in learned
    assert "what is 0 + 2" not in learned
    assert "tokens are learned (marked)" in text_of(app)


def test_without_a_model_learned_tokens_lead_to_choosing_one(opened: Open, sums: str, workspace: Workspace) -> None:
    workspace.update_settings(sums, model=None)
    app = opened("data", sums, row="1")
    next(t for t in app.toggle if t.label == "Show what the model learns").set_value(True).run()
    assert "Choose a base model" in [b.label for b in app.button]


def test_a_run_of_tokens_is_escaped_whatever_it_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))
    span = importlib.import_module("pages._data_rows")._span
    for learned in (True, False):
        inside = span(("\"'></span><img src=x onerror=alert(1)>&", learned)).partition(">")[2].removesuffix("</span>")
        assert inside == "&quot;&#x27;&gt;&lt;/span&gt;&lt;img src=x onerror=alert(1)&gt;&amp;"


def test_checks_start_as_a_job_and_show_tags_with_their_meaning(
    opened: Open, sums: str, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from curation import tasks
    from curation.data import quality
    from curation.progress import Silent

    started: list[tuple[Any, ...]] = []
    monkeypatch.setattr(tasks, "start", lambda *given: started.append(given))
    app = opened("data", sums, show="Checks")
    assert not app.exception
    next(b for b in app.button if b.label == "Check the rows").click().run()
    assert started[0][1:4] == (sums, "check", {"role": "pool"})
    pool = workspace.dataset(sums, "pool")
    assert pool is not None
    counts = quality.check(workspace.artefact("dataset", pool.key), Silent())
    app = opened("data", sums, show="Checks")
    found = app.dataframe[0].value
    assert dict(zip(found["tag"], found["rows"], strict=True)) == counts
    assert found["meaning"].tolist()[found["tag"].tolist().index("short_answer")] == "an answer of at most 3 characters"
    tagged = opened("data", sums, tag="short_answer")
    assert len(tagged.dataframe[0].value) == min(25, counts["short_answer"])


def test_the_check_job_tags_the_active_set_against_queries_and_tests(sums: str, workspace: Workspace) -> None:
    from curation import tasks
    from curation.progress import Silent

    settled = tasks._SETTLED["check"](workspace, sums, {"role": "pool"})
    assert set(settled["against"]) == {"queries", "tests"}
    told = tasks.TASKS["check"](workspace, settled, Silent())
    pool = workspace.dataset(sums, "pool")
    assert pool is not None
    assert told["tags"]["short_answer"] == workspace.count(pool.key, where={"tag": "short_answer"})
