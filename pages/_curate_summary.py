"""The Curate page's line of figures: what was picked, what moved, how near and how sure; more behind each."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

import streamlit as st

from curation import workbench
from pages import _curate_measures, _curate_table, _link
from pages import _shell as ui

if TYPE_CHECKING:
    import pandas as pd
    from streamlit.delta_generator import DeltaGenerator

    from curation.views import View

SHOWN = 100
SOON = 1_000_000  # similarities up to which the stability of a ranking's picks is told without being asked for
MEANING = (
    "Distance: mean over the queries of 1 − similarity to the nearest pick, beside random picks of the same number. "
    "Near-duplicates: share of picks that nearly repeat another pick. "
    "Uncovered: queries that random picks of the same number would likely serve better. "
    "Stability: share of the picks that would still be picked had other queries of the same kind been written."
)


def draw(view: View, inside: list[str] | None) -> Callable[[], None]:
    """Draw the line; return what fills in the figure that takes longer, to be called when all else is drawn."""
    told = view.summary
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="curate-summary"):
        near = (
            f" · distance **{told['distance']:.2f}** :gray[(random {told['random_distance']:.2f})]"
            f" · near-duplicates **{told['redundancy']:.0%}**"
        )
        st.markdown(
            f"**{told['n_picked']:,}** picked :gray[of {len(view.pool_ids):,}] · **{len(view.query_ids):,}** queries"
            + (near if told["n_picked"] else ""),
            width="content",
            help=MEANING,
        )
        _uncovered(view)
        soon = not view.made.by_set and view.similarity.size <= SOON and told["n_picked"]
        stable = st.empty()
        if soon:
            stable.markdown(":gray[stability …]", width="content")
        _moved(view, inside)
        _curate_measures.draw(view)
        for note in view.subset.notes:
            st.caption(f":material/info: {ui.sentence(note)}")
        if view.stale_overrides:
            st.caption(f"{len(view.stale_overrides):,} decisions are about rows that this pool does not have.")
    return lambda: _stability(view, stable) if soon else None


def _stability(view: View, at: DeltaGenerator) -> None:
    picks = workbench.stability(ui.workspace(), view)
    at.markdown(f"stability **{picks.mean():.2f}**", width="content")


def _uncovered(view: View) -> None:
    uncovered = view.summary["uncovered"]
    if not uncovered:
        st.markdown(":green[all covered]", width="content")
        return
    with st.popover(f":red[{len(uncovered)} uncovered]", type="tertiary", key=ui.key("uncovered")):
        st.caption("No pick is near these queries. Click one to see it and the rows around it.")
        for query in uncovered[:30]:
            st.button(
                f":yellow[★] {query + 1} · {ui.plain(view.query_titles[query])}",
                key=ui.key(f"uncovered.{query}"),
                type="tertiary",
                on_click=_link.write,
                kwargs={"query": query + 1, "row": "", "at": ""},
            )


def _moved(view: View, inside: list[str] | None) -> None:
    """What the last change in this tab brought in and put out."""
    before, now = st.session_state.get(ui.key("_curate.moved"), (None, None))
    if now is None or _choice(now) != _choice(view):
        before, now = now, view
        st.session_state[ui.key("_curate.moved")] = (before, now)
    if before is not None and before.rows is now.rows:
        _between(before, now, inside, "moved", "What the last change brought in and put out. Click a row to read it.")


def steered(view: View, inside: list[str] | None) -> None:
    """What feedback brought in and put out: the same selection with and without it."""
    without = dataclasses.replace(view.selection, feedback=False)
    shown = view.represented.key
    before = workbench.view(ui.workspace(), ui.project_id(), representation=shown, selection=without)
    _between(before, view, inside, "steered", "What your decisions brought in and put out beside those very rows.")


def _between(before: View, now: View, inside: list[str] | None, name: str, said: str) -> None:
    entered, left = workbench.moved(before, now)
    if not (entered or left):
        st.markdown(":gray[nothing moved]", width="content")
        return
    with st.popover(
        f"{len(entered):,} in, {len(left):,} out", type="tertiary", key=ui.key(name), on_change="rerun"
    ) as popover:
        if not popover.open:
            return
        st.caption(said)
        for title, ids in (("In", entered), ("Out", left)):
            if not ids:
                continue
            table, _ = workbench.table(ui.workspace(), now, ids=ids, limit=SHOWN)
            more = f" :gray[the first {SHOWN:,}]" if len(ids) > SHOWN else ""
            st.markdown(f"**{title}** · {len(ids):,}{more}")
            _list(now, inside, table, ui.key(f"{name}.{title}.{hash(tuple(table['id']))}"))


def _list(view: View, inside: list[str] | None, table: pd.DataFrame, key: str) -> None:
    def read() -> None:
        if cells := (st.session_state.get(key) or {}).get("selection", {}).get("cells"):
            _curate_table.read(view, inside, table["id"].iloc[cells[0][0]])

    st.dataframe(
        table.assign(text=table["text"].str.removeprefix("user: ")),
        key=key,
        on_select=read,
        selection_mode="single-cell",
        hide_index=True,
        height=min(220, 38 + 35 * len(table)),
        column_order=("text", "source", "similarity"),
        column_config={
            "text": st.column_config.TextColumn("Text", width=380),
            "source": st.column_config.TextColumn("Source", width=110),
            "similarity": st.column_config.NumberColumn("Similarity", width=80, format="%.3f"),
        },
    )


def _choice(view: View) -> tuple[object, ...]:
    """What decides the picks: all but the notes."""
    return view.represented.key, dataclasses.replace(view.selection, notes={})
