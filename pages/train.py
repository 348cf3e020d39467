"""Train: tune the base model on every arm alike, watch the losses fall, and go on to what came of it."""

from __future__ import annotations

from typing import Any

import streamlit as st

from curation import arms, comparison, design, figures_results, findings, jobs, results, tasks, workbench
from curation.config import ExperimentConfig
from curation.errors import CurationError
from pages import (
    _design,
    _form,
    _jobs,
    _model,
    _train_arms,
    _train_cost,
    _train_judging,
    _train_live,
    _train_models,
    _train_quantiles,
    _train_sizes,
)
from pages import _shell as ui


def main() -> None:
    """Draw the page."""
    ws, pid = ui.workspace(), ui.project_id()
    ui.page("Train", "Tune the model on your selection and on what it has to beat, all in the same way.")
    if not workbench.represented(ws, pid):
        ui.empty("There is no selection to tune on yet: compute a representation first.", "Represent", "represent")
        return
    finished = [r for r in results.experiments(ws, pid) if r.result]
    newest = finished[0] if finished else None
    job = _jobs.watch(ws, pid, "experiment", since=newest.experiment.created if newest else 0.0)
    if job is not None:
        _train_live.draw(ws, job)
    elif newest is not None:
        _done(ws, newest)
        _earlier(ws, finished[1:])
    if job is not None and job.state in jobs.ACTIVE:
        with st.expander("Set up another experiment"):
            config = _set_up(ws, pid)
    else:
        st.subheader("Next experiment" if newest or job else "Set up an experiment", anchor=False)
        config = _set_up(ws, pid)
    if config is not None:
        _train_quantiles.draw(ws, pid, config)


def _done(ws: ui.Workspace, record: results.ExperimentRecord) -> None:
    """The newest finished experiment in one sentence, and the way to the rest."""
    result = record.result or {}
    with st.container(border=True, key="done"):
        st.markdown(f":green[:material/check_circle:] **{ui.plain(record.name)}** :gray[is done]")
        st.markdown(ui.plain(findings.findings(result)[0].sentence))
        _train_live.disturbed(ws, record.experiment.job_id, result)
        if st.button("Read the evaluation", type="primary", icon=":material/arrow_forward:"):
            ui.go("evaluate")
        _train_models.draw(ws, ui.project_id(), result)
        if curves := result["curves"]:
            with st.expander("Losses while it was tuned"):
                figure = figures_results.losses(curves, theme=_train_live.theme())
                st.plotly_chart(figure, theme=None, config=_train_live.PLAIN, key="done-losses")


def _earlier(ws: ui.Workspace, finished: list[results.ExperimentRecord]) -> None:
    """Earlier experiments whose arms were left out or stopped, to be completed."""
    unfinished = [r for r in finished if r.result and (r.result.get("left_out_arms") or r.result.get("stopped"))]
    if unfinished:
        with st.expander("Earlier experiments that can be completed"):
            for record in unfinished:
                st.markdown(f"**{ui.plain(record.name)}**")
                _train_live.disturbed(ws, record.experiment.job_id, record.result or {})


def _set_up(ws: ui.Workspace, pid: str) -> ExperimentConfig | None:
    """The experiment's design, what it will cost, and the button that starts it; None if it makes no sense yet."""
    current = workbench.settings(ws, pid).experiment
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
    with right:
        st.markdown("##### Base model")
        with ui.guard():
            _model.choose(ws, pid)
    if chosen is None:
        return None
    try:
        _train_arms.starts(ws, pid, chosen)
        shown = _train_arms.draw(ws, pid, current, chosen)
        st.markdown("##### How every arm is tuned")
        shown |= _design.options(current, "full" in shown["arms"])
        st.markdown("##### How arms are judged")
        judged, lacks = _train_judging.draw(ws, pid, current)
        config = ExperimentConfig.from_dict({**current.to_dict(), **shown, **judged})
        st.markdown("##### What it takes")
        priced = _form.fields(ExperimentConfig, current.to_dict(), "experiment", only=("price_per_hour",))
        config = ExperimentConfig.from_dict({**config.to_dict(), **priced})
        _design.remember(ws, pid, config)
        _start(ws, pid, config, selection, chosen, lacks)
    except CurationError as error:
        st.error(ui.sentence(error), icon=":material/error:")
        return None
    return config


def _start(
    ws: ui.Workspace,
    pid: str,
    config: ExperimentConfig,
    selection: dict[str, Any],
    chosen: comparison.Saved,
    lacks: str,
) -> None:
    """What it will cost, a name, and the button."""
    record = chosen.represented.record
    n_candidates = ws.count(record["pool"]) - len(chosen.represented.unusable)
    own = _train_sizes.own_sizes(ws, config, record["pool"])
    further = design.further_sizes(config, chosen.selection.budget, len(chosen.ids), own)
    plans = arms.plan(config, len(chosen.ids), n_candidates, further)
    if workbench.settings(ws, pid).model is None:
        lacks = "Choose a base model first."
    if "selected" in config.arms and not chosen.ids:
        lacks = "The selection is empty; raise the budget on the Curate page."
    number = len(ws.experiments(pid)) + 1
    asked = {"experiment": config.to_dict(), "selection": selection}
    problems = _train_cost.draw(ws, pid, asked, plans, lacks=lacks)
    if problems and not st.checkbox("Start all the same", key=ui.key("train-anyway")):
        lacks = "It does not fit on this machine, as said above."
    called = st.text_input("Name", f"Experiment {number}", max_chars=60, key=ui.key(f"name-{number}"), width=420)
    if lacks:
        st.caption(f":orange[{lacks}]")
    total = sum(p.trainings for p in plans)
    label = f"Start {ui.counted(total, 'training')}" if total else "Judge the untuned model"
    if st.button(label, type="primary", icon=":material/play_arrow:", disabled=bool(lacks)):
        tasks.start(ws, pid, "experiment", {**asked, "name": called}, called)
        workbench.change(ws, pid, experiment=config)
        st.rerun()


main()
