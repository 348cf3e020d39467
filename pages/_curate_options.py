"""The Curate page's further choices: a selector's options, quotas by source, minimums; feedback; which selector."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from curation import selectors, views, workbench
from pages import _form, _link
from pages import _shell as ui

if TYPE_CHECKING:
    import pandas as pd
    from streamlit.delta_generator import DeltaGenerator


def draw(pool: str) -> None:
    """Draw the form of options; `pool` is the key of the pool, whose sources can have quotas."""
    chosen = _link.selection()
    with st.form(ui.key(f"options.{chosen.selector}"), border=False):
        options = selectors.REGISTRY.config(chosen.selector)
        values = _form.fields(options, chosen.options, f"selector.{chosen.selector}")
        beside = st.columns(2)
        seed = beside[0].number_input("Seed", 0, value=chosen.seed, help="Seed of selectors that draw at random.")
        minimum = _limit(
            "Minimum similarity",
            chosen.minimum_similarity,
            beside[1],
            step=0.01,
            format="%g",
            placeholder="none",
            help="Rows whose nearest query is less similar than this are not picked, unless pinned. Empty: none.",
        )
        least = chosen.minimum_score
        if chosen.scorer == "length":  # another scorer's minimum comes from a config and stays as it is
            least = _limit(
                "Shortest answer, in characters",
                least,
                min_value=0.0,
                step=10.0,
                format="%.0f",
                placeholder="any",
                help="Rows whose answers are shorter than this are not picked, unless pinned. Empty: any.",
            )
        quotas = _quotas(pool, chosen.quotas)
        if st.form_submit_button("Apply", type="primary"):
            with ui.guard():
                made = options.from_dict(values).to_dict()
                limits = {"minimum_similarity": minimum, "minimum_score": least, "quotas": quotas}
                _link.choose(options=made, seed=int(seed), **limits)
                st.rerun(scope="fragment")


def _limit(label: str, limit: float | None, where: Any = st, **looks: Any) -> float | None:
    """Draw a number that may be left or made empty; in a form it can't follow the link: the button would undo it."""
    key = ui.key(f"{label}.{limit}")
    st.session_state.setdefault(key, limit)
    given: float | None = where.number_input(label, value=None, key=key, **looks)
    return given


def _quotas(pool: str, quotas: dict[str, int]) -> dict[str, int]:
    """Draw the sources with how many rows each has, and how many of its rows may be picked at most."""
    counts = views.rows_of(ui.workspace().root, pool).n_by_source
    st.caption("At most so many picks of a source; an empty cell sets no limit.")
    edited: dict[str, list[Any]] | pd.DataFrame = st.data_editor(
        {"Source": list(counts), "Rows": list(counts.values()), "At most": [quotas.get(s) for s in counts]},
        hide_index=True,
        disabled=("Source", "Rows"),
        placeholder="",
        height=min(240, 40 + 35 * len(counts)),
        column_config={
            "Rows": st.column_config.NumberColumn(format="localized"),
            "At most": st.column_config.NumberColumn(min_value=0, step=1, format="%d"),
        },
        key=ui.key(f"quotas.{hash(tuple(sorted(quotas.items())))}"),
    )
    most = dict(zip(edited["Source"], edited["At most"], strict=True))
    return {str(s): int(n) for s, n in most.items() if n is not None and n == n}


def feedback() -> DeltaGenerator:
    """Draw the switch that lets decisions steer the other picks and, while it is on, its weight; return its line."""
    chosen = _link.selection()

    def switch() -> None:
        with ui.acting():
            _link.choose(feedback=_link.value("feedback"))

    def weigh() -> None:
        with ui.acting():
            _link.choose(feedback_weight=_link.value("feedback_weight"))

    line = st.container(horizontal=True, vertical_alignment="center", gap="small", key="curate-feedback")
    with line:
        st.toggle(
            "Learn from my decisions",
            key=_link.follow("feedback", chosen.feedback),
            on_change=switch,
            help="Pinned rows become queries too, and rows that are like banned ones lose similarity: a few decisions "
            "steer the other picks. Off: a decision is about its row alone.",
        )
        if not chosen.feedback:
            return line
        st.slider(
            "Weight of bans",
            0.0,
            1.0,
            step=0.05,
            key=_link.follow("feedback_weight", chosen.feedback_weight),
            on_change=weigh,
            width=220,
            label_visibility="collapsed",
        )
        decided = ui.workspace().overrides(ui.project_id())
        st.markdown(
            f":blue[{ui.counted(len(decided.pinned), 'pin')} asked as queries], "
            f":red[{ui.counted(len(decided.banned), 'ban')} against, with weight {chosen.feedback_weight:g}]",
            width="content",
        )
    return line


def advice() -> None:
    """Draw, behind a button, which selector is advised, why, what speaks against it, and where that is from."""
    with st.popover(
        "", icon=":material/lightbulb:", help="Which selector?", key=ui.key("advice"), on_change="rerun"
    ) as popover:
        if not popover.open:
            return
        with ui.guard():
            told = workbench.advice(ui.workspace(), ui.project_id())
            (st.markdown if told.tune else st.warning)(f"**{ui.plain(told.sentence)}**")
            st.markdown("\n".join(f"- {ui.plain(reason)}" for reason in told.reasons))
            st.markdown("**Before you rely on it**")
            st.markdown("\n".join(f"- :gray[{ui.plain(caveat)}]" for caveat in told.caveats))
            st.caption("From: " + " · ".join(map(ui.plain, told.citations)))
            if told.selector != _link.selection().selector:
                st.button(
                    f"Use {_form.label(told.selector)}",
                    type="primary",
                    key=ui.key("advice.use"),
                    on_click=_use,
                    args=(told.selector,),
                )
            else:
                st.caption("It is the selector in use.")


def _use(selector: str) -> None:
    with ui.acting():
        _link.choose(selector=selector, options={})
