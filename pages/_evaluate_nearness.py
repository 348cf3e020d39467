"""Evaluate, the quantile check: does nearness to the queries predict loss and metrics on this pool, with this model?"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import streamlit as st

from curation import figures_results, findings, quantiles, readings, results, tasks, workbench
from curation.config import QuantileConfig
from curation.wording import representation_label
from pages import _evaluate_result as shared
from pages import _form, _jobs
from pages import _shell as ui

if TYPE_CHECKING:
    from curation.pipeline import Represented


def draw(ws: ui.Workspace, _: results.ExperimentRecord | None) -> None:
    """Draw the newest check of the chosen representation, and the form that starts one."""
    pid = ui.project_id()
    shown = {r.key: r for r in workbench.represented(ws, pid)}
    if not shown:
        ui.empty("There is no representation to check yet.", "Represent", "represent")
        return
    checks = {key: quantiles.newest(ws, key, workbench.settings(ws, pid).model) for key in shown}
    _jobs.watch(ws, pid, "quantiles")
    key = st.selectbox(
        "Representation",
        list(shown),
        format_func=lambda k: representation_label(shown[k].name) + ("" if checks[k] else " · not checked yet"),
        key=ui.key("nearness-of"),
        bind="query-params",
        width=320,
    )
    if check := checks[key]:
        _told(check)
        with st.expander("Check again, with other parts"):
            _start(ws, pid, shown[key])
    else:
        st.markdown(
            "The pool is put in order by its nearness to the queries and cut into equal parts. The model is tuned on "
            "the nearest rows of each part, and each is judged. If nearer parts teach better, the order can be trusted."
        )
        _start(ws, pid, shown[key])


def _told(check: dict[str, Any]) -> None:
    for metric in check["metrics"]:
        shared.said(readings.nearness(check, metric))
    with st.container(border=True, key="nearness-chart"):
        metric = shared.metric_choice(check["metrics"], findings.main_metric(check), "nearness-metric")
        shared.figure(figures_results.quantiles(check, metric, theme=shared.theme()), f"nearness-{metric}")
        st.caption(
            f"Part 1 holds the nearest rows. Each point is {ui.number(check['n_examples'], 'example')} tuned with "
            f"{ui.number(len(check['seeds']), 'seed')}; bars are 95 % intervals over the rows that judge."
        )
    if failed := sum("metrics" not in part for part in check["parts"]):
        st.warning(
            f"{failed} of {len(check['parts'])} parts are left out: their training diverged. Lower the learning rate "
            "on the Train page and check again.",
            icon=":material/warning:",
        )
    st.caption(
        "The three can disagree: nearness mostly predicts the loss on the very queries, less the loss on tests, least "
        "the task metric (LESS: 0.89, 0.40, 0.30; TIS, arXiv 2602.14696)."
    )


def _start(ws: ui.Workspace, pid: str, shown: Represented) -> None:
    settings = workbench.settings(ws, pid)
    usable = ws.count(shown.record["pool"]) - len(shown.unusable)
    asked = settings.experiment.quantiles or QuantileConfig(examples=max(1, min(200, usable // 10)))
    with ui.guard():
        values = QuantileConfig.from_dict(_form.fields(QuantileConfig, asked.to_dict(), "quantiles"))
        n = values.bins * len(values.seeds)
        st.caption(
            f"{ui.number(n, 'training')} of {ui.number(values.examples, 'example')}, tuned and judged as set on the "
            "Train page. Parts that are finished are kept if it is stopped."
        )
        lacks = "" if settings.model else "Choose a base model on the Represent page first."
        if lacks:
            st.caption(f":orange[{lacks}]")
        if st.button(f"Start {n} trainings", type="primary", icon=":material/play_arrow:", disabled=bool(lacks)):
            title = f"Nearness check of {representation_label(shown.name)}"
            config = dataclasses.replace(settings.experiment, quantiles=values)
            workbench.change(ws, pid, active=shown.key)
            tasks.start(ws, pid, "quantiles", {"experiment": config.to_dict()}, title)
            st.rerun()
