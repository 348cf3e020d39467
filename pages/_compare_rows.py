"""The Compare page's rows: on one map of both selections, in a table, and read whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from curation import figures_map, views, workbench
from pages import _link, _map
from pages import _shell as ui

if TYPE_CHECKING:
    from curation.comparison import Comparison

PAGE = 25


def map_and_reading(told: Comparison, theme: str) -> None:
    """Draw one map of both, and the row that is read, whole, with the place that each gives it."""
    ws = ui.workspace()
    pool = told.represented.record["pool"]
    rows = views.rows_of(ws.root, pool)
    reading = _link.read("row")
    if reading not in rows.position:
        reading = next(iter((*told.only_a, *told.only_b, *told.both)), "")
    row = rows.position.get(reading)
    with st.container(horizontal=True, gap="small", key="compare-body"):
        with st.container(key="compare-map"):
            if told.represented.has_map:
                _map.draw(
                    figures_map.moved_map(told, rows.position, theme=theme, row=row),
                    ui.key("compare.map"),
                    on_point=lambda kind, n: _link.write(row=rows.ids[n - 1]) if kind == "row" else None,
                )
            else:
                ui.empty("The map of this representation is not drawn yet.", "Draw it", "represent")
        with st.container(key="compare-side"), st.container(border=True, height=520, gap="small"):
            if row is None:
                st.markdown(":gray[Click a point of the map to read it whole.]")
                return
            places = [(s.name, s.ids.index(reading) + 1) for s in (told.a, told.b) if reading in s.ids]
            where = " · ".join(f"number {n:,} of {name}" for name, n in places) or "picked by neither"
            st.markdown(f"**Row {row + 1:,}** :gray[· {ui.plain(rows.sources[row])} · {ui.plain(where)}]")
            ui.conversation(ws.some(pool, [row])[0])


def table(told: Comparison) -> None:
    """The rows of one part, to be read: those in the first only, the second only, in both."""
    parts = {
        "a": (f"Only {told.a.name}", told.only_a),
        "b": (f"Only {told.b.name}", told.only_b),
        "both": ("In both", told.both),
    }
    part = _link.read("part", "a")
    part = part if part in parts else "a"
    ids = parts[part][1]
    page, pages = max(1, _link.number("at", 1)), max(1, -(-len(ids) // PAGE))
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.segmented_control(
            "Rows",
            list(parts),
            format_func=lambda p: f"{ui.plain(parts[p][0])} · {len(parts[p][1]):,}",
            required=True,
            key=_link.follow("part", part),
            on_change=lambda: _link.write(part=_link.value("part"), at=""),
            label_visibility="collapsed",
        )
        _link.pager(page, pages)
    if not ids:
        st.markdown(":gray[No row: every pick of the one is a pick of the other.]")
        return
    view = workbench.view(ui.workspace(), ui.project_id(), representation=told.represented.key)
    shown, _ = workbench.table(
        ui.workspace(), view, ids=list(ids), offset=PAGE * (page - 1), limit=PAGE, order="similarity"
    )

    key = ui.key(f"compare.rows.{part}.{page}")

    def read_one() -> None:
        cells = (st.session_state.get(key) or {}).get("selection", {}).get("cells")
        if cells:
            _link.write(row=shown["id"].iloc[cells[0][0]])

    st.dataframe(
        shown.assign(query=shown["query"] + 1, text=shown["text"].str.removeprefix("user: ")),
        key=key,
        on_select=read_one,
        selection_mode="single-cell",
        hide_index=True,
        column_order=("text", "source", "similarity", "query", "note"),
        column_config={
            "text": st.column_config.TextColumn("Text", width="large"),
            "source": st.column_config.TextColumn("Source"),
            "similarity": st.column_config.NumberColumn("Similarity", format="%.3f"),
            "query": st.column_config.NumberColumn("Nearest query", format="%d"),
            "note": st.column_config.TextColumn("Note"),
        },
    )
