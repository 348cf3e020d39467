"""How arms are judged: metrics that these rows allow, test rows that overlap or are set aside, generated programs."""

from __future__ import annotations

from typing import Any

import streamlit as st

from curation import evaluation, findings, held_out
from curation.config import EvaluationConfig, ExperimentConfig
from curation.errors import EvaluationError
from curation.evaluation import METRICS
from curation.progress import Silent
from pages import _form
from pages import _shell as ui

PROGRAMS = "pass_at_k"
RISK = (
    "The model writes programs and this machine runs them, to see whether they pass the rows' tests. They are locked "
    "in: no network, no files but their own, little memory and time. No lock is perfect, so leave it off if you would "
    "not run this model's code at all."
)
LARGE = 50_000  # pool rows from which looking for overlap is asked for, since it takes a while


def draw(ws: ui.Workspace, pid: str, current: ExperimentConfig) -> tuple[dict[str, Any], str]:
    """Draw how arms are judged; return what `ExperimentConfig.from_dict` takes, and what keeps it from starting."""
    tests = ws.dataset(pid, "test")
    judging, lacks = current.evaluation.to_dict(), ""
    cannot = unmeasurable(ws, pid)
    options = dict(current.evaluation.options)
    allowed = bool(options.get(PROGRAMS, {}).get("allow"))
    st.session_state.setdefault(
        ui.key("train-metrics"), [m for m in judging["metrics"] if m in METRICS and (m != PROGRAMS or allowed)]
    )
    chosen = st.multiselect(
        "Metrics",
        [m for m in METRICS if m != PROGRAMS or allowed or st.session_state.get(ui.key("train-programs"))],
        format_func=lambda m: findings.metric_label(m) + (" (can't be used yet)" if m in cannot else ""),
        key=ui.key("train-metrics"),
    )
    refused = [m for m in chosen if m in cannot and (tests or METRICS.load(m).role == "queries")]
    for metric in refused:
        st.error(f"{findings.metric_label(metric)}: {ui.sentence(cannot[metric])}", icon=":material/error:")
        lacks = "Leave out the metric that can't be used yet."
    with st.expander("Metrics' options, and what each needs"):
        if PROGRAMS not in cannot and st.toggle(
            "Run programs that the model writes", allowed, key=ui.key("train-programs")
        ):
            st.warning(RISK, icon=":material/warning:")
            options[PROGRAMS] = {**options.get(PROGRAMS, {}), "allow": True}
        else:
            options.pop(PROGRAMS, None)
        for metric in chosen:
            config = METRICS.load(metric).Config
            if set(config.__dataclass_fields__) - {"allow"}:
                st.markdown(f"**{findings.metric_label(metric)}**")
                own = _form.fields(config, options.get(metric, {}), f"metric-{metric}", skip=("allow",))
                options[metric] = {**options.get(metric, {}), **own}
        judging |= _form.fields(EvaluationConfig, judging, "judge", skip=("metrics", "options"))
        if cannot:
            lines = [f"- {findings.metric_label(metric)}: {ui.plain(why)}" for metric, why in cannot.items()]
            st.caption("\n".join(["What can't be used yet, and why:", *lines]))
    for metric in chosen:
        if METRICS.load(metric).role == "tasks" and metric not in cannot:
            try:
                METRICS.create(metric, **options.get(metric, {})).prepare()
            except EvaluationError as error:
                lacks = ui.sentence(error)
    judging |= {"metrics": chosen, "options": {m: o for m, o in options.items() if m in chosen}}
    if not chosen:
        lacks = "Choose at least one metric to judge by."
    return {"evaluation": judging, **_rows(ws, pid, current)}, lacks


def _rows(ws: ui.Workspace, pid: str, current: ExperimentConfig) -> dict[str, Any]:
    """Which test rows judge: those that overlap, and a share that is set aside."""
    if ws.dataset(pid, "test") is None:
        return {"exclude_overlap": False, "dev_share": 0.0}
    left, right = st.columns(2, gap="large")
    with left:
        told = _overlap(ws, pid)
        exclude = st.toggle(
            "Leave out overlapping test rows",
            current.exclude_overlap,
            key=ui.key("train-exclude"),
            help="Those whose prompt stands in the pool or the query set: a model may know their answers by heart, "
            "and then looks better than it is.",
        )
        if told:
            st.caption(told)
    share = right.slider(
        "Test rows set aside as a dev split",
        0.0,
        0.5,
        min(0.5, current.dev_share),
        0.05,
        format="percent",
        key=ui.key("train-dev"),
        help="They judge no arm: passes compete by them in place of the queries, and the next round's queries come "
        "from what a tuned model got wrong there.",
    )
    return {"exclude_overlap": exclude, "dev_share": share}


def _overlap(ws: ui.Workspace, pid: str) -> str:
    """Say how many test rows overlap; of a large pool only once asked."""
    pool, queries, tests = (ws.dataset(pid, role) for role in ("pool", "query", "test"))
    if pool is None or queries is None or tests is None:
        return ""
    if pool.n_rows > LARGE and not st.button("Look for overlap", type="tertiary", key=ui.key("train-overlap")):
        return ""
    with st.spinner("Looking for test rows in the query set and the pool …"):
        found = held_out.overlap(ws, pool.key, queries.key, tests.key, Silent())
    counts = [
        f"{len(found[k]):,} in the {name}" for k, name in (("queries", "query set"), ("pool", "pool")) if found[k]
    ]
    if not counts:
        return f"None of the {tests.n_rows:,} test prompts stands in the pool or the query set."
    n = len({*found["queries"], *found["pool"]})
    return f":orange[{n:,} of {tests.n_rows:,} test prompts overlap: {', '.join(counts)}.]"


def unmeasurable(ws: ui.Workspace, pid: str) -> dict[str, str]:
    """Return metric → why the project's rows, or this machine, do not allow it."""
    queries, tests = ws.dataset(pid, "query"), ws.dataset(pid, "test")
    return _unmeasurable(str(ws.root), queries.key, tests.key if tests else "") if queries else {}


@st.cache_data(max_entries=32, show_spinner="Looking which metrics the test rows allow …")
def _unmeasurable(root: str, queries: str, tests: str) -> dict[str, str]:  # noqa: ARG001  # part of what it is kept by
    ws = ui.workspace()
    return evaluation.unmeasurable(ws.examples(queries), ws.examples(tests) if tests else [])
