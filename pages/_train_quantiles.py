"""The quantile check at a click: does nearness to the queries predict anything on this pool, with this model?"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import streamlit as st

from curation import findings, quantiles, tasks, workbench
from curation.config import QuantileConfig
from curation.errors import CurationError
from pages import _form, _jobs, _train_judging, _train_live
from pages import _shell as ui

if TYPE_CHECKING:
    from curation.config import ExperimentConfig

KIND = "quantiles"


def draw(ws: ui.Workspace, pid: str, config: ExperimentConfig) -> None:
    """Draw what the check is, its answer if there is one, its progress, and the button that starts it."""
    st.subheader("Does nearness predict here?", anchor=False)
    st.caption(
        "Orders the whole pool from near to far, tunes the model on the first rows of each part, and sees whether "
        "nearer parts end with a lower loss and a better metric. Query loss, test loss and the metric can disagree. "
        "The answer goes into the advice on the Curate page."
    )
    job = _jobs.watch(ws, pid, KIND)
    if job is not None:
        _train_live.draw(ws, job)
    view, model, tests = workbench.view(ws, pid), workbench.settings(ws, pid).model, ws.dataset(pid, "test")
    found = quantiles.newest(ws, view.represented.key, model, tests.key if tests else None, config.training)
    if found is not None and job is None:
        told = ", ".join(
            f"{findings.metric_label(m).lower()} {r['mean']:.2f} ({r['low']:.2f} to {r['high']:.2f})".replace("-", "−")
            for m, r in found["spearman"].items()
        )
        with st.container(horizontal=True, vertical_alignment="center", border=True):
            st.markdown(
                f":green[:material/check_circle:] Spearman correlation of nearness with {told}; 1 means that nearer "
                "is always better, 0 that it says nothing."
            )
            if found["differs"]:
                st.markdown(f":orange[{ui.plain(found['differs'])}]")
            if st.button("See it", icon=":material/arrow_forward:", key=ui.key("quantiles-see")):
                st.session_state[ui.key("part")] = "nearness"
                ui.go("evaluate")
    n_usable = ws.count(view.represented.record["pool"]) - len(view.represented.unusable)
    asked = config.quantiles or QuantileConfig()
    fits = dataclasses.replace(asked, examples=max(1, min(asked.examples, n_usable // asked.bins)))
    with ui.guard(), st.expander("Check again" if job or found else "Set up the check", expanded=not (job or found)):
        values = _form.fields(QuantileConfig, fits.to_dict(), "quantiles")
        try:
            asked = QuantileConfig.from_dict(values)
        except CurationError as error:
            st.error(ui.sentence(error), icon=":material/error:")
            return
        room = n_usable // asked.bins
        short = asked.examples > room
        if short:
            st.caption(f":orange[A part of the pool has {room:,} usable rows; choose fewer examples or parts.]")
        total = asked.bins * len(asked.seeds)
        cannot = _train_judging.unmeasurable(ws, pid)
        judged = quantiles.judged_by(config.evaluation.metrics, cannot, with_tests=tests is not None)
        st.caption(
            f"Tuned like the arms above, and judged by {findings.listed(judged)}, whichever of them judge the arms."
        )
        if st.button(
            f"Start {total} trainings",
            icon=":material/play_arrow:",
            disabled=short or model is None,
            key=ui.key("quantiles-start"),
        ):
            design = dataclasses.replace(config, quantiles=asked).to_dict()
            tasks.start(ws, pid, KIND, {"experiment": design}, "Quantile check")
            st.rerun()
