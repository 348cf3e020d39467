"""The app: who may enter, navigation in the order of the work, and the sidebar. No logic of its own."""

from __future__ import annotations

import streamlit as st

from pages import _login
from pages import _shell as ui

st.set_page_config(page_title="Winnow", page_icon=str(ui.ASSETS / "winnow-icon.svg"), layout="wide")
ui.through_app(here=True)
pages = {name: st.Page(f"pages/{name}.py", title=title) for name, title in ui.PAGES.items()}
home = st.Page(ui.home, title="Winnow", default=True)
ui.keep_page()
page = st.navigation([home, *pages.values()], position="hidden")
_login.require()
if page == home:
    page.run()
with ui.guard():
    ui.open_project()
    ui.sidebar(pages)
    page.run()
