"""Evaluate, the blind vote: two answers to one prompt, nobody says whose, and which of them a person prefers."""

from __future__ import annotations

from typing import Any

import streamlit as st

from curation import answers, preferences, results, votes
from pages import _evaluate_answers, _evaluate_result
from pages import _shell as ui

KEYS = {"left": ("Left is better", "1"), "tie": ("Equally good", "2"), "right": ("Right is better", "3")}


def pair(result: dict[str, Any], name: str) -> tuple[str, str, dict[str, str]] | None:
    """Draw the choice of two runs and return them with all runs' names; None, and say so, if there are no two."""
    if _evaluate_answers.without_tests(result):
        return None
    names = answers.run_names(result)
    first_runs = answers.first_runs(result)
    if len(names) < 2:
        ui.empty("It takes two arms to compare; tune another one.", "Train", "train")
        return None
    preferred = [r for arm in ("selected", "random") for r in first_runs if answers.arm_of(r) == arm]
    start = [*preferred, *(r for r in reversed(names) if r not in preferred)][:2]
    chosen = []
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        for title, at_first in (("First", start[0]), ("Second", start[1])):
            others = [r for r in names if r not in chosen]
            place = others.index(at_first) if at_first in others else 0
            key = ui.key(f"{name}-{title.lower()}")
            chosen.append(
                st.selectbox(
                    title,
                    others,
                    index=place,
                    format_func=names.__getitem__,
                    key=key,
                    bind="query-params",
                    width=240,
                )
            )
    return chosen[0], chosen[1], names


def draw(ws: ui.Workspace, record: results.ExperimentRecord) -> None:
    """Draw what is voted on next, the last vote with its names, and what the votes come to."""
    chosen = pair(record.result or {}, "vote")
    if chosen is None:
        return
    first, second, names = chosen
    author = ui.author() or st.text_input(
        "Your name (kept with your votes)", max_chars=60, key=ui.key("voter"), width=260
    )
    with st.spinner("Reading both arms' answers …"):
        pairs, alike = answers.pairs(ws, record.result or {}, first, second)
    standing = votes.of_runs(votes.standing(votes.log(ws, record.key)), first, second)
    mine = [v for v in standing if v.author == author]
    st.caption(
        f"{len(mine):,} of {len(pairs):,} prompts voted on. {alike:,} more are answered alike by both and not asked."
    )
    _last(ws, record.key, mine, names)
    asked = votes.ballot(pairs, first, second, standing, author)
    if asked is None:
        ui.empty("You have voted on every prompt that the two answer differently.")
    else:
        _ask(ws, record.key, asked, author)
    shown = preferences.by_people(standing, first, second, names)
    if shown is not None:
        with st.container(border=True, key="vote-result"):
            _evaluate_result.preferred(shown)


def _ask(ws: ui.Workspace, experiment: str, asked: votes.Ballot, author: str) -> None:
    with st.container(border=True, key="ballot"):
        st.caption("Prompt")
        st.text(asked.question)
        with st.container(horizontal=True, gap="medium", key="beside-ballot"):
            for title, answer in zip(("Left", "Right"), asked.answers, strict=True):
                with st.container(border=True):
                    st.markdown(f"**{title}**")
                    _evaluate_answers.text(answer)
        with st.container(horizontal=True, horizontal_alignment="center"):
            for choice, (title, short) in KEYS.items():
                st.button(
                    title,
                    key=ui.key(f"vote.{choice}"),
                    shortcut=short,
                    on_click=_vote,
                    args=(ws, experiment, asked, choice, author),
                )


def _vote(ws: ui.Workspace, experiment: str, asked: votes.Ballot, choice: str, author: str) -> None:
    with ui.acting():
        votes.vote(ws, experiment, asked, choice, author)


def _undo(ws: ui.Workspace, experiment: str, taken: votes.Vote) -> None:
    with ui.acting():
        votes.undo(ws, experiment, taken)


def _last(ws: ui.Workspace, experiment: str, mine: list[votes.Vote], names: dict[str, str]) -> None:
    """Reveal whose answers the last vote was about, and let it be taken back."""
    ui.outcome()
    if not mine:
        return
    last = mine[-1]
    with st.container(horizontal=True, vertical_alignment="center", key="last-vote"):
        choice = (
            f"you preferred **{ui.plain(names[last.better])}**" if last.better else "you found them **equally good**"
        )
        st.markdown(
            f":gray[Your last vote:] left was {ui.plain(names[last.left])}, right was {ui.plain(names[last.right])}; "
            f"{choice}.",
            width="content",
        )
        st.button("Take it back", icon=":material/undo:", type="tertiary", on_click=_undo, args=(ws, experiment, last))
