"""The Curate page's table: rows filtered, sorted and searched on the server, a page at a time, and stepped through."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from curation import workbench
from pages import _curate_filters, _curate_many, _link, _map
from pages import _shell as ui

if TYPE_CHECKING:
    import pandas as pd

    from curation.views import View

PAGE = 25
_FOLLOWING = "_curate.following"
_KEYS = st.components.v2.component("winnow_keys", js=(ui.ASSETS / "keys.js").read_text("utf-8"))


def draw(view: View, inside: list[str] | None, reading: str) -> None:
    """Draw the filters, the decisions about many rows, and the table.

    Parameters
    ----------
    view : View
        What stands.
    inside : list of str, optional
        Ids of the rows in the lasso or box.
    reading : str
        Id of the row that is read whole; it is marked.
    """
    _curate_filters.draw(view)
    page = max(1, _link.number("at", 1))
    with _curate_filters.busy():
        table, total = workbench.table(
            ui.workspace(), view, offset=PAGE * (page - 1), limit=PAGE, ids=inside, **_curate_filters.asked()
        )
    key = ui.key(f"curate.table.{hash(tuple(table['id']))}")  # other rows are another table, so that no tick slips
    ticked = [table["id"].iloc[i] for i in _marks(key).get("rows", ())]
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="curate-marked"):
        said = " nearest in meaning" if _curate_filters.by() == "meaning" and _link.read("search") else ""
        said += " in the lasso" if inside is not None else ""
        st.markdown(f"**{total:,}** rows{said}", width="content")
        _link.pager(page, max(1, -(-total // PAGE)))
        narrowed = inside is not None or any(map(_link.read, ("search", "state", "source", "query")))
        if ticked:
            _curate_many.draw(f"the {len(ticked):,} ticked", lambda: ticked)
        elif narrowed and total:
            _curate_many.draw(f"all {total:,}", lambda: rows(view, inside))
        if inside is not None:
            st.button(
                "Clear lasso",
                icon=":material/close:",
                type="tertiary",
                on_click=_map.draw_area,
                args=(None,),
                key=ui.key("clear"),
            )
    if total:
        with st.container(key="curate-table"):
            _rows(table, key, reading)
    else:
        st.markdown(":gray[No row matches. Loosen the filters, or clear the lasso.]")
    _KEYS(key=ui.key("search-key"))


# ------------------------------------------------------------------------------------------ the rows and their order


def rows(view: View, inside: list[str] | None) -> list[str]:
    """Return the ids of all the rows that the table has, page after page."""
    with ui.acting():
        return workbench.matching(ui.workspace(), view, ids=inside, **_curate_filters.asked())
    return []


def read(view: View, inside: list[str] | None, row: str) -> None:
    """Show a row whole, and turn the table to the page that has it."""
    listed = rows(view, inside)
    _link.write(row=row, **({"at": listed.index(row) // PAGE + 1} if row in listed else {}))


def step(view: View, inside: list[str] | None, row: str, by: int) -> None:
    """Read the row after (`by` 1) or before (−1) the one that is read; after a decision, the one that was next then."""
    listed = rows(view, inside)
    decided, following = st.session_state.get(ui.key(_FOLLOWING), ("", ""))
    if by > 0 and decided == row and following in listed:
        read(view, inside, following)
    elif row in listed:
        read(view, inside, listed[min(max(listed.index(row) + by, 0), len(listed) - 1)])
    elif listed:
        read(view, inside, listed[min(PAGE * max(0, _link.number("at", 1) - 1), len(listed) - 1)])


def remember(view: View, inside: list[str] | None, row: str) -> None:
    """Keep which row comes next, before a decision moves `row` elsewhere in the table."""
    listed = rows(view, inside)
    place = listed.index(row) + 1 if row in listed else 0
    st.session_state[ui.key(_FOLLOWING)] = (row, listed[place] if place < len(listed) else "")


# ------------------------------------------------------------------------------------------------------- on screen


def _marks(key: str) -> dict[str, Any]:
    """What is ticked (`rows`) and clicked (`cells`) in the table."""
    return dict((st.session_state.get(key) or {}).get("selection", {}))


def _rows(table: pd.DataFrame, key: str, reading: str) -> None:
    def read_one() -> None:
        if cells := _marks(key).get("cells"):
            _link.write(row=table["id"].iloc[cells[0][0]])

    marks = _marks(key)
    listed = table["id"].tolist()
    cells = [[listed.index(reading), "text"]] if reading in listed else []
    if [c[0] for c in marks.get("cells", ())] != [c[0] for c in cells]:  # what is read elsewhere is marked here
        st.session_state[key] = {"selection": {"rows": marks.get("rows", []), "columns": [], "cells": cells}}
    states = {state: f"{ui.STATES[state][0]} {state}" for state in ("pool", "picked", "pinned", "banned")}
    text = table["text"].str.removeprefix("user: ")
    st.dataframe(
        table.assign(query=table["query"] + 1, state=table["state"].map(states), text=text),
        key=key,
        on_select=read_one,
        selection_mode=("multi-row", "single-cell"),
        hide_index=True,
        placeholder="",
        height="content",
        column_order=("rank", "text", "source", "similarity", "query", "state", "note"),
        column_config={
            "rank": st.column_config.NumberColumn("Rank", width=60, format="%d"),
            "text": st.column_config.TextColumn("Text", width=430),
            "source": st.column_config.TextColumn("Source", width=120),
            "similarity": st.column_config.NumberColumn("Similarity", width=80, format="%.3f"),
            "query": st.column_config.NumberColumn("Nearest query", width=100, format="%d"),
            "state": st.column_config.TextColumn("State", width=90),
            "note": st.column_config.TextColumn("Note", width=120),
        },
    )
