"""The log of decisions: the last decision wins, undo has no limit, acts are undone whole."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from curation.overrides import OverrideState, replay


@dataclass
class Line:
    step: int
    action: str
    row_id: str = ""
    text: str = ""


def log(*acts: tuple[str, ...] | str) -> list[Line]:
    """One line a row of each act: ("pin", "a", "b") or "undo"; a note is ("note", "a=text")."""
    lines = []
    for step, act in enumerate(acts, start=1):
        action, *rows = (act,) if isinstance(act, str) else act
        for row in rows or [""]:
            row_id, _, text = row.partition("=")
            lines.append(Line(step, action, row_id, text))
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
