"""The app's shell: who may enter, which project is on screen, errors as boxes, jobs in the sidebar."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import re
import string
import time
import tomllib
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from streamlit import config as streamlit_config
from streamlit.testing.v1 import AppTest

from curation import serving

if TYPE_CHECKING:
    from curation.workspace import Workspace

ROOT = Path(__file__).parents[1]


@pytest.fixture
def fresh(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    """The app of a fresh server, on a workspace with two empty projects, not yet run."""
    import curation.demo.project as demo

    monkeypatch.setenv("WINNOW_HOME", str(workspace.root))
    monkeypatch.delenv("WINNOW_WORKSPACE", raising=False)
    monkeypatch.delenv("WINNOW_PASSWORD", raising=False)
    monkeypatch.setattr(demo, "ensure", lambda ws: [])  # noqa: ARG005
    workspace.create_project("First")
    workspace.create_project("Second *one*")
    return AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)


@pytest.fixture
def app(fresh: AppTest, served: None) -> AppTest:  # noqa: ARG001
    """The app of a server that has run before."""
    return fresh


@pytest.fixture
def page_module(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that imports a module of `pages` as the app does."""
    monkeypatch.syspath_prepend(str(ROOT))

    def load(name: str) -> ModuleType:
        return importlib.import_module(f"pages.{name}")

    return load


def words(app: AppTest) -> str:
    """Everything that is written on the page and in the sidebar."""
    kinds = ("title", "markdown", "caption", "error", "info", "warning", "success", "text", "button", "expander")
    return "\n".join(str(e.label if hasattr(e, "label") and e.label else e.value) for k in kinds for e in app.get(k))


def test_opens_the_links_project_and_keeps_it_in_the_link(app: AppTest) -> None:
    app.query_params["project"] = "first"
    app.run()
    assert not app.exception
    assert app.title[0].value == "Data"
    assert app.session_state["_project"] == "first"
    assert app.query_params["project"] == "first"


def test_an_unknown_project_is_said_and_another_one_shown(app: AppTest) -> None:
    app.query_params["project"] = "gone"
    app.run()
    assert "no project gone" in app.toast[0].value
    assert app.query_params["project"] in ("first", "second-one")


def test_switching_the_project_changes_the_link(app: AppTest) -> None:
    app.query_params["project"] = "first"
    app.run()
    app.selectbox(key="_project_choice").select("second-one").run()
    assert not app.exception
    assert app.query_params["project"] == "second-one"


def test_a_project_is_created_and_shown(app: AppTest, workspace: Workspace) -> None:
    app.query_params["project"] = "first"
    app.run()
    app.text_input[[t.label for t in app.text_input].index("New project")].input("Third")
    app.button[[b.label for b in app.button].index("Create")].click().run()
    assert not app.exception
    assert "third" in [p.id for p in workspace.projects()]
    assert app.query_params["project"] == "third"


def test_an_empty_name_is_refused_in_a_sentence(app: AppTest, workspace: Workspace) -> None:
    app.run()
    app.button[[b.label for b in app.button].index("Create")].click().run()
    assert "project needs a name" in app.error[0].value
    assert len(workspace.projects()) == 2
    assert app.title[0].value == "Data"


def test_a_project_is_renamed_and_keeps_its_id(app: AppTest, workspace: Workspace) -> None:
    app.query_params["project"] = "first"
    app.run()
    app.text_input[[t.label for t in app.text_input].index("Rename this project")].input("Better")
    app.button[[b.label for b in app.button].index("Rename")].click().run()
    assert workspace.project("first").name == "Better"


def test_an_error_of_the_library_is_one_box_and_the_page_stays(app: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    from curation import workbench
    from curation.errors import WorkspaceError

    def fail(*_: Any) -> Any:
        raise WorkspaceError("the file *x*.npy is damaged; load it again")

    monkeypatch.setattr(workbench, "steps", fail)
    app.run()
    assert not app.exception
    assert app.error[0].value == r"The file \*x\*\.npy is damaged\; load it again"
    assert app.title[0].value == "Data"


def test_every_step_of_the_work_has_a_page_in_its_order(app: AppTest, page_module: Any) -> None:
    from curation import workbench

    app.run()
    steps = workbench.steps(page_module("_shell")._handle(), app.query_params["project"])
    assert [s.page for s in steps] == list(page_module("_shell").PAGES)
    assert all((ROOT / "pages" / f"{s.page}.py").is_file() for s in steps)


# ----------------------------------------------------------------------------------------------------------- login


def test_with_a_password_nothing_is_shown_before_it(app: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WINNOW_PASSWORD", "corn")
    monkeypatch.setattr(time, "sleep", lambda _: None)
    app.run()
    assert [t.value for t in app.title] == ["Winnow"]
    assert not app.selectbox
    app.text_input[0].input("chaff")
    app.button[0].click().run()
    assert app.error[0].value == "That is not the password."
    assert not app.selectbox
    app.text_input[0].input("corn")
    app.button[0].click().run()
    assert app.title[0].value == "Data"


def test_a_wrong_password_costs_a_second(app: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setenv("WINNOW_PASSWORD", "corn")
    monkeypatch.setattr(time, "sleep", waited.append)
    app.run()
    app.text_input[0].input("chaff")
    app.button[0].click().run()
    assert 1.0 in waited


@pytest.mark.parametrize("address", ["0.0.0.0", "192.168.0.7", "example.org", None])
def test_off_localhost_without_a_password_it_refuses(app: AppTest, address: str | None) -> None:
    before = streamlit_config.get_option("server.address")
    streamlit_config.set_option("server.address", address)
    try:
        app.run()
    finally:
        streamlit_config.set_option("server.address", before)
    assert "WINNOW_PASSWORD" in app.error[0].value
    assert [t.value for t in app.title] == ["Winnow"]
    assert not app.selectbox


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("localhost.example.org", False),
        ("", False),
        (None, False),
    ],
)
def test_which_addresses_stay_on_this_machine(address: str | None, local: bool) -> None:
    assert serving.is_local(address) is local


def test_decisions_are_the_owners_only_where_nobody_else_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(serving.PASSWORD, raising=False)
    monkeypatch.setattr("getpass.getuser", lambda: "ada")
    assert serving.owner("localhost") == "ada"
    assert serving.owner("0.0.0.0") == ""
    monkeypatch.setenv(serving.PASSWORD, "x")
    assert serving.owner("localhost") == ""
    monkeypatch.delenv(serving.PASSWORD)
    monkeypatch.setattr("getpass.getuser", lambda: {}["uid"])  # as pwd raises
    assert serving.owner("localhost") == ""


def test_a_page_never_runs_without_the_app_and_so_the_login(fresh: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WINNOW_PASSWORD", "corn")
    app = fresh.switch_page("pages/represent.py").run()  # as a fresh server that is first asked for a page
    assert not app.exception
    assert [t.value for t in app.title] == ["Winnow"]
    assert [t.label for t in app.text_input] == ["Password"]


def test_a_browser_opens_once_the_app_answers_and_only_where_there_is_a_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    opened, asked = [], []

    def answer(address: str, timeout: float) -> Any:  # noqa: ARG001
        asked.append(address)
        if len(asked) < 3:
            raise ConnectionRefusedError
        return contextlib.nullcontext()

    monkeypatch.setattr(serving.webbrowser, "open", opened.append)
    monkeypatch.setattr(serving.urllib.request, "urlopen", answer)
    monkeypatch.setattr(serving.sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    serving.show("http://localhost:1")
    assert (asked, opened) == ([], [])
    monkeypatch.setenv("DISPLAY", ":0")
    serving.show("http://localhost:1")
    assert asked == ["http://localhost:1/_stcore/health"] * 3
    assert opened == ["http://localhost:1"]


def test_the_server_is_configured_for_this_machine_only() -> None:
    options = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())
    assert options["server"]["address"] == "localhost"
    assert options["browser"]["gatherUsageStats"] is False
    assert options["server"]["headless"] is True
    assert options["client"]["toolbarMode"] == "minimal"
    assert {"primaryColor", "backgroundColor", "textColor"} <= options["theme"]["light"].keys()
    assert options["theme"]["light"].keys() == options["theme"]["dark"].keys()
    assert "http" not in json.dumps(options)  # nothing is fetched from the network


def test_figures_and_theme_share_their_colours() -> None:
    from curation.figures import PALETTES

    theme = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())["theme"]
    for mode in ("light", "dark"):
        palette, colours = PALETTES[mode], theme[mode]
        assert palette.background == colours["backgroundColor"]
        named = {"pool": "gray", "picked": "green", "pinned": "blue", "banned": "red", "query": "yellow"}
        assert {s: getattr(palette, s) for s in named} == {s: colours[f"{c}Color"] for s, c in named.items()}


# ------------------------------------------------------------------------------------------------------ small pieces


def test_data_inside_markdown_is_escaped_whole(page_module: Any) -> None:
    plain = page_module("_text").plain
    for mark in string.punctuation:
        assert plain(f"a{mark}b") == f"a\\{mark}b"
    assert plain("naïve 7 字") == "naïve 7 字"


MARKS = ["->", "<-", "<->", "--", ">=", "<=", "~=", ":smile:", ":material/check:", ":+1:"]
LINKS = ["https://x.org", "HTTP://x.org/?a=1", "www.x.org", "ada.b@x.org"]


@pytest.mark.parametrize("mark", MARKS + LINKS)
def test_data_inside_markdown_is_no_arrow_no_emoji_and_no_link(page_module: Any, mark: str) -> None:
    text = page_module("_text")
    shown = re.sub(r"\\(.)", r"\1", text.plain(f"a {mark} b"))
    assert mark not in shown and shown.replace(text.JOINER, "") == f"a {mark} b"


def test_a_program_keeps_its_indentation() -> None:
    def script() -> None:
        from curation.data.rows import Example, Message
        from pages import _shell

        turns = (Message("user", "one\nand two"), Message("assistant", "    if b:\n        return a"))
        _shell.conversation(Example("1", turns))

    app = AppTest.from_function(script, default_timeout=60).run()
    assert [t.value for t in app.text] == ["one\nand two"]
    assert [c.value for c in app.code] == ["    if b:\n        return a"]


@pytest.mark.parametrize(("seconds", "said"), [(0.2, "1 s"), (59, "59 s"), (60, "1 min 0 s"), (3725, "1 h 2 min")])
def test_spans_of_time_in_words(page_module: Any, seconds: float, said: str) -> None:
    assert page_module("_text").duration(seconds) == said


def test_a_conversation_shows_data_as_text_only(page_module: Any) -> None:
    def script() -> None:
        from curation.data.rows import Example, Message
        from pages import _shell

        hostile = "<script>alert(1)</script> ![x](http://x/y.png) $x$"
        turns = (
            Message("user", hostile),
            Message("assistant", "", '[{"name": "f"}]'),
            Message("assistant", "b", None, False),
        )
        _shell.conversation(Example("1", turns))

    page_module("_shell")
    shown = AppTest.from_function(script).run()
    assert not shown.exception
    assert [t.value for t in shown.text] == ["<script>alert(1)</script> ![x](http://x/y.png) $x$", "b"]
    assert shown.code[0].value == '[{"name": "f"}]'
    assert not any("script" in m.value for m in shown.markdown)
    assert "not learned from" in shown.markdown[-1].value


# -------------------------------------------------------------------------------------------------------------- jobs


def add_job(ws: Workspace, state: str, **fields: Any) -> None:
    from curation.tables import Job

    own = psutil.Process()
    with ws.write() as session:
        session.add(
            Job(
                id=state,
                kind="load",
                title="Load <b>pool</b>",
                project_id="first",
                state=state,
                pid=os.getpid(),
                pid_created=own.create_time(),
                ended=None if state in ("queued", "running") else time.time(),
                **fields,
            )
        )


def test_a_running_job_shows_how_far_it_is(app: AppTest, workspace: Workspace) -> None:
    add_job(workspace, "running", stage="read pool", done=1234, total=6000, unit="rows", rate=310.2, eta=15.3)
    app.run()
    assert not app.exception
    shown = words(app).replace("\\", "")
    assert "Read pool · 1,234 of 6,000 rows · 310/s · 16 s left" in shown
    assert "Load <b>pool</b>" in shown
    assert "Cancel" in [b.label for b in app.sidebar.button]


def test_a_failed_job_says_why_and_resumes_on_one_click(
    app: AppTest, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from curation import jobs

    resumed: list[str] = []
    monkeypatch.setattr(jobs, "resume", lambda ws, job_id: resumed.append(job_id))  # noqa: ARG005
    add_job(workspace, "failed", error="the process of this job is gone; resume it")
    app.run()
    assert "The process of this job is gone" in words(app).replace("\\", "")
    next(b for b in app.sidebar.button if b.label == "Resume").click().run()
    assert not app.exception
    assert resumed == ["failed"]
