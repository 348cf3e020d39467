"""A page that draws itself anew because a job has ended, while its user leaves it."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser.conftest import App

# What a busy machine stretches is slept here: from the wish to draw anew to the new run, from the click to its page.
SCRIPT = """
import time
import streamlit as st
from pages import _shell

@st.fragment
def watch():
    if st.button("Look"):
        st.write("looking")
        try:
            st.rerun()
        finally:
            time.sleep(2)

def leaving():
    st.title("Leaving")
    st.page_link(other, label="Elsewhere")
    watch()

first = st.Page(leaving, title="Leaving", default=True)
other = st.Page(lambda: st.title("There"), title="There", url_path="there")
if "seen" in st.session_state:
    time.sleep(4)
st.session_state["seen"] = True
_shell.keep_page()
st.navigation([first, other], position="hidden").run()
"""


def test_a_click_on_a_link_while_the_page_is_drawn_anew_is_not_lost(tmp_path: Path, page: Page) -> None:
    (tmp_path / "home").mkdir()
    script = tmp_path / "app.py"
    script.write_text(SCRIPT)
    app = App(tmp_path / "home", script)
    app.start()
    try:
        page.goto(app.url)
        page.get_by_role("button", name="Look").click()
        expect(page.get_by_text("looking")).to_be_visible()
        page.get_by_role("link", name="Elsewhere").click()
        expect(page.get_by_role("heading", name="There")).to_be_visible(timeout=20_000)
    finally:
        app.kill()
