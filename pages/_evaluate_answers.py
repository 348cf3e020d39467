"""Evaluate, the answers: prompt by prompt, chosen runs side by side, differences marked; all of it plain text."""

from __future__ import annotations

from typing import Any

import streamlit as st

from curation import answers, results
from pages import _shell as ui

PAGE = 5
AT_FIRST = 4  # runs that are shown before one chooses
MARKS = {"own": ":blue-background[{}]", "missing": ":gray[~~{}~~]", "same": "{}"}
NOTHING = {"": "Nothing", "expected": "What was expected"}


def without_tests(result: dict[str, Any]) -> bool:
    """Say so, and return True, if there are no answers to look at."""
    if result["n_test"] and any(result.get("evaluations", {}).values()):
        return False
    ui.empty("There are no answers: without a test set nothing is asked of the arms. Load one.", "Data", "data")
    return True


def draw(ws: ui.Workspace, record: results.ExperimentRecord) -> None:
    """Draw a page of prompts with what the chosen runs answered."""
    result = record.result or {}
    if without_tests(result):
        return
    names = answers.run_names(result)
    shown = st.multiselect(
        "Arms",
        list(names),
        default=answers.first_runs(result, sizes=False)[:AT_FIRST],
        format_func=names.__getitem__,
        key=ui.key(f"answers-of.{record.experiment.id}"),
        bind="query-params",
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        kind = st.selectbox(
            "Show",
            list(answers.SHOWN),
            format_func=answers.SHOWN.__getitem__,
            key=ui.key("answers-show"),
            bind="query-params",
            width=280,
        )
        beside = NOTHING | {run: names[run] for run in shown}
        against = st.selectbox(
            "Mark what differs from",
            list(beside),
            format_func=beside.__getitem__,
            key=ui.key("answers-against"),
            width=240,
        )
        place = st.container(width=140)
    if not shown:
        ui.empty("Choose at least one arm above, and its answers stand here.")
        return
    page = int(st.session_state.get(key := ui.key(f"answers-page.{record.experiment.id}"), 1))
    frame, total = answers.answers(ws, record, shown, kind=kind, offset=(page - 1) * PAGE, limit=PAGE)
    last = max(1, -(-total // PAGE))
    if page > last:
        st.session_state[key] = last
        frame, _ = answers.answers(ws, record, shown, kind=kind, offset=(last - 1) * PAGE, limit=PAGE)
    place.number_input(f"Page of {last:,}", 1, last, key=key, bind="query-params")
    st.caption(f"{total:,} of {result['n_test']:,} test examples.")
    if frame.empty:
        ui.empty("No answer is of that kind.")
    for at, row in frame.iterrows():
        _answer(int(at), row, shown, names, against)


def _answer(at: int, row: Any, shown: list[str], names: dict[str, str], against: str) -> None:
    with st.container(border=True, key=f"answer-{at}"):
        asked, expected = st.columns([3, 1], gap="medium")
        with asked:
            st.caption(f"Test example {at + 1:,}")
            st.text(row["prompt"])
        with expected:
            st.caption("Expected")
            st.text(row["expected"])
        with st.container(horizontal=True, gap="medium", key=f"beside-{at}"):
            for run in shown:
                with st.container(gap="xxsmall"):
                    st.markdown(f"**{ui.plain(names[run])}**{_mark(row[f'{run}: right'])}")
                    text(row[run], row[against] if against and against != run else None)


def _mark(right: bool | None) -> str:
    if right is None:
        return ""
    return " :green[:material/check: right]" if right else " :red[:material/close: wrong]"


def text(answer: str, other: str | None = None) -> None:
    """Draw an answer as plain text; with another one beside it, mark what is its own and what it lacks."""
    if other is None:
        st.text(answer or "(no answer)")
        return
    pieces = answers.differences(answer.strip(), other.strip())
    lines = [(line, p.kind) for p in pieces for line in p.text.splitlines(keepends=True)]
    st.markdown("".join(_piece(line, kind) for line, kind in lines) or ":gray[(no answer)]")


def _piece(line: str, kind: str) -> str:
    """Return one line of a piece as Markdown; blanks at its ends stay outside the mark, which they would break."""
    inner = line.strip()
    head, tail = line[: len(line) - len(line.lstrip())], line[len(line.rstrip()) :] if inner else ""
    return (head + (MARKS[kind].format(ui.plain(inner)) if inner else "") + tail).replace("\n", "  \n")
