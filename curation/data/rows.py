"""One row of a pool, query set or test set, its canonical form and its id.

A row's id is the SHA-256 of its canonical messages, with an occurrence number behind it where the same messages stand
more than once; it depends on nothing else, so overrides, notes and features survive re-ordering, growth and renaming.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from curation.errors import DataError

ROLES = ("system", "user", "assistant", "tool")


class RowError(DataError):
    """One row can't be used; `reason` says why, `row` which (empty where the caller knows its line)."""

    def __init__(self, reason: str, row: str = "") -> None:
        super().__init__(f"row {row}: {reason}" if row else reason)
        self.reason = reason
        self.row = row


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. `tool_calls` is JSON text or None; `train` says whether an assistant turn is learned from."""

    role: str
    content: str
    tool_calls: str | None = None
    train: bool = True


@dataclass(frozen=True, slots=True)
class Example:
    """One row. `group` is its subtask, `extra` a JSON object of every column that was not mapped."""

    id: str
    messages: tuple[Message, ...]
    group: str | None = None
    source: str | None = None
    licence: str | None = None
    user_id: str | None = None
    extra: str = "{}"

    @property
    def answer(self) -> str:
        """Text of the last assistant turn."""
        return next((m.content for m in reversed(self.messages) if m.role == "assistant"), "")

    @property
    def prompt(self) -> tuple[Message, ...]:
        """The turns before the last assistant turn."""
        last = max((i for i, m in enumerate(self.messages) if m.role == "assistant"), default=len(self.messages))
        return self.messages[:last]

    @property
    def text(self) -> str:
        """The whole conversation with role tags, as lexical methods and embedders read it."""
        return "\n".join(
            f"{m.role}: {m.content}" + (f"\n{m.tool_calls}" if m.tool_calls else "") for m in self.messages
        )

    def field(self, name: str) -> Any:
        """Return the unmapped column `name` (for example a test row's ``answer``), or None."""
        return json.loads(self.extra).get(name)


def canonical_hash(messages: tuple[Message, ...]) -> str:
    """SHA-256 (hex) of the messages: roles, contents, tool calls and train flags, independent of any other column."""
    form = [[m.role, m.content, m.tool_calls, m.train] for m in messages]
    text = json.dumps(form, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def row_id(messages: tuple[Message, ...], occurrence: int = 0) -> str:
    """Return the row's id: its hash, and ``-n`` behind it for the n-th repetition of the same messages."""
    return numbered_id(canonical_hash(messages), occurrence)


def numbered_id(digest: str, occurrence: int) -> str:
    """Return the id of the n-th repetition of the messages with that hash."""
    return digest if occurrence == 0 else f"{digest}-{occurrence}"
