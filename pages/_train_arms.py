"""Which arms an experiment has: named starts, further selections, files, models and sizes, what is equal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st

from curation import comparison, external, findings, presets, selectors, workbench
from curation.config import ExperimentConfig
from pages import _form, _train_sizes
from pages import _shell as ui

SEEDS = 10
EQUAL = {"passes": "Passes over their rows", "steps": "Optimizer steps", "tokens": "Tokens (random arms)"}


def starts(ws: ui.Workspace, pid: str, chosen: comparison.Saved) -> None:
    """Draw the named starts; a click fills the form."""
    n_candidates = ws.count(chosen.represented.record["pool"]) - len(chosen.represented.unusable)
    saved = {name: key for key, name in _saved(ws, pid, chosen).items()}

    def fill(name: str) -> None:
        made = presets.preset(
            name,
            workbench.settings(ws, pid).experiment,
            selector=chosen.selection.selector,
            n_selected=len(chosen.ids),
            n_candidates=n_candidates,
            saved=saved,
        )
        for key, value in _state(made).items():
            st.session_state[ui.key(key)] = value
        st.session_state[ui.key("train-metrics")] = list(made.evaluation.metrics)
        st.session_state[ui.key("_train-asks")] = name == "external"

    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        st.markdown(":gray[Start from]", width="content")
        for name, (title, question) in presets.PRESETS.items():
            st.button(title, key=ui.key(f"preset-{name}"), help=question, on_click=fill, args=(name,))


def _state(config: ExperimentConfig) -> dict[str, Any]:
    """Values of the widgets that a design fills."""
    further = config.selections.values()
    return {
        "train-arms": [a for a in config.arms if a != "zero_shot"],
        "train-seeds": min(SEEDS, len(config.seeds)),
        "train-saved": [asked["saved"] for asked in further if "saved" in asked],
        "train-selectors": [asked["selector"] for asked in further if "selector" in asked],
        "train-files": list(config.subsets),
        "train-models": [external.spelled(one) for one in config.models.values()],
        "train-budgets": [str(n) for n in config.budgets],
        "train-equal": config.equal,
    }


def draw(ws: ui.Workspace, pid: str, current: ExperimentConfig, chosen: comparison.Saved) -> dict[str, Any]:
    """Draw the arms; return what `ExperimentConfig.from_dict` takes of them."""
    for key, value in _state(current).items():
        st.session_state.setdefault(ui.key(key), value)
    beside = st.container(horizontal=True, gap="large", vertical_alignment="top")
    asked = beside.pills(
        "Arms",
        [a for a in findings.ARMS if a != "zero_shot"],
        selection_mode="multi",
        format_func=findings.arm_label,
        key=ui.key("train-arms"),
    )
    n_seeds = beside.number_input(
        "Seeds",
        min_value=1,
        max_value=SEEDS,
        help="One training a seed and arm. With one, the interval leaves out how much trainings differ.",
        key=ui.key("train-seeds"),
        width=140,
    )
    st.caption(
        "Random draws as many examples as were selected; off-task draws them from the half of the pool that is far "
        "from the queries, so what it gains is form. Zero-shot, the model as it is, is always an arm: on modern base "
        "models tuning on 500 examples often loses against it (TIS, arXiv 2602.14696)."
    )
    given = [st.session_state[ui.key(f"train-{k}")] for k in ("saved", "selectors", "files", "models", "budgets")]
    given.append(st.session_state.get(ui.key("_train-asks")))
    with st.expander("Further arms and sizes", expanded=any(given)):
        further = _further(ws, pid, chosen)
        equal = st.segmented_control(
            "What all arms have alike",
            list(EQUAL),
            format_func=EQUAL.__getitem__,
            required=True,
            key=ui.key("train-equal"),
            help=ExperimentConfig.__dataclass_fields__["equal"].metadata["help"],
        )
    return {"arms": ["zero_shot", *asked], "seeds": list(range(n_seeds)), "equal": equal, **further}


def _further(ws: ui.Workspace, pid: str, chosen: comparison.Saved) -> dict[str, Any]:
    names, known = _saved(ws, pid, chosen), st.session_state.setdefault(ui.key("_train-paths"), {})
    known.update({k: v for k, v in workbench.settings(ws, pid).experiment.subsets.items() if k not in known})
    for key, there in (("train-saved", names), ("train-files", known)):
        st.session_state[ui.key(key)] = [k for k in st.session_state[ui.key(key)] if k in there]
    left, right = st.columns(2, gap="large")
    saved = left.multiselect(
        "Saved selections",
        list(names),
        format_func=names.__getitem__,
        key=ui.key("train-saved"),
        placeholder="Any selection that you saved" if names else "None of this pool is saved yet",
        disabled=not names,
    )
    methods = right.multiselect(
        "Other selectors, same budget",
        [s for s in selectors.REGISTRY if s not in (chosen.selection.selector, "random")],
        format_func=_form.label,
        key=ui.key("train-selectors"),
        placeholder="Beside the one in use",
    )
    n, budgets = len(chosen.ids), ui.key("train-budgets")
    sizes = left.multiselect(
        "Further sizes, in examples",
        list(dict.fromkeys([*(str(round(s * n)) for s in presets.SHARES if s * n >= 1), *st.session_state[budgets]])),
        key=budgets,
        accept_new_options=True,
        placeholder="Selections and random picks are tuned at these too",
    )
    with right:
        files = _files(ws, known)
    models = left.multiselect(
        "Other models, as they are",
        st.session_state[ui.key("train-models")],
        key=ui.key("train-models"),
        accept_new_options=True,
        placeholder="A hub id, or a folder on this machine",
        help="Judged untuned, by the same metrics on the same rows. A model that cuts answers into other tokens than "
        "the base model is judged without losses, which could not be compared.",
    )
    if not models and st.session_state.get(ui.key("_train-asks")):
        st.info("Name at least one other model to compare with.", icon=":material/info:")
    wrong = [text for text in sizes if not text.isdigit() or not int(text)]
    if wrong:
        st.error(f"{ui.plain(wrong[0])} is no number of examples; write a whole number above 0.")
    selections = {names[key]: {"saved": key} for key in saved}
    selections |= {_form.label(method): {"selector": method} for method in methods}
    return {
        "selections": selections,
        "subsets": {name: known[name] for name in files},
        "models": external.named(models, workbench.settings(ws, pid).experiment.models, {*selections, *files}),
        "budgets": sorted({int(text) for text in sizes if text not in wrong}),
    }


def _files(ws: ui.Workspace, known: dict[str, str]) -> list[str]:
    """Draw the user's own subset files, and the way to add one."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen: list[str] = st.multiselect(
            "Subset files of your own",
            list(known),
            key=ui.key("train-files"),
            disabled=not known,
            placeholder="An id or a row of the pool a line",
        )
        with st.popover("Add", icon=":material/add:"):
            file = st.file_uploader("Upload JSON lines", type=["jsonl", "txt"], key=ui.key("train-upload"))
            path = st.text_input("Or its path on this machine", key=ui.key("train-path")).strip()
            name = st.text_input("Name of the arm", max_chars=40, key=ui.key("train-file-name")).strip()

            def add() -> None:
                with ui.acting():
                    where = str(ws.store_upload(file.name, file)) if file else str(Path(path).expanduser().absolute())
                    called = (name or Path(where).stem).replace("@", " at ")
                    known[called] = where
                    key = ui.key("train-files")
                    st.session_state[key] = [*(n for n in st.session_state[key] if n != called), called]

            st.button("Add this arm", on_click=add, disabled=not (file or path), key=ui.key("train-file-add"))
    ui.outcome()
    return chosen


def _saved(ws: ui.Workspace, pid: str, chosen: comparison.Saved) -> dict[str, str]:
    """Key → name of the saved selections that could be further arms: those of the same pool."""
    pool, found = chosen.represented.record["pool"], {}
    for one in ws.selections(pid):
        if one.subset not in found and (of := _train_sizes.opened(ws, one.subset)) and of[2] == pool:
            found[one.subset] = f"{one.name} v{one.version}".replace("@", " at ")
    return found
