"""Evaluate: what tuning on the selection was worth, with error bars, and what each arm answers."""

from __future__ import annotations

import streamlit as st

from curation import jobs, results
from pages import (
    _evaluate_answers,
    _evaluate_budgets,
    _evaluate_chat,
    _evaluate_judge,
    _evaluate_nearness,
    _evaluate_result,
    _evaluate_subgroups,
    _evaluate_votes,
)
from pages import _shell as ui

PARTS = {
    "result": "Result",
    "budgets": "Budget curve",
    "subgroups": "Subgroups",
    "cost": "Cost",
    "answers": "Answers",
    "vote": "Blind vote",
    "judge": "Judge",
    "chat": "Chat",
    "nearness": "Nearness check",
}
DRAWN = {
    "result": _evaluate_result.draw,
    "budgets": _evaluate_budgets.draw,
    "subgroups": _evaluate_subgroups.draw,
    "cost": _evaluate_result.cost,
    "answers": _evaluate_answers.draw,
    "vote": _evaluate_votes.draw,
    "judge": _evaluate_judge.draw,
    "chat": _evaluate_chat.draw,
    "nearness": _evaluate_nearness.draw,
}
LAYOUT = """<style>
[class*="st-key-beside"] > div { flex: 1 1 200px; min-width: 0; }
</style>"""


def main() -> None:
    """Draw the page."""
    ws, pid = ui.workspace(), ui.project_id()
    ui.page("Evaluate", "What the selection was worth, against random picks and against not tuning at all.")
    st.html(LAYOUT)
    everything = results.experiments(ws, pid)
    finished = {str(r.experiment.id): r for r in everything if r.result}
    if not finished:
        _nothing(ws, everything)
        if _evaluate_nearness.checks(ws, pid):
            st.subheader("Nearness check", anchor=False)
            _evaluate_nearness.draw(ws, None)
        return
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        record = finished[
            st.selectbox(
                "Experiment",
                list(finished),
                format_func=lambda i: f"{finished[i].name} · {ui.moment(finished[i].experiment.created)}",
                key=ui.key("experiment"),
                bind="query-params",
                width=420,
            )
        ]
        if st.button("Go on to the report", icon=":material/arrow_forward:"):
            ui.go("report")
    part = st.segmented_control(
        "Part",
        list(PARTS),
        default="result",
        required=True,
        format_func=PARTS.__getitem__,
        key=ui.key("part"),
        bind="query-params",
        label_visibility="collapsed",
    )
    with ui.guard():
        DRAWN[part or "result"](ws, record)


def _nothing(ws: ui.Workspace, everything: list[results.ExperimentRecord]) -> None:
    """Say why there is no result: none was started, it runs, or why the last one failed."""
    if not everything:
        ui.empty("Nothing has been tuned yet, so there is nothing to judge.", "Train", "train")
        return
    last = everything[0].experiment.job_id
    job = jobs.job(ws, last) if last else None
    if job is not None and job.state == "failed":
        st.error(f"**The last experiment failed.** {ui.sentence(job.error)}", icon=":material/error:")
    ui.empty("No experiment has finished yet. Its progress is on the Train page.", "Train", "train")


main()
