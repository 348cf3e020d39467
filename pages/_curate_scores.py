"""The Curate page's scores of rows by themselves: shown where they are known, else the way to find them."""

from __future__ import annotations

from typing import Any

import streamlit as st

from curation import jobs, tasks, workbench
from pages import _jobs
from pages import _shell as ui

SCORERS = {
    "perplexity": "Perplexity tells how much each answer surprises the base model: very low is known by heart or a "
    "template, very high is often noise. The base model reads every row once for it.",
}


def found(scorer: str) -> Any:
    """Return the pool's scores; where they are not known, draw how they are found and return None."""
    ws, project = ui.workspace(), ui.project_id()
    with ui.guard():
        with st.spinner("Reading the scores …"):  # a base model's scores: its tokenizer is loaded for their key
            scores = workbench.scores(ws, project, scorer)
        if scores is not None:
            return scores
        asked = {"scorer": scorer}
        job = tasks.newest(ws, project, "score", asked)
        with st.container(border=True, key="curate-scores"):
            if job is not None and job.state in (*jobs.ACTIVE, "failed"):
                _jobs.follow(ws, job)
            if job is None or job.state not in jobs.ACTIVE:
                st.caption(SCORERS[scorer])
                label = f"Find each row's {scorer}"
                if st.button(label, type="primary", icon=":material/play_arrow:", key=ui.key("find-scores")):
                    tasks.start(ws, project, "score", asked, f"{scorer.capitalize()} of the pool")
                    st.rerun()
    return None
