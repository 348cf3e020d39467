"""Decisions by hand (pin, ban, note) as an append-only log, and what the log adds up to.

Nothing is ever rewritten: undo and redo are entries too, so the whole history stays and undo has no limit. Lines of
one act (a lasso of 500 pinned rows) share a step and are undone together. Pure functions; the workspace stores the log.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import groupby
from typing import Protocol

ACTIONS = ("pin", "ban", "unpin", "unban", "note", "undo", "redo")


class Entry(Protocol):
    """What `replay` reads of a log line; `curation.tables.OverrideEntry` has it."""

    step: int
    action: str
    row_id: str
    text: str


@dataclass(frozen=True)
class OverrideState:
    """What the log adds up to.

    Attributes
    ----------
    pinned, banned : tuple of str
        Row ids in the order of the decision; no id is in both.
    notes : dict of str to str
        Row id → note.
    can_undo, can_redo : bool
        Whether there is something to take back, or to bring back.
    """

    pinned: tuple[str, ...] = ()
    banned: tuple[str, ...] = ()
    notes: dict[str, str] = field(default_factory=dict)
    can_undo: bool = False
    can_redo: bool = False


def replay(entries: Iterable[Entry]) -> OverrideState:
    """Return the state after `entries`, which are in the order of the log.

    The last decision on a row wins: a ban of a pinned row unpins it. Undo takes back the last act that stands; a new
    act forgets what could have been redone. An undo or redo with nothing to do changes nothing.
    """
    standing: list[list[Entry]] = []
    undone: list[list[Entry]] = []
    for _, lines in groupby(entries, key=lambda entry: entry.step):
        act = list(lines)
        if act[0].action == "undo":
            if standing:
                undone.append(standing.pop())
        elif act[0].action == "redo":
            if undone:
                standing.append(undone.pop())
        else:
            standing.append(act)
            undone.clear()

    pinned: dict[str, None] = {}  # dicts keep the order of the decisions
    banned: dict[str, None] = {}
    notes: dict[str, str] = {}
    for entry in (entry for act in standing for entry in act):
        match entry.action:
            case "pin":
                banned.pop(entry.row_id, None)
                pinned.setdefault(entry.row_id)
            case "ban":
                pinned.pop(entry.row_id, None)
                banned.setdefault(entry.row_id)
            case "unpin":
                pinned.pop(entry.row_id, None)
            case "unban":
                banned.pop(entry.row_id, None)
            case "note" if entry.text:
                notes[entry.row_id] = entry.text
            case "note":
                notes.pop(entry.row_id, None)
    return OverrideState(tuple(pinned), tuple(banned), notes, bool(standing), bool(undone))
