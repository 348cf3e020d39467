"""What arms answered: which runs there are, prompts of one kind, where texts differ, pairs that can be preferred."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from curation import answers, pipeline, results
from curation.answers import Piece
from curation.config import DatasetConfig, ExperimentConfig
from curation.data.rows import Example, Message
from curation.evaluation import Evaluation

if TYPE_CHECKING:
    from curation.workspace import Workspace

RIGHT = {  # test example → zero-shot, random, selected
    0: (False, False, True),
    1: (False, True, False),
    2: (True, True, True),
    3: (False, False, False),
    4: (None, False, True),
}


def store(ws: Workspace, key: str, ids: list[str], said: list[str], right: list[bool | None]) -> str:
    """Keep a judgement of `ids`; the untold are those that no metric judged."""
    told = [(i, float(r)) for i, r in zip(ids, right, strict=True) if r is not None]
    values = {"exact_match": [value for _, value in told]}
    judged = Evaluation(values, {"exact_match": [i for i, _ in told]}, {}, said, ids)
    with ws.build("evaluation", key * 32, {}) as part:
        (part / "evaluation.json").write_text(json.dumps(judged.to_dict()))
    return key * 32


@pytest.fixture
def record(workspace: Workspace, tmp_path: Path) -> results.ExperimentRecord:
    """Five prompts, three arms, two seeds of the selection."""
    path = tmp_path / "tests.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"p{i}", "response": f"a{i}"}) + "\n" for i in range(5)))
    tests = pipeline.load(workspace, DatasetConfig(path=str(path)), "test")
    ids = workspace.ids(tests)
    right = list(zip(*RIGHT.values(), strict=True))
    keys: dict[str, dict[str, str]] = {}
    for arm, seed, key, place in (("selected", "4", "c", 2), ("selected", "0", "d", 1), ("random", "0", "b", 1)):
        said = [f"a{i}" if r else f"wrong {i}" for i, r in enumerate(right[place])]
        keys.setdefault(arm, {})[seed] = store(workspace, key, ids, said, list(right[place]))
    keys["zero_shot"] = {"0": store(workspace, "a", ids, [""] * 5, list(right[0]))}
    result: dict[str, Any] = {"evaluations": keys, "tests": tests, "n_test": 5}
    return results.ExperimentRecord(None, ExperimentConfig(), result)  # type: ignore[arg-type]


@pytest.fixture
def completed(workspace: Workspace) -> tuple[str, str, str]:
    """One experiment before and after an arm was trained to its end and one was added, and another experiment."""
    judged = {"selected": {"0": "s"}, "random": {"0": "r"}, "full": {"0": "stopped"}}
    whole = judged | {"full": {"0": "whole"}, "zero_shot": {"0": "z"}}
    stored = {"b" * 32: (judged, {}), "a" * 32: (whole, {}), "c" * 32: (whole, {"seeds": [1]})}
    for key, (evaluations, config) in stored.items():
        with workspace.build("experiment", key, {}) as part:
            (part / "result.json").write_text(json.dumps({"evaluations": evaluations, "config": config}))
    return "b" * 32, "a" * 32, "c" * 32


def test_results_of_one_experiment_share_the_runs_that_stayed(
    workspace: Workspace, completed: tuple[str, str, str]
) -> None:
    before, after, other = completed
    assert answers.same_runs(workspace, after, before) == {"selected/0", "random/0"}
    assert answers.same_runs(workspace, before, after) == {"selected/0", "random/0"}
    assert answers.same_runs(workspace, after, other) == answers.same_runs(workspace, after, "d" * 32) == frozenset()
    (workspace.root / "votes").mkdir()
    for key in (before, after, other, "e"):
        (workspace.root / "votes" / f"{key}.jsonl").touch()
    assert answers.other_logs(workspace, "votes", after) == {before: {"selected/0", "random/0"}}
    assert answers.other_logs(workspace, "chats", after) == {}


@pytest.mark.parametrize(
    ("turns", "asked"),
    [
        ([("user", "Two plus two?")], "Two plus two?"),
        ([("system", "Be brief."), ("user", "Two plus two?")], "System: Be brief.\n\nUser: Two plus two?"),
        (
            [("user", "Two plus two?"), ("assistant", "Four."), ("user", "And one?")],
            "User: Two plus two?\n\nAssistant: Four.\n\nUser: And one?",
        ),
        ([], ""),
    ],
)
def test_a_question_is_all_that_the_model_was_asked_with(turns: list[tuple[str, str]], asked: str) -> None:
    messages = tuple(Message(role, text) for role, text in [*turns, ("assistant", "Five.")])
    assert answers.question(Example("r", messages)) == asked


def test_a_question_shows_calls_of_tools() -> None:
    turns = (Message("user", "Sum?"), Message("assistant", "", '[{"add": 1}]'), Message("tool", "3"))
    asked = answers.question(Example("r", (*turns, Message("assistant", "It is 3."))))
    assert asked == 'User: Sum?\n\nAssistant: [{"add": 1}]\n\nTool: 3'


def test_runs_stand_in_the_order_of_arms_and_are_named_by_seed_where_there_are_several(
    record: results.ExperimentRecord,
) -> None:
    assert record.result is not None
    assert answers.run_names(record.result) == {
        "zero_shot/0": "Zero-shot",
        "random/0": "Random",
        "selected/4": "Selected, seed 4",
        "selected/0": "Selected, seed 0",
    }
    assert answers.first_runs(record.result) == ["zero_shot/0", "random/0", "selected/4"]
    assert (answers.arm_of("a/b@9/3"), answers.seed_of("a/b@9/3")) == ("a/b@9", 3)


@pytest.mark.parametrize(
    ("kind", "places"),
    [("all", [0, 1, 2, 3, 4]), ("gained", [0, 4]), ("lost", [1]), ("apart", [0, 1, 4]), ("wrong", [3]), ("right", [2])],
)
def test_answers_are_filtered_by_who_was_right(
    workspace: Workspace, record: results.ExperimentRecord, kind: str, places: list[int]
) -> None:
    frame, n = answers.answers(workspace, record, kind=kind, limit=9)
    assert (list(frame.index), n) == (places, len(places))
    assert list(frame["prompt"]) == [f"p{i}" for i in places] and list(frame["expected"]) == [f"a{i}" for i in places]
    assert list(answers.answers(workspace, record, kind=kind, offset=1, limit=1)[0].index) == places[1:2]


def test_chosen_runs_are_shown_in_their_order(workspace: Workspace, record: results.ExperimentRecord) -> None:
    frame, _ = answers.answers(workspace, record, ["selected/0", "zero_shot/0"])
    assert list(frame) == ["prompt", "expected", "selected/0", "selected/0: right", "zero_shot/0", "zero_shot/0: right"]
    assert frame["selected/0"].tolist() == ["wrong 0", "a1", "a2", "wrong 3", "wrong 4"]
    assert frame["zero_shot/0: right"].tolist()[3:] == [False, None]


def test_rows_that_judge_nothing_are_not_shown(workspace: Workspace, record: results.ExperimentRecord) -> None:
    assert record.result is not None
    record.result["left_out"] = [workspace.ids(record.result["tests"])[0]]
    frame, n = answers.answers(workspace, record)
    assert n == 4 and frame["prompt"].tolist() == ["p1", "p2", "p3", "p4"]
    record.result["tests"] = None
    assert answers.answers(workspace, record)[1] == 0


@pytest.mark.parametrize(
    ("text", "other", "pieces"),
    [
        ("same here", "same here", [Piece("same here", "same")]),
        ("the big cat", "the cat", [Piece("the ", "same"), Piece("big ", "own"), Piece("cat", "same")]),
        ("", "gone", [Piece("gone", "missing")]),
        ("8, so 9", "7, so 9", [Piece("7", "missing"), Piece("8", "own"), Piece(", so 9", "same")]),
    ],
)
def test_differences_are_told_word_by_word(text: str, other: str, pieces: list[Piece]) -> None:
    assert answers.differences(text, other) == pieces
    assert "".join(p.text for p in pieces if p.kind != "missing") == text


def test_only_rows_that_are_answered_differently_make_pairs(
    workspace: Workspace, record: results.ExperimentRecord
) -> None:
    assert record.result is not None
    found, alike = answers.pairs(workspace, record.result, "selected/4", "random/0")
    ids = workspace.ids(record.result["tests"])
    assert alike == 2  # rows 2 and 3
    assert [(p.id, p.question, p.first, p.second) for p in found] == [
        (ids[0], "p0", "a0", "wrong 0"),
        (ids[1], "p1", "wrong 1", "a1"),
        (ids[4], "p4", "a4", "wrong 4"),
    ]
    assert answers.pairs(workspace, record.result, "random/0", "selected/0") == ([], 5)
