"""Whom the app may serve: anyone on this machine; from elsewhere only behind a password or a login.

And whom it shows itself to at the start: the person at this machine's screen.
"""

from __future__ import annotations

import getpass
import ipaddress
import os
import sys
import time
import tomllib
import urllib.request
import webbrowser
from pathlib import Path

PASSWORD = "WINNOW_PASSWORD"

REFUSAL = (
    "Winnow is bound to {address}, where others can reach it, and has neither a password nor a login, so it "
    "shows nothing. Set the environment variable WINNOW_PASSWORD, or an [auth] section for st.login in "
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


def owner(address: str | None) -> str:
    """Return whose account a server runs under that nobody else is meant to reach; else, or if nameless, nothing."""
    if not is_local(address) or os.environ.get(PASSWORD):
        return ""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # an account without an entry, as in some containers
        return ""


def refusal(address: str | None, *, has_login: bool) -> str:
    """Return why a server bound to `address` shows nothing, or an empty text if it may go on."""
    if is_local(address) or has_login or os.environ.get(PASSWORD):
        return ""
    return REFUSAL.format(address=address or "every address of this machine")


def has_login(folder: Path) -> bool:
    """Whether an OIDC login is set up in the ``.streamlit/secrets.toml`` of `folder` or of the user."""
    for place in (folder, Path.home()):
        path = place / ".streamlit" / "secrets.toml"
        if path.is_file() and "auth" in tomllib.loads(path.read_text("utf-8")):
            return True
    return False


def show(url: str, *, seconds: float = 60.0) -> None:
    """Open a browser on the app as soon as it answers, where there is a screen; give up after some time."""
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{url}/_stcore/health", timeout=2):
                webbrowser.open(url)
                return
        except OSError:
            time.sleep(0.2)
