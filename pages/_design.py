"""The design of an experiment as a form: which selection is under test, and how every arm is tuned."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import streamlit as st

from curation import comparison, workbench
from curation.config import ExperimentConfig, TrainingConfig
from pages import _form
from pages import _shell as ui

BASIC = ("learning_rate", "epochs", "batch_size")
LORA = ("lora_r", "lora_alpha", "lora_dropout", "lora_targets")
TRACKERS = {"wandb": "Weights & Biases", "mlflow": "MLflow"}
OWN = ("epochs", "max_steps")  # of the full pool, which would take very long otherwise
METHODS = {"lora": "LoRA", "full": "Every weight"}


def selection(ws: ui.Workspace, pid: str) -> tuple[dict[str, Any], comparison.Saved | None]:
    """Which selection is the arm "selected": the one on the Curate page, or a saved one."""
    saved = {s.subset: s for s in reversed(ws.selections(pid))}
    names = {"": "As it stands on the Curate page", **{k: f"{s.name} v{s.version}" for k, s in saved.items()}}
    key = st.selectbox(
        "Selection", list(names), format_func=lambda k: names[k], key=ui.key("train-selection"), bind="query-params"
    )
    with ui.guard():
        if key:
            return {"saved": key}, comparison.open_saved(ws, saved[key])
        view = workbench.view(ws, pid)
        return view.selection.to_dict(), comparison.as_saved(ws, view)
    return {}, None


def options(current: ExperimentConfig, with_full: bool) -> dict[str, Any]:
    """How arms are tuned, made from the options' own fields."""
    now = current.training.to_dict()
    method = st.segmented_control(
        "Method",
        list(METHODS),
        default=now["method"],
        required=True,
        format_func=METHODS.__getitem__,
        help=TrainingConfig.__dataclass_fields__["method"].metadata["help"],
        key=ui.key("train-method"),
    )
    basic = (*BASIC, "lora_r", "lora_alpha", "micro_batch_size") if method == "lora" else (*BASIC, "micro_batch_size")
    training = {**now, "method": method, **_form.fields(TrainingConfig, now, "train", only=basic)}
    stopping = st.toggle(
        "Stop once the loss on the queries no longer falls, and keep the best pass",
        now["early_stopping"],
        key=ui.key("train.early_stopping"),
        help="Judged after each pass on the queries, or on test rows set aside below; never on rows that judge arms.",
    )
    training["early_stopping"] = stopping
    unused = ("method", "save_every_epoch", "early_stopping", *(() if method == "lora" else LORA))
    with st.expander("All training options"):
        training |= _form.fields(TrainingConfig, now, "train", skip=(*basic, *unused))
        full = training  # its own passes are kept while the arm is off
        if current.full_training is not None:
            full = {**training, **{name: getattr(current.full_training, name) for name in OWN}}
        trackers = st.multiselect(
            "Also tell",
            list(TRACKERS),
            default=list(current.trackers),
            format_func=lambda name: TRACKERS[name] + ("" if find_spec(name) else " (not installed)"),
            key=ui.key("train-trackers"),
            placeholder="Nobody else",
            help="Losses, options and this machine's name go to the service, by its own login on this machine. "
            "TensorBoard files are always written, beside each tuned model; nothing is sent for them.",
        )
        if with_full:
            st.markdown("**Full pool** :gray[its own number of passes, if that is too many]")
            full = {**full, **_form.fields(TrainingConfig, full, "train-full", only=OWN)}
    return {"training": training, "full_training": None if full == training else full, "trackers": trackers}


def remember(ws: ui.Workspace, pid: str, config: ExperimentConfig) -> None:
    """Keep the design once it was changed in this tab, so that a reload has it and other tabs are not overwritten."""
    before = st.session_state.get(ui.key("_train-design"))
    st.session_state[ui.key("_train-design")] = config
    if before not in (None, config):
        workbench.change(ws, pid, experiment=config)
