"""Curate: the map, the budget, the table and one example's detail on one screen."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from curation import figures_map, workbench
from curation.errors import CurationError
from pages import (
    _curate_controls,
    _curate_detail,
    _curate_log,
    _curate_saved,
    _curate_scores,
    _curate_summary,
    _curate_table,
    _form,
    _link,
    _map,
)
from pages import _shell as ui

if TYPE_CHECKING:
    from curation.pipeline import Represented
    from curation.views import View

HEIGHT = 470
HOW = "Drag around points to lasso them, click one to read it, scroll to zoom, double-click to see all again."
# The detail stands beside the map where both have room, else below it; rows of controls keep to their line.
LAYOUT = """<style>
.st-key-curate-body > div:has(> .st-key-curate-map) { flex: 1.7 1 520px; min-width: 0; }
.st-key-curate-body > div:has(> .st-key-curate-side) { flex: 1 1 340px; min-width: 0; }
:is(.st-key-curate-nearest, [class*="st-key-curate-lines"]) button { min-height: 1.7rem; padding: 0; }
:is(.st-key-curate-nearest, [class*="st-key-curate-lines"]) button, :is(.st-key-curate-nearest,
[class*="st-key-curate-lines"]) button * { justify-content: flex-start; text-align: left; }
.st-key-curate-controls > div:has(> .st-key-curate-budget) { flex: 1 1 420px; }
.st-key-curate-table [data-testid="stElementToolbar"] { display: none; }
</style>"""


@st.fragment
def body(available: list[Represented]) -> None:
    """Draw all that depends on the selection; whatever is done here redraws this alone, not the sidebar."""
    with ui.guard():
        _body(available)


def _body(available: list[Represented]) -> None:
    ws, project = ui.workspace(), ui.project_id()
    _link.settle([r.key for r in available])
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall", key="curate-head"):
        ui.page("Curate")
        busy = st.container(width="content")
        st.space("stretch")
        _curate_log.draw()
        kept = st.container(horizontal=True, gap="xsmall", width="content")
    ui.outcome()
    pool = ws.dataset(project, "pool")
    if pool is None:  # taken away in another tab
        st.rerun()
    steering = _curate_controls.draw(available, pool.key, pool.n_rows)
    chosen = _link.selection()
    try:
        with busy, st.spinner(f"Picking with {_form.label(chosen.selector)} …"):
            view = workbench.view(ws, project, representation=_link.read("representation"), selection=chosen)
    except CurationError as error:
        with kept:
            _curate_saved.draw(None)
        st.error(ui.sentence(error), icon=":material/error:")
        _curate_log.ways_out(pool.n_rows)
        return
    with kept:
        _curate_saved.draw(view)
    if steering is not None:
        with steering:
            _curate_summary.steered(view, inside=None)
    st.html(LAYOUT)
    area = _map.area() if view.represented.has_map else None
    test = workbench.box if area and area.kind == "box" else workbench.lasso
    inside = test(view, [*area.x], [*area.y]) if area else None
    query = _link.number("query") - 1
    reading = _link.read("row")
    if not reading and query < 0 and len(view.subset):
        reading = view.pool_ids[view.subset.indices[0]]  # nothing asked for yet: the first pick
    with st.container(horizontal=True, gap="small", key="curate-body"):
        with st.container(gap="xsmall", key="curate-map"):
            _above_map()
            if view.represented.has_map:
                _draw_map(view, view.rows.position.get(reading), query, area, inside)
            else:
                ui.empty("The map of this representation is not drawn yet.", "Draw it", "represent")
        with st.container(gap="xsmall", key="curate-side"):
            _curate_detail.draw(view, reading, query, HEIGHT + 46, inside)
    slow = _curate_summary.draw(view, inside)
    _curate_table.draw(view, inside, reading)
    slow()


def _draw_map(view: View, row: int | None, query: int, area: figures_map.Area | None, inside: list[str] | None) -> None:
    colour = _colour()
    scores = _curate_scores.found(colour) if colour in _curate_scores.SCORERS else None
    figure = figures_map.pool_map(
        view,
        colour="state" if colour in _curate_scores.SCORERS and scores is None else colour,
        scores=scores,
        theme=st.context.theme.type or "light",
        row=row,
        query=query if 0 <= query < len(view.query_ids) else None,
        area=area,
        height=HEIGHT,
    )
    _map.draw(
        figure,
        ui.key("curate.map"),
        on_area=_map.draw_area,
        on_point=partial(_read, view, inside),
    )


def _colour() -> str:
    asked = _link.read("colour", "state")
    return asked if asked in figures_map.COLOURINGS else "state"


def _above_map() -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall", key="curate-above-map"):
        st.caption("Colour by", width="content")
        st.segmented_control(
            "Colour by",
            list(figures_map.COLOURINGS),
            format_func=lambda c: figures_map.COLOURINGS[c],
            required=True,
            key=_link.follow("colour", _colour()),
            on_change=lambda: _link.write(colour=_link.value("colour")),
            label_visibility="collapsed",
        )
        st.caption("Help", help=HOW, width="content")


def _read(view: View, inside: list[str] | None, kind: str, number: int) -> None:
    """Show what was clicked on the map."""
    if kind == "query":
        _link.write(query=number, row="", at="")
    elif 0 < number <= len(view.pool_ids):
        _curate_table.read(view, inside, view.pool_ids[number - 1])


with ui.guard():
    workspace, project_id = ui.workspace(), ui.project_id()
    if workspace.dataset(project_id, "pool") is None or workspace.dataset(project_id, "query") is None:
        ui.page("Curate")
        ui.empty("A selection needs a pool and a query set.", "Load data", "data")
    elif not (found := workbench.represented(workspace, project_id)):
        ui.page("Curate")
        ui.empty("Nothing is represented yet: the map is drawn from a representation.", "Represent", "represent")
    else:
        body(found)
