"""Jobs on screen: a tray that lives in the sidebar while something runs, and one job's card for the pages.

All that is shown is read from the workspace, so a reload, another tab or a restarted app shows the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from curation import jobs
from pages._text import duration, plain

if TYPE_CHECKING:
    from curation.tables import Job
    from curation.workspace import Workspace

LIVE = ("queued", "running")
ICONS = {
    "queued": ":material/hourglass_empty:",
    "running": ":material/progress_activity:",
    "succeeded": ":material/check_circle:",
    "failed": ":material/error:",
    "cancelled": ":material/cancel:",
}
COLOURS = {"queued": "gray", "running": "green", "succeeded": "green", "failed": "red", "cancelled": "gray"}
EVERY = 1.0  # seconds between two looks at the workspace while a job lives


def live(ws: Workspace, project_id: str | None = None, kind: str = "") -> list[Job]:
    """Return the jobs that wait or run."""
    return [j for j in jobs.jobs(ws, project_id) if j.state in LIVE and kind in ("", j.kind)]


def last(ws: Workspace, project_id: str, kind: str) -> Job | None:
    """Return the project's newest job of a kind, or None."""
    return max((j for j in jobs.jobs(ws, project_id) if j.kind == kind), key=lambda j: j.created, default=None)


def tray(ws: Workspace, project_id: str) -> None:
    """Draw the jobs of the workspace; redraws itself only while one is live."""
    jobs.refresh(ws)
    alive = bool(live(ws))
    st.fragment(_tray, run_every=EVERY if alive else None)(ws, project_id, alive)


def _tray(ws: Workspace, project_id: str, was_alive: bool) -> None:
    jobs.refresh(ws)
    alive = live(ws)
    if was_alive and not alive:
        st.rerun()  # what the page shows has changed, and the clock can stop
    everything = sorted(jobs.jobs(ws), key=lambda j: j.created, reverse=True)
    if not everything:
        return
    st.markdown("##### Jobs")
    for job in alive:
        card(ws, job, where="tray")
    earlier = [j for j in everything if j.state not in LIVE]
    if earlier:
        with st.expander(_earlier(earlier), expanded=False):
            for job in earlier[:8]:
                card(ws, job, where="tray")


def _earlier(finished: list[Job]) -> str:
    newest = finished[0]
    word = {"succeeded": "Done", "failed": ":red[Failed]", "cancelled": "Cancelled"}[newest.state]
    return f"{word}: {plain(newest.title)}" if len(finished) == 1 else f"{word}: {plain(newest.title)}, and earlier"


def watch(ws: Workspace, project_id: str, kind: str) -> Job | None:
    """Draw a page's own live or failed job of `kind`, redrawn while it lives; return it (None: there is none)."""
    job = last(ws, project_id, kind)
    if job is None or job.state == "succeeded":
        return None
    run_every = EVERY if job.state in LIVE else None
    with st.container(border=True):
        st.fragment(_watch, run_every=run_every)(ws, job.id, run_every is not None)
    return job


def _watch(ws: Workspace, job_id: str, was_alive: bool) -> None:
    jobs.refresh(ws)
    job = jobs.job(ws, job_id)
    if was_alive and job.state not in LIVE:
        st.rerun()
    card(ws, job, where="page")


def card(ws: Workspace, job: Job, *, where: str) -> None:
    """Draw one job: title, progress, rate, time left, its log, and what can be done with it."""
    st.markdown(f":{COLOURS[job.state]}[{ICONS[job.state]}] **{plain(job.title)}**")
    if job.state == "queued":
        st.caption("Waiting for its turn: one job runs at a time.")
    elif job.state == "running":
        share = min(1.0, job.done / job.total) if job.total else 0.0
        st.progress(share, text=f":gray[{plain(progress_line(job))}]")
    elif job.state == "failed":
        st.markdown(plain(job.error or "It ended without saying why; its log tells more."))
    with st.container(horizontal=True, gap="xsmall"):
        if job.state in LIVE and st.button("Cancel", key=f"cancel-{where}-{job.id}", icon=":material/stop_circle:"):
            jobs.cancel(ws, job.id)
            st.rerun()
        if job.state in ("failed", "cancelled") and st.button(
            "Resume", key=f"resume-{where}-{job.id}", icon=":material/play_circle:"
        ):
            jobs.resume(ws, job.id)
            st.rerun()
        with st.popover("Log", type="tertiary"):
            st.code(jobs.log_tail(ws, job.id, 40) or "The log is still empty.", language=None, wrap_lines=True)


def progress_line(job: Job) -> str:
    """Say in words how far a job is: stage, count, rate and time left."""
    parts = [job.stage or "Starting"]
    if job.total:
        parts.append(f"{job.done:,} of {job.total:,} {job.unit}")
    if job.rate:
        parts.append(f"{job.rate:,.0f}/s" if job.rate >= 10 else f"{job.rate:.2g}/s")
    if job.eta is not None:
        parts.append(f"{duration(job.eta)} left")
    return " · ".join(parts)
