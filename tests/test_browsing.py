"""What the Data page shows: pages of rows, first looks at files, learned tokens, tags in words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from curation import browsing, pipeline
from curation.config import DatasetConfig, Mapping, ModelConfig
from curation.data import quality
from curation.data.rows import Example, Message
from curation.errors import DataError
from curation.progress import Silent

if TYPE_CHECKING:
    from curation.workspace import Workspace


def write(path: Path, rows: list[dict[str, object]]) -> DatasetConfig:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return DatasetConfig(path=str(path))


@pytest.fixture
def key(workspace: Workspace, tmp_path: Path) -> str:
    """Thirty rows, one of them long, one rejected."""
    rows: list[dict[str, object]] = [{"prompt": f"Say\n\n{i}.", "response": str(i)} for i in range(29)]
    rows.append({"prompt": "word " * 200, "response": "end"})
    rows.append({"prompt": "no answer", "response": ""})
    return pipeline.load(workspace, write(tmp_path / "rows.jsonl", rows), "pool")


def test_a_page_of_rows_counts_from_one_and_leaves_empty_columns_out(workspace: Workspace, key: str) -> None:
    table = browsing.rows(workspace, key, offset=25, limit=25)
    assert table["row"].tolist() == [26, 27, 28, 29, 30]
    assert table["prompt"].iloc[0] == "Say 25."
    assert table["prompt"].iloc[-1].endswith("…") and len(table["prompt"].iloc[-1]) == 300
    assert table["answer"].tolist() == ["25", "26", "27", "28", "end"]
    assert not {"source", "group", "tags"} & set(table.columns)
    assert browsing.count(workspace, key) == 30


def test_rows_are_searched_and_one_is_read_whole(workspace: Workspace, key: str) -> None:
    assert browsing.count(workspace, key, search=" 17. ") == 1
    row = int(browsing.rows(workspace, key, search="17.")["row"].iloc[0])
    assert browsing.example(workspace, key, row).messages[0].content == "Say\n\n17."


def test_rejected_rows_have_reasons_and_a_file(workspace: Workspace, key: str) -> None:
    assert browsing.reasons(workspace, key).to_dict("records") == [{"reason": "its answer is empty", "rows": 1}]
    (line,) = browsing.rejects_bytes(workspace, key).decode().splitlines()
    assert json.loads(line)["line"] == 31


def test_tags_come_with_their_meaning_and_share(workspace: Workspace, key: str) -> None:
    assert browsing.tags(workspace, key) is None
    counts = quality.check(workspace.artefact("dataset", key), Silent())
    found = browsing.tags(workspace, key)
    assert found is not None
    assert dict(zip(found["tag"], found["rows"], strict=True)) == counts
    short = found[found["tag"] == "short_answer"].iloc[0]
    assert short["share"] == short["rows"] / 30
    tagged = browsing.rows(workspace, key, tag="short_answer")
    assert all("short_answer" in tags for tags in tagged["tags"])


@pytest.mark.parametrize(
    ("tag", "said"),
    [("script_han", "Han"), ("words_de", "“de”"), ("contains_tests", "test row"), ("duplicate", "same messages")],
)
def test_every_kind_of_tag_is_said_in_words(tag: str, said: str) -> None:
    assert said in browsing._meaning(tag)


def test_a_first_look_maps_rows_and_says_which_would_be_rejected(tmp_path: Path) -> None:
    config = write(tmp_path / "a.jsonl", [{"prompt": "a", "response": "b"}, {"prompt": "a", "response": ""}])
    trial = browsing.first_look(config)
    assert (trial.columns, trial.mapping.schema) == (("prompt", "response"), "prompt_response")
    first, second = trial.rows
    assert isinstance(first, Example) and first.answer == "b"
    assert second == "its answer is empty"


def test_a_first_look_at_unknown_columns_waits_for_a_mapping(tmp_path: Path) -> None:
    config = write(tmp_path / "a.jsonl", [{"x": "a", "y": "b"}])
    trial = browsing.first_look(config)
    assert (trial.columns, trial.mapping.schema, trial.rows) == (("x", "y"), "auto", ())
    mapping = Mapping(schema="prompt_response", prompt="x", response="y")
    mapped = browsing.first_look(DatasetConfig(path=config.path, mapping=mapping))
    assert isinstance(mapped.rows[0], Example) and mapped.rows[0].answer == "b"


def test_a_first_look_at_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(DataError, match=r"empty\.jsonl is empty"):
        browsing.first_look(DatasetConfig(path=str(tmp_path / "empty.jsonl")))


def test_learned_tokens_join_to_the_whole_and_are_the_trained_answers(tiny_lm: Path) -> None:
    turns = (
        Message("user", "What is 1 + 1?"),
        Message("assistant", "Three.", None, False),
        Message("user", "Sure?"),
        Message("assistant", "Two."),
    )
    found = browsing.learned(Example("1", turns), ModelConfig(name=str(tiny_lm)))
    learned = "".join(text for text, is_learned in found.runs if is_learned)
    assert "Two." in learned
    assert "Three." not in learned and "Sure?" not in learned
    assert "Three." in "".join(text for text, _ in found.runs)
    assert 0 < found.n_learned < found.n_tokens
