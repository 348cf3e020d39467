"""The Curate page's search, filters and order: what the link says, and the widgets that change it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import streamlit as st

from pages import _link

if TYPE_CHECKING:
    from curation.views import View

STATES = ("all", "picked", "pinned", "banned", "not picked")
ORDERS = {
    "rank": "Rank",
    "-similarity": "Least similar",
    "similarity": "Most similar",
    "source": "Source",
    "length": "Shortest",
    "-length": "Longest",
}
SEARCHES = {"words": "Words in the conversation", "meaning": "What it should be about"}


def by() -> str:
    """Return whether a search goes by ``words`` or by ``meaning``."""
    return "meaning" if _link.read("by") == "meaning" else "words"


def busy() -> AbstractContextManager[object]:
    """Say what takes its time the first time that a search goes by meaning."""
    if by() == "meaning" and _link.read("search"):
        return st.spinner("Reading the pool by meaning …")
    return nullcontext()


def asked() -> dict[str, Any]:
    """Return the link's filters and order, as the workbench takes them."""
    state, order = _link.read("state", "all"), _link.read("sort", "rank")
    return {
        "search": _link.read("search"),
        "by": by(),
        "state": state if state in STATES else "all",
        "source": _link.read("source"),
        "query": _link.number("query") - 1,
        "order": order if order in ORDERS else "rank",
    }


def draw(view: View) -> None:
    """Draw the search, the filters and the order."""

    def put(name: str) -> None:
        _link.write(**{name: _link.value(name), "at": ""})

    sources = [s for s in sorted({*view.sources}) if s]
    queries = range(len(view.query_titles) + 1)
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="curate-filters"):
        with st.container(key="curate-search", width="stretch"):
            st.text_input(
                "Search",
                key=_link.follow("search", _link.read("search")),
                on_change=put,
                args=("search",),
                placeholder=f"{SEARCHES[by()]}   /",
                icon=":material/search:",
                label_visibility="collapsed",
            )
        st.segmented_control(
            "Search by",
            list(SEARCHES),
            format_func=str.capitalize,
            required=True,
            key=_link.follow("by", by()),
            on_change=lambda: _link.write(by="meaning" if _link.value("by") == "meaning" else "", at=""),
            label_visibility="collapsed",
        )
        _pick("state", STATES, "all", put, lambda s: "Any state" if s == "all" else s.capitalize(), 125)
        _pick("source", ("", *sources), "", put, lambda s: s or "Any source", 140)
        titles = ("Any query", *(f"{i} · {t}" for i, t in enumerate(view.query_titles, start=1)))
        _pick("query", [str(q) if q else "" for q in queries], "", put, lambda q: titles[int(q or 0)], 165)
        first = "Nearest in meaning" if by() == "meaning" and _link.read("search") else ORDERS["rank"]
        _pick("sort", tuple(ORDERS), "rank", put, lambda o: first if o == "rank" else ORDERS[o], 130)


def _pick(name: str, options: Any, default: str, put: Any, say: Any, width: int) -> None:
    now = _link.read(name, default)
    st.selectbox(
        name.capitalize(),
        options,
        format_func=say,
        key=_link.follow(name, now if now in options else default),
        on_change=put,
        args=(name,),
        label_visibility="collapsed",
        width=width,
    )
