"""One turn of a conversation, as the formats in use spell it, made into a `Message`.

Taken: OpenAI's role/content (with content parts, ``tool_calls``, ``function_call``, ``weight``), ShareGPT's from/value
(with function_call, observation, tool), reasoning traces in a field of their own (they go into the content between
``<think>`` marks). A turn that holds anything but text refuses its row by name.

Left out: a tool message's ``name`` and ``tool_call_id``, which few chat templates write.
"""

from __future__ import annotations

import json
from typing import Any

import orjson

from curation.data.rows import ROLES, Message, RowError

_ROLES = {
    **{role: role for role in ROLES},
    **dict.fromkeys(("developer",), "system"),
    **dict.fromkeys(("human", "prompter"), "user"),
    **dict.fromkeys(("gpt", "chatgpt", "model", "bot", "function_call", "tool_call"), "assistant"),
    **dict.fromkeys(("function", "function_response", "tool_response", "observation", "ipython"), "tool"),
}
_CALLING = ("function_call", "tool_call")
_REASONING = ("reasoning_content", "thinking", "reasoning")


def message(turn: Any, number: int) -> Message:
    """Return the `number`-th turn (1-based) of a conversation as a Message.

    Raises
    ------
    RowError
        If its role is unknown, it holds anything but text, or it has neither text nor tool calls.
    """
    if not isinstance(turn, dict):
        raise RowError(f"turn {number} is no object with a role and a content")
    spelled = turn.get("role", turn.get("from"))
    spelled = spelled.strip().lower() if isinstance(spelled, str) else spelled
    role = _ROLES.get(spelled) if isinstance(spelled, str) else None
    if role is None:
        raise RowError(f"turn {number} has the role {spelled!r:.40}, expected one of: {', '.join(ROLES)}")
    text = content(turn["content"] if turn.get("content") is not None else turn.get("value"), number)
    calls = _calls(turn.get("tool_calls") or turn.get("function_call"), number)
    if calls is None and spelled in _CALLING:
        calls, text = _calls(text, number), ""
    reasoning = next((turn[name] for name in _REASONING if turn.get(name)), None)
    if isinstance(reasoning, str) and role == "assistant":
        text = f"<think>\n{reasoning}\n</think>\n\n{text}"
    if not text.strip() and not calls and role in ("user", "assistant"):
        raise RowError(f"the {role} turn {number} is empty")
    return Message(role, text, calls, role != "assistant" or _learned(turn))


def content(value: Any, number: int) -> str:
    """Return a turn's text; RowError if it holds anything else."""
    if isinstance(value, str):
        text = value
    elif value is None:
        text = ""
    elif isinstance(value, list):
        text = "\n".join(_part(part, number) for part in value)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        text = str(value)
    else:
        raise RowError(f"turn {number} holds {type(value).__name__}, expected text")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise RowError(f"turn {number} holds half a surrogate pair, which is no text") from error
    return text


def _part(part: Any, number: int) -> str:
    if isinstance(part, str):
        return part
    kind = part.get("type") if isinstance(part, dict) else type(part).__name__
    if kind != "text" or not isinstance(part.get("text"), str):
        raise RowError(f"turn {number} holds a part of type {kind!r:.40}; only text can be used")
    text: str = part["text"]
    return text


def _calls(value: Any, number: int) -> str | None:
    """Tool calls as canonical JSON text in OpenAI's form, arguments as an object; None where there are none."""
    if isinstance(value, str):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError as error:
            raise RowError(f"the tool call of turn {number} is not JSON") from error
    if not value:
        return None
    calls = []
    for call in value if isinstance(value, list) else [value]:
        function = call.get("function", call) if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise RowError(f"the tool call of turn {number} names no function")
        arguments = function.get("arguments", function.get("parameters"))
        if isinstance(arguments, str):
            try:
                arguments = orjson.loads(arguments or "{}")
            except orjson.JSONDecodeError as error:
                raise RowError(f"the arguments of a tool call of turn {number} are not JSON") from error
        known = {"id": call["id"]} if isinstance(call.get("id"), str) else {}
        named = {"name": function["name"], "arguments": arguments if arguments is not None else {}}
        calls.append({**known, "type": "function", "function": named})
    return content(json.dumps(calls, ensure_ascii=False, separators=(",", ":"), default=str), number)


def _learned(turn: dict[str, Any]) -> bool:
    """Whether the turn is learned from: our own ``train``, or OpenAI's ``weight``."""
    train, weight = turn.get("train"), turn.get("weight")
    return train is not False and weight not in (0, False)
