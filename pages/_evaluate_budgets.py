"""Evaluate, the budget curve: what each size of a selection reaches, and where gains stop."""

from __future__ import annotations

import streamlit as st

from curation import figures_results, findings, readings, results
from pages import _evaluate_result as shared
from pages import _shell as ui


def draw(_: ui.Workspace, record: results.ExperimentRecord) -> None:
    """Draw a metric against the budget, a line for each selection and for random picks."""
    result = record.result or {}
    metric = findings.main_metric(result)
    if not readings.gains(result, metric):
        ui.empty(
            "This experiment tuned one size only. Set up another with further budgets on the Train page (say 50, 100 "
            "and 250 examples): every selection and random picks are then tuned at each, and the curve stands here.",
            "Set up budgets",
            "train",
        )
        return
    with st.container(border=True, key="budget-chart"):
        metric = shared.metric_choice(result["metrics"], metric, "budget-metric")
        shared.figure(figures_results.budgets(result, metric, theme=shared.theme()), f"budgets-{metric}")
        st.caption(
            "Mean with its 95 % band; the dotted line is the model untuned. A ring marks the smallest size that no "
            "larger one is distinguishably better than."
        )
    for sentence in readings.gains(result, metric):
        st.markdown(f":material/flag: {ui.plain(sentence)}")
    st.caption("With few seeds or test examples little can be told apart, and gains seem to stop early.")
    st.dataframe(readings.budget_table(result, metric), hide_index=True, key="budget-table")
