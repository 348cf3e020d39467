"""Evaluate, the quantile check: does nearness to the queries predict loss and metrics on this pool, with this model?"""

from __future__ import annotations

from typing import Any

import streamlit as st

from curation import figures_results, findings, quantiles, readings, results, workbench
from curation.wording import representation_label
from pages import _evaluate_result as shared
from pages import _jobs
from pages import _shell as ui


def checks(ws: ui.Workspace, pid: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """Return representation → its name and its newest check, with the project's model and its test set."""
    now, tests = workbench.settings(ws, pid), ws.dataset(pid, "test")
    of = (now.model, tests.key if tests else None, now.experiment.training)
    found = {r.key: (r.name, quantiles.newest(ws, r.key, *of)) for r in workbench.represented(ws, pid)}
    return {key: (name, check) for key, (name, check) in found.items() if check is not None}


def draw(ws: ui.Workspace, _: results.ExperimentRecord | None) -> None:
    """Draw the newest check of the chosen representation."""
    pid = ui.project_id()
    _jobs.watch(ws, pid, "quantiles")
    if not (found := checks(ws, pid)):
        ui.empty(
            "Not checked yet. The check puts the pool in order by its nearness to the queries, cuts it into equal "
            "parts, tunes the model on the nearest rows of each, and judges them all: if nearer parts teach better, "
            "the order can be trusted. Start it at the foot of the Train page.",
            "Set up the check",
            "train",
        )
        return
    key = st.selectbox(
        "Representation",
        list(found),
        format_func=lambda k: representation_label(found[k][0]),
        key=ui.key("nearness-of"),
        bind="query-params",
        width=320,
    )
    _, check = found[key]
    if check["differs"]:
        st.warning(ui.plain(check["differs"]), icon=":material/warning:")
    for metric in check["metrics"]:
        shared.said(readings.nearness(check, metric))
    with st.container(border=True, key="nearness-chart"):
        metric = shared.metric_choice(check["metrics"], findings.main_metric(check), "nearness-metric")
        shared.figure(figures_results.quantiles(check, metric, theme=shared.theme()), f"nearness-{metric}")
        st.caption(
            f"Part 1 holds the nearest rows. Each point is {ui.counted(check['n_examples'], 'example')} tuned with "
            f"{ui.counted(len(check['seeds']), 'seed')}; bars are 95 % intervals over the rows that judge."
        )
    if failed := sum("metrics" not in part for part in check["parts"]):
        st.warning(
            f"{failed} of {len(check['parts'])} parts are left out: their training diverged, or its loss is no number. "
            "Lower the learning rate on the Train page and check again.",
            icon=":material/warning:",
        )
    st.caption(
        "The three can disagree: nearness mostly predicts the loss on the very queries, less the loss on tests, least "
        "the task metric (LESS: 0.89, 0.40, 0.30; TIS, arXiv 2602.14696)."
    )
