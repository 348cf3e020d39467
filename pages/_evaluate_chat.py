"""Evaluate, the chat: one question to the base model and to tuned ones, their replies side by side."""

from __future__ import annotations

import streamlit as st

from curation import answers, replies, results
from pages import _evaluate_answers
from pages import _shell as ui

MOST = 2


def draw(ws: ui.Workspace, record: results.ExperimentRecord) -> None:
    """Draw the conversation so far and take the next question."""
    result = record.result or {}
    names = answers.run_names(result)
    here = [run for run in names if replies.can_talk(ws, result, run)]
    if not here:
        ui.empty("No model of this experiment is in this workspace; run it here to talk to them.", "Train", "train")
        return
    if len(here) < len(names):
        st.caption(
            f"{len(names) - len(here)} of {len(names)} models are not in this workspace (tuned elsewhere, or by "
            "an older version); start the same experiment again to talk to them."
        )
    chosen = st.multiselect(
        "Models",
        here,
        default=_at_first(here),
        max_selections=MOST,
        format_func=names.__getitem__,
        key=ui.key(f"chat-of.{record.experiment.id}"),
        bind="query-params",
    )
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        longest = st.number_input("Longest reply, tokens", 1, 4096, 128, key=ui.key("chat-longest"), width=170)
        warmth = st.number_input(
            "Temperature",
            0.0,
            2.0,
            0.0,
            0.1,
            help="0 takes the likeliest word each time; above, words are drawn, the same ones for the same seed.",
            key=ui.key("chat-temperature"),
            width=130,
        )
        seed = st.number_input("Seed", 0, value=0, key=ui.key("chat-seed"), width=110, disabled=not warmth)
    author = ui.author()
    told = replies.conversation(ws, record.key, author)
    for place, turn in enumerate(told):
        _turn(place, turn, names)
    if not chosen:
        st.caption("Choose one or two models above.")
        return
    asked = st.chat_input("Ask both the same", max_chars=20_000) if len(chosen) > 1 else st.chat_input("Ask")
    if asked:
        _turn(len(told), replies.Turn(asked, {}), names)
        with ui.guard():
            said = {}
            for run in chosen:
                with st.spinner(f"{ui.plain(names[run])}: loading its model and writing a reply …"):
                    options = {"max_new_tokens": int(longest), "temperature": float(warmth), "seed": int(seed)}
                    said[run] = replies.reply(ws, result, run, replies.continued(told, run, asked), **options)
            replies.keep(ws, record.key, replies.Turn(asked, said), author)
            st.rerun()
    if told and st.button("Begin anew", icon=":material/restart_alt:", type="tertiary"):
        with ui.guard():
            replies.begin_anew(ws, record.key, author)
            st.rerun()
    st.caption("Each model sees its own replies alone. It is loaded for a reply and let go of after it.")


def _at_first(here: list[str]) -> list[str]:
    wanted = [run for arm in ("zero_shot", "selected") for run in here if answers.arm_of(run) == arm]
    first = {answers.arm_of(run): run for run in reversed(wanted)}
    return sorted(first.values(), key=here.index) or here[:1]


def _turn(place: int, turn: replies.Turn, names: dict[str, str]) -> None:
    with st.chat_message("user", avatar=":material/person:"):
        st.text(turn.question)
    with st.container(horizontal=True, gap="medium", key=f"beside-turn-{place}"):
        for run, reply in turn.replies.items():
            with st.container(border=True, gap="xxsmall"):
                st.markdown(f"**{ui.plain(names.get(run, run))}**")
                _evaluate_answers.text(reply)
