"""Trying a query: what is typed, the pool rows nearest to it, and taking it into the query set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from curation import probe, tasks, workbench
from curation.views import open_represented
from curation.wording import representation_label
from curation.workspace import Workspace
from pages import _shell as ui

if TYPE_CHECKING:
    from curation.pipeline import Represented


def draw(ws: Workspace, pid: str, shown: Represented) -> None:
    """Draw the form and, once something was asked, the nearest rows."""
    st.subheader("Try a query", anchor=False)
    title = representation_label(shown.name)
    with st.container(border=True):
        if reason := probe.refusal(ws, shown):
            st.caption(f"{ui.sentence(reason)}.")
            return
        st.caption(f"Type a question and the answer you want to it; {title} shows the pool rows nearest to the two.")
        with st.form(ui.key("query"), border=False):
            left, right = st.columns(2)
            prompt = left.text_area("Prompt", key=ui.key("query-prompt"), height=120)
            answer = right.text_area("Answer", key=ui.key("query-answer"), height=120)
            if st.form_submit_button("Find the nearest rows", icon=":material/search:"):
                st.session_state[ui.key("asked")] = (prompt, answer)
        if asked := st.session_state.get(ui.key("asked")):
            with ui.guard():
                _answer(ws, pid, shown, *asked)


def _answer(ws: Workspace, pid: str, shown: Represented, prompt: str, answer: str) -> None:
    query = probe.typed(prompt, answer)
    rows = _nearest(str(ws.root), str(shown.folder), prompt, answer)
    st.dataframe(
        [{"similarity": row.similarity, "source": row.source, "text": row.text} for row in rows],
        hide_index=True,
        width="stretch",
        column_config={
            "similarity": st.column_config.NumberColumn("Similarity", format="%.3f", width="small"),
            "source": st.column_config.TextColumn("Source", width="small"),
            "text": st.column_config.TextColumn("Pool row", width="large"),
        },
        key=ui.key("query-rows"),
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button("Add to the query set", icon=":material/add:", key=ui.key("query-add")):
            probe.add(ws, pid, query)
            del st.session_state[ui.key("asked")]
            record = shown.record
            job = {name: record[name] for name in ("representation", "model", "warmup") if record[name]}
            tasks.start(ws, pid, "represent", job, f"{representation_label(shown.name)} features")
            workbench.change(ws, pid, active="")
            st.rerun()
        st.caption("Makes a new version of the query set; the one before is kept. Only the new query is computed.")


@st.cache_data(max_entries=64, show_spinner=False)
def _nearest(root: str, folder: str, prompt: str, answer: str) -> list[probe.Near]:
    with st.spinner("Loading the model and the pool's vectors …"):
        ready = _ready(root, folder)
    with st.spinner(f"Comparing your query with {ready.n_pool:,} pool rows …"):
        return ready.nearest(probe.typed(prompt, answer))


@st.cache_resource(max_entries=1, ttl=900, show_spinner=False)  # one model in memory, for a quarter of an hour
def _ready(root: str, folder: str) -> probe.Probe:
    return probe.Probe(Workspace(Path(root)), open_represented(Path(folder)))
