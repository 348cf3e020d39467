"""Represent: choose the base model, turn every example into vectors, and see what has been computed."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

import streamlit as st

from curation import representations, tasks, workbench
from curation.config import FirstStageConfig, RepresentationConfig, TrainingConfig, WarmupConfig
from curation.representations import warmup_health
from curation.wording import representation_label
from pages import _form, _jobs, _model
from pages import _represent_cost as cost
from pages import _represent_query as query
from pages import _represent_words as words
from pages import _shell as ui

if TYPE_CHECKING:
    from curation.config import ProjectSettings
    from curation.pipeline import Represented
    from curation.workspace import Workspace

# What the project's base model and warmup give; the rest of a method's options are its own.
GIVEN = ("model", "revision", "dtype", "device", "max_length", "trust_remote_code", "warmup")


def main() -> None:
    """Draw the page."""
    ws, pid = ui.workspace(), ui.project_id()
    ui.page("Represent", "Turn every example into vectors, so that nearness to your queries can be measured.")
    pool, queries = ws.dataset(pid, "pool"), ws.dataset(pid, "query")
    if pool is None or queries is None:
        missing = " and ".join(n for n, d in (("pool", pool), ("query set", queries)) if d is None)
        ui.empty(f"The {missing} must be loaded before anything can be represented.", "Load data", "data")
        return
    created = {a.key: a.created for a in ws.artefacts("representation")}
    done = workbench.represented(ws, pid)
    _jobs.watch(ws, pid, "represent", since=max((created[r.key] for r in done), default=0.0))
    if done:
        _done(ws, pid, done, created)
    st.subheader("Base model", anchor=False)
    with ui.guard():
        _model.choose(ws, pid)
    st.subheader("Compute", anchor=False)
    st.caption(f"{pool.n_rows:,} pool rows and {queries.n_rows:,} queries. What was computed before is reused.")
    settings = workbench.settings(ws, pid)
    names = list(representations.REGISTRY)
    kept = workbench.pool_represented(ws, pid) - {r.name for r in done}
    with st.container(gap="medium"):
        for start in range(0, len(names), 2):
            for column, name in zip(st.columns(2, gap="medium"), names[start : start + 2], strict=False):
                with column, st.container(border=True, height="stretch"), ui.guard():
                    _method(ws, pid, name, settings, {r.name: created[r.key] for r in reversed(done)}, name in kept)
    if done:
        query.draw(ws, pid, next((r for r in done if r.key == settings.active), done[0]))
    words.explain()


def _done(ws: Workspace, pid: str, done: list[Represented], created: dict[str, float]) -> None:
    """What exists for the active pool and query set; one of it is in use."""
    settings = workbench.settings(ws, pid)
    active = settings.active if any(r.key == settings.active for r in done) else done[0].key
    st.subheader("Computed", anchor=False)
    with st.container(border=True):
        for shown in done:
            with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
                title = representation_label(shown.name)
                when = datetime.datetime.fromtimestamp(created[shown.key]).strftime("%d %b %Y, %H:%M")
                n_rows = shown.similarity.shape[1] - len(shown.unusable)
                model = f" · {ui.plain(_model.short(shown.record['model']))}" if shown.record["model"] else ""
                st.markdown(f":green[:material/check_circle:] **{title}**{model} :gray[· {n_rows:,} rows · {when}]")
                if shown.key == active:
                    st.badge("in use", color="green")
                elif st.button("Use this one", type="tertiary", key=ui.key(f"use-{shown.key}")):
                    workbench.change(ws, pid, active=shown.key)
                    st.rerun()
            for warning in warmup_health.warnings(shown.record["report"]) if shown.key == active else ():
                st.warning(ui.plain(warning), icon=":material/warning:")
            if lost := words.first_stage(shown.record["report"]):
                st.caption(lost)
            if shown.unusable:
                with st.expander(f"{len(shown.unusable):,} pool rows could not be represented and can't be picked"):
                    st.dataframe([{"row": i, "reason": r} for i, r in shown.unusable.items()], hide_index=True)
        if st.button("Go on to Curate", type="primary", icon=":material/arrow_forward:"):
            ui.go("curate")


def _method(
    ws: Workspace, pid: str, name: str, settings: ProjectSettings, computed: dict[str, float], kept: bool
) -> None:
    """One representation: what it is, its options, what it would cost, and the button that computes it."""
    method = representations.REGISTRY.load(name)
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.markdown(f"#### {representation_label(name)}")
        if name in computed:
            st.badge("computed", color="green", icon=":material/check:")
    st.markdown(representations.REGISTRY.help(name))
    chosen = settings.representation if settings.representation.name == name else RepresentationConfig(name=name)
    warmup, thinned = settings.warmup, None
    with st.expander("Options"):
        options = _form.fields(method.Config, chosen.options, name, skip=GIVEN)
        if method.needs_warmup:
            warmup = _warmup(settings.warmup)
        if method.needs_base_model:
            thinned = _first_stage(name, chosen.first_stage)
        if not options and not method.needs_warmup:
            st.caption("It has none.")
    lacks = method.needs_base_model and settings.model is None
    config = RepresentationConfig(name=name, options=options, first_stage=thinned)
    job = {"representation": config.to_dict(), "warmup": warmup.to_dict()}
    title = representation_label(name)
    with st.container(horizontal=True, vertical_alignment="center"):
        pressed = st.button(
            "Compute" if name not in computed else "Compute with these options",
            type="primary" if not computed else "secondary",
            icon=":material/play_arrow:",
            disabled=lacks,
            key=ui.key(f"compute-{name}"),
        )
        cost.ask(ws, pid, name, title, job, disabled=lacks)
    if lacks:
        st.caption("Needs a base model: choose one above.")
    elif kept:
        st.caption("The pool's vectors are kept: with the same model and options only the new queries are computed.")
    cost.answer(ws, pid, job, since=computed.get(name, 0.0))
    if pressed:
        workbench.change(ws, pid, representation=config, warmup=warmup)
        tasks.start(ws, pid, "represent", job, f"{title} features")
        st.rerun()


def _first_stage(name: str, current: FirstStageConfig | None) -> FirstStageConfig | None:
    """A cheaper representation that thins the pool before this one sees it."""
    on = st.toggle(
        "Let a cheaper representation thin the pool first",
        current is not None,
        key=ui.key(f"thin-{name}"),
        help="Only the rows that it finds nearest go on. What that loses is measured on a sample of the others.",
    )
    if not on:
        return None
    given = (current or FirstStageConfig(name="lexical")).to_dict()
    return FirstStageConfig.from_dict(_form.fields(FirstStageConfig, given, f"thin-{name}"))


def _warmup(current: WarmupConfig) -> WarmupConfig:
    """The short training that gives LESS its gradients."""
    st.markdown("**Warmup** :gray[a short LoRA training on a random sample of the pool]")
    outer = _form.fields(WarmupConfig, current.to_dict(), "warmup")
    inner = _form.fields(
        TrainingConfig,
        current.training.to_dict(),
        "warmup-training",
        only=("epochs", "learning_rate", "batch_size", "lora_r", "lora_alpha", "lora_dropout"),
    )
    return WarmupConfig.from_dict({**outer, "training": {**current.training.to_dict(), **inner}})


main()
