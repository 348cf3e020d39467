"""Data: load the pool, the query set and the test set; see what was accepted, what was not, and every row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from pages import _data_add as add
from pages import _data_rows as rows
from pages import _jobs
from pages import _shell as ui

if TYPE_CHECKING:
    from curation.tables import DatasetRow
    from curation.workspace import Workspace

ROLES = {
    "Pool": ("pool", "The pool is what you pick from: instruction examples, from a few hundred to millions."),
    "Query set": ("query", "The query set shows the target: 10 to 500 examples of what the model should learn to do."),
    "Test set": (
        "test",
        "The test set measures the effect. Selection never sees it. You can do without, but not judge.",
    ),
}


def main() -> None:
    """Draw the page."""
    ws, pid = ui.workspace(), ui.project_id()
    ui.page("Data", "What you pick from, what you aim at, and what you measure with.")
    loaded = {name: ws.dataset(pid, role) for name, (role, _) in ROLES.items()}
    if st.session_state.pop("_just_loaded", False):
        rows.leave()
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        name = st.segmented_control(
            "Set",
            list(ROLES),
            default="Pool",
            required=True,
            key="set",
            bind="query-params",
            on_change=rows.leave,
            label_visibility="collapsed",
        )
        st.caption(" · ".join(f"{n} {d.n_rows:,}" if d else f"{n} none" for n, d in loaded.items()))
    role, about = ROLES[name or "Pool"]
    _jobs.watch(ws, pid, "load", since=max((d.created for d in ws.datasets(pid)), default=0.0))
    dataset = loaded[name or "Pool"]
    if dataset is None:
        st.markdown(f"**There is no {name.lower()} yet.** {about}")
        with st.container(border=True):
            add.form(ws, pid, role)
        return
    _head(ws, pid, role, dataset, about)
    tabs = {"Rows": rows.table, "Rejected": rows.rejected, "Checks": rows.checks, "Add another": add.tab}
    for tab, draw in zip(
        st.tabs(list(tabs), key="show", bind="query-params", on_change="rerun"), tabs.values(), strict=True
    ):
        if tab.open:
            with tab, ui.guard():
                draw(ws, pid, role, dataset)


def _head(ws: Workspace, pid: str, role: str, dataset: DatasetRow, about: str) -> None:
    """Which data set is in use, and how its rows fared."""
    stored = {d.key: d for d in ws.datasets(pid) if d.role == role}
    left, *figures = st.columns([2.4, 1, 1, 1], vertical_alignment="bottom")
    with left:
        chosen = st.selectbox(
            "In use",
            list(stored),
            index=list(stored).index(dataset.key),
            format_func=lambda k: f"{stored[k].name} ({ui.counted(stored[k].n_rows, 'row')})",
            help=about,
            key=ui.key(f"active-{role}-{dataset.key}"),
        )
    if chosen != dataset.key:
        ws.activate(pid, role, chosen)
        st.rerun()
    numbers = {"Read": dataset.n_rows + dataset.n_rejected, "Accepted": dataset.n_rows, "Rejected": dataset.n_rejected}
    for column, (label, number) in zip(figures, numbers.items(), strict=True):
        column.metric(label, f"{number:,}")


main()
