"""Compare: two selections of one pool beside each other, measured, drawn and read."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import streamlit as st

from curation import comparison, figures, workbench
from curation.wording import representation_label
from pages import _compare_figures, _compare_rows, _link
from pages import _shell as ui

if TYPE_CHECKING:
    from curation.comparison import Saved

PRESENT, RANDOM, NOBODY, BY = "present", "random", "nobody", "by:"
LAYOUT = """<style>
.st-key-compare-body > div:has(> .st-key-compare-map) { flex: 1.5 1 480px; min-width: 0; }
.st-key-compare-body > div:has(> .st-key-compare-side) { flex: 1 1 340px; min-width: 0; }
.st-key-compare-charts > div { flex: 1 1 420px; min-width: 0; }
</style>"""


def _names() -> dict[str, str]:
    """What can be compared, and what each is called: saved ones, the present one, and it under others' decisions."""
    ws, project = ui.workspace(), ui.project_id()
    names = {f"{s.name} v{s.version}": f"{s.name} v{s.version}" for s in ws.selections(project)}
    names |= {PRESENT: "The present selection", RANDOM: "Random, at the other's budget"}
    authors = comparison.authors(ws, project)
    if authors:
        names[NOBODY] = "The present one, without decisions by hand"
    if len(authors) > 1:
        names |= {f"{BY}{a}": f"The present one, decided by {a or 'somebody unnamed'} alone" for a in authors}
    return names


def _choose(names: dict[str, str]) -> tuple[str, str]:
    """Draw the two choices and return them."""
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
    return a, b


def _open(which: str, other: str) -> Saved:
    """Open a choice. The random one takes the other's representation and budget, under the same pins and bans."""
    ws, project = ui.workspace(), ui.project_id()
    if which == RANDOM:
        like = _open(PRESENT if other == RANDOM else other, "")
        drawn = dataclasses.replace(like.selection, selector="random", options={})
        view = workbench.view(ws, project, representation=like.represented.key, selection=drawn)
        return dataclasses.replace(comparison.as_saved(ws, view), name="random")
    if which == PRESENT:
        return comparison.as_saved(ws, workbench.view(ws, project))
    if which == NOBODY or which.startswith(BY):
        author = None if which == NOBODY else which.removeprefix(BY)
        return comparison.decided_by(ws, workbench.view(ws, project), author)
    return next(comparison.open_saved(ws, s) for s in ws.selections(project) if f"{s.name} v{s.version}" == which)


@st.fragment
def body() -> None:
    """Draw the comparison; a choice or a click redraws this alone."""
    names = _names()
    a, b = _choose(names)
    with ui.guard():
        told = comparison.compare(ui.workspace(), _open(a, b), _open(b, a))
        theme = st.context.theme.type or "light"
        shared = f"They share **{len(told.both):,}** picks, {told.jaccard:.0%} of all that either has."
        st.markdown(shared + f" :gray[Measured in {representation_label(told.represented.name)}.]")
        plain = {"displayModeBar": False}
        st.plotly_chart(figures.overlap(told, theme=theme), theme=None, config=plain, key=ui.key("overlap"))
        _compare_rows.map_and_reading(told, theme)
        _compare_rows.table(told)
        st.subheader("How near, how varied", anchor=False)
        measured = st.container()
        with st.container(horizontal=True, gap="medium", key="compare-charts"):
            with st.container():
                st.subheader("Coverage of each query", anchor=False)
                st.plotly_chart(figures.coverage(told, theme=theme), theme=None, config=plain, key=ui.key("coverage"))
            with st.container():
                st.subheader("Picks by source", anchor=False)
                st.plotly_chart(figures.composition(told, theme=theme), theme=None, config=plain, key=ui.key("sources"))
        _compare_figures.overlaps(told, theme)
        with measured:  # all else is on screen by now
            _compare_figures.measures(told)


ui.page("Compare", "Two selections of the same pool: what they share, what moved, and which serves the queries better.")
with ui.guard():
    if not workbench.represented(ui.workspace(), ui.project_id()):
        ui.empty("There is nothing to compare yet: a selection needs a representation.", "Represent", "represent")
    else:
        st.html(LAYOUT)
        body()
