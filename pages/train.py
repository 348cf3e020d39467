"""Train: tune the base model on every arm alike, watch the losses fall, and go on to what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from curation import arms, comparison, figures_results, findings, jobs, results, tasks, workbench
from curation.config import EvaluationConfig, ExperimentConfig, TrainingConfig
from curation.errors import CurationError
from curation.evaluation import METRICS
from pages import _form, _jobs, _model
from pages import _shell as ui

if TYPE_CHECKING:
    from curation.tables import Job

BASIC = ("learning_rate", "epochs", "batch_size")
LORA = ("lora_r", "lora_alpha", "lora_dropout", "lora_targets")
METHODS = {"lora": "LoRA", "full": "Every weight"}
SEEDS = 10
PLAIN = {"displayModeBar": False}
EVERY = 2.0  # seconds between two looks at a running experiment's losses


def main() -> None:
    """Draw the page."""
    ws, pid = ui.workspace(), ui.project_id()
    ui.page("Train", "Tune the model on your selection and on what it has to beat, all in the same way.")
    if not workbench.represented(ws, pid):
        ui.empty("There is no selection to tune on yet: compute a representation first.", "Represent", "represent")
        return
    newest = next((r for r in results.experiments(ws, pid) if r.result), None)
    job = _jobs.watch(ws, pid, "experiment", since=newest.experiment.created if newest else 0.0)
    if job is not None:
        alive = job.state in jobs.ACTIVE
        st.fragment(_live, run_every=EVERY if alive else None)(ws, job)
    elif newest is not None:
        _done(newest)
    if job is not None and job.state in jobs.ACTIVE:
        with st.expander("Set up another experiment"):
            _set_up(ws, pid)
    else:
        st.subheader("Next experiment" if newest or job else "Set up an experiment", anchor=False)
        _set_up(ws, pid)


def _live(ws: ui.Workspace, job: Job) -> None:
    """The losses of a running, failed or cancelled experiment, arm by arm."""
    curves = arms.live_curves(jobs.metrics(ws, job.id))
    if not curves:
        if job.state in jobs.ACTIVE:
            st.caption("The losses appear here with the first optimizer step.")
        return
    with st.container(border=True, key="live-losses"):
        st.plotly_chart(figures_results.losses(curves, theme=_theme()), theme=None, config=PLAIN, key="live")


def _done(record: results.ExperimentRecord) -> None:
    """The newest finished experiment in one sentence, and the way to the rest."""
    with st.container(border=True, key="done"):
        st.markdown(f":green[:material/check_circle:] **{ui.plain(record.name)}** :gray[is done]")
        st.markdown(findings.findings(record.result or {})[0].sentence)
        if st.button("Read the evaluation", type="primary", icon=":material/arrow_forward:"):
            ui.go("evaluate")
        curves = (record.result or {})["curves"]
        if curves:
            with st.expander("Training losses"):
                st.plotly_chart(
                    figures_results.losses(curves, theme=_theme()), theme=None, config=PLAIN, key="done-losses"
                )


def _set_up(ws: ui.Workspace, pid: str) -> None:
    """The experiment's design, what it will cost, and the button that starts it."""
    settings = workbench.settings(ws, pid)
    if ws.dataset(pid, "test") is None:
        st.warning(
            "There is no test set, so arms can only be judged by their loss on the queries they were picked for. "
            "Load one on the Data page.",
            icon=":material/warning:",
        )
    left, right = st.columns([5, 4], gap="large")
    with left:
        st.markdown("##### What is compared")
        selection, chosen = _selection(ws, pid)
        shown = _arms(settings.experiment)
    with right:
        st.markdown("##### Base model")
        with ui.guard():
            _model.choose(ws, pid)
    st.markdown("##### How every arm is tuned")
    try:
        config = ExperimentConfig.from_dict({**shown, **_options(settings.experiment, "full" in shown["arms"])})
    except CurationError as error:
        st.error(ui.sentence(error), icon=":material/error:")
        return
    _remember(ws, pid, config)
    if chosen is not None:
        _start(ws, pid, config, selection, chosen)


def _selection(ws: ui.Workspace, pid: str) -> tuple[dict[str, Any], comparison.Saved | None]:
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


def _arms(current: ExperimentConfig) -> dict[str, Any]:
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


def _options(current: ExperimentConfig, with_full: bool) -> dict[str, Any]:
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


def _remember(ws: ui.Workspace, pid: str, config: ExperimentConfig) -> None:
    """Keep the design once it was changed in this tab, so that a reload has it and other tabs are not overwritten."""
    before = st.session_state.get(ui.key("_train-design"))
    st.session_state[ui.key("_train-design")] = config
    if before not in (None, config):
        workbench.change(ws, pid, experiment=config)


def _start(
    ws: ui.Workspace, pid: str, config: ExperimentConfig, selection: dict[str, Any], chosen: comparison.Saved
) -> None:
    """What it will cost, a name, and the button."""
    record = chosen.represented.record
    n_candidates = ws.count(record["pool"]) - len(chosen.represented.unusable)
    plans = arms.plan(config, len(chosen.ids), n_candidates)
    st.markdown("##### What it takes")
    st.dataframe(
        [
            {
                "Arm": findings.arm_label(p.arm),
                "Examples": p.n_examples,
                "Optimizer steps": p.steps,
                "Examples seen": p.seen,
                "Trainings": p.trainings,
            }
            for p in plans
        ],
        hide_index=True,
        key="plan",
    )
    total = sum(p.trainings for p in plans)
    number = len(ws.experiments(pid)) + 1
    called = st.text_input("Name", f"Experiment {number}", max_chars=60, key=ui.key(f"name-{number}"), width=420)
    lacks = "Choose a base model first." if workbench.settings(ws, pid).model is None else ""
    if not config.evaluation.metrics:
        lacks = "Choose at least one metric to judge by."
    if "selected" in config.arms and not chosen.ids:
        lacks = "The selection is empty; raise the budget on the Curate page."
    if lacks:
        st.caption(f":orange[{lacks}]")
    label = f"Start {total} training{'s' if total != 1 else ''}" if total else "Judge the untuned model"
    pressed = st.button(label, type="primary", icon=":material/play_arrow:", disabled=bool(lacks))
    if pressed:
        with ui.guard():
            asked = {"experiment": config.to_dict(), "selection": selection, "name": called}
            tasks.start(ws, pid, "experiment", asked, called)
            workbench.change(ws, pid, experiment=config)
            st.rerun()


def _theme() -> str:
    return st.context.theme.type or "light"


main()
