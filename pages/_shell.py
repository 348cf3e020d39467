"""What every page shares: the workspace and the project on screen, errors, empty states, the sidebar, conversations.

Text that comes from data reaches the screen only through `st.text`, `st.code`, tables, or `plain`: never as Markdown
or HTML. Jobs are drawn by `_jobs`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st
from streamlit.runtime.pages_manager import PagesManager
from streamlit.runtime.scriptrunner import get_script_run_ctx

from curation import serving
from curation.errors import CurationError
from curation.wording import counted
from curation.workspace import Workspace
from pages import _jobs
from pages._text import duration, moment, plain, sentence, size

if TYPE_CHECKING:
    from curation.data.rows import Example
    from curation.tables import Project

__all__ = ["counted", "duration", "moment", "plain", "sentence", "size"]

ASSETS = Path(__file__).parent.parent / "assets"
PAGES = {
    "data": "Data",
    "represent": "Represent",
    "curate": "Curate",
    "compare": "Compare",
    "train": "Train",
    "evaluate": "Evaluate",
    "report": "Report",
}
STEP_ICONS = {
    "done": ":material/check_circle:",
    "next": ":material/arrow_circle_right:",
    "todo": ":material/radio_button_unchecked:",
}
# One vocabulary for a row's state, everywhere: mark and theme colour. `figures` draws the same on the map.
STATES = {
    "pool": ("●", "gray"),
    "picked": ("●", "green"),
    "pinned": ("◆", "blue"),
    "banned": ("✕", "red"),
    "query": ("★", "yellow"),
}
INDENTED = re.compile(r"^(?: {2,}|\t)\S", re.MULTILINE)  # programs and tables: their columns matter
ROLE_COLOURS = {"system": "violet", "user": "blue", "assistant": "green", "tool": "orange"}


# ----------------------------------------------------------------------------------------- workspace and project


def through_app(*, here: bool = False) -> None:
    """See to it that pages run inside app.py, and so behind its login; `here` says that app.py itself asks.

    A fresh server takes the files in ``pages/`` for pages of Streamlit's older kind until app.py has told it otherwise,
    and would run the one that a link names by itself.
    """
    if PagesManager.uses_pages_directory or not (here or "_project" in st.session_state):
        PagesManager.uses_pages_directory = False
        st.rerun()


def keep_page() -> None:
    """Have `st.navigation` show the page that this run was asked for.

    It asks the session, whose word a run that a click on a link has just stopped may have overwritten: one that was to
    begin anew because a job had ended still says which page it draws before it ends. The click would lead back there.
    """
    ctx = get_script_run_ctx()
    if ctx is not None and ctx.script_requests is not None:
        asked = ctx.script_requests._rerun_data
        ctx.pages_manager.set_script_intent(asked.page_script_hash, asked.page_name)


def workspace() -> Workspace:
    """Return the server's one workspace handle, its demo project installed."""
    through_app()
    return _handle()


def _handle() -> Workspace:
    return _open(os.environ.get("WINNOW_WORKSPACE") or os.environ.get("WINNOW_HOME") or "~/.winnow")


@st.cache_resource(show_spinner="Opening the workspace and its demo project …")
def _open(root: str) -> Workspace:
    from curation.demo import project as demo

    ws = Workspace(Path(root))
    demo.ensure(ws)
    return ws


def open_project() -> None:
    """Settle which project is on screen: the link's, else this tab's last one, else the one last changed."""
    ws = _handle()
    known = [p.id for p in ws.projects()] or [ws.create_project("My project").id]
    asked = st.query_params.get("project") or st.session_state.get("_project", "")
    if asked and asked not in known:
        st.toast(f"This workspace has no project {plain(asked)}; showing another.", icon=":material/link_off:")
    _show_project(asked if asked in known else known[0])


def _show_project(project_id: str) -> None:
    st.session_state["_project"] = st.session_state["_project_choice"] = project_id
    if st.query_params.get("project") != project_id:
        st.query_params["project"] = project_id


def project_id() -> str:
    """Return the id of the project on screen."""
    through_app()
    return str(st.session_state["_project"])


def project() -> Project:
    """Return the project on screen."""
    return workspace().project(project_id())


def key(name: str) -> str:
    """Return a widget key of this project's own, so that switching projects does not carry a choice over."""
    return f"{name}.{project_id()}"


def author() -> str:
    """Return who is logged in; on one's own machine whose account it is, else nobody."""
    if st.user.get("is_logged_in"):
        return str(st.user.get("name") or st.user.get("email") or "")
    return serving.owner(st.get_option("server.address"))


# --------------------------------------------------------------------------------------------------- small pieces


@contextmanager
def guard() -> Iterator[None]:
    """Show a CurationError that is raised inside as one box, and let the app go on."""
    try:
        yield
    except CurationError as error:
        st.error(sentence(error), icon=":material/error:")


@contextmanager
def acting() -> Iterator[None]:
    """Keep a CurationError that is raised inside for `outcome`: what a callback draws itself has no place on a page."""
    try:
        yield
    except CurationError as error:
        st.session_state["_refused"] = sentence(error)


def done(said: str, icon: str) -> None:
    """Keep what an act has done, in words and with the icon `icon`, for `outcome`."""
    st.session_state["_done"] = said, f":material/{icon}:"


def outcome() -> None:
    """Show what the last act has done, or why it could not be done."""
    if said := st.session_state.pop("_refused", ""):
        st.error(said, icon=":material/error:")
    if kept := st.session_state.pop("_done", None):
        st.toast(kept[0], icon=kept[1])


def page(title: str, lead: str = "") -> None:
    """Head the page: its title, and one sentence that says what one does here."""
    through_app()
    st.html("<style>.stMainBlockContainer {padding-inline: clamp(1.5rem, 4vw, 4rem)} .stMain {outline: none}</style>")
    st.title(title, anchor=False)
    if lead:
        st.caption(lead)


def empty(message: str, button: str = "", to: str = "") -> None:
    """Say what is missing and, with a button, lead to the page (`to`, e.g. ``"data"``) where it is made."""
    with st.container(border=True, horizontal_alignment="center", gap="small", key=f"empty-{to or 'here'}"):
        st.space("small")
        st.markdown(f":gray[{message}]", text_alignment="center")
        if button and st.button(button, type="primary", icon=":material/arrow_forward:", key=f"empty-go-{to}"):
            go(to)
        st.space("small")


def go(to: str) -> None:
    """Switch to the page `to`, keeping the project."""
    st.switch_page(f"pages/{to}.py", query_params={"project": project_id()})


def home() -> None:
    """Show the first page at its own address: the default page of `st.navigation` would have none but ``/``."""
    st.switch_page("pages/data.py", query_params=st.query_params.to_dict())


def state_dot(state: str, label: str = "") -> str:
    """Return Markdown for a row state ("pool", "picked", "pinned", "banned", "query") in its colour."""
    mark, colour = STATES[state]
    return f":{colour}[{mark}] {label or state}"


def conversation(example: Example, *, height: int | None = None) -> None:
    """Show an example whole: every turn under its role, as plain text; tool calls and what is indented as code."""
    with st.container(border=True, height=height or "content", gap="small"):
        for message in example.messages:
            colour = ROLE_COLOURS.get(message.role, "gray")
            note = "" if message.train or message.role != "assistant" else " :gray[· not learned from]"
            st.markdown(f":{colour}[**{plain(message.role)}**]{note}")
            if INDENTED.search(message.content):
                st.code(message.content, language=None, wrap_lines=True)
            elif message.content:
                st.text(message.content, width="stretch")
            if message.tool_calls:
                st.code(message.tool_calls, language="json", wrap_lines=True)


# -------------------------------------------------------------------------------------------------------- sidebar


def sidebar(pages: Mapping[str, Any]) -> None:
    """Draw the project switcher, the steps of the work and the jobs."""
    st.logo(ASSETS / "winnow.svg", size="large", icon_image=ASSETS / "winnow-icon.svg")
    with st.sidebar:
        with guard():
            _switcher()
        with guard():
            _stepper(pages)
        with guard():
            _jobs.tray(workspace())


def _switcher() -> None:
    ws = workspace()
    names = {p.id: p.name for p in ws.projects()}
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall", wrap=False):
        st.selectbox(
            "Project",
            list(names),
            format_func=lambda project: names[project],
            key="_project_choice",
            on_change=lambda: _show_project(st.session_state["_project_choice"]),
            label_visibility="collapsed",
        )
        with st.popover("", icon=":material/more_horiz:", help="New project, rename, delete", type="tertiary"):
            _project_form("New project", "", lambda name: ws.create_project(name).id)
            _project_form("Rename this project", names[project_id()], lambda n: ws.rename_project(project_id(), n).id)
            if len(names) > 1 and st.button("Delete this project", icon=":material/delete:", key=key("delete")):
                ws.delete_project(project_id())
                _leave()


def _project_form(label: str, value: str, act: Any) -> None:
    with st.form(key(label), border=False, clear_on_submit=not value):
        name = st.text_input(label, value=value, max_chars=80)
        if st.form_submit_button("Create" if not value else "Rename"):
            with guard():
                st.session_state["_project"] = act(name)
                _leave(to=st.session_state["_project"])


def _leave(to: str = "") -> None:
    st.session_state["_project"] = to
    if to:
        st.query_params["project"] = to
    else:
        st.query_params.pop("project", None)
    st.rerun()


def _stepper(pages: Mapping[str, Any]) -> None:
    from curation import workbench

    with st.container(gap="xxsmall", key="steps"):
        for step in workbench.steps(workspace(), project_id()):
            detail = f" :gray[· {plain(step.detail)}]" if step.detail else ""
            st.page_link(
                pages[step.page],
                label=f"{step.title}{detail}",
                icon=STEP_ICONS[step.state],
                query_params={"project": project_id()},
                width="stretch",
            )
