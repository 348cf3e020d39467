"""The log of decisions: the last decision wins, undo has no limit, acts are undone whole."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.errors import DataError
from curation.overrides import Decision, OverrideState, from_jsonl, history, merge, replay, to_jsonl, towards


def log(*acts: tuple[str, ...] | str, author: str = "Ada", time: float = 1.0) -> list[Decision]:
    """One line a row of each act: ("pin", "a", "b") or "undo"; a note is ("note", "a=text")."""
    lines = []
    for step, act in enumerate(acts, start=1):
        action, *rows = (act,) if isinstance(act, str) else act
        for row in rows or [""]:
            row_id, _, text = row.partition("=")
            lines.append(Decision(step, action, row_id, text, author, time))
    return lines


def test_the_last_decision_on_a_row_wins_and_order_is_kept() -> None:
    state = replay(log(("pin", "b", "a"), ("ban", "c"), ("ban", "b"), ("pin", "d"), ("unban", "c"), ("pin", "a")))
    assert (state.pinned, state.banned) == (("a", "d"), ("b",))
    assert replay(log(("pin", "a"), ("unpin", "a"), ("ban", "a"))).banned == ("a",)


def test_notes_are_changed_and_taken_away() -> None:
    acts: list[tuple[str, ...] | str] = [("note", "a=first"), ("note", "b=other"), ("note", "a=second")]
    assert replay(log(*acts)).notes == {"a": "second", "b": "other"}
    assert replay(log(*acts, ("note", "a="))).notes == {"b": "other"}
    assert replay(log(*acts, "undo")).notes == {"a": "first", "b": "other"}


def test_undo_takes_back_a_whole_act_and_redo_brings_it_back() -> None:
    acts: list[tuple[str, ...] | str] = [("pin", "a"), ("ban", "a", "b")]
    assert replay(log(*acts, "undo")) == OverrideState(("a",), (), {}, can_undo=True, can_redo=True)
    assert replay(log(*acts, "undo", "undo")) == OverrideState((), (), {}, can_undo=False, can_redo=True)
    assert replay(log(*acts, "undo", "undo", "redo", "redo")) == replay(log(*acts))


def test_nothing_to_undo_changes_nothing_and_a_new_act_forgets_the_undone() -> None:
    assert replay(log("undo", "redo")) == OverrideState()
    state = replay(log(("pin", "a"), "undo", ("pin", "b"), "redo"))
    assert state == OverrideState(("b",), (), {}, can_undo=True, can_redo=False)


acts = st.lists(
    st.tuples(st.sampled_from(["pin", "ban", "unpin", "unban"]), st.sampled_from("abcd"))
    | st.sampled_from(["undo", "redo"]),
    max_size=30,
)


@given(acts)
def test_no_row_is_pinned_and_banned_and_undoing_all_leaves_nothing(history: list[tuple[str, ...] | str]) -> None:
    state = replay(log(*history))
    assert not set(state.pinned) & set(state.banned)
    assert len(set(state.pinned)) == len(state.pinned)
    empty = replay(log(*history, *["undo"] * len(history)))
    assert (empty.pinned, empty.banned, empty.can_undo) == ((), (), False)
    undone = replay(log(*history, ("pin", "a"), "undo"))
    assert (undone.pinned, undone.banned) == (state.pinned, state.banned)


# ----------------------------------------------------------------------------------------------------------- files


@given(acts)
def test_a_log_crosses_a_file_unchanged(history: list[tuple[str, ...] | str]) -> None:
    lines = log(*history, ("note", "a=one\u2028line, zwei Zeilen\nund “mehr”"))
    assert from_jsonl(to_jsonl(lines)) == lines
    assert from_jsonl(to_jsonl(lines).encode()) == lines


def test_a_file_written_by_hand_is_read() -> None:
    text = '\ufeff{"action": "pin", "row_id": "a"}\r\n\n{"action": "ban", "row_id": "b", "author": "Bo", "time": 5}\n'
    first, second = from_jsonl(text, "Ada")
    assert (first.action, first.row_id, first.author, first.time) == ("pin", "a", "Ada", 0.0)
    assert (second.action, second.author, second.time) == ("ban", "Bo", 5.0)
    assert first.step != second.step


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "file of decisions is empty; expected lines such as"),
        (b"\xff\xfe", "not UTF-8 text; expected lines such as"),
        ('{"action": "pin", "row_id": "a"}\npin b', "line 2 of the decisions is not JSON; expected"),
        ("[1]", "line 1 of the decisions is list, not an object"),
        ('{"action": "love", "row_id": "a"}', "has the action 'love'; expected one of: pin, ban"),
        ('{"row_id": "a"}', "has the action None; expected one of"),
        ('{"action": ["pin"], "row_id": "a"}', "has the action .'pin'.; expected one of"),
        ('{"action": "pin"}', "line 1 of the decisions names no row"),
        ('{"action": "pin", "row_id": 3}', "has row_id 3, expected text"),
        ('{"action": "note", "row_id": "a", "text": "\\ud800"}', "has text .*, expected text"),
        ('{"action": "pin", "row_id": "a", "step": "x"}', "has the step 'x', expected a whole number"),
        ('{"action": "pin", "row_id": "a", "time": NaN}', "has the time nan, expected seconds since 1970"),
        ('{"action": "pin", "row_id": "a", "time": true}', "has the time True, expected seconds since 1970"),
    ],
)
def test_a_bad_file_is_refused_in_one_sentence(text: str | bytes, said: str) -> None:
    with pytest.raises(DataError, match=said):
        from_jsonl(text)


def test_two_files_merge_and_list_what_they_disagree_on() -> None:
    ours = log(("pin", "a", "b"), ("ban", "c"), ("note", "a=mine"), ("ban", "z"), "undo")
    theirs = log(("pin", "a", "d"), ("ban", "b", "gone"), ("note", "a=theirs"), ("note", "c=new"), author="Bo", time=9)
    told, lines = merge(ours, theirs, set("abcdz"))
    assert [(e.action, e.row_id, e.author, e.time) for e in lines] == [("pin", "d", "Bo", 9), ("note", "c", "Bo", 9)]
    assert (told.applied, told.unknown) == (2, ["gone"])
    assert [(c.row_id, c.ours.action, c.theirs.action) for c in told.conflicts] == [
        ("b", "pin", "ban"),
        ("a", "note", "note"),
    ]
    assert told.conflicts[0].sentence == "Ada pinned it here, Bo banned it in the file"
    assert told.conflicts[1].sentence == "Ada noted “mine” here, Bo noted “theirs” in the file"
    told, lines = merge(ours, theirs, set("abcdz"), favour={"b"})
    assert ("ban", "b") in [(e.action, e.row_id) for e in lines]
    assert [c.row_id for c in told.conflicts] == ["a"]


@given(acts, acts)
def test_a_merge_decides_nothing_against_what_stands(
    a: list[tuple[str, ...] | str], b: list[tuple[str, ...] | str]
) -> None:
    ours, theirs = log(*a), log(*b, author="Bo")
    told, lines = merge(ours, theirs, set("abcd"))
    before, other = replay(ours), replay(theirs)
    merged = [*ours, *(Decision(len(a) + 1, e.action, e.row_id, e.text, e.author) for e in lines)]
    after = replay(merged)
    assert set(before.pinned) <= set(after.pinned) and set(before.banned) <= set(after.banned)
    assert set(after.pinned) == set(before.pinned) | set(other.pinned) - set(before.banned)
    assert set(after.banned) == set(before.banned) | set(other.banned) - set(before.pinned)
    opposed = set(before.pinned) & set(other.banned) | set(before.banned) & set(other.pinned)
    assert {c.row_id for c in told.conflicts} == opposed
    assert merge(merged, theirs, set("abcd"))[0].applied == 0


def test_the_history_is_newest_first_and_says_what_was_taken_back() -> None:
    lines = log(("ban", "a", "b"), ("pin", "c"), "undo", ("note", "d=odd"))
    told = [(act.action, act.rows, act.text, act.stands) for act in history(lines)]
    assert told == [
        ("note", ("d",), "odd", True),
        ("undo", (), "", True),
        ("pin", ("c",), "", False),
        ("ban", ("a", "b"), "", True),
    ]
    both = [Decision(1, "pin", "a", author="Ada", time=5.0), Decision(1, "ban", "b", author="Bo", time=6.0)]
    (act,) = history(both)
    assert (act.action, act.rows, act.author, act.time) == ("several", ("a", "b"), "Ada, Bo", 5.0)


@given(
    st.lists(st.tuples(st.sampled_from(["pin", "ban"]), st.sampled_from("abcdef")), max_size=12),
    st.permutations("abcdef"),
    st.integers(0, 6),
    st.integers(0, 6),
)
def test_one_act_leads_to_any_pins_and_bans_in_their_order_and_one_undo_back(
    before: list[tuple[str, str]], rows: list[str], n_pinned: int, n_banned: int
) -> None:
    ours = log(*before)
    state = replay(ours)
    pinned, banned = rows[:n_pinned], rows[n_pinned:][:n_banned]
    lines = towards(state, pinned, banned, "Bo")
    act = [dataclasses.replace(line, step=100) for line in lines]
    after = replay([*ours, *act])
    assert after.pinned == tuple(pinned) and set(after.banned) == set(banned)
    assert after.notes == state.notes and all(line.author == "Bo" for line in lines)
    if lines:
        back = replay([*ours, *act, Decision(101, "undo")])
        assert (back.pinned, back.banned) == (state.pinned, state.banned)
    else:
        assert (after.pinned, set(after.banned)) == (state.pinned, set(state.banned))
