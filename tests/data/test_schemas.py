"""Every schema is found and mapped; what can't be a conversation is refused with its reason."""

from __future__ import annotations

import json
from typing import Any

import pytest

from curation.config import Mapping
from curation.data.rows import Message, RowError
from curation.data.schemas import Parsed, detect, resolve, to_messages
from curation.errors import DataError

CALL = {"name": "weather", "arguments": {"city": "Łódź"}}
OPENAI = [{"type": "function", "function": {"name": "weather", "arguments": '{"city": "Łódź"}'}}]
CANONICAL = '[{"type":"function","function":{"name":"weather","arguments":{"city":"Łódź"}}}]'


def parse(row: dict[str, Any], mapping: Mapping | None = None) -> Parsed:
    return to_messages(row, resolve(mapping or Mapping(), [row]))


def turns(row: dict[str, Any]) -> list[tuple[str, str]]:
    return [(m.role, m.content) for m in parse(row).messages]


@pytest.mark.parametrize(
    ("row", "schema", "expected"),
    [
        (
            {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]},
            "messages",
            [("user", "q"), ("assistant", "a")],
        ),
        (
            {"conversations": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]},
            "messages",
            [("user", "q"), ("assistant", "a")],
        ),
        (
            {
                "conversations": [
                    {"from": "system", "value": "s"},
                    {"from": "human", "value": "q"},
                    {"from": "gpt", "value": "a"},
                    {"from": "human", "value": "q2"},
                    {"from": "gpt", "value": "a2"},
                ]
            },
            "sharegpt",
            [("system", "s"), ("user", "q"), ("assistant", "a"), ("user", "q2"), ("assistant", "a2")],
        ),
        (
            {"instruction": "q", "input": "more", "output": "a", "system": "s"},
            "alpaca",
            [("system", "s"), ("user", "q\n\nmore"), ("assistant", "a")],
        ),
        ({"instruction": "q", "context": "", "response": "a"}, "alpaca", [("user", "q"), ("assistant", "a")]),
        ({"prompt": " q\n", "response": "  a\r\n"}, "prompt_response", [("user", " q\n"), ("assistant", "  a\r\n")]),
        ({"input": "q", "target": "a"}, "prompt_response", [("user", "q"), ("assistant", "a")]),
        ({"Question": "q", "Answer": 42}, "question_answer", [("user", "q"), ("assistant", "42")]),
        (
            {"system_prompt": "s", "question": "q", "response": "a"},
            "question_answer",
            [("system", "s"), ("user", "q"), ("assistant", "a")],
        ),
        (
            {"problem": "q", "answer": "4", "solution": "2+2=4"},
            "question_answer",
            [("user", "q"), ("assistant", "2+2=4")],
        ),
        (
            {"prompt": [{"role": "user", "content": "q"}], "completion": [{"role": "assistant", "content": "a"}]},
            "prompt_response",
            [("user", "q"), ("assistant", "a")],
        ),
        (
            {"messages": json.dumps([{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}])},
            "messages",
            [("user", "q"), ("assistant", "a")],
        ),
    ],
)
def test_schemas_are_found(row: dict[str, Any], schema: str, expected: list[tuple[str, str]]) -> None:
    assert detect([row]).schema == schema
    assert turns(row) == expected


def test_tags_and_everything_unmapped_are_kept() -> None:
    row = {
        "id": 7,
        "task": "maths",
        "dataset": "gsm8k",
        "license": "MIT",
        "prompt": "q",
        "response": "a",
        "answer": "4",
        "references": ["4", "four"],
        "nothing": None,
    }
    parsed = parse(row)
    assert (parsed.user_id, parsed.group, parsed.source, parsed.licence) == ("7", "maths", "gsm8k", "MIT")
    assert json.loads(parsed.extra) == {"answer": "4", "references": ["4", "four"], "nothing": None}


def test_a_column_of_the_system_prompt_does_not_double_one_in_the_turns() -> None:
    conversation = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    assert turns({"system": "s", "messages": conversation})[0] == ("system", "s")
    own = [{"role": "system", "content": "own"}, *conversation]
    assert [role for role, _ in turns({"system": "s", "messages": own})] == ["system", "user", "assistant"]


@pytest.mark.parametrize(
    "turn",
    [
        {"role": "assistant", "content": None, "tool_calls": OPENAI},
        {"role": "assistant", "tool_calls": json.dumps(OPENAI)},
        {"role": "assistant", "content": "", "function_call": CALL},
        {"from": "function_call", "value": json.dumps(CALL)},
        {"from": "tool_call", "value": json.dumps([CALL])},
    ],
)
def test_tool_calls_have_one_canonical_form(turn: dict[str, Any]) -> None:
    name = "from" if "from" in turn else "role"
    text = "value" if "from" in turn else "content"
    row = {
        "conversations": [
            {name: "user", text: "w?"},
            turn,
            {name: "observation" if name == "from" else "tool", text: '{"rain": 1}'},
            {name: "assistant", text: "Rain."},
        ]
    }
    messages = parse(row).messages
    assert messages[1] == Message("assistant", "", CANONICAL)
    assert messages[2] == Message("tool", '{"rain": 1}')


def test_reasoning_stays_in_the_content_and_flags_are_taken() -> None:
    row = {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "q"}, {"type": "text", "text": "r"}], "train": False},
            {"role": "assistant", "content": "a", "reasoning_content": "hm", "weight": 0},
            {"role": "user", "content": "q2"},
            {"role": "assistant", "content": "<think>x</think>b", "train": True},
        ]
    }
    assert parse(row).messages == (
        Message("user", "q\nr"),
        Message("assistant", "<think>\nhm\n</think>\n\na", train=False),
        Message("user", "q2"),
        Message("assistant", "<think>x</think>b"),
    )


def test_only_the_completion_of_a_conversational_prompt_is_learned() -> None:
    prompt = [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": "a"},
        {"role": "user", "content": "q2"},
    ]
    assert [m.train for m in parse({"prompt": prompt, "completion": "b"}).messages] == [True, False, True, True]


def chat(*contents: Any) -> dict[str, Any]:
    roles = ("user", "assistant")
    return {"messages": [{"role": roles[i % 2], "content": c} for i, c in enumerate(contents)]}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (chat("q", ""), "the assistant turn 2 is empty"),
        (chat("q", " \n"), "the assistant turn 2 is empty"),
        (chat("", "a"), "the user turn 1 is empty"),
        (chat("q"), "it has no assistant turn"),
        ({"messages": [{"role": "assistant", "content": "a"}]}, "nothing stands before its answer"),
        ({"messages": [{"role": "user", "content": "q"}, "a"]}, "turn 2 is no object"),
        (
            {"messages": [{"role": "narrator", "content": "q"}]},
            "turn 1 has the role 'narrator', expected one of: system",
        ),
        (
            {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", "train": False}]},
            "no assistant turn is to be learned",
        ),
        (chat([{"type": "image_url", "image_url": {"url": "x"}}], "a"), "turn 1 holds a part of type 'image_url'"),
        (chat({"parts": []}, "a"), "turn 1 holds dict, expected text"),
        (chat("q", "a\ud800"), "turn 2 holds half a surrogate pair"),
        ({**chat("q", "a"), "images": [{"bytes": b"x"}]}, "its column 'images' holds something that is no text"),
        ({"prompt": "q", "response": None}, "its answer is empty"),
        ({"prompt": " ", "response": "a"}, "its prompt is empty"),
        ({"instruction": "q", "input": ["x"], "output": "a"}, "its column 'input' holds list, expected text"),
        (
            {
                "messages": [
                    {"role": "user", "content": "q"},
                    {"role": "assistant", "tool_calls": [{"arguments": "{}"}]},
                ]
            },
            "the tool call of turn 2 names no function",
        ),
        (
            {
                "conversations": [
                    {"from": "human", "value": "q"},
                    {"from": "function_call", "value": "weather in Łódź"},
                ]
            },
            "the tool call of turn 2 is not JSON",
        ),
    ],
)
def test_what_is_no_conversation_is_refused_with_its_reason(row: dict[str, Any], reason: str) -> None:
    with pytest.raises(RowError, match=reason):
        parse(row)


def test_a_row_unlike_the_others_is_refused() -> None:
    mapping = detect([chat("q", "a")])
    with pytest.raises(RowError, match="its column 'messages' holds no list of turns"):
        to_messages({"messages": "broken ["}, mapping)


def test_columns_that_mean_nothing_are_named() -> None:
    with pytest.raises(DataError, match="the columns are foo, bar; expected messages"):
        detect([{"foo": 1, "bar": 2}])


def test_a_mapping_corrects_what_is_found() -> None:
    row = {"prompt": "p", "response": "r", "q": "question", "a": "answer", "lang": "cs"}
    mapping = resolve(Mapping(prompt="q", response="a", group="lang"), [row])
    assert (mapping.schema, mapping.prompt, mapping.response, mapping.group) == ("prompt_response", "q", "a", "lang")
    parsed = to_messages(row, mapping)
    assert parsed.group == "cs"
    assert json.loads(parsed.extra) == {"prompt": "p", "response": "r"}
    named = resolve(Mapping(schema="prompt_response"), [{**row, "id": 1}])
    assert (named.prompt, named.response, named.id) == ("prompt", "response", "")
    assert resolve(Mapping(response="a"), [row]).response == "a"
    talk = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]
    assert resolve(Mapping(messages="talk"), [{"talk": talk}]).schema == "sharegpt"


def test_a_mapping_that_does_not_fit_is_refused() -> None:
    with pytest.raises(DataError, match="names the column 'frage' as prompt, the columns are: q, a"):
        resolve(Mapping(schema="prompt_response", prompt="frage"), [{"q": "x", "a": "y"}])
    with pytest.raises(DataError, match="schema alpaca needs a column as prompt, the columns are: q, a"):
        resolve(Mapping(schema="alpaca", response="a"), [{"q": "x", "a": "y"}])
    with pytest.raises(DataError, match="schema messages needs a column as messages"):
        resolve(Mapping(schema="messages"), [{"q": "x"}])


def test_preference_pairs_are_not_taken_for_conversations() -> None:
    pair = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    with pytest.raises(DataError, match="the columns are chosen, rejected"):
        detect([{"chosen": pair, "rejected": pair}])
