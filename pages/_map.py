"""The map as a widget: a figure is redrawn in place, what the user draws or clicks on it comes back, and the first line
of the point that the mouse rests on stands below it.

plotly.js is the copy that the plotly package carries, served by Streamlit's own component route; nothing is fetched
from the network.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import streamlit as st
from streamlit.components.v1 import declare_component

from curation.figures_map import Area
from pages._shell import ASSETS

if TYPE_CHECKING:
    import plotly.graph_objects as go

_PLOTLY = declare_component("plotly", path=str(files("plotly") / "package_data"))
_MAP = st.components.v2.component(
    "winnow_map",
    html='<div class="winnow-map"></div>',
    css=".winnow-map .selectionlayer path { pointer-events: none !important; }",  # points under a lasso stay clickable
    js=(ASSETS / "map.js").read_text("utf-8"),
    isolate_styles=False,
)
_HOVER = st.components.v2.component("winnow_hover", js=(ASSETS / "hover.js").read_text("utf-8"), isolate_styles=False)
LINE = """<style>
.st-key-map-line { white-space: nowrap; font-size: 0.875rem; opacity: 0.75; }
.st-key-map-line [data-testid="stText"] { overflow: hidden; text-overflow: ellipsis; font-size: inherit; }
</style>"""


def draw(
    figure: go.Figure,
    key: str,
    *,
    on_point: Callable[[str, int], None],
    on_area: Callable[[Area | None], None] | None = None,
    line: Callable[[str, int], str] | None = None,
) -> None:
    """Draw a map.

    Parameters
    ----------
    figure : Figure
        As `figures_map` makes it.
    key : str
        Key of the widget.
    on_point : callable
        Called with the kind of a clicked point, ``"row"`` or ``"query"``, and its number from 1.
    on_area : callable, optional
        Called with the lasso or box that was drawn, or None when it was taken away.
    line : callable, optional
        Returns the line to be read below the map of a point, named as to `on_point`.
    """
    spec = figure.to_json(remove_uids=False)  # by them Plotly knows what a click on the legend has hidden

    def event(name: str) -> Any:
        return (st.session_state.get(key) or {}).get(name)

    def area() -> None:
        if on_area and (drawn := event("area")):
            on_area(None if drawn["kind"] == "none" else Area(drawn["kind"], tuple(drawn["x"]), tuple(drawn["y"])))

    def point() -> None:
        if clicked := event("point"):
            on_point(str(clicked["kind"]), int(clicked["number"]))

    _MAP(
        key=key,
        data={
            "figure": spec,
            "plotly": f"component/{_PLOTLY.name}/plotly.min.js",
            "revision": hashlib.sha256(spec.encode()).hexdigest()[:12],
        },
        on_area_change=area,
        on_point_change=point,
    )
    if line is not None:
        _below(f"{key}.hover", line)


@st.fragment
def _below(key: str, line: Callable[[str, int], str]) -> None:
    """Show the line of the point that the mouse rests on; as a fragment of its own it redraws nothing else."""
    _HOVER(key=key, on_point_change=lambda: None, height=1)
    rests = (st.session_state.get(key) or {}).get("point")
    with st.container(key="map-line"):
        st.html(LINE)
        st.text(
            line(str(rests["kind"]), int(rests["number"])) if rests else "Rest the mouse on a point to read its line."
        )
