"""The Compare page's figures: two selections measured beside random ones, and the overlap of all saved ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from curation import comparison, figures, workbench
from pages import _link
from pages import _shell as ui
from pages._curate_measures import DISTANCES

if TYPE_CHECKING:
    from curation.comparison import Comparison

SHOWN = 10  # selections in the matrix: the two that are compared, and the newest of the others


def measures(told: Comparison) -> None:
    """Draw the figures of both selections, random ones of the same sizes beside them; they may take a while."""
    ws = ui.workspace()
    with st.spinner("Measuring distances and repeats, beside random selections …"):
        both = [workbench.measured(ws, told.represented, s.ids, s.selection.banned) for s in (told.a, told.b)]
    rows = [("Picks", *(f"{m['n_picked']:,}" for m in both), "–", "–")]
    for name, title in DISTANCES.items():
        found = [m["distances"].get(name, {}) for m in both]
        if any(found):
            values = (*(f.get("value") for f in found), *(f.get("random") for f in found))
            rows.append((title, *("–" if v is None else f"{v:.3f}" for v in values)))
    rows.append(("Queries uncovered", *(f"{len(m['uncovered']):,}" for m in both), "–", "–"))
    shares = [m["redundancy"][kind] for kind in ("value", "random") for m in both]
    rows.append(("Picks that nearly repeat another", *("–" if v is None else f"{v:.1%}" for v in shares)))
    names = [told.a.name, told.b.name if told.b.name != told.a.name else f"{told.b.name} "]
    columns = ("", *names, *(f"Random, as many as {name}" for name in names))
    st.dataframe({c: [r[i] for r in rows] for i, c in enumerate(columns)}, hide_index=True, key=ui.key("measures"))


def overlaps(told: Comparison, theme: str) -> None:
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
