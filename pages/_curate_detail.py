"""The Curate page's right side: one example whole, why it is in or out, and what can be decided about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from curation import workbench
from pages import _curate_table, _link
from pages import _shell as ui

if TYPE_CHECKING:
    from curation.views import View
    from curation.workbench import Detail

_NEAREST = 3


def draw(view: View, row_id: str, query: int, height: int, inside: list[str] | None) -> None:
    """Draw the pool row `row_id`; without one, the query at position `query`; without both, what to do.

    `inside` are the rows of the lasso: the keys step through the table as it is.
    """
    with st.container(border=True, height=height, gap="small", key="curate-detail"):
        if row_id in view.rows.position:
            _row(view, workbench.detail(ui.workspace(), view, row_id), inside)
        elif 0 <= query < len(view.query_ids):
            _query(view, query)
        else:
            st.markdown(":gray[Click a point of the map, or a cell of the table, to read an example whole.]")


def _row(view: View, detail: Detail, inside: list[str] | None) -> None:
    number = view.rows.position[detail.example.id] + 1
    parts = [
        f"row {number:,}",
        ui.plain(detail.example.source or "unknown source"),
        f"{len(detail.example.text):,} characters",
    ]
    st.markdown(f"{ui.state_dot(detail.state)} :gray[· {' · '.join(parts)}]")
    st.markdown(ui.plain(detail.sentence))
    _linked(view, inside, [(ui.plain(s), row) for s, row in zip(detail.more, detail.rows, strict=False)], "why")
    _decide(view, detail, inside)
    with st.container():
        if detail.note:
            by = f" :gray[— {ui.plain(detail.note_author)}]" if detail.note_author else ""
            st.markdown(f":material/sticky_note_2: {ui.plain(detail.note)}{by}")
    with st.container(gap="xxsmall", key="curate-nearest"):
        for query, similarity, rank in detail.nearest[:_NEAREST]:
            st.button(
                f":yellow[★] query {query + 1} :gray[· {similarity:.2f} · {ui.plain(view.query_titles[query])}]",
                help=f"This row is number {rank:,} in nearness to this query. Click to read the query.",
                key=ui.key(f"nearest.{query}"),
                type="tertiary",
                width="stretch",
                wrap=False,
                on_click=_link.write,
                kwargs={"query": query + 1, "row": "", "at": ""},
            )
    ui.conversation(detail.example)
    if detail.twins:
        st.caption(f"Nearly the same as this one, {ui.counted(len(detail.twins), 'row')}:")
        table, _ = workbench.table(ui.workspace(), view, ids=detail.twins, limit=len(detail.twins))
        told = zip(table["id"], table["state"], table["text"].str.removeprefix("user: "), strict=True)
        _linked(view, inside, [(f"{ui.state_dot(state)} :gray[{ui.plain(t)}]", i) for i, state, t in told], "twin")


def _linked(view: View, inside: list[str] | None, lines: list[tuple[str, str]], name: str) -> None:
    """Draw lines of text, each of which leads to the row that it is about.

    Without lines too there is a place for them: what follows would else move into it, and be there twice meanwhile.
    """
    with st.container(gap="xxsmall", key=f"curate-lines-{name}"):
        for n, (said, row) in enumerate(lines):
            st.button(
                said,
                key=ui.key(f"{name}.{n}"),
                type="tertiary",
                width="stretch",
                wrap=name != "twin",
                help="Click to read that row.",
                on_click=_curate_table.read,
                args=(view, inside, row),
            )


def _decide(view: View, detail: Detail, inside: list[str] | None) -> None:
    """Pin, ban, note, and the rows before and after: one line of buttons, each with its key."""
    row = detail.example.id

    def act(action: str) -> None:
        with ui.acting():
            _curate_table.remember(view, inside, row)
            ui.workspace().override(ui.project_id(), action, row, author=ui.author())
            _link.write(row=row)  # what was decided about stays in sight

    pinned, banned = detail.state == "pinned", detail.state == "banned"
    with st.container(horizontal=True, gap="xsmall"):
        st.button(
            "Unpin" if pinned else "Pin",
            icon=":material/keep_off:" if pinned else ":material/keep:",
            key=ui.key("pin"),
            shortcut="P",
            on_click=act,
            args=("unpin" if pinned else "pin",),
            help="Keep it in whatever the selector says.",
        )
        st.button(
            "Unban" if banned else "Ban",
            icon=":material/undo:" if banned else ":material/block:",
            key=ui.key("ban"),
            shortcut="B",
            on_click=act,
            args=("unban" if banned else "ban",),
            help="Keep it out whatever the selector says.",
        )
        if st.button("Note", icon=":material/edit_note:", key=ui.key("note"), shortcut="N"):
            _note(row, detail.note)
        for by, icon, key, said in ((-1, "arrow_upward", "K", "previous"), (1, "arrow_downward", "J", "next")):
            st.button(
                "",
                icon=f":material/{icon}:",
                key=ui.key(said),
                shortcut=key,
                type="tertiary",
                on_click=_curate_table.step,
                args=(view, inside, row, by),
                help=f"The {said} row of the table, as it is filtered and sorted.",
            )


@st.dialog("Note")
def _note(row: str, text: str) -> None:
    def save() -> None:
        written = str(st.session_state[f"note.{row}"]).strip()
        if written != text:
            with ui.acting():
                ui.workspace().override(ui.project_id(), "note", row, text=written, author=ui.author())

    with st.form("note", border=False):
        st.text_area("What should others know about this example?", text, max_chars=2_000, key=f"note.{row}")
        if st.form_submit_button("Save note", type="primary", on_click=save):
            st.rerun()


def _query(view: View, query: int) -> None:
    uncovered = query in view.summary["uncovered"]
    st.markdown(f"{ui.state_dot('query', f'query {query + 1}')}" + (" :red[· uncovered]" if uncovered else ""))
    st.markdown(
        "No pick is near it: raise the budget, or pin rows that would serve it."
        if uncovered
        else "The table lists the rows that are nearer to it than to any other query."
    )
    ui.conversation(ui.workspace().some(view.represented.record["queries"], [query])[0])
