"""The Curate page's saved selections: keep the present one, list them, open one, read what moved since its parent."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import streamlit as st

from curation import comparison, export, report
from pages import _link
from pages import _shell as ui

if TYPE_CHECKING:
    from curation.tables import SavedSelection
    from curation.views import View


def draw(view: View | None) -> None:
    """Draw the buttons that save, list and export; without a view there is nothing to save or export."""
    ws, project = ui.workspace(), ui.project_id()
    saved = ws.selections(project)
    if saved and st.button(
        f"{len(saved):,} saved", icon=":material/bookmarks:", type="tertiary", key=ui.key("saved-selections")
    ):
        _listed()
    if view is None:
        return
    with (
        st.popover("Save", icon=":material/bookmark_add:", type="primary", key=ui.key("save-selection")),
        st.form(ui.key("save"), border=False, enter_to_submit=True),
    ):
        name = st.text_input("Name", value=saved[0].name if saved else "First selection", max_chars=60)
        st.caption("A name used before gets its next version; nothing is overwritten.")
        if st.form_submit_button("Save selection", type="primary"):
            with ui.guard():
                made = comparison.save_selection(ws, view, name.strip(), ui.author())
                ui.done(f"Saved {ui.plain(made.name)}, version {made.version}.", "bookmark_added")
                st.rerun()
    st.download_button(
        "Export",
        data=lambda: export.archive(ws, report.of_project(ws, project, view)),
        file_name=f"winnow-{project}.zip",
        mime="application/zip",
        icon=":material/download:",
        on_click="ignore",
        help="The subset as JSONL and Parquet with ranks, reasons and overrides, its card, a manifest, and the config "
        "that `winnow run` replays.",
    )


@st.dialog("Saved selections", width="large")
def _listed() -> None:
    """List them; the one that is ticked can be opened, and read beside the one that it was made from."""
    saved = ui.workspace().selections(ui.project_id())
    configs = [json.loads(s.config) for s in saved]
    chosen = st.dataframe(
        {
            "Name": [s.name for s in saved],
            "Version": [s.version for s in saved],
            "Saved": [ui.moment(s.created) for s in saved],
            "By": [s.author or "–" for s in saved],
            "Selector": [c["selector"].replace("_", " ") for c in configs],
            "Budget": [_budget(c["budget"]) for c in configs],
            "Pinned": [len(c["pinned"]) for c in configs],
            "Banned": [len(c["banned"]) for c in configs],
            "Notes": [len(c["notes"]) for c in configs],
            "Made from": [s.parent or "–" for s in saved],
        },
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row-required",
        height=min(320, 38 + 35 * len(saved)),
        key=ui.key("saved-list"),
    )
    with ui.guard():
        _one(saved[(chosen.selection.rows or [0])[0]])


def _budget(budget: dict[str, int | None]) -> str:
    return f"{budget['examples']:,}" if budget["examples"] is not None else f"{budget['tokens']:,} tokens"


def _one(saved: SavedSelection) -> None:
    ws = ui.workspace()
    name = f"{saved.name} v{saved.version}"
    parent = comparison.parent_of(ws, saved)

    def open_it() -> None:
        with ui.acting():
            _link.open_selection(*comparison.restore(ws, saved, ui.author()))

    with st.container(horizontal=True, gap="small"):
        opened = st.button(
            f"Open {ui.plain(name)}",
            type="primary",
            icon=":material/folder_open:",
            key=ui.key("saved-open"),
            on_click=open_it,
            help="Its representation, selector, budget, pins and bans become the present ones. One undo brings the "
            "pins and bans of now back; notes stay.",
        )
        if st.button("Compare", icon=":material/compare_arrows:", key=ui.key("saved-compare")):
            with_what = f"{parent.name} v{parent.version}" if parent else "present"
            ask = {"project": ui.project_id(), "a": name, "b": with_what}
            st.switch_page("pages/compare.py", query_params=ask)
    if opened:
        st.rerun()
    if parent is None:
        st.caption("It was made from no saved selection.")
        return
    mine = comparison.open_saved(ws, saved)
    entered, left = comparison.diff(mine, comparison.open_saved(ws, parent))
    st.markdown(
        f"Since **{ui.plain(parent.name)} v{parent.version}**: **{len(entered):,}** in, **{len(left):,}** out, "
        f"{len(mine.ids) - len(entered):,} kept."
    )
    moved = [*entered[:100], *left[:100]]
    rows = ws.rows(mine.represented.record["pool"], moved)
    if moved:
        way = ["in"] * len(entered[:100]) + ["out"] * len(left[:100])
        st.dataframe(
            {"Moved": way, "Example": [r.text[:200].removeprefix("user: ") for r in rows]},
            hide_index=True,
            height=min(280, 38 + 35 * len(moved)),
            column_config={"Moved": st.column_config.TextColumn(width=60)},
            key=ui.key("saved-moved"),
        )
