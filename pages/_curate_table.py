"""The Curate page's table: a page of rows at a time, filtered and sorted on the server; decisions about many rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from curation import workbench
from pages import _link
from pages import _shell as ui

if TYPE_CHECKING:
    import pandas as pd

    from curation.views import View

PAGE = 50
STATES = ("all", "picked", "pinned", "banned", "not picked")
ORDERS = {
    "rank": "Rank",
    "-similarity": "Least similar",
    "similarity": "Most similar",
    "source": "Source",
    "length": "Shortest",
    "-length": "Longest",
}


def draw(view: View, inside: list[str] | None) -> None:
    """Draw the filters, the decisions about many rows, and the table.

    Parameters
    ----------
    view : View
        What stands.
    inside : list of str, optional
        Ids of the rows in the lasso or box.
    """
    _filters(view)
    page = max(1, _link.number("at", 1))
    order = _link.read("sort", "rank")
    table, total = workbench.table(
        ui.workspace(),
        view,
        offset=PAGE * (page - 1),
        limit=PAGE,
        ids=inside,
        order=order if order in ORDERS else "rank",
        **_filtered(),
    )
    _head(view, inside, table, total, page)
    if total:
        _rows(table)
    else:
        st.markdown(":gray[No row matches. Loosen the filters, or clear the lasso.]")


def _filtered() -> dict[str, Any]:
    """The link's filters, as the workbench takes them."""
    state = _link.read("state", "all")
    return {
        "search": _link.read("search"),
        "state": state if state in STATES else "all",
        "source": _link.read("source"),
        "query": _link.number("query") - 1,
    }


def _filters(view: View) -> None:
    def put(name: str) -> None:
        _link.write(**{name: _link.value(name), "at": ""})

    sources = [s for s in sorted({*view.sources}) if s]
    queries = range(len(view.query_titles) + 1)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="curate-filters"):
        st.text_input(
            "Search",
            key=_link.follow("search", _link.read("search")),
            on_change=put,
            args=("search",),
            placeholder="Words in the conversation",
            icon=":material/search:",
            label_visibility="collapsed",
        )
        _pick("state", STATES, "all", put, lambda s: "Any state" if s == "all" else s.capitalize(), 130)
        _pick("source", ("", *sources), "", put, lambda s: s or "Any source", 150)
        titles = ("Any query", *(f"{i} · {t}" for i, t in enumerate(view.query_titles, start=1)))
        _pick("query", [str(q) if q else "" for q in queries], "", put, lambda q: titles[int(q or 0)], 210)
        _pick("sort", tuple(ORDERS), "rank", put, lambda o: ORDERS[o], 140)


def _pick(name: str, options: Any, default: str, put: Any, say: Any, width: int) -> None:
    now = _link.read(name, default)
    st.selectbox(
        name.capitalize(),
        options,
        format_func=say,
        key=_link.follow(name, now if now in options else default),
        on_change=put,
        args=(name,),
        label_visibility="collapsed",
        width=width,
    )


def _head(view: View, inside: list[str] | None, table: pd.DataFrame, total: int, page: int) -> None:
    """One line: how many rows, what can be done with all of them or with the ticked ones, and the pages."""
    ticked = [table["id"].iloc[i] for i in _marks(table).get("rows", ())]
    narrowed = inside is not None or any(map(_link.read, ("search", "state", "source", "query")))
    pages = max(1, -(-total // PAGE))

    def decide(action: str) -> None:
        with ui.guard():
            ids = ticked or workbench.matching(ui.workspace(), view, ids=inside, **_filtered())
            ui.workspace().override(ui.project_id(), action, ids, author=ui.author())
            st.toast(f"{len(ids):,} rows: {action}. One undo takes it back.", icon=":material/done_all:")

    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="curate-marked"):
        said = f"**{total:,}** rows" + (" in the lasso" if inside is not None else "")
        st.markdown(said, width="content")
        _link.pager(page, pages)
        if ticked or (narrowed and total):
            which = f"the {len(ticked):,} ticked" if ticked else f"all {total:,}"
            for action, icon in (("pin", "keep"), ("ban", "block")):
                name = f"{action.capitalize()} {which}"
                st.button(
                    name, icon=f":material/{icon}:", key=ui.key(f"many.{action}"), on_click=decide, args=(action,)
                )
        if inside is not None:
            st.button(
                "Clear lasso",
                icon=":material/close:",
                type="tertiary",
                on_click=_link.draw_area,
                args=(None,),
                key=ui.key("clear"),
            )


def _key(table: pd.DataFrame) -> str:
    """Key of the table's widget: other rows or another order are another table, so that no tick slips."""
    return ui.key(f"curate.table.{hash(tuple(table['id']))}")


def _marks(table: pd.DataFrame) -> dict[str, Any]:
    """What is ticked (`rows`) and clicked (`cells`) in the table."""
    return dict((st.session_state.get(_key(table)) or {}).get("selection", {}))


def _rows(table: pd.DataFrame) -> None:
    def read_one() -> None:
        if cells := _marks(table).get("cells"):
            _link.write(row=table["id"].iloc[cells[0][0]])

    marks = {state: f"{ui.STATES[state][0]} {state}" for state in ("pool", "picked", "pinned", "banned")}
    text = table["text"].str.removeprefix("user: ")
    shown = table.assign(query=table["query"] + 1, state=table["state"].map(marks), text=text)
    st.dataframe(
        shown,
        key=_key(table),
        on_select=read_one,
        selection_mode=("multi-row", "single-cell"),
        hide_index=True,
        placeholder="",
        height=420,
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
