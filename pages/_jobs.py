"""Jobs on screen: a tray that lives in the sidebar while something runs, and one job's card for the pages.

All that is shown is read from the workspace, so a reload, another tab or a restarted app shows the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from curation import arms, jobs
from curation.wording import arm_label
from pages._text import duration, plain, sentence, size

if TYPE_CHECKING:
    from curation.tables import Job
    from curation.workspace import Workspace

LOOKS = {  # state → icon, colour
    "queued": (":material/hourglass_empty:", "gray"),
    "running": (":material/progress_activity:", "green"),
    "succeeded": (":material/check_circle:", "green"),
    "failed": (":material/error:", "red"),
    "cancelled": (":material/do_not_disturb_on:", "gray"),
    "paused": (":material/pause_circle:", "orange"),
}
EVERY = 1.0  # seconds between two looks at the workspace while a job lives


def tray(ws: Workspace) -> None:
    """Draw the workspace's jobs; redraws itself only while one is live."""
    alive = any(j.state in jobs.ACTIVE for j in jobs.jobs(ws))
    st.fragment(_tray, run_every=EVERY if alive else None)(ws, alive)


def _tray(ws: Workspace, was_alive: bool) -> None:
    everything = jobs.jobs(ws)
    alive = [j for j in everything if j.state in jobs.ACTIVE]
    ended = [j for j in everything if j.state not in jobs.ACTIVE]
    if was_alive and not alive:
        st.rerun()  # what the page shows has changed, and the clock can stop
    if everything:
        st.markdown("##### Jobs")
    for job in alive:
        card(ws, job, where="tray")
    if ended:
        icon, colour = LOOKS[ended[0].state]
        with st.expander(f":{colour}[{icon}] {plain(ended[0].title)}", type="compact", key="ended-jobs"):
            for job in ended[:8]:
                card(ws, job, where="tray")


def watch(ws: Workspace, project_id: str, kind: str, *, since: float = 0.0) -> Job | None:
    """Draw the project's live or newest job of `kind`, redrawn while it lives; return it, or None to show none.

    Not shown is one that succeeded, one that ended before `since` (when newer work of its kind was finished), and one
    that was hidden in this tab.
    """
    of_kind = (j for j in jobs.jobs(ws, project_id) if j.kind == kind)
    job = max(of_kind, key=lambda j: (j.state == "running", j.state in jobs.ACTIVE, j.created), default=None)
    if job is None or job.state == "succeeded" or (job.ended or since) < since:
        return None
    if job.id in st.session_state.get("_hidden_jobs", ()) and job.state not in jobs.ACTIVE:
        return None
    with st.container(border=True):
        follow(ws, job)
    return job


def follow(ws: Workspace, job: Job) -> None:
    """Draw one job, redrawn while it lives; when it ends the page is drawn anew."""
    alive = job.state in jobs.ACTIVE
    st.fragment(_watch, run_every=EVERY if alive else None)(ws, job.id, alive)


def _watch(ws: Workspace, job_id: str, was_alive: bool) -> None:
    job = jobs.job(ws, job_id)
    if was_alive and job.state not in jobs.ACTIVE:
        st.rerun()
    card(ws, job, where="page")


def card(ws: Workspace, job: Job, *, where: str) -> None:
    """Draw one job: title, progress, rate, time left, its log, and what can be done with it."""
    icon, colour = LOOKS[job.state]
    with st.container(gap="xxsmall", key=f"job-{where}-{job.id}"):
        st.markdown(f":{colour}[{icon}] **{plain(job.title)}**")
        if job.state == "queued":
            waits = any(j.state == "running" for j in jobs.jobs(ws))
            st.caption("Waiting for its turn: one job runs at a time." if waits else "Starting …")
        elif job.state == "running":
            st.progress(min(1.0, job.done / job.total) if job.total else 0.0)
            st.caption(plain(progress_line(job, jobs.memory(ws, job.id))))
        elif job.state in ("cancelled", "paused"):
            st.caption(f"{job.state.capitalize()}. Resume it to go on from what is finished.")
        elif job.state == "succeeded":
            st.caption(taken(job, jobs.memory(ws, job.id)))
        elif job.state == "failed":
            st.markdown(sentence(job.error or "It ended without saying why; its log tells more."))
        with st.container(horizontal=True, gap="small", vertical_alignment="center"):
            if job.state == "running" and _button("Pause", "pause_circle", job, where):
                jobs.cancel(ws, job.id, pause=True)
                st.rerun()
            if job.state in jobs.ACTIVE and _button("Cancel", "stop_circle", job, where):
                jobs.cancel(ws, job.id)
                st.rerun()
            if job.state in ("failed", "cancelled", "paused") and _button("Resume", "play_circle", job, where):
                jobs.resume(ws, job.id)
                st.rerun()
            if where == "page" and job.state not in jobs.ACTIVE and _button("Hide", "visibility_off", job, where):
                st.session_state.setdefault("_hidden_jobs", set()).add(job.id)
                st.rerun()
            with st.popover("Log", type="tertiary", key=f"log-{where}-{job.id}"):
                st.code(jobs.log_tail(ws, job.id, 40) or "The log is still empty.", language=None, wrap_lines=True)


def _button(label: str, icon: str, job: Job, where: str) -> bool:
    return st.button(label, icon=f":material/{icon}:", type="tertiary", key=f"{label}-{where}-{job.id}")


def progress_line(job: Job, memory: jobs.Memory) -> str:
    """Say in words how far a job is: stage, count, rate, time left and memory."""
    of = arms.under_way(job.stage)
    stage = f"{arm_label(of[0])}, seed {of[1]}: {of[2]}" if of else job.stage
    parts = [stage[:1].upper() + stage[1:] or "Starting"]
    if job.total:
        parts.append(f"{job.done:,} of {job.total:,} {job.unit}")
    if job.rate:
        parts.append(f"{job.rate:,.0f}/s" if job.rate >= 10 else f"{job.rate:.2g}/s")
    if job.eta is not None:
        parts.append(f"{duration(job.eta)} left")
    if memory.now:
        parts.append(f"{size(memory.now)} memory")
    if memory.gpu:
        parts.append(f"{size(memory.gpu)} on the GPU")
    return " · ".join(parts)


def taken(job: Job, memory: jobs.Memory) -> str:
    """Say in words what a finished job took: time, and memory at its most."""
    parts = [f"Took {duration(job.ended - job.started)}"] if job.ended and job.started else []
    if memory.peak:
        parts.append(f"at most {size(memory.peak)} memory")
    if memory.gpu_peak:
        parts.append(f"{size(memory.gpu_peak)} on the GPU")
    return ", ".join(parts)
