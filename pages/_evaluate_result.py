"""Evaluate, the result: findings in words, arms with error bars, warnings, differences; and what each arm took."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from curation import answers, figures_results, findings, preferences, result_tables, results, spending
from pages import _shell as ui

LOOKS = {"better": ("green", "trending_up"), "worse": ("red", "trending_down"), "same": ("gray", "trending_flat")}
CARD = 168  # px: five cards a line on a wide screen, three on a narrow one


def draw(ws: ui.Workspace, record: results.ExperimentRecord) -> None:
    """Draw the headline, the warnings, the chart and the tables."""
    result = record.result or {}
    _headline(result)
    _warn(ws, result)
    _chart(result)
    _tables(result)
    with st.expander("How far to trust this: what the papers found"):
        for text, source in findings.ADVICE:
            st.markdown(f"{text} :gray[({source})]")


def theme() -> str:
    """Return whether the page is light or dark."""
    return st.context.theme.type or "light"


def said(finding: findings.Finding, *, head: bool = False) -> None:
    """Draw a finding with the sign and colour of its verdict."""
    colour, icon = LOOKS[finding.verdict]
    text = f":{colour}[:material/{icon}:] {ui.plain(finding.sentence)}"
    if head:
        st.subheader(text, anchor=False)
    else:
        st.markdown(text)


def preferred(told: preferences.Preferred) -> None:
    """Draw who is preferred to whom, and what that rests on."""
    said(told.finding)
    for text in told.details:
        st.caption(ui.plain(text))


def metric_choice(metrics: Sequence[str], default: str, name: str) -> str:
    """Draw the choice of a metric and return it."""
    chosen = st.segmented_control(
        "Metric",
        list(metrics),
        default=default,
        required=True,
        format_func=findings.metric_label,
        key=ui.key(name),
        bind="query-params",
        label_visibility="collapsed",
    )
    return str(chosen or default)


def figure(drawn: Any, name: str) -> None:
    """Draw a figure over the page's width."""
    st.plotly_chart(drawn, theme=None, config={"displayModeBar": False}, key=name)


def _headline(result: dict[str, Any]) -> None:
    """The findings in words, each arm's main number."""
    told = findings.findings(result)
    with st.container(key="headline", gap="small"):
        said(told[0], head=True)
        for finding in told[1:]:
            said(finding)
        if paid := spending.of_a_point(result):
            st.markdown(f":gray[:material/payments: {paid}]")
    metric = findings.main_metric(result)
    st.caption(f"{findings.metric_label(metric)} of each arm")
    with st.container(horizontal=True, gap="small", key="arms-cards"):
        for arm in findings.one_of_each(findings.judged_arms(result, metric)):  # further sizes are on the budget curve
            value = result["arms"][arm]["metrics"][metric]
            with st.container(key=f"arm-{arm}", width=CARD):
                st.metric(
                    ui.plain(findings.arm_label(arm)),
                    findings.shown(metric, value["mean"]),
                    help=f"With its 95 % interval: {findings.interval(metric, value)}",
                    border=True,
                )


def _warn(ws: ui.Workspace, result: dict[str, Any]) -> None:
    """What keeps the numbers from meaning more than they do."""
    if told := findings.warnings(result, answers.answer_lengths(ws, result)):
        with st.container(key="warnings"):
            st.warning(
                "\n".join(["**Before you rely on this**", "", *(f"- {ui.plain(warning)}" for warning in told)]),
                icon=":material/warning:",
            )


def _chart(result: dict[str, Any]) -> None:
    with st.container(border=True, key="arms-chart"):
        metric = metric_choice(result["metrics"], findings.main_metric(result), "metric")
        figure(figures_results.arms(result, metric, theme=theme()), f"arms-{metric}")
        seeds = "; a ring is one seed" if len(result["seeds"]) > 1 else ""
        n = result["arms"][findings.judged_arms(result, metric)[0]]["metrics"][metric]["n_examples"]
        st.caption(
            f"Mean and 95 % interval over {ui.counted(n, 'example')}{seeds}; the dotted line is the model untuned."
        )


def _tables(result: dict[str, Any]) -> None:
    st.subheader("Arms", anchor=False)
    st.dataframe(result_tables.arms_table(result), hide_index=True, key="arms-table")
    differences = result_tables.differences_table(result)
    if not differences.empty:
        st.subheader("Differences", anchor=False)
        st.caption(
            "Paired by example: what makes an example hard for every arm cancels. Verdicts are corrected for the "
            "number of arms, so one may read “not distinguishable” though its own interval leaves zero out."
        )
        st.dataframe(differences, hide_index=True, key="differences-table")


def cost(_: ui.Workspace, record: results.ExperimentRecord) -> None:
    """Draw what each arm took, and what a point gained over the untuned model cost."""
    result = record.result or {}
    design = result["config"]
    price = st.number_input(
        "Price of an hour of this machine",
        min_value=0.0,
        value=float(design.get("price_per_hour", 0.0)),
        step=0.1,
        help="In your currency. 0 leaves money out.",
        key=ui.key("price"),
        bind="query-params",
        width=260,
    )
    priced = {**result, "config": {**design, "price_per_hour": price}}
    if told := spending.against_full(priced):
        st.markdown(f":material/payments: {ui.plain(told)}")
    elif "full" not in result["arms"]:
        st.caption("Tune the full pool too, and the cost of a point is told for both: add the arm on the Train page.")
    st.dataframe(spending.table(priced), hide_index=True, key="cost-table")
    st.caption(
        "One seed of each arm, tuning and judging, as measured when it ran. A gain counts only where it is "
        "distinguishable from the untuned model."
    )
