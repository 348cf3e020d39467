"""What a page shows, kept in the link: a reload or a copied link brings it all back.

The link is one tab's truth: widgets follow it, and only what a user does changes it. A selection chosen on the Curate
page is stored in the project too, whole, so that a new tab and the other pages go on with the last choice while tabs
that are open keep theirs. Pins and bans are not here: they are the project's log, which every tab reads afresh.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection
from typing import Any

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from curation import selectors, workbench
from curation.config import BudgetConfig, SelectionConfig
from curation.errors import CurationError
from pages import _shell as ui

_KEPT = "_curate_link"
_LAST = "_link_last"


def settle(representations: Collection[str]) -> None:
    """Make the Curate page's link whole: drop what is another project's, fill in what the project or this tab had.

    Parameters
    ----------
    representations : collection of str
        Keys of those that can be shown; the first is shown where none is chosen.
    """
    project = ui.project_id()
    here = _here()
    kept: dict[str, dict[str, str]] = st.session_state.setdefault(_KEPT, {})
    if here and any(here == other for p, other in kept.items() if p != project):
        here = {}  # the project was switched: the rest of the link still speaks of the last one
    if not here:  # back from another page, which may have chosen another representation or selection
        here = {k: v for k, v in kept.get(project, {}).items() if k not in _CHOICE}
    if "selector" not in here:
        chosen = workbench.settings(ui.workspace(), project)
        here = {"representation": chosen.active, **_spelled(chosen.selection), **here}
    if here.get("representation") not in representations:
        here["representation"] = next(iter(representations))
    kept[project] = here = {k: v for k, v in here.items() if v}
    _store(here)


def read(name: str, default: str = "") -> str:
    """Return one part of the link."""
    return _here().get(name, default)


def number(name: str, default: int = 0) -> int:
    """Return one part of the link as a number of at least 0; what is not one counts as missing."""
    text = read(name)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else default


def write(**changes: object) -> None:
    """Change parts of the link; an empty value, or 0, takes the part away."""
    here = _here()
    here |= {k: str(v) for k, v in changes.items()}
    _store({k: v for k, v in here.items() if v and (v != "0" or k in _CHOICE)})


def _here() -> dict[str, str]:
    """Return the link's parts, the project aside.

    A widget's rerun brings the address as the browser knew it, maybe of before the last change; of that the tab's own
    memory tells. Only a run of the whole page brings another address: by a link, a reload, the way back.
    """
    ctx = get_script_run_ctx()
    if ctx is not None and ctx.fragment_ids_this_run and _LAST in st.session_state:
        _show(st.session_state[_LAST])
    st.session_state[_LAST] = dict(st.query_params)
    return {k: v for k, v in st.query_params.items() if k != "project"}


def _store(here: dict[str, str]) -> None:
    st.session_state[_LAST] = {"project": ui.project_id(), **here}
    _show(st.session_state[_LAST])


def _show(address: dict[str, str]) -> None:
    if dict(st.query_params) != address:
        st.query_params.from_dict(address)


# ------------------------------------------------------------------------------------------------------ selection

_CHOICE = ("representation", "selector", "options", "budget", "seed", "quotas", "minimum", "score", "feedback")


def _spelled(selection: SelectionConfig) -> dict[str, str]:
    budget = selection.budget
    return {
        "selector": selection.selector,
        "options": json.dumps(selection.options, sort_keys=True) if selection.options else "",
        "budget": str(budget.examples) if budget.examples is not None else f"{budget.tokens}t",
        "seed": str(selection.seed),
        "quotas": json.dumps(selection.quotas, sort_keys=True) if selection.quotas else "",
        "minimum": "" if selection.minimum_similarity is None else f"{selection.minimum_similarity:g}",
        "score": "" if selection.minimum_score is None else f"{selection.scorer}:{selection.minimum_score:g}",
        "feedback": f"{selection.feedback_weight:g}" if selection.feedback else "",
    }


def selection() -> SelectionConfig:
    """Return the selector and budget of the link; the project's where the link makes no sense."""
    try:
        amount = read("budget")
        size = int(amount.removesuffix("t"))
        budget = BudgetConfig(tokens=size) if amount.endswith("t") else BudgetConfig(examples=size)
        options = json.loads(read("options", "{}"))
        selectors.REGISTRY.config(read("selector")).from_dict(options)
        made: dict[str, Any] = {"selector": read("selector"), "options": options, "budget": budget}
        made |= {"seed": number("seed"), "quotas": json.loads(read("quotas", "{}"))}
        if read("minimum"):
            made["minimum_similarity"] = float(read("minimum"))
        if read("score"):
            made["scorer"], _, least = read("score").partition(":")
            made["minimum_score"] = float(least)
        if read("feedback"):
            made |= {"feedback": True, "feedback_weight": float(read("feedback"))}
        return SelectionConfig.from_dict(made)
    except (ValueError, CurationError):
        return workbench.settings(ui.workspace(), ui.project_id()).selection


def choose(**changes: Any) -> None:
    """Change the selection, and have the project remember it."""
    chosen = dataclasses.replace(selection(), **changes)
    workbench.change(ui.workspace(), ui.project_id(), selection=chosen)
    write(at="", **_spelled(chosen))


def open_selection(representation: str, chosen: SelectionConfig) -> None:
    """Show a selection that the project was just given."""
    write(at="", area="", representation=representation, **_spelled(chosen))


def choose_representation(key: str) -> None:
    """Show another representation, and have the project remember it; a lasso of the old map goes."""
    workbench.change(ui.workspace(), ui.project_id(), active=key)
    write(representation=key, at="", area="")


# ---------------------------------------------------------------------------------------------------------- widgets


def follow(name: str, value: Any) -> str:
    """Let a widget show `value`, whatever it showed before; return its key.

    Its state is touched only where it differs, so that an answer on its way never overwrites a newer input.
    """
    key = ui.key(f"curate.{name}")
    if st.session_state.get(key) != value:
        st.session_state[key] = value
    return key


def value(name: str) -> Any:
    """Return what a widget that follows the link has been set to."""
    return st.session_state[ui.key(f"curate.{name}")]


def pager(page: int, pages: int) -> None:
    """Draw which page of a table is shown, and the way to the next and the last one."""
    with st.container(horizontal=True, vertical_alignment="center", width="content"):  # wraps as a whole
        for to, icon, shown in ((page - 1, "chevron_left", page > 1), (page + 1, "chevron_right", page < pages)):
            if to > page:
                st.markdown(f":gray[page {page:,} of {pages:,}]", width="content")
            st.button(
                "",
                icon=f":material/{icon}:",
                key=ui.key(icon),
                type="tertiary",
                disabled=not shown,
                help="Further rows" if to > page else "Earlier rows",
                on_click=write,
                kwargs={"at": to if to > 1 else ""},
            )
