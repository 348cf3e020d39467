"""The Curate page's decisions by hand: undo and redo, who decided what when, files of decisions out and in."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from curation import export, overrides, workbench
from curation.config import BudgetConfig
from curation.errors import CurationError
from pages import _link
from pages import _shell as ui

if TYPE_CHECKING:
    from curation.overrides import Merge

SHOWN = 200
_SAID = {
    "pin": "Pinned",
    "ban": "Banned",
    "unpin": "Unpinned",
    "unban": "Unbanned",
    "note": "Noted",
    "undo": "Undo",
    "redo": "Redo",
    "several": "Taken over",
}


def draw() -> None:
    """Draw undo and redo, and behind a button the log and the files."""
    ws, project = ui.workspace(), ui.project_id()
    state = ws.overrides(project)
    for action, can, keys in (("undo", state.can_undo, "U"), ("redo", state.can_redo, "Shift+U")):
        st.button(
            action.capitalize(),
            icon=f":material/{action}:",
            key=ui.key(action),
            shortcut=keys,
            type="tertiary",
            disabled=not can,
            on_click=_act,
            args=(action,),
        )
    with st.popover(
        "Decisions", icon=":material/history:", type="tertiary", key=ui.key("decisions"), on_change="rerun"
    ) as popover:
        if popover.open:
            n = (len(state.pinned), len(state.banned), len(state.notes))
            st.markdown(f"**{n[0]:,}** pinned · **{n[1]:,}** banned · **{n[2]:,}** noted")
            _history()
            _files()


def _act(action: str, ids: tuple[str, ...] = ()) -> None:
    with ui.acting():
        ui.workspace().override(ui.project_id(), action, ids or "", author=ui.author())


def _history() -> None:
    acts = overrides.history(ui.workspace().override_log(ui.project_id()))
    if not acts:
        st.caption("Nothing was pinned, banned or noted yet.")
        return
    shown = [dataclasses.asdict(act) for act in acts[:SHOWN]]
    st.dataframe(
        {
            "When": [ui.moment(a["time"]) for a in shown],
            "Who": [a["author"] or "–" for a in shown],
            "What": [_SAID[a["action"]] for a in shown],
            "Rows": [len(a["rows"]) or None for a in shown],
            "Note": [a["text"] for a in shown],
            "": ["" if a["stands"] else "taken back" for a in shown],
        },
        hide_index=True,
        placeholder="",
        width=560,  # the popover is as wide as what it holds, else its last columns are out of sight
        height=min(300, 38 + 35 * len(shown)),
        key=ui.key("decisions.log"),
    )
    if len(acts) > SHOWN:
        st.caption(f"The newest {SHOWN:,} of {len(acts):,} acts; the file has them all.")


def _files() -> None:
    """Decisions out, and another curator's in; where the two disagree, what was decided here stands until told."""
    ws, project = ui.workspace(), ui.project_id()
    st.download_button(
        "Save as a file",
        data=lambda: export.overrides_jsonl(ws, project),
        file_name=f"winnow-decisions-{project}.jsonl",
        mime="application/jsonl",
        icon=":material/download:",
        on_click="ignore",
        help="All of it as JSON lines with authors and times, for another curator or another machine.",
    )
    file = st.file_uploader("Take over another curator's file", type=["jsonl"], key=ui.key("decisions.file"))
    if file is None:
        return
    merged: dict[str, Merge | CurationError] = st.session_state.setdefault(ui.key("_decisions.merged"), {})

    def take(favour: tuple[str, ...] = ()) -> None:
        merged.clear()
        try:
            merged[file.file_id] = workbench.import_overrides(ws, project, file.getvalue(), file.name, favour=favour)
        except CurationError as error:
            merged[file.file_id] = error

    told = merged.get(file.file_id)
    if told is None:
        st.button("Take over", type="primary", on_click=take, key=ui.key("decisions.take"))
        return
    if isinstance(told, CurationError):
        st.error(ui.sentence(told), icon=":material/error:")
        return
    took = ui.counted(told.applied, "decision")
    said = f"Took over {took}; one undo takes them all back." if told.applied else "Nothing was taken over."
    if told.unknown:
        said += (
            f" {ui.counted(len(told.unknown), 'row')} of the file {'is' if len(told.unknown) == 1 else 'are'} not here."
        )
    st.success(said)
    if told.conflicts:
        st.markdown(f"On **{len(told.conflicts):,}** the file says otherwise; what was decided here stands.")
        rows = ws.rows(ws.dataset(project, "pool").key, [c.row_id for c in told.conflicts[:SHOWN]])
        st.dataframe(
            {"Example": [r.text[:160] for r in rows], "": [c.sentence for c in told.conflicts[:SHOWN]]},
            hide_index=True,
            key=ui.key("decisions.conflicts"),
        )
        favoured = tuple(c.row_id for c in told.conflicts)
        st.button("Let the file win on these", on_click=take, args=(favoured,), key=ui.key("decisions.favour"))


def ways_out(n_pool: int) -> None:
    """Where nothing can be selected: what would make it possible again, a button each."""
    state, chosen = ui.workspace().overrides(ui.project_id()), _link.selection()
    examples, left = chosen.budget.examples, n_pool - len(state.banned)
    ways: list[tuple[str, Callable[[], object]]] = []
    if chosen.feedback:
        ways.append(("Don't learn from my decisions", partial(_link.choose, feedback=False)))
    if examples is not None and examples > left > 0:
        ways.append((f"Budget {left:,}, all that are left", partial(_link.choose, budget=BudgetConfig(examples=left))))
    if examples is not None and examples < len(state.pinned):
        enough = BudgetConfig(examples=len(state.pinned))
        ways.append((f"Budget {enough.examples:,}, all that are pinned", partial(_link.choose, budget=enough)))
    if chosen.quotas:
        ways.append(("Lift the quotas", partial(_link.choose, quotas={})))
    if chosen.minimum_similarity is not None:
        ways.append(("Lift the minimum similarity", partial(_link.choose, minimum_similarity=None)))
    if chosen.minimum_score is not None:
        ways.append(("Lift the minimum score", partial(_link.choose, minimum_score=None)))
    for action, ids in (("unpin", state.pinned), ("unban", state.banned)):
        if ids:
            ways.append((f"{action.capitalize()} all {len(ids):,}", partial(_act, action, ids)))
    with st.container(horizontal=True, gap="small", key="curate-ways-out"):
        for n, (said, act) in enumerate(ways):
            st.button(said, on_click=act, key=ui.key(f"way-out.{n}"))
