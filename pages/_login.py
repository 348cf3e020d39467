"""Who may enter. On this machine anyone; from elsewhere only with a login (OIDC) or the password in the environment."""

from __future__ import annotations

import hmac
import ipaddress
import os
import threading
import time

import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.errors import StreamlitSecretNotFoundError

PASSWORD = "WINNOW_PASSWORD"
FAILED = threading.Lock()  # one wrong password a second for the whole server, however many tabs guess

REFUSAL = (
    "Winnow is bound to {address}, where others can reach it, and has neither a password nor a login, so it shows "
    "nothing. Set the environment variable WINNOW_PASSWORD, or an [auth] section for st.login in "
    ".streamlit/secrets.toml, and start it again; or bind it to localhost."
)


def is_local(address: str | None) -> bool:
    """Whether a server bound to `address` can be reached from this machine only; unset means every interface."""
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address or "0.0.0.0").is_loopback
    except ValueError:
        return False


def require() -> None:
    """Go on if the visitor may enter; otherwise show the way in, and nothing else."""
    if _oidc():
        if not st.user.is_logged_in:
            with _front():
                st.button("Log in", type="primary", on_click=st.login)
            st.stop()
    elif password := os.environ.get(PASSWORD, ""):
        if not st.session_state.get("_entered"):
            _ask(password)
    elif not is_local(address := st.get_option("server.address")):
        with _front(width=640):
            st.error(REFUSAL.format(address=address or "every address of this machine"), icon=":material/lock:")
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
