"""The Curate page's controls: representation, selector and its options, budget."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

import streamlit as st

from curation import selectors
from curation.config import BudgetConfig
from curation.wording import representation_label
from pages import _curate_options, _form, _link
from pages import _shell as ui

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

    from curation.pipeline import Represented

_LADDER = tuple(step * 10**power // 10 for power in range(8) for step in (10, 15, 20, 30, 50, 75))[1:]
_TOKENS_AN_EXAMPLE = 100  # where the budget starts when its unit is changed


def names(available: list[Represented]) -> dict[str, str]:
    """Return key → label of the representations; those of one name are told apart by their options."""
    often = Counter(r.name for r in available)
    told = {}
    for r in available:
        options = ", ".join(f"{k} {v}" for k, v in r.record["representation"]["options"].items())
        title = representation_label(r.name)
        told[r.key] = title if often[r.name] == 1 else f"{title} · {options or r.key[:6]}"
    return told


def draw(available: list[Represented], pool: str, n_pool: int) -> DeltaGenerator | None:
    """Draw the controls of a pool by its key and its number of rows; return the line of feedback where that is on."""
    chosen = _link.selection()
    labels = names(available)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="curate-controls"):
        st.selectbox(
            "Representation",
            list(labels),
            format_func=lambda key: labels[key],
            key=_link.follow("representation", _link.read("representation")),
            on_change=_guarded(lambda: _link.choose_representation(_link.value("representation"))),
            width=160,
        )
        known = list(selectors.REGISTRY)
        st.selectbox(
            "Selector",
            known,
            format_func=_form.label,
            key=_link.follow("selector", chosen.selector if chosen.selector in known else known[0]),
            on_change=_guarded(lambda: _link.choose(selector=_link.value("selector"), options={})),
            help="\n".join(f"- **{_form.label(n)}**: {selectors.REGISTRY.help(n)}" for n in known),
            width=170,
        )
        _curate_options.advice()
        limits = len(chosen.quotas) + (chosen.minimum_similarity is not None) + (chosen.minimum_score is not None)
        with st.popover(
            f"{limits}" if limits else "",
            icon=":material/tune:",
            help="Options of the selector, quotas by source, a minimum similarity, a shortest answer",
            key=ui.key("options"),
        ):
            _curate_options.draw(pool)
            if not chosen.feedback:
                _curate_options.feedback()
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="curate-budget"):
            _budget(n_pool)
    return _curate_options.feedback() if chosen.feedback else None


def _guarded(act: Callable[[], None]) -> Callable[[], None]:
    """Return a widget's callback that keeps a CurationError to be shown, rather than a trace."""

    def callback() -> None:
        with ui.acting():
            act()

    return callback


def _budget(n_pool: int) -> None:
    budget = _link.selection().budget
    in_tokens = budget.tokens is not None
    amount = int(budget.tokens if in_tokens else budget.examples or 0)
    scale = _TOKENS_AN_EXAMPLE if in_tokens else 1
    ladder = [n * scale for n in _LADDER if n < n_pool] + [n_pool * scale]  # fine where budgets are small
    nearest = min(ladder, key=lambda n: abs(n - amount))

    def size(name: str) -> None:
        set_to = int(_link.value(name) or 0)
        _link.choose(budget=BudgetConfig(tokens=set_to) if in_tokens else BudgetConfig(examples=set_to))

    st.select_slider(
        "Budget",
        ladder,
        format_func=lambda n: f"{n:,}",
        key=_link.follow(f"slider.{in_tokens}", nearest),
        on_change=_guarded(lambda: size(f"slider.{in_tokens}")),
        width="stretch",
    )
    st.number_input(
        "Exactly",
        min_value=0,
        step=max(1, scale // 10),
        key=_link.follow("amount", amount),
        on_change=_guarded(lambda: size("amount")),
        width=130,
    )

    def unit() -> None:
        to_tokens = _link.value("unit") == "tokens"
        made = amount * _TOKENS_AN_EXAMPLE if to_tokens else min(n_pool, max(1, amount // _TOKENS_AN_EXAMPLE))
        if to_tokens != in_tokens:
            _link.choose(budget=BudgetConfig(tokens=made) if to_tokens else BudgetConfig(examples=made))

    st.segmented_control(
        "Unit",
        ["examples", "tokens"],
        required=True,
        key=_link.follow("unit", "tokens" if in_tokens else "examples"),
        on_change=_guarded(unit),
        label_visibility="collapsed",
    )
