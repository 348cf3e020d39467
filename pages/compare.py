"""Compare: two selections of one pool beside each other, measured, drawn and read."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import streamlit as st

from curation import comparison, figures, figures_map, views, workbench
from pages import _link, _map
from pages import _shell as ui

if TYPE_CHECKING:
    from curation.comparison import Comparison, Saved

PRESENT, RANDOM = "present", "random"
PAGE = 25
MEASURES = {
    "n_picked": ("Picks", "{:,}"),
    "distance": ("Distance to the queries", "{:.3f}"),
    "random_distance": ("… of a random selection", "{:.3f}"),
    "uncovered": ("Uncovered queries", "{:,}"),
    "redundancy": ("Redundancy", "{:.1%}"),
}
LAYOUT = """<style>
.st-key-compare-body > div:has(> .st-key-compare-map) { flex: 1.5 1 480px; min-width: 0; }
.st-key-compare-body > div:has(> .st-key-compare-side) { flex: 1 1 340px; min-width: 0; }
.st-key-compare-charts > div { flex: 1 1 420px; min-width: 0; }
</style>"""


def _choose() -> tuple[str, str, dict[str, str]]:
    """Draw the two choices; return them, and what each possible one is called."""
    names = {f"{s.name} v{s.version}": f"{s.name} v{s.version}" for s in ui.workspace().selections(ui.project_id())}
    names |= {PRESENT: "The present selection", RANDOM: "Random, at the other's budget"}
    known = list(names)
    a, b = _link.read("a"), _link.read("b")
    a = a if a in names else known[0]
    b = b if b in names else next((n for n in known if n not in (a, PRESENT)), RANDOM)

    def put(name: str) -> None:
        _link.write(**{name: _link.value(name), "row": "", "at": ""})

    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        for name, title, now in (("a", "First", a), ("b", "Second", b)):
            st.selectbox(
                title,
                known,
                format_func=lambda n: names[n],
                key=_link.follow(name, now),
                on_change=put,
                args=(name,),
            )
        st.button("Swap", icon=":material/swap_horiz:", on_click=_link.write, kwargs={"a": b, "b": a, "row": ""})
    return a, b, names


def _open(which: str, other: str, names: dict[str, str]) -> Saved:
    """Open a choice. The random one takes the other's representation and budget, under the same pins and bans."""
    ws, project = ui.workspace(), ui.project_id()
    if which == RANDOM:
        like = _open(PRESENT if other == RANDOM else other, "", names)
        drawn = dataclasses.replace(like.selection, selector="random", options={})
        view = workbench.view(ws, project, representation=like.represented.key, selection=drawn)
        return dataclasses.replace(comparison.as_saved(ws, view), name="random")
    if which == PRESENT:
        return comparison.as_saved(ws, workbench.view(ws, project))
    return next(comparison.open_saved(ws, s) for s in ws.selections(project) if f"{s.name} v{s.version}" == which)


def _measures(told: Comparison) -> None:
    rows: dict[str, list[str]] = {"": [title for title, _ in MEASURES.values()]}
    for saved, summary in ((told.a, told.summary_a), (told.b, told.summary_b)):
        known = {**summary, "n_picked": len(saved.ids), "uncovered": len(summary["uncovered"])}
        rows[saved.name if saved.name not in rows else f"{saved.name} "] = [
            form.format(known[name]) if known[name] == known[name] else "–" for name, (_, form) in MEASURES.items()
        ]
    st.dataframe(rows, hide_index=True, key=ui.key("compare.measures"))


def _rows(told: Comparison) -> None:
    """The rows of one part, to be read: those in the first only, the second only, in both."""
    parts = {
        "a": (f"Only {told.a.name}", told.only_a),
        "b": (f"Only {told.b.name}", told.only_b),
        "both": ("In both", told.both),
    }
    part = _link.read("part", "a")
    part = part if part in parts else "a"
    ids = parts[part][1]
    page, pages = max(1, _link.number("at", 1)), max(1, -(-len(ids) // PAGE))
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.segmented_control(
            "Rows",
            list(parts),
            format_func=lambda p: f"{ui.plain(parts[p][0])} · {len(parts[p][1]):,}",
            required=True,
            key=_link.follow("part", part),
            on_change=lambda: _link.write(part=_link.value("part"), at=""),
            label_visibility="collapsed",
        )
        _link.pager(page, pages)
    if not ids:
        st.markdown(":gray[No row: every pick of the one is a pick of the other.]")
        return
    view = workbench.view(ui.workspace(), ui.project_id(), representation=told.represented.key)
    table, _ = workbench.table(
        ui.workspace(), view, ids=list(ids), offset=PAGE * (page - 1), limit=PAGE, order="similarity"
    )

    key = ui.key(f"compare.rows.{part}.{page}")

    def read_one() -> None:
        cells = (st.session_state.get(key) or {}).get("selection", {}).get("cells")
        if cells:
            _link.write(row=table["id"].iloc[cells[0][0]])

    st.dataframe(
        table.assign(query=table["query"] + 1, text=table["text"].str.removeprefix("user: ")),
        key=key,
        on_select=read_one,
        selection_mode="single-cell",
        hide_index=True,
        column_order=("text", "source", "similarity", "query", "note"),
        column_config={
            "text": st.column_config.TextColumn("Text", width="large"),
            "source": st.column_config.TextColumn("Source"),
            "similarity": st.column_config.NumberColumn("Similarity", format="%.3f"),
            "query": st.column_config.NumberColumn("Nearest query", format="%d"),
            "note": st.column_config.TextColumn("Note"),
        },
    )


def _map_and_reading(told: Comparison, theme: str) -> None:
    ws = ui.workspace()
    pool = told.represented.record["pool"]
    rows = views.rows_of(ws.root, pool)
    reading = _link.read("row")
    if reading not in rows.position:
        reading = next(iter((*told.only_a, *told.only_b, *told.both)), "")
    row = rows.position.get(reading)
    with st.container(horizontal=True, gap="small", key="compare-body"):
        with st.container(key="compare-map"):
            if told.represented.has_map:
                _map.draw(
                    figures_map.moved_map(told, rows.position, theme=theme, row=row),
                    ui.key("compare.map"),
                    on_point=lambda kind, n: _link.write(row=rows.ids[n - 1]) if kind == "row" else None,
                )
            else:
                ui.empty("The map of this representation is not drawn yet.", "Draw it", "represent")
        with st.container(key="compare-side"), st.container(border=True, height=520, gap="small"):
            if row is None:
                st.markdown(":gray[Click a point of the map to read it whole.]")
                return
            within = [s.name for s in (told.a, told.b) if reading in s.ids]
            where = f"picked by {' and '.join(within)}" if within else "picked by neither"
            st.markdown(f"**Row {row + 1:,}** :gray[· {ui.plain(rows.sources[row])} · {ui.plain(where)}]")
            ui.conversation(ws.some(pool, [row])[0])


@st.fragment
def body() -> None:
    """Draw the comparison; a choice or a click redraws this alone."""
    a, b, names = _choose()
    with ui.guard():
        told = comparison.compare(ui.workspace(), _open(a, b, names), _open(b, a, names))
        theme = st.context.theme.type or "light"
        shared = f"They share **{len(told.both):,}** picks, {told.jaccard:.0%} of all that either has."
        st.markdown(shared + f" :gray[Measured in {ui.plain(told.represented.name)}.]")
        plain = {"displayModeBar": False}
        st.plotly_chart(figures.overlap(told, theme=theme), theme=None, config=plain, key=ui.key("overlap"))
        _map_and_reading(told, theme)
        _rows(told)
        st.subheader("How near, how varied", anchor=False)
        _measures(told)
        with st.container(horizontal=True, gap="medium", key="compare-charts"):
            with st.container():
                st.subheader("Coverage of each query", anchor=False)
                st.plotly_chart(figures.coverage(told, theme=theme), theme=None, config=plain, key=ui.key("coverage"))
            with st.container():
                st.subheader("Picks by source", anchor=False)
                st.plotly_chart(figures.composition(told, theme=theme), theme=None, config=plain, key=ui.key("sources"))


ui.page("Compare", "Two selections of the same pool: what they share, what moved, and which serves the queries better.")
with ui.guard():
    if not workbench.represented(ui.workspace(), ui.project_id()):
        ui.empty("There is nothing to compare yet: a selection needs a representation.", "Represent", "represent")
    else:
        st.html(LAYOUT)
        body()
