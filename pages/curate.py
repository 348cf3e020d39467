"""Curate: the map, the budget, the table and one example's detail on one screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from curation import figures_map, views, workbench
from curation.errors import CurationError
from pages import _curate_controls, _curate_detail, _curate_table, _link, _map
from pages import _shell as ui

if TYPE_CHECKING:
    from curation.pipeline import Represented
    from curation.views import View

HEIGHT = 470
MEANING = (
    "Distance: mean over the queries of 1 − similarity to the nearest pick, beside random picks of the same number. "
    "Redundancy: share of picks that no query can tell from another pick. "
    "Uncovered: queries that random picks of the same number would likely serve better."
)
HOW = "Drag around points to lasso them, click one to read it, scroll to zoom, double-click to see all again."
# The detail stands beside the map where both have room, else below it; rows of controls keep to their line.
LAYOUT = """<style>
.st-key-curate-body > div:has(> .st-key-curate-map) { flex: 1.7 1 520px; min-width: 0; }
.st-key-curate-body > div:has(> .st-key-curate-side) { flex: 1 1 340px; min-width: 0; }
.st-key-curate-nearest button { min-height: 1.7rem; padding: 0; }
.st-key-curate-nearest button, .st-key-curate-nearest button * { justify-content: flex-start; text-align: left; }
.st-key-curate-controls > div:has(> .st-key-curate-budget) { flex: 1 1 420px; }
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
        st.space("stretch")
        head = st.container(horizontal=True, gap="xsmall", width="content")
    pool = ws.dataset(project, "pool")
    _curate_controls.draw(available, pool.n_rows if pool else 1)
    try:
        view = workbench.view(ws, project, representation=_link.read("representation"), selection=_link.selection())
    except CurationError as error:
        with head:
            _curate_controls.decisions(None)
        st.error(ui.sentence(error), icon=":material/error:")
        return
    with head:
        _curate_controls.decisions(view)
        _curate_controls.keep(view)
    st.html(LAYOUT)
    area = _link.area() if view.represented.has_map else None
    query = _link.number("query") - 1
    reading = _link.read("row")
    if not reading and query < 0 and len(view.subset):
        reading = view.pool_ids[view.subset.indices[0]]  # nothing asked for yet: the first pick
    row = view.rows.position.get(reading)
    with st.container(horizontal=True, gap="small", key="curate-body"):
        with st.container(gap="xsmall", key="curate-map"):
            _above_map()
            if view.represented.has_map:
                _draw_map(view, row, query, area)
            else:
                ui.empty("The map of this representation is not drawn yet.", "Draw it", "represent")
        with st.container(gap="xsmall", key="curate-side"):
            _curate_detail.draw(view, reading, query, HEIGHT + 46)
    _summary(view)
    test = workbench.box if area and area.kind == "box" else workbench.lasso
    _curate_table.draw(view, test(view, [*area.x], [*area.y]) if area else None)


def _draw_map(view: View, row: int | None, query: int, area: figures_map.Area | None) -> None:
    figure = figures_map.pool_map(
        view,
        colour=_colour(),
        theme=st.context.theme.type or "light",
        row=row,
        query=query if 0 <= query < len(view.query_ids) else None,
        area=area,
        height=HEIGHT,
    )
    _map.draw(
        figure,
        ui.key("curate.map"),
        on_area=_link.draw_area,
        on_point=lambda k, n: _read(view, k, n),
        line=lambda k, n: views.line(ui.workspace(), view, k, n),
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
        st.caption("Mouse", help=HOW, width="content")


def _read(view: View, kind: str, number: int) -> None:
    """Show what was clicked on the map."""
    if kind == "query":
        _link.write(query=number, row="", at="")
    elif 0 < number <= len(view.pool_ids):
        _link.write(row=view.pool_ids[number - 1])


def _summary(view: View) -> None:
    """One line of figures: what was picked, which queries it leaves uncovered, how near it is, how repetitive."""
    told = view.summary
    uncovered = told["uncovered"]
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="curate-summary"):
        near = (
            f" · distance **{told['distance']:.2f}** :gray[(random {told['random_distance']:.2f})]"
            f" · redundancy **{told['redundancy']:.0%}**"
        )
        st.markdown(
            f"**{told['n_picked']:,}** picked :gray[of {len(view.pool_ids):,}] · **{len(view.query_ids):,}** queries"
            + (near if told["n_picked"] else ""),
            width="content",
            help=MEANING,
        )
        if uncovered:
            with st.popover(f":red[{len(uncovered)} uncovered]", type="tertiary", key=ui.key("uncovered")):
                st.caption("No pick is near these queries. Click one to see it and the rows around it.")
                for query in uncovered[:30]:
                    st.button(
                        f":yellow[★] {query + 1} · {ui.plain(view.query_titles[query])}",
                        key=ui.key(f"uncovered.{query}"),
                        type="tertiary",
                        on_click=_link.write,
                        kwargs={"query": query + 1, "row": "", "at": ""},
                    )
        else:
            st.markdown(":green[all covered]", width="content")
        if view.stale_overrides:
            st.caption(f"{len(view.stale_overrides):,} decisions are about rows that this pool does not have.")


if message := st.session_state.pop("_toast", ""):
    st.toast(message, icon=":material/bookmark_added:")
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
