"""What a representation would cost: asked for by a button, worked out as a job, shown until its options change."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import streamlit as st

from curation import tasks
from curation.cost import Cost
from pages import _jobs
from pages import _shell as ui

if TYPE_CHECKING:
    from curation.workspace import Workspace


def ask(ws: Workspace, pid: str, name: str, title: str, job: dict[str, Any], *, disabled: bool) -> None:
    """Draw the button that asks what the job `job` would cost."""
    if st.button(
        "What will it cost?",
        icon=":material/timer:",
        type="tertiary",
        disabled=disabled,
        key=ui.key(f"cost-{name}"),
        help="Tries a few of your own rows with this model, for about half a minute.",
    ):
        tasks.start(ws, pid, "estimate", job, f"Cost of {title} features")
        st.rerun()


def answer(ws: Workspace, pid: str, job: dict[str, Any], *, since: float) -> None:
    """Draw what is known of the cost of the job `job`; nothing if it was not asked, or was before `since`."""
    found = tasks.newest(ws, pid, "estimate", job)
    if found is None or (found.ended or since) < since or found.state in ("cancelled", "paused"):
        return
    if found.state == "succeeded":
        _told(Cost.from_dict(json.loads(found.result)))
    else:
        with st.container(border=True):
            _jobs.follow(ws, found)


def _told(cost: Cost) -> None:
    """Draw a cost: the whole in one line, its parts, what will not fit, and how it is known."""
    with st.container(border=True, gap="xxsmall"):
        if not cost.parts:
            st.markdown("**Nothing to compute**: all of it is stored already.")
            return
        between = f":gray[· between {_short(cost.low)} and {_short(cost.high)}]"
        st.markdown(f"**About {_short(cost.seconds)}** {between}")
        on_gpu = f", {ui.size(cost.gpu_memory)} on the GPU" if cost.gpu_memory else ""
        rows = ui.counted(cost.rows, "new row") + (f", {cost.reused:,} reused" if cost.reused else "")
        st.markdown(f"{ui.size(cost.memory)} memory{on_gpu} · {ui.size(cost.disk)} on disk · {rows}")
        for warning in cost.warnings:
            st.warning(ui.plain(warning), icon=":material/warning:")
        parts = ", ".join(f"{stage} {_short(seconds)}" for stage, seconds in cost.parts.items() if seconds >= 1)
        st.caption(f"{parts[:1].upper()}{parts[1:]}. How it is known: {ui.plain(cost.how)}.")


def _short(seconds: float) -> str:
    """A span of time, to the minute where there are many."""
    return ui.duration(seconds) if seconds < 600 else ui.duration(60 * round(seconds / 60)).removesuffix(" 0 s")
