"""The design of an experiment as a form: which arms, how often, how tuned, how judged."""

from __future__ import annotations

from typing import Any

import streamlit as st

from curation import comparison, findings, workbench
from curation.config import EvaluationConfig, ExperimentConfig, TrainingConfig
from curation.evaluation import METRICS
from pages import _form
from pages import _shell as ui

BASIC = ("learning_rate", "epochs", "batch_size")
LORA = ("lora_r", "lora_alpha", "lora_dropout", "lora_targets")
METHODS = {"lora": "LoRA", "full": "Every weight"}
SEEDS = 10


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


def arms(current: ExperimentConfig) -> dict[str, Any]:
    """Which arms, and how many seeds."""
    choices = [a for a in findings.ARMS if a != "zero_shot"]
    beside = st.container(horizontal=True, gap="large", vertical_alignment="top")
    asked = beside.pills(
        "Arms",
        choices,
        selection_mode="multi",
        default=[a for a in choices if a in current.arms],
        format_func=findings.arm_label,
        key=ui.key("train-arms"),
    )
    n_seeds = beside.number_input(
        "Seeds",
        min_value=1,
        max_value=SEEDS,
        value=min(SEEDS, len(current.seeds)),
        help="One training a seed and arm. With one, the interval leaves out how much trainings differ.",
        key=ui.key("train-seeds"),
        width=140,
    )
    st.caption(
        "Random draws as many examples as were selected. Zero-shot, the model as it is, is always an arm: "
        "on modern base models tuning on 500 examples often loses against it (TIS, arXiv 2602.14696)."
    )
    return {"arms": ["zero_shot", *asked], "seeds": list(range(n_seeds))}


def options(current: ExperimentConfig, with_full: bool) -> dict[str, Any]:
    """Training and judging, made from the options' own fields."""
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
    unused = ("method", "save_every_epoch", *(() if method == "lora" else LORA))
    with st.expander("All training options"):
        training |= _form.fields(TrainingConfig, now, "train", skip=(*basic, *unused))
        full = None
        if with_full:
            st.markdown("**Full pool** :gray[its own number of passes, if that is too many]")
            before = (current.full_training or current.training).to_dict()
            full = {**training, **_form.fields(TrainingConfig, before, "train-full", only=("epochs", "max_steps"))}
    with st.expander("How arms are judged"):
        judging = current.evaluation.to_dict()
        judging["metrics"] = st.multiselect(
            "Metrics",
            list(METRICS),
            default=[m for m in judging["metrics"] if m in METRICS],
            format_func=findings.metric_label,
            key=ui.key("train-metrics"),
        )
        judging |= _form.fields(EvaluationConfig, judging, "judge", skip=("metrics",))
    return {"training": training, "full_training": None if full == training else full, "evaluation": judging}


def remember(ws: ui.Workspace, pid: str, config: ExperimentConfig) -> None:
    """Keep the design once it was changed in this tab, so that a reload has it and other tabs are not overwritten."""
    before = st.session_state.get(ui.key("_train-design"))
    st.session_state[ui.key("_train-design")] = config
    if before not in (None, config):
        workbench.change(ws, pid, experiment=config)
