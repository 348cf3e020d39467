"""Evaluate, subgroups: what an arm gains on each source, task or length of the test rows."""

from __future__ import annotations

import streamlit as st

from curation import breakdown, figures_subgroups, findings, results
from pages import _evaluate_result as shared
from pages import _shell as ui


def draw(ws: ui.Workspace, record: results.ExperimentRecord) -> None:
    """Draw an arm beside its baseline in every subgroup."""
    result = record.result or {}
    kinds = breakdown.kinds(ws, result)
    arms = [arm for arm in findings.arms_of(result) if breakdown.metrics(result, (arm,))]
    if not kinds or len(arms) < 2:
        ui.empty(
            "There is nothing to break down: it takes two arms, and test rows of several sources, tasks (a column "
            "`group` or `task`) or lengths. Name these columns when you load the test set.",
            "Data",
            "data",
        )
        return
    tuned = [a for a in arms if a != "zero_shot"]
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        by = st.segmented_control(
            "By",
            kinds,
            default=kinds[0],
            required=True,
            format_func=breakdown.BY.__getitem__,
            key=ui.key("subgroups-by"),
            bind="query-params",
        )
        arm = _choice("Arm", tuned, "selected" if "selected" in tuned else tuned[0], "subgroups-arm")
        others = [a for a in arms if a != arm]
        baseline = _choice("Against", others, "random" if "random" in others else others[0], "subgroups-against")
    metrics = breakdown.metrics(result, (arm, baseline))
    with st.container(border=True, key="subgroups-chart"):
        metric = shared.metric_choice(metrics, findings.main_metric({"metrics": metrics}), "subgroups-metric")
        with st.spinner("Judging every subgroup …"):
            found = breakdown.breakdown(ws, result, arm, baseline, by or kinds[0])
        drawn = figures_subgroups.subgroups(found, metric, (arm, baseline), theme=shared.theme())
        shared.figure(drawn, f"subgroups-{metric}")
        st.caption(
            f"Difference of {ui.plain(findings.arm_label(arm))} from {ui.plain(findings.arm_label(baseline))} with its "
            "95 % interval; right of the line is more. Verdicts are corrected for the number of subgroups."
        )
    if few := [name for name, one in found.items() if one.warning]:
        st.warning(
            f"{len(few)} of {len(found)} subgroups have too few rows to tell much; load more test rows of their kind.",
            icon=":material/warning:",
        )
    st.dataframe(breakdown.table(found, metric, arm, baseline), hide_index=True, key="subgroups-table")


def _choice(title: str, arms: list[str], default: str, name: str) -> str:
    return st.selectbox(
        title,
        arms,
        index=arms.index(default),
        format_func=findings.arm_label,
        key=ui.key(name),
        bind="query-params",
        width=220,
    )
