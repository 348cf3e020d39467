"""The next round: what a tuned arm got wrong on the dev split, as further queries that are taken or left."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from curation import answers, figures_results, findings, rounds, tasks, wording, workbench
from pages import _jobs
from pages import _shell as ui

if TYPE_CHECKING:
    from curation.comparison import Saved
    from curation.results import ExperimentRecord
    from curation.workspace import Workspace

PAGE = 5


def draw(ws: Workspace, pid: str, chosen: Saved, record: ExperimentRecord | None) -> None:
    """Draw the proposals of an experiment and the rounds so far."""
    st.caption(
        "What the tuned model still gets wrong shows what its next selection should teach. Only test rows that were "
        "set aside as a dev split are looked at, never those that judge, so that the next result stays honest."
    )
    _so_far(ws, pid)
    if record is None or record.result is None:
        ui.empty("Tune this selection first; what it still gets wrong then shows here.", "Train", "train")
        return
    if not record.result.get("n_dev") or not record.experiment.job_id:
        ui.empty(
            "This experiment set no test rows aside, so there is nothing to look for failures in. On the Train page "
            "set a share of the test rows aside as a dev split, 30 % say, and start again: trainings that are done "
            "already are not repeated.",
            "Train",
            "train",
        )
        return
    tuned = findings.tuned_arms(record.result)
    arm = st.selectbox(
        "What did this arm get wrong?",
        tuned,
        index=tuned.index("selected") if "selected" in tuned else 0,
        format_func=findings.arm_label,
        key=ui.key("round-arm"),
        bind="query-params",
        width=320,
    )
    found = rounds.proposal(ws, record.key, arm)
    if found is None:
        _look(ws, pid, record, arm)
    elif not found.failures:
        ui.empty(f"It got all {found.n_dev:,} rows of the dev split right: nothing to propose.")
    else:
        _proposals(ws, pid, chosen, found)


def _look(ws: Workspace, pid: str, record: ExperimentRecord, arm: str) -> None:
    """The button that starts the search, and how far it is."""
    n = (record.result or {})["n_dev"]
    job = _jobs.watch(ws, pid, "proposal", since=record.experiment.created)
    if job is not None and job.state in ("queued", "running"):
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button("Find what it gets wrong", type="primary", icon=":material/search:", key=ui.key("round-look")):
            with ui.guard():
                asked = {"of": record.experiment.job_id, "arm": arm}
                tasks.start(ws, pid, "proposal", asked, f"What {wording.arm_label(arm)} gets wrong")
                st.rerun()
        st.caption(f"Judges the arm's first training on the {n:,} test rows that were set aside.")


@st.fragment
def _proposals(ws: Workspace, pid: str, chosen: Saved, found: rounds.Proposal) -> None:
    """The failures, a page at a time, each to be taken or left, and the button that begins the round."""
    left: set[str] = st.session_state.setdefault(ui.key(f"round-left-{found.key}"), set())
    total = len(found.failures)
    head = st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute")
    head.markdown(f"**{total:,} of {found.n_dev:,} rows of the dev split were answered wrong**")
    with head.container(horizontal=True, width="content", gap="xsmall"):
        if st.button("Take all", type="tertiary", key=ui.key("round-all")):
            left.clear()
        if st.button("Take none", type="tertiary", key=ui.key("round-none")):
            left.update(f.row.id for f in found.failures)
    last = -(-total // PAGE)
    page = st.pagination(last, key=ui.key(f"round-page-{found.key}")) if last > 1 else 1
    for failure in found.failures[(page - 1) * PAGE : page * PAGE]:
        _failure(failure, found, left)
    taken = [f.row.id for f in found.failures if f.row.id not in left]
    number = len(rounds.rounds(ws, pid)) + 1
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button(
            f"Start round {number} with {len(taken):,} further quer{'y' if len(taken) == 1 else 'ies'}",
            type="primary",
            icon=":material/restart_alt:",
            disabled=not taken,
            key=ui.key("round-start"),
        ):
            with ui.guard():
                _start(ws, pid, chosen, found, taken)
        st.caption("Makes a new version of the query set, computes it, and leads on to Represent; nothing is lost.")


def _failure(failure: rounds.Failure, found: rounds.Proposal, left: set[str]) -> None:
    row = failure.row
    with st.container(border=True, key=f"failure-{row.id[:16]}"):
        asked, expected, given = st.columns([3, 2, 2], gap="medium")
        with asked:
            st.checkbox(
                "Take as a query",
                value=row.id not in left,
                key=ui.key(f"take-{row.id}-{len(left)}"),  # made anew with every change, also by Take all
                on_change=left.symmetric_difference_update,
                args=({row.id},),
            )
            st.text(answers.question(row))
        with expected:
            st.caption("Expected")
            st.text(row.answer)
        with given:
            value = findings.shown(found.metric, failure.value)
            st.caption(f"{findings.metric_label(found.metric)} {value}" if failure.value else "Answered")
            st.text(failure.answer or ("" if findings.is_loss(found.metric) else "(no answer)"))


def _start(ws: Workspace, pid: str, chosen: Saved, found: rounds.Proposal, taken: list[str]) -> None:
    """Make the query set, queue its representation by the same method, and go there."""
    rounds.begin(ws, pid, found, taken)
    record = chosen.represented.record
    job = {name: record[name] for name in ("representation", "model", "warmup") if record[name]}
    tasks.start(ws, pid, "represent", job, f"{chosen.represented.name} features")
    workbench.change(ws, pid, active="")
    ui.go("represent")


def _so_far(ws: Workspace, pid: str) -> None:
    """The rounds on one chart, each with its number of queries."""
    told = rounds.rounds(ws, pid)
    judged = [r for r in told if r.comparable and r.record and r.record.result]
    if len(told) < 2:
        return
    with st.container(border=True, key="rounds"):
        st.markdown("**Rounds so far**")
        st.dataframe([_line(r) for r in told], hide_index=True, key="rounds-table")
        metric = rounds.shared_metric(told)
        if len(judged) > 1 and metric is None:
            st.caption(
                "These rounds share no metric but the loss on their own queries, if any, so no chart compares them."
            )
        elif len(judged) > 1 and metric is not None:
            figure = figures_results.rounds(told, metric, theme=st.context.theme.type or "light")
            st.plotly_chart(figure, theme=None, config={"displayModeBar": False}, key="rounds-chart")
            st.caption("Mean and 95 % interval of each round's newest experiment, on the same test rows.")
        if any(r.record and not r.comparable for r in told):
            st.caption("Rounds that were judged on other test rows are not on the chart: they can't be compared.")


def _line(told: rounds.Round) -> dict[str, str]:
    """One round as a line of the table."""
    line = {
        "Round": str(told.number),
        "Queries": f"{told.n_queries:,}",
        "New": f"{told.n_added:,}" if told.n_added else "",
    }
    line["Experiment"] = told.record.name if told.record else "none yet"
    result = told.record.result if told.record else None
    if result and "selected" in result["arms"]:
        metric = findings.main_metric(result)
        line[f"Selected, {findings.metric_label(metric).lower()}"] = findings.interval(
            metric, result["arms"]["selected"]["metrics"][metric]
        )
    return line
