"""Choosing the base model: the demo's own, a folder on this machine, or one from the hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from curation import models, workbench
from curation.config import ModelConfig
from curation.demo import recipe
from pages import _form
from pages import _shell as ui

if TYPE_CHECKING:
    from curation.workspace import Workspace

KINDS = ("Demo model", "Folder", "Hugging Face hub")
RISK = (
    "This runs Python code that the model's author wrote, on this machine, with your rights: it can read your files "
    "and send them away. Tick it only if you trust the author and have read the code of this very revision."
)


def short(model: dict[str, Any]) -> str:
    """Return a model's name as people call it: of a folder its last part."""
    name = str(model["name"])
    return Path(name).name if Path(name).is_absolute() else name


def choose(ws: Workspace, pid: str) -> None:
    """Draw the choice; what is chosen is stored when the button is pressed, after it was looked at."""
    current = workbench.settings(ws, pid).model
    if current is not None:
        st.markdown(f":green[:material/check_circle:] **{ui.plain(short(current.to_dict()))}** :gray[{_size(current)}]")
    else:
        st.caption("The language model that will be taught. LESS and RDS+ read it; Lexical and Embed can do without.")
    with st.expander("Change the model" if current else "Choose a model", expanded=current is None):
        kind = st.segmented_control(
            "From", KINDS, default=_kind(current), required=True, key=ui.key("model-kind"), label_visibility="collapsed"
        )
        defaults = current.to_dict() if current else recipe.MODEL.to_dict() if kind == KINDS[0] else {}
        values: dict[str, Any] = {"name": models.DEMO_MODEL}
        if kind == "Demo model":
            st.caption(
                "winnow-tiny, a few million weights: learns in minutes on two cores, and knows the demo's tasks."
            )
        elif kind == "Folder":
            given = current.name if current and _kind(current) == kind else ""
            values["name"] = st.text_input("Folder in the standard format", given, key=ui.key("model-folder")).strip()
        else:
            values |= _hub(current if current and _kind(current) == kind else None)
        values |= _form.fields(ModelConfig, defaults, f"model-{kind}", only=("max_length", "dtype", "device"))
        ready = bool(values["name"])
        if st.button("Use this model", type="primary", disabled=not ready, key=ui.key("model-use")):
            with ui.guard():
                chosen = ModelConfig.from_dict(values)
                if kind != "Hugging Face hub":
                    models.locate(chosen.name)
                workbench.change(ws, pid, model=chosen)
                st.rerun()


def _hub(current: ModelConfig | None) -> dict[str, Any]:
    name, revision = st.columns([3, 1])
    values: dict[str, Any] = {
        "name": name.text_input(
            "Model", current.name if current else "", key=ui.key("model-hub"), placeholder="owner/name"
        ).strip(),
        "revision": revision.text_input(
            "Revision", current.revision if current else "", key=ui.key("model-revision"), help="Empty: the newest."
        ).strip(),
    }
    st.caption("It is downloaded when the first job needs it. For a gated one, log in with `hf auth login` before.")
    values["trust_remote_code"] = st.checkbox(
        "Run the code that comes with this model",
        current.trust_remote_code if current else False,
        key=ui.key("model-trust"),
    )
    if values["trust_remote_code"]:
        st.warning(RISK, icon=":material/warning:")
    return values


def _kind(model: ModelConfig | None) -> str:
    if model is None or model.name == models.DEMO_MODEL:
        return KINDS[0]
    return KINDS[1] if Path(model.name).expanduser().is_dir() else KINDS[2]


@st.cache_data(ttl=600, show_spinner=False)
def _size_of(name: str) -> int:
    return models.parameter_count(ModelConfig(name=name))


def _size(model: ModelConfig) -> str:
    """Weights and their bytes, for a model on this machine (asking the hub would download it)."""
    about = f"· at most {model.max_length:,} tokens · {model.dtype}"
    if _kind(model) == KINDS[2]:
        return about
    n, width = _size_of(model.name), 4 if model.dtype == "float32" else 2
    return f"· {n / 1e6:,.1f} M weights, {n * width / 1e6:,.0f} MB {about}"
