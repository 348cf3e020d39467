"""The map as a widget: a figure is redrawn in place, and what the user draws or clicks on it comes back.

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


def draw(
    figure: go.Figure,
    key: str,
    *,
    on_point: Callable[[str, int], None],
    on_area: Callable[[Area | None], None] | None = None,
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
    """
    spec = figure.to_json(remove_uids=False)  # by them Plotly knows what a click on the legend has hidden

    def event(name: str) -> Any:
        return (st.session_state.get(key) or {}).get(name)

    def outlined() -> None:
        if on_area and (drawn := event("area")):
            on_area(None if drawn["kind"] == "none" else Area(drawn["kind"], tuple(drawn["x"]), tuple(drawn["y"])))

    def pointed() -> None:
        if clicked := event("point"):
            on_point(str(clicked["kind"]), int(clicked["number"]))

    _MAP(
        key=key,
        data={
            "figure": spec,
            "plotly": f"component/{_PLOTLY.name}/plotly.min.js",
            "revision": hashlib.sha256(spec.encode()).hexdigest()[:12],
        },
        on_area_change=outlined,
        on_point_change=pointed,
    )
