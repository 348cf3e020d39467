"""Train: tune the base model on every arm alike, watch the losses fall, and go on to what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from curation import arms, comparison, figures_results, findings, jobs, results, tasks, workbench
from curation.config import ExperimentConfig
from curation.errors import CurationError
from pages import _design, _jobs, _model
from pages import _shell as ui

if TYPE_CHECKING:
    from curation.tables import Job

PLAIN = {"displayModeBar": False}
EVERY = 2.0  # seconds between two looks at a running experiment's losses


def main() -> None:
    """Draw the page."""
    ws, pid = ui.workspace(), ui.project_id()
    ui.page("Train", "Tune the model on your selection and on what it has to beat, all in the same way.")
    if not workbench.represented(ws, pid):
        ui.empty("There is no selection to tune on yet: compute a representation first.", "Represent", "represent")
        return
    newest = next((r for r in results.experiments(ws, pid) if r.result), None)
    job = _jobs.watch(ws, pid, "experiment", since=newest.experiment.created if newest else 0.0)
    if job is not None:
        alive = job.state in jobs.ACTIVE
        st.fragment(_live, run_every=EVERY if alive else None)(ws, job)
    elif newest is not None:
        _done(newest)
    if job is not None and job.state in jobs.ACTIVE:
        with st.expander("Set up another experiment"):
            _set_up(ws, pid)
    else:
        st.subheader("Next experiment" if newest or job else "Set up an experiment", anchor=False)
        _set_up(ws, pid)


def _live(ws: ui.Workspace, job: Job) -> None:
    """The losses of a running, failed or cancelled experiment, arm by arm."""
    curves = arms.live_curves(jobs.metrics(ws, job.id))
    if not curves:
        if job.state in jobs.ACTIVE:
            st.caption("The losses appear here with the first optimizer step.")
        return
    with st.container(border=True, key="live-losses"):
        st.plotly_chart(figures_results.losses(curves, theme=_theme()), theme=None, config=PLAIN, key="live")


def _done(record: results.ExperimentRecord) -> None:
    """The newest finished experiment in one sentence, and the way to the rest."""
    with st.container(border=True, key="done"):
        st.markdown(f":green[:material/check_circle:] **{ui.plain(record.name)}** :gray[is done]")
        st.markdown(findings.findings(record.result or {})[0].sentence)
        if st.button("Read the evaluation", type="primary", icon=":material/arrow_forward:"):
            ui.go("evaluate")
        curves = (record.result or {})["curves"]
        if curves:
            with st.expander("Training losses"):
                st.plotly_chart(
                    figures_results.losses(curves, theme=_theme()), theme=None, config=PLAIN, key="done-losses"
                )


def _set_up(ws: ui.Workspace, pid: str) -> None:
    """The experiment's design, what it will cost, and the button that starts it."""
    settings = workbench.settings(ws, pid)
    if ws.dataset(pid, "test") is None:
        st.warning(
            "There is no test set, so arms can only be judged by their loss on the queries they were picked for. "
            "Load one on the Data page.",
            icon=":material/warning:",
        )
    left, right = st.columns([5, 4], gap="large")
    with left:
        st.markdown("##### What is compared")
        selection, chosen = _design.selection(ws, pid)
        shown = _design.arms(settings.experiment)
    with right:
        st.markdown("##### Base model")
        with ui.guard():
            _model.choose(ws, pid)
    st.markdown("##### How every arm is tuned")
    try:
        config = ExperimentConfig.from_dict({**shown, **_design.options(settings.experiment, "full" in shown["arms"])})
    except CurationError as error:
        st.error(ui.sentence(error), icon=":material/error:")
        return
    _design.remember(ws, pid, config)
    if chosen is not None:
        _start(ws, pid, config, selection, chosen)


def _start(
    ws: ui.Workspace, pid: str, config: ExperimentConfig, selection: dict[str, Any], chosen: comparison.Saved
) -> None:
    """What it will cost, a name, and the button."""
    record = chosen.represented.record
    n_candidates = ws.count(record["pool"]) - len(chosen.represented.unusable)
    plans = arms.plan(config, len(chosen.ids), n_candidates)
    st.markdown("##### What it takes")
    st.dataframe(
        [
            {
                "Arm": findings.arm_label(p.arm),
                "Examples": p.n_examples,
                "Optimizer steps": p.steps,
                "Examples seen": p.seen,
                "Trainings": p.trainings,
            }
            for p in plans
        ],
        hide_index=True,
        key="plan",
    )
    total = sum(p.trainings for p in plans)
    number = len(ws.experiments(pid)) + 1
    called = st.text_input("Name", f"Experiment {number}", max_chars=60, key=ui.key(f"name-{number}"), width=420)
    lacks = "Choose a base model first." if workbench.settings(ws, pid).model is None else ""
    if not config.evaluation.metrics:
        lacks = "Choose at least one metric to judge by."
    if "selected" in config.arms and not chosen.ids:
        lacks = "The selection is empty; raise the budget on the Curate page."
    if lacks:
        st.caption(f":orange[{lacks}]")
    label = f"Start {total} training{'s' if total != 1 else ''}" if total else "Judge the untuned model"
    pressed = st.button(label, type="primary", icon=":material/play_arrow:", disabled=bool(lacks))
    if pressed:
        with ui.guard():
            asked = {"experiment": config.to_dict(), "selection": selection, "name": called}
            tasks.start(ws, pid, "experiment", asked, called)
            workbench.change(ws, pid, experiment=config)
            st.rerun()


def _theme() -> str:
    return st.context.theme.type or "light"


main()
