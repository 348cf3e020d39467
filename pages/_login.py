"""Who may enter. On this machine anyone; from elsewhere only with a login (OIDC) or the password in the environment."""

from __future__ import annotations

import hmac
import os
import threading
import time

import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.errors import StreamlitSecretNotFoundError

from curation import serving

FAILED = threading.Lock()  # one wrong password a second for the whole server, however many tabs guess


def require() -> None:
    """Go on if the visitor may enter; otherwise show the way in, and nothing else."""
    if _oidc():
        if not st.user.is_logged_in:
            with _front():
                st.button("Log in", type="primary", on_click=st.login)
            st.stop()
    elif password := os.environ.get(serving.PASSWORD, ""):
        if not st.session_state.get("_entered"):
            _ask(password)
    elif refusal := serving.refusal(st.get_option("server.address"), has_login=False):
        with _front(width=640):
            st.error(refusal, icon=":material/lock:")
        st.stop()


def _front(width: int = 360) -> DeltaGenerator:
    """Return the container of all that a visitor sees who has not entered."""
    outer = st.container(horizontal_alignment="center", vertical_alignment="center", height=500, border=False)
    front = outer.container(width=width)
    front.title("Winnow", anchor=False)
    return front


def _oidc() -> bool:
    try:
        return "auth" in st.secrets
    except StreamlitSecretNotFoundError:
        return False


def _ask(password: str) -> None:
    with _front():
        with st.form("login-form", border=False):
            given = st.text_input("Password", type="password")
            sent = st.form_submit_button("Enter", type="primary")
        if sent:
            if hmac.compare_digest(given.encode(), password.encode()):
                st.session_state["_entered"] = True
                st.rerun()
            with FAILED:
                time.sleep(1.0)
            st.error("That is not the password.")
    st.stop()
