"""Evaluate: what tuning on the selection was worth, with error bars, and what each arm answers."""

from __future__ import annotations

import datetime
from typing import Any

import streamlit as st

from curation import arms, figures_results, findings, results
from pages import _shell as ui

PAGE = 5
LOOKS = {"better": ("green", "trending_up"), "worse": ("red", "trending_down"), "same": ("gray", "trending_flat")}


def main() -> None:
    """Draw the page."""
    ws, pid = ui.workspace(), ui.project_id()
    ui.page("Evaluate", "What the selection was worth, against random picks and against not tuning at all.")
    everything = results.experiments(ws, pid)
    finished = {str(r.experiment.id): r for r in everything if r.result}
    if not finished:
        if everything:
            ui.empty("No experiment has finished yet. Its progress is on the Train page.", "Train", "train")
        else:
            ui.empty("Nothing has been tuned yet, so there is nothing to judge.", "Train", "train")
        return
    record = finished[
        st.selectbox(
            "Experiment",
            list(finished),
            format_func=lambda i: _title(finished[i]),
            key=ui.key("experiment"),
            bind="query-params",
            width=420,
        )
    ]
    result = record.result or {}
    _headline(result)
    _chart(result)
    _warn(ws, result)
    _tables(result)
    _answers(ws, record)
    with st.expander("How far to trust this: what the papers found"):
        for text, source in findings.ADVICE:
            st.markdown(f"{text} :gray[({source})]")
    if st.button("Go on to the report", icon=":material/arrow_forward:"):
        ui.go("report")


def _title(record: results.ExperimentRecord) -> str:
    when = datetime.datetime.fromtimestamp(record.experiment.created)
    return f"{record.name} · {when:%d %b %Y, %H:%M}"


def _headline(result: dict[str, Any]) -> None:
    """The findings in words, each arm's main number."""
    told = findings.findings(result)
    colour, icon = LOOKS[told[0].verdict]
    with st.container(key="headline", gap="small"):
        st.subheader(f":{colour}[:material/{icon}:] {told[0].sentence}", anchor=False)
        for finding in told[1:]:
            colour, icon = LOOKS[finding.verdict]
            st.markdown(f":{colour}[:material/{icon}:] {finding.sentence}")
        if paid := findings.cost(result):
            st.markdown(f":gray[:material/payments: {paid}]")
    metric = findings.main_metric(result)
    st.caption(f"{findings.metric_label(metric)} of each arm")
    names = findings.arms_of(result)
    for column, arm in zip(st.columns(len(names)), names, strict=True):
        value = result["arms"][arm]["metrics"][metric]
        with column, st.container(key=f"arm-{arm}"):
            st.metric(
                findings.arm_label(arm),
                findings.shown(metric, value["mean"]),
                help=f"With its 95 % interval: {findings.interval(metric, value)}",
                border=True,
            )


def _warn(ws: ui.Workspace, result: dict[str, Any]) -> None:
    """What keeps the numbers from meaning more than they do."""
    if told := findings.warnings(result, findings.answer_lengths(ws, result)):
        with st.container(key="warnings"):
            st.warning(
                "\n".join(["**Before you rely on this**", "", *(f"- {warning}" for warning in told)]),
                icon=":material/warning:",
            )


def _chart(result: dict[str, Any]) -> None:
    metrics = result["metrics"]
    main_one = findings.main_metric(result)
    with st.container(border=True, key="arms-chart"):
        metric = st.segmented_control(
            "Metric",
            metrics,
            default=main_one,
            required=True,
            format_func=findings.metric_label,
            key=ui.key("metric"),
            label_visibility="collapsed",
        )
        theme = st.context.theme.type or "light"
        figure = figures_results.arms(result, metric or main_one, theme=theme)
        st.plotly_chart(figure, theme=None, config={"displayModeBar": False}, key=f"arms-{metric}")
        seeds = "; a ring is one seed" if len(result["seeds"]) > 1 else ""
        st.caption(
            f"Mean and 95 % interval over {result['n_test'] or result['n_query']:,} examples{seeds}; "
            "the dotted line is the model untuned."
        )


def _tables(result: dict[str, Any]) -> None:
    st.subheader("Arms", anchor=False)
    st.dataframe(findings.arms_table(result), hide_index=True, key="arms-table")
    differences = findings.differences_table(result)
    if not differences.empty:
        st.subheader("Differences", anchor=False)
        st.caption("Paired by example: what makes an example hard for every arm cancels.")
        st.dataframe(differences, hide_index=True, key="differences-table")


def _answers(ws: ui.Workspace, record: results.ExperimentRecord) -> None:
    """The arms' answers side by side, a page at a time; all of it as plain text."""
    if not record.result or not record.result["n_test"]:
        return
    st.subheader("Answers side by side", anchor=False)
    controls = st.container(horizontal=True, vertical_alignment="bottom")
    show = controls.selectbox(
        "Show",
        list(arms.SHOWN),
        format_func=arms.SHOWN.__getitem__,
        key=ui.key("answers-show"),
        bind="query-params",
        width=320,
    )
    total = arms.count_answers(ws, record, show)
    last = max(1, -(-total // PAGE))
    key = ui.key(f"answers-page.{record.experiment.id}")
    if int(st.session_state.get(key, 1)) > last:
        st.session_state[key] = last
    page = controls.number_input(f"Page of {last:,}", 1, last, key=key, bind="query-params", width=140)
    frame = arms.answers(ws, record, show=show, offset=(page - 1) * PAGE, limit=PAGE)
    st.caption(f"{total:,} of {record.result['n_test']:,} test examples; each arm's first seed.")
    if frame.empty:
        ui.empty("No answer is of that kind.")
    names = findings.arms_of(record.result)
    for place, row in frame.iterrows():
        _answer(int(place), row, names)


def _answer(place: int, row: Any, names: list[str]) -> None:
    with st.container(border=True, key=f"answer-{place}"):
        asked, expected = st.columns([3, 1], gap="medium")
        with asked:
            st.caption(f"Test example {place + 1:,}")
            st.text(row["prompt"])
        with expected:
            st.caption("Expected")
            st.text(row["expected"])
        for column, arm in zip(st.columns(len(names), gap="medium"), names, strict=True):
            right = row[f"{arm}: right"]
            mark = (
                "" if right is None else " :green[:material/check: right]" if right else " :red[:material/close: wrong]"
            )
            with column:
                st.markdown(f"**{findings.arm_label(arm)}**{mark}")
                st.text(row[arm] or "(no answer)")


main()
