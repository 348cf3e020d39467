"""The models that an experiment has tuned: where they lie, and each adapter as one whole model on request."""

from __future__ import annotations

from typing import Any

import streamlit as st

from curation import findings, merging, tasks
from pages import _jobs
from pages import _shell as ui

KIND = "merge"


def draw(ws: ui.Workspace, pid: str, result: dict[str, Any]) -> None:
    """Draw the choice among the tuned models that are still there; nothing if there is none."""
    found = {of: told for of, told in merging.models_of(result).items() if ws.find("arm", told[0])}
    if not found:
        return
    with st.expander("Tuned models"):
        of = st.selectbox(
            "Model",
            sorted(found, key=lambda of: of[0] != "selected"),
            format_func=lambda of: _name(*of, found[of][1]),
            key=ui.key("model-of"),
            width=420,
        )
        arm, step = found[of]
        whole = merging.whole_model(ws, arm)
        if whole is None:
            st.caption("The adapter, in the format of PEFT; it is loaded beside its base model.")
            st.code(str(ws.artefact("arm", arm) / "model"), language=None, wrap_lines=True)
        else:
            st.caption("The whole model, in the standard format (safetensors); it is loaded by its folder.")
            st.code(str(whole), language=None, wrap_lines=True)
        if (boards := ws.artefact("arm", arm) / "tensorboard").is_dir():
            st.caption(f"Its curves for TensorBoard: {ui.plain(boards)}")
        job = _jobs.watch(ws, pid, KIND)
        if job is None and whole is None and st.button("Merge into one model", icon=":material/merge:"):
            with ui.guard():
                title = f"Merge {_name(*of, step)}"
                tasks.start(ws, pid, KIND, {"arm": arm, "model": result["model"]}, title)
                st.rerun()


def _name(arm: str, seed: int, step: int | None) -> str:
    diverged = "" if step is None else f", diverged: kept as of step {step:,}"
    return f"{findings.arm_label(arm)}, seed {seed}{diverged}"
