"""Which column means what: found by itself, correctable by a `Mapping`, applied row by row.

Five schemas: ``messages`` (a list of role/content), ``sharegpt`` (a list of from/value), ``alpaca`` (instruction,
input, output), ``prompt_response`` and ``question_answer``. The text of a prompt or an answer is taken as it stands,
never stripped. Columns that are not mapped are kept in `extra`.

Left out: preference pairs (chosen/rejected), and columns with images or sounds, which refuse the row by name.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, NamedTuple

import orjson

from curation.config import Mapping
from curation.data.records import to_json
from curation.data.rows import Message, RowError
from curation.data.turns import content, message
from curation.errors import DataError

_TURNS = ("messages", "conversations", "conversation", "chat", "dialog", "dialogue", "turns")
_ANSWERS = ("response", "output", "completion", "solution", "answer", "target", "targets")
# schema → names of the prompt's column, names of the response's; in order of preference
_PAIRS = {
    "alpaca": (("instruction",), _ANSWERS),
    "prompt_response": (("prompt", "input", "inputs"), ("response", "completion", "output", "target", "targets")),
    "question_answer": (("question", "problem", "query"), _ANSWERS),
}
_PARTS = {*(name for pair in _PAIRS.values() for names in pair for name in names), "chosen", "rejected"}
_FURTHER = {
    "system": ("system", "system_prompt", "system_message"),
    "id": ("id", "uuid", "uid", "_id", "prompt_id", "idx", "index"),
    "group": ("group", "subtask", "task", "task_name", "category"),
    "source": ("source", "dataset", "data_source", "dataset_name", "origin"),
    "licence": ("licence", "license"),
}
_MEDIA = ("image", "images", "audio", "audios", "video", "videos")
_USED = {
    "messages": ("messages", "system"),
    "sharegpt": ("messages", "system"),
    "alpaca": ("prompt", "input", "response", "system"),
    "prompt_response": ("prompt", "response", "system"),
    "question_answer": ("prompt", "response", "system"),
}
_TAGS = ("id", "group", "source", "licence")


class Parsed(NamedTuple):
    """A row whose columns have been told apart; `extra` is JSON of those that are not mapped."""

    messages: tuple[Message, ...]
    group: str | None
    source: str | None
    licence: str | None
    user_id: str | None
    extra: str


def detect(records: Sequence[dict[str, Any]]) -> Mapping:
    """Find the mapping of a file by its first rows.

    Raises
    ------
    DataError
        If no schema fits; the columns found are named.
    """
    columns = _columns(records)
    further = {field: _first(columns, names) for field, names in _FURTHER.items()}
    ranks = {name: rank for rank, name in enumerate(_TURNS)}
    for name in sorted(columns, key=lambda n: ranks.get(n.lower(), len(ranks))):
        schema = _turns_schema(columns[name])
        if schema and name.lower() not in _PARTS:
            return Mapping(schema=schema, messages=name, **further)
    for schema, (prompts, answers) in _PAIRS.items():
        prompt, response = _first(columns, prompts), _first(columns, answers)
        if prompt and response:
            extra_input = _first(columns, ("input", "context")) if schema == "alpaca" else ""
            return Mapping(schema=schema, prompt=prompt, response=response, input=extra_input, **further)
    raise DataError(
        f"the columns are {', '.join(columns) or 'none'}; expected messages, conversations, instruction + output, "
        "prompt + response, or question + answer; say on the mapping form which column means what"
    )


def resolve(mapping: Mapping, records: Sequence[dict[str, Any]]) -> Mapping:
    """Fill in what a mapping leaves to be found, and check it against the file's first rows.

    With ``schema="auto"`` everything that the mapping leaves empty is found; with a named schema only the columns that
    it can't do without.

    Raises
    ------
    DataError
        If a column that it names is not in the file, or one that it needs is missing.
    """
    columns = _columns(records)
    named = {f: v for f, v in mapping.to_dict().items() if v and f != "schema"}
    for field, name in named.items():
        if name not in columns:
            raise DataError(
                f"the mapping names the column {name!r} as {field}, the columns are: {', '.join(columns)}; correct it "
                "on the mapping form"
            )
    if mapping.schema == "auto":
        if "messages" in named:
            found = Mapping(schema=_turns_schema(columns[named["messages"]]) or "messages")
        elif "prompt" in named and "response" in named:
            found = Mapping(schema="alpaca" if "input" in named else "prompt_response")
        else:
            return dataclasses.replace(detect(records), **named)
        further = {field: _first(columns, names) for field, names in _FURTHER.items()}
        return dataclasses.replace(found, **{**further, **named})
    if mapping.schema in _PAIRS:
        prompts, answers = _PAIRS[mapping.schema]
        needed = {"prompt": _first(columns, prompts), "response": _first(columns, answers)}
    else:
        needed = {"messages": _first(columns, _TURNS)}
    for field, name in needed.items():
        if field not in named and not name:
            raise DataError(
                f"the schema {mapping.schema} needs a column as {field}, the columns are: {', '.join(columns)}; choose "
                "it on the mapping form"
            )
    return dataclasses.replace(mapping, **{**needed, **named})


def to_messages(value: dict[str, Any], mapping: Mapping) -> Parsed:
    """Tell a row's columns apart.

    Parameters
    ----------
    value : dict
        The row's columns.
    mapping : Mapping
        A resolved one: its schema is not ``"auto"``.

    Raises
    ------
    RowError
        With the reason why the row can't be used.
    """
    for name in _MEDIA:
        if value.get(name) and not isinstance(value[name], str):
            raise RowError(f"its column {name!r} holds something that is no text; only text can be used")
    if mapping.schema in _PAIRS:
        turns = _pair(value, mapping)
    else:
        turns = tuple(message(turn, n) for n, turn in enumerate(_turns(value, mapping.messages), 1))
    if mapping.system and (system := _text(value, mapping.system)) and (not turns or turns[0].role != "system"):
        turns = (Message("system", system), *turns)
    _check(turns)
    used = _used(mapping)
    extra = {name: v for name, v in value.items() if name not in used}
    group, source, licence, user_id = (_tag(value, getattr(mapping, f)) for f in ("group", "source", "licence", "id"))
    return Parsed(turns, group, source, licence, user_id, to_json(extra) if extra else "{}")


@cache
def _used(mapping: Mapping) -> frozenset[str]:
    return frozenset(getattr(mapping, field) for field in (*_USED[mapping.schema], *_TAGS))


def _pair(value: dict[str, Any], mapping: Mapping) -> tuple[Message, ...]:
    prompt, answer = value.get(mapping.prompt), value.get(mapping.response)
    if isinstance(prompt, list):  # conversational prompt and completion, as TRL has them: only the latter is learned
        before = [message(turn, n) for n, turn in enumerate(prompt, 1)]
        before = [dataclasses.replace(m, train=m.role != "assistant") for m in before]
        behind = answer if isinstance(answer, list) else [{"role": "assistant", "content": answer}]
        return (*before, *(message(turn, n) for n, turn in enumerate(behind, len(before) + 1)))
    text = content(prompt, 1)
    if mapping.schema == "alpaca" and mapping.input and (more := _text(value, mapping.input)):
        text = f"{text}\n\n{more}" if text.strip() else more
    if not text.strip():
        raise RowError("its prompt is empty")
    reply = content(answer, 2)
    if not reply.strip():
        raise RowError("its answer is empty")
    return Message("user", text), Message("assistant", reply)


def _turns(value: dict[str, Any], column: str) -> list[Any]:
    turns = _decoded(value.get(column))
    if not isinstance(turns, list) or not turns:
        raise RowError(f"its column {column!r} holds no list of turns")
    return turns


def _check(turns: tuple[Message, ...]) -> None:
    answers = [i for i, m in enumerate(turns) if m.role == "assistant"]
    if not answers:
        raise RowError("it has no assistant turn")
    if answers[-1] == 0:
        raise RowError("nothing stands before its answer")
    if not any(turns[i].train for i in answers):
        raise RowError("no assistant turn is to be learned")


def _text(value: dict[str, Any], column: str) -> str:
    text = value.get(column)
    if text is not None and not isinstance(text, str):
        raise RowError(f"its column {column!r} holds {type(text).__name__}, expected text")
    return content(text, 1) if text and text.strip() else ""


def _tag(value: dict[str, Any], column: str) -> str | None:
    tag = value.get(column) if column else None
    if tag is None or tag == "":
        return None
    return tag.encode("utf-8", "replace").decode() if isinstance(tag, str) else to_json(tag)


def _columns(records: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    """Column → its values that are not null, in the order of the file."""
    columns: dict[str, list[Any]] = {}
    for record in records:
        for name, value in record.items():
            columns.setdefault(name, []).extend([] if value is None or value == "" else [value])
    return columns


def _first(columns: Iterable[str], names: tuple[str, ...]) -> str:
    """The first of `names` that is a column, upper and lower case alike; empty if none is."""
    spelled = {column.lower(): column for column in reversed(list(columns))}
    return next((spelled[name] for name in names if name in spelled), "")


def _turns_schema(values: list[Any]) -> str:
    """Whether a column holds lists of turns, and how those are spelled."""
    turns = next((t for v in values if isinstance(t := _decoded(v), list) and t), [])
    if turns and isinstance(turns[0], dict):
        if "role" in turns[0] and ("content" in turns[0] or "tool_calls" in turns[0]):
            return "messages"
        if "from" in turns[0] and "value" in turns[0]:
            return "sharegpt"
    return ""


def _decoded(value: Any) -> Any:
    """A list that a CSV cell spells as JSON; anything else as it is."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError:
            return value
    return value
