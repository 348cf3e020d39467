"""Decisions about many rows of the Curate page at once: each is one act, which one undo takes back."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from pages import _shell as ui

_SAID = {"pin": "pinned", "ban": "banned", "note": "noted"}


def draw(which: str, ids: Callable[[], list[str]]) -> None:
    """Draw what can be decided about many rows.

    Parameters
    ----------
    which : str
        The rows in words, with their number.
    ids : callable
        Their ids, asked for when it is decided.
    """
    for action, icon in (("pin", "keep"), ("ban", "block")):
        st.button(
            f"{action.capitalize()} {which}",
            icon=f":material/{icon}:",
            key=ui.key(f"many.{action}"),
            on_click=_decide,
            args=(action, ids),
        )
    if st.button(f"Note on {which}", icon=":material/edit_note:", key=ui.key("many.note")):
        _note(which, ids)


def _decide(action: str, ids: Callable[[], list[str]], text: str = "") -> None:
    with ui.acting():
        about = ids()
        ui.workspace().override(ui.project_id(), action, about, text=text, author=ui.author())
        ui.done(f"{ui.counted(len(about), 'row')} {_SAID[action]}. One undo takes it back.", "done_all")


@st.dialog("Note")
def _note(which: str, ids: Callable[[], list[str]]) -> None:
    key = ui.key("many.text")
    st.text_area(f"What should others know about {which}?", max_chars=2_000, key=key)
    st.caption("It takes the place of the notes that these rows have; one undo brings them back.")

    def save() -> None:
        if text := str(st.session_state[key]).strip():
            _decide("note", ids, text)

    if st.button("Save note", type="primary", on_click=save, key=ui.key("many.save")):
        st.rerun()
