"""The Compare page's overlap of all saved selections, pairwise, by the first picks of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from curation import comparison, figures
from pages import _link
from pages import _shell as ui

if TYPE_CHECKING:
    from curation.comparison import Comparison

SHOWN = 10  # selections in the matrix: the two that are compared, and the newest of the others


def draw(told: Comparison, theme: str) -> None:
    """Draw the matrix at a budget of the link's, which moves over several."""
    ws = ui.workspace()
    others = [s for s in ws.selections(ui.project_id()) if f"{s.name} v{s.version}" not in (told.a.name, told.b.name)]
    opened = [comparison.open_saved(ws, s) for s in others[: SHOWN - 2]]
    pool = told.represented.record["pool"]
    beside = [told.a] if told.a.name == told.b.name else [told.a, told.b]
    all_told = comparison.overlaps([*beside, *(s for s in opened if s.represented.record["pool"] == pool)])
    st.subheader("Overlap at several budgets", anchor=False)
    if len(all_told.names) < 2:
        st.markdown(":gray[Save a second selection to see what they share.]")
        return
    st.caption("Shared picks over all picks of the two, when only the first so many picks of each are taken.")
    asked = _link.number("first")
    st.select_slider(
        "First picks of each",
        all_told.budgets,
        format_func=lambda n: f"{n:,}",
        key=_link.follow("first", asked if asked in all_told.budgets else all_told.budgets[-1]),
        on_change=lambda: _link.write(first=_link.value("first")),
        width=420,
    )
    at = all_told.budgets.index(_link.value("first"))
    figure = figures.overlap_matrix(all_told, at, theme=theme)
    st.plotly_chart(figure, theme=None, config={"displayModeBar": False}, key=ui.key("matrix"), width="content")
