"""Decisions by hand (pin, ban, note) as an append-only log, what the log adds up to, and how two logs become one.

Nothing is ever rewritten: undo and redo are entries too, so the whole history stays and undo has no limit. Lines of
one act (a lasso of 500 pinned rows) share a step and are undone together. Two people's files merge by row: where one
pins what the other banned, or their notes differ, the merge lists it and decides nothing. Pure functions; the
workspace stores the log.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Protocol

from curation.errors import DataError

ACTIONS = ("pin", "ban", "unpin", "unban", "note", "undo", "redo")
_FORM = 'expected lines such as {"action": "pin", "row_id": "…", "author": "Ada"}, as Winnow exports them'
_LATEST = 1e11  # seconds: the year 5138
_TEXTS = ("action", "row_id", "text", "author")


class Entry(Protocol):
    """What is read of a log line; `curation.tables.OverrideEntry` has it, and `Decision`."""

    @property
    def step(self) -> int: ...
    @property
    def action(self) -> str: ...
    @property
    def row_id(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def author(self) -> str: ...
    @property
    def time(self) -> float: ...


@dataclass(frozen=True)
class Decision:
    """One line of a file of decisions: what was done to which row, by whom, when (seconds since 1970; 0: not said)."""

    step: int
    action: str
    row_id: str = ""
    text: str = ""
    author: str = ""
    time: float = 0.0


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
    standing, undone = _acts(entries)
    decided, noted = _holding(standing)
    return OverrideState(
        pinned=tuple(row for row, entry in decided.items() if entry.action == "pin"),
        banned=tuple(row for row, entry in decided.items() if entry.action == "ban"),
        notes={row: entry.text for row, entry in noted.items()},
        can_undo=bool(standing),
        can_redo=bool(undone),
    )


def holding(entries: Iterable[Entry]) -> tuple[dict[str, Entry], dict[str, Entry]]:
    """Return row id → the pin or ban that holds after `entries`, in the order decided; row id → the note that does."""
    return _holding(_acts(entries)[0])


def towards(state: OverrideState, pinned: Sequence[str], banned: Sequence[str], author: str = "") -> list[Decision]:
    """Return the lines of one act after which exactly these rows are pinned, in this order, and banned; notes stay."""
    lines: list[tuple[str, str]] = []
    if state.pinned != tuple(pinned):
        lines += [("unpin", row) for row in state.pinned] + [("pin", row) for row in pinned]
    if set(state.banned) != set(banned):
        lines += [("unban", row) for row in state.banned if row not in banned]
        lines += [("ban", row) for row in banned if row not in state.banned]
    return [Decision(0, action, row, author=author) for action, row in lines]


@dataclass(frozen=True)
class Act:
    """One act of a log: what was done to how many rows, by whom, when; `stands` is False once it was taken back."""

    action: str
    rows: tuple[str, ...]
    text: str
    author: str
    time: float
    stands: bool


def history(entries: Iterable[Entry]) -> list[Act]:
    """Return the acts of a log, newest first, undo and redo too; one with lines of several kinds is ``several``."""
    log = list(entries)
    standing = {act[0].step for act in _acts(log)[0]}
    told = []
    for step, lines in groupby(log, key=lambda entry: entry.step):
        act = list(lines)
        kinds = {entry.action for entry in act}
        first, back = act[0], act[0].action in ("undo", "redo")
        told.append(
            Act(
                action=first.action if len(kinds) == 1 else "several",
                rows=tuple(entry.row_id for entry in act if entry.row_id),
                text=first.text if len({entry.text for entry in act}) == 1 else "",
                author=", ".join(dict.fromkeys(entry.author for entry in act if entry.author)),
                time=first.time,
                stands=back or step in standing,
            )
        )
    return told[::-1]


def _acts(entries: Iterable[Entry]) -> tuple[list[list[Entry]], list[list[Entry]]]:
    """The acts that stand, and those that were taken back and can be brought back."""
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
    return standing, undone


def _holding(standing: Iterable[Iterable[Entry]]) -> tuple[dict[str, Entry], dict[str, Entry]]:
    """Row id → the pin or ban that holds, in the order of the decisions; row id → the note that holds."""
    decided: dict[str, Entry] = {}
    noted: dict[str, Entry] = {}
    for entry in (entry for act in standing for entry in act):
        row, held = entry.row_id, decided.get(entry.row_id)
        match entry.action:
            case "pin" | "ban" if held is None or held.action != entry.action:
                decided.pop(row, None)
                decided[row] = entry
            case "unpin" | "unban" if held is not None and held.action == entry.action[2:]:
                del decided[row]
            case "note" if entry.text:
                noted[row] = entry
            case "note":
                noted.pop(row, None)
    return decided, noted


# ----------------------------------------------------------------------------------------------------------- files


def to_jsonl(entries: Iterable[Entry]) -> str:
    """Write a log as JSON lines: step, action, row_id, text (the note), author, time."""
    names = ("step", *_TEXTS, "time")
    lines = (json.dumps({name: getattr(e, name) for name in names}, ensure_ascii=False) for e in entries)
    return "".join(f"{line}\n" for line in lines)


def from_jsonl(text: str | bytes, author: str = "") -> list[Decision]:
    """Read what `to_jsonl` wrote, or a file written by hand: `action` and `row_id` are enough.

    Parameters
    ----------
    text : str or bytes
        JSON lines; a line without a `step` is an act of its own.
    author : str
        Who decided where a line does not say.

    Raises
    ------
    DataError
        If it is not UTF-8 text, holds no decision, or a line is not one; the line is named.
    """
    if isinstance(text, bytes):
        try:
            text = text.decode("utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"the file of decisions is not UTF-8 text; {_FORM}") from error
    lines = text.removeprefix("\ufeff").split("\n")
    found = [_decision(line, n, author) for n, line in enumerate(lines, start=1) if line.strip()]
    if not found:
        raise DataError(f"the file of decisions is empty; {_FORM}")
    return found


def _decision(line: str, number: int, author: str) -> Decision:
    where = f"line {number} of the decisions"
    try:
        told: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where} is not JSON; {_FORM}") from error
    if not isinstance(told, dict):
        raise DataError(f"{where} is {type(told).__name__}, not an object; {_FORM}")
    if told.get("action") not in ACTIONS:
        raise DataError(f"{where} has the action {told.get('action')!r}; expected one of: {', '.join(ACTIONS)}")
    for name in _TEXTS:
        value = told.get(name, "")
        if not isinstance(value, str) or value != value.encode("utf-8", "ignore").decode():
            raise DataError(f"{where} has {name} {value!r}, expected text; {_FORM}")
    if told["action"] not in ("undo", "redo") and not told.get("row_id"):
        raise DataError(f"{where} names no row: its row_id is missing or empty; {_FORM}")
    step, time = told.get("step", -number), told.get("time", 0.0)
    if not isinstance(step, int):
        raise DataError(f"{where} has the step {step!r}, expected a whole number; {_FORM}")
    if isinstance(time, bool) or not isinstance(time, int | float) or not abs(time) < _LATEST:
        raise DataError(f"{where} has the time {time!r}, expected seconds since 1970; {_FORM}")
    texts = {name: told[name] for name in _TEXTS if name in told}
    return Decision(step, **{"author": author, **texts}, time=float(time))


@dataclass(frozen=True)
class Conflict:
    """What two logs say differently about a row: `ours` stands, `theirs` is what the file has."""

    row_id: str
    ours: Entry
    theirs: Entry

    @property
    def sentence(self) -> str:
        """The two in words, as ``Ada banned it here, Bo pinned it in the file``; notes are quoted."""
        return f"{_said(self.ours)} here, {_said(self.theirs)} in the file"


def _said(entry: Entry) -> str:
    by = entry.author or "somebody"
    return f"{by} noted “{entry.text}”" if entry.action == "note" else f"{by} {_PAST[entry.action]} it"


_PAST = {"pin": "pinned", "ban": "banned"}


@dataclass(frozen=True)
class Merge:
    """What an import did.

    Attributes
    ----------
    applied : int
        Decisions and notes taken over from the file.
    conflicts : list of Conflict
        Rows on which the two disagree; what was decided here stands.
    unknown : list of str
        Row ids of the file that this pool does not have.
    """

    applied: int
    conflicts: list[Conflict]
    unknown: list[str]


def merge(
    ours: Iterable[Entry], theirs: Iterable[Entry], known: Collection[str], favour: Collection[str] = ()
) -> tuple[Merge, list[Entry]]:
    """Return what taking over another log's standing decisions comes to, and the lines to append for it.

    Parameters
    ----------
    ours, theirs : iterables of Entry
        The log that is kept, and the one that is read.
    known : collection of str
        Ids of the pool's rows.
    favour : collection of str
        Ids of rows on which `theirs` wins.
    """
    here, there = holding(ours), holding(theirs)
    lines: list[Entry] = []
    conflicts: list[Conflict] = []
    unknown: dict[str, None] = {}
    for own, other in zip(here, there, strict=True):  # pins and bans, then notes
        for row, entry in other.items():
            held = own.get(row)
            if row not in known:
                unknown[row] = None
            elif held is None or (row in favour and not _agree(held, entry)):
                lines.append(entry)
            elif not _agree(held, entry):
                conflicts.append(Conflict(row, held, entry))
    return Merge(len(lines), conflicts, list(unknown)), lines


def _agree(a: Entry, b: Entry) -> bool:
    return (a.action, a.text if a.action == "note" else "") == (b.action, b.text if b.action == "note" else "")
