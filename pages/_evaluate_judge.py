"""Evaluate, the judge: a language model at an endpoint of one's choice compares two arms, priced before it is asked."""

from __future__ import annotations

import json
from typing import Any

import streamlit as st

from curation import answers, jobs, judging, preferences, results, tasks, votes
from curation.evaluation.endpoint import PROMPT, JudgeConfig
from pages import _evaluate_result, _evaluate_votes, _form, _jobs
from pages import _shell as ui

MISSING = (
    "Judging needs the extra `judge`, which is not installed here. Run `pip install 'winnow-curation[judge]'` and "
    "start Winnow again; until then people can judge, under Blind vote."
)


def draw(ws: ui.Workspace, record: results.ExperimentRecord) -> None:
    """Draw what was judged, and the form that has two more runs judged."""
    found = judging.judgements(ws, record.key)
    names = answers.run_names(record.result or {})
    cast = votes.standing(votes.log(ws, record.key))
    for told in found:
        with st.container(border=True):
            _evaluate_result.preferred(preferences.by_judge(told, cast, names))
            with st.expander("What the judge was asked", type="compact"):
                st.code(told["judge"]["prompt"], language=None, wrap_lines=True)
    _jobs.watch(ws, ui.project_id(), "judge")
    st.subheader("Judge another pair" if found else "Have a language model judge", anchor=False)
    if not judging.installed():
        st.info(MISSING, icon=":material/extension:")
        return
    chosen = _evaluate_votes.pair(record.result or {}, "judge")
    if chosen is not None:
        with ui.guard():
            _form_and_start(ws, record, *chosen)


def _form_and_start(
    ws: ui.Workspace, record: results.ExperimentRecord, first: str, second: str, names: dict[str, str]
) -> None:
    before = _last_asked(ws)
    values = _form.fields(JudgeConfig, before, "judge", skip=("prompt",))
    limit = st.number_input(
        "Prompts judged at most",
        0,
        value=0,
        help="Drawn from those that the two answer differently. 0: all.",
        width=220,
    )
    with st.expander("What the judge is asked"):
        values["prompt"] = st.text_area(
            "Prompt", before.get("prompt", PROMPT), height=300, key=ui.key("judge-prompt"), label_visibility="collapsed"
        )
    config = JudgeConfig.from_dict(values)
    with st.spinner("Reading both arms' answers and pricing …"):
        plan = judging.plan(ws, record.result or {}, first, second, config, int(limit))
    n = len(plan.pairs)
    if not n:
        st.info(f"The two answer all of {plan.n_alike:,} prompts alike: there is nothing to judge.")
        return
    told = ui.plain(judging.what_leaves(plan, config, names[first], names[second]))
    st.info(f"**What leaves this machine:** {told}", icon=":material/outbound:")
    if st.button(f"Send and judge {ui.counted(n, 'pair')}", type="primary", icon=":material/gavel:"):
        asked = {"experiment": record.key, "first": first, "second": second, "judge": config.to_dict()}
        title = f"{names[first]} against {names[second]}, judged"
        tasks.start(ws, ui.project_id(), "judge", {**asked, "limit": int(limit)}, title)
        st.rerun()


def _last_asked(ws: ui.Workspace) -> dict[str, Any]:
    """Return how this project's newest judge was asked, so that nobody types it twice."""
    mine = [j for j in jobs.jobs(ws, ui.project_id()) if j.kind == "judge"]
    newest = max(mine, key=lambda j: j.created, default=None)
    found: dict[str, Any] = json.loads(newest.config)["judge"] if newest else {}
    return found
