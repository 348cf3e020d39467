"""A running experiment: its losses on one chart, how far it is, and what can be done with each of its arms."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import streamlit as st

from curation import arms, figures_results, findings, jobs
from curation.orders import Orders, training_name
from pages import _shell as ui

if TYPE_CHECKING:
    from curation.tables import Job

PLAIN = {"displayModeBar": False}
EVERY = 2.0  # seconds between two looks at a running experiment
LOOKS = {  # state of an arm → icon, colour
    "tuned": ("check_circle", "green"),
    "judged": ("check_circle", "green"),
    "now": ("progress_activity", "green"),
    "waiting": ("hourglass_empty", "gray"),
    "left out": ("do_not_disturb_on", "orange"),
    "failed": ("error", "red"),
}


def draw(ws: ui.Workspace, job: Job) -> None:
    """Draw the job's losses and arms, redrawn while it lives."""
    st.fragment(_draw, run_every=EVERY if job.state in jobs.ACTIVE else None)(ws, job.id)


def _draw(ws: ui.Workspace, job_id: str) -> None:
    job, readings = jobs.job(ws, job_id), jobs.metrics(ws, job_id)
    curves, alive = arms.live_curves(readings), job.state in jobs.ACTIVE
    course = jobs.folder(ws, job.id) / "course.json"
    planned = json.loads(course.read_text()) if course.is_file() else []
    if not curves and alive:
        st.caption("The losses appear here with the first optimizer step.")
    if curves:
        with st.container(border=True, key=f"live-losses-{job.id}"):
            if alive:
                left = Orders(jobs.folder(ws, job.id)).left_out()
                _readings(ws, job, arms.course([row for row in planned if row[0] not in left], readings))
            figure = figures_results.losses(curves, planned=[row[3] for row in planned if row[3]], theme=theme())
            st.plotly_chart(figure, theme=None, config=PLAIN, key=f"live-{job.id}")
            asked = json.loads(job.config).get("experiment") or {}
            aside = asked.get("dev_share") and asked["training"]["early_stopping"]
            st.caption(
                "Solid: loss on the rows that are learned, its running mean over the single steps. Dashed: loss on the "
                f"{'test rows set aside' if aside else 'queries'}, before the first step and after each pass. Lower is "
                "better on both; solid lines of different arms are of different rows, so compare the dashed ones."
            )
    if planned:
        _arms(ws, job, planned, readings)


def _readings(ws: ui.Workspace, job: Job, course: arms.Course | None) -> None:
    """Draw the latest numbers of the training under way."""
    now, memory = json.loads(job.metrics), jobs.memory(ws, job.id)
    shown = {"Training": f"{course.place} of {course.trainings}"} if course else {}
    shown |= {
        "Loss, own rows": _number(now.get("loss"), ".3f"),
        "Loss, queries": _number(now.get("query_loss"), ".3f"),
        "Learning rate": _number(now.get("learning_rate"), ".2g"),
        "Tokens a second": _number(now.get("tokens_per_second"), ",.0f"),
        "Memory": ui.size(memory.gpu or memory.now),
    }
    if course is not None:
        left = course.seconds_left
        shown["Tuning left, about"] = "–" if left is None else ui.duration(left)
    with st.container(horizontal=True, gap="medium"):
        for title, value in shown.items():
            st.markdown(f":small[:gray[{title}]]  \n**{value}**", width="content")


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def _arms(ws: ui.Workspace, job: Job, planned: list[list[Any]], readings: list[dict[str, Any]]) -> None:
    """Draw each arm's state, and what can be ordered."""
    orders = Orders(jobs.folder(ws, job.id))
    left, stage = orders.left_out(), job.stage if job.state == "running" else ""
    with st.container(border=True, gap="xsmall", key=f"live-arms-{job.id}"):
        for place, of in enumerate(arms.states(planned, readings, left, orders.stops(), stage)):
            with st.container(
                horizontal=True, gap="small", vertical_alignment="center", key=f"live-arm-{job.id}-{place}"
            ):
                icon, colour = LOOKS[of.state]
                name = ui.plain(findings.arm_label(of.arm))
                st.markdown(f":{colour}[:material/{icon}:] **{name}** :gray[{ui.plain(of.told)}]", width="stretch")
                _buttons(orders, job, of.arm, left, arms.under_way(stage))


def _buttons(orders: Orders, job: Job, arm: str, left: tuple[str, ...], under_way: tuple[str, int, str] | None) -> None:
    def button(label: str, icon: str, act: Callable[[str], None], of: str, told: str = "") -> None:
        st.button(
            label,
            icon=f":material/{icon}:",
            type="tertiary",
            key=f"{label}-{job.id}-{of}",
            help=told or None,
            on_click=act,
            args=(of,),
        )

    if arm in left:
        button("Take in again", "undo", orders.take, arm)
        return
    if under_way and under_way[0] == arm and under_way[2] == "training":
        training = training_name(arm, under_way[1])
        if training in orders.stops():
            st.caption("Stopping after this step …")
        else:
            told = "Ends this training now and judges the model as it stands. The result says so."
            button("Stop and keep", "stop", orders.stop, training, told)
    if job.state != "succeeded":
        told = "The other arms go on. It can be taken in again, and then goes on from its last checkpoint."
        button("Leave out", "close", orders.leave, arm, told)


def disturbed(ws: ui.Workspace, job_id: str, result: dict[str, Any]) -> None:
    """Draw the arms of a finished experiment that failed, were left out or stopped, and the way to complete them."""
    failed: dict[str, dict[str, str]] = result.get("failed") or {}
    for arm, seeds in failed.items():
        name = ui.plain(findings.arm_label(arm))
        for seed, why in seeds.items():
            st.markdown(f":red[:material/error:] **{name}**, seed {seed}: {ui.sentence(why)}")
    for kind, title, act in (
        ("left_out_arms", "was left out", "Add it"),
        ("stopped", "was stopped early", "Train it to its end"),
    ):
        for arm in result.get(kind) or ():
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown(f":orange[:material/info:] The arm **{ui.plain(findings.arm_label(arm))}** {title}.")
                if job_id and st.button(
                    act, type="tertiary", icon=":material/add:", key=f"complete-{kind}-{arm}-{job_id}"
                ):
                    with ui.guard():
                        Orders(jobs.folder(ws, job_id)).take(arm)
                        jobs.resume(ws, job_id, again=True)
                        st.rerun()


def theme() -> str:
    """Return the colours that are on screen."""
    return st.context.theme.type or "light"
