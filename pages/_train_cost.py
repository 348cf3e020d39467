"""What an experiment takes: each arm's steps, and on request its time, memory, disk and money, by a short trial."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import streamlit as st

from curation import findings, jobs, tasks
from curation.cost import Cost
from pages import _jobs
from pages import _shell as ui

if TYPE_CHECKING:
    from curation.arms import ArmPlan

KIND = "forecast"


def draw(ws: ui.Workspace, pid: str, asked: dict[str, Any], plans: list[ArmPlan], *, lacks: str) -> tuple[str, ...]:
    """Draw the plan, with what is known of its cost, and the button that asks; return what will not fit."""
    told, running = _known(ws, pid, asked)
    price = asked["experiment"]["price_per_hour"]
    counts = ("Examples", "Optimizer steps", "Examples seen")
    st.dataframe(
        [_row(plan, told, price) for plan in plans],
        hide_index=True,
        column_config={name: st.column_config.NumberColumn(format="localized") for name in counts},
        key="plan",
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        if told is not None:
            st.markdown(_whole(told, price))
        if st.button(
            "What will it take?" if told is None else "Try again",
            icon=":material/timer:",
            type="tertiary",
            disabled=bool(lacks) or running is not None,
            key=ui.key("forecast"),
            help="Tries a few steps with this model on your own rows: time, memory, disk, and money if you give a "
            "price per hour. It takes about half a minute.",
        ):
            with ui.guard():
                tasks.start(ws, pid, KIND, asked, "What the experiment takes")
                st.rerun()
    if running is not None:
        with st.container(border=True):
            _jobs.follow(ws, running)
    warnings = told.warnings if told else ()
    for warning in warnings:
        st.error(ui.plain(warning), icon=":material/block:")
    return warnings


def _known(ws: ui.Workspace, pid: str, asked: dict[str, Any]) -> tuple[Cost | None, Any]:
    """What is known of the cost of this very design, and the job that is finding it out, or that failed to."""
    if not any(job.kind == KIND for job in jobs.jobs(ws, pid)):  # to look for it settles the selection
        return None, None
    with ui.guard():
        found = tasks.newest(ws, pid, KIND, asked)
        if found is None or found.state in ("cancelled", "paused"):
            return None, None
        if found.state == "succeeded":
            return Cost.from_dict(json.loads(found.result)), None
        return None, found
    return None, None


def _row(plan: ArmPlan, told: Cost | None, price: float) -> dict[str, Any]:
    row: dict[str, Any] = {
        "Arm": findings.arm_label(plan.arm),
        "Examples": plan.n_examples,
        "Optimizer steps": plan.steps,
        "Examples seen": plan.seen,
        "Trainings": plan.trainings,
    }
    if told is not None:
        seconds = told.parts.get(plan.arm, 0.0)
        row["Time, all seeds"] = ui.duration(seconds) if seconds else "there already"
        if price:
            row["Price"] = f"{price * seconds / 3600:,.2f}"
    return row


def _whole(told: Cost, price: float) -> str:
    if not told.parts:
        return "**Nothing to compute**: every arm is tuned and judged already."
    money = f" · {price * told.seconds / 3600:,.2f} in money" if price else ""
    on_gpu = f", {ui.size(told.gpu_memory)} on the GPU" if told.gpu_memory else ""
    return (
        f"**About {ui.duration(told.seconds)}** :gray[· between {ui.duration(told.low)} and {ui.duration(told.high)}] "
        f"· {ui.size(told.memory)} memory{on_gpu} · {ui.size(told.disk)} on disk{money}"
    )
