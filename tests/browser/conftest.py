"""The app as its users meet it: a server process of its own, and headless Chromium."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from curation import jobs, pipeline, workbench
from curation.config import BudgetConfig, DatasetConfig, SelectionConfig
from curation.workspace import Workspace

ROOT = Path(__file__).parents[2]
expect.set_options(timeout=60_000)  # CI runs on two cores, and a page may wait for a job
FLAGS = ["--no-sandbox", "--enable-unsafe-swiftshader", "--disable-background-networking", "--no-first-run"]


class App:
    """A server of `script` on a port of its own over the workspace `home`."""

    def __init__(self, home: Path, script: Path = ROOT / "app.py") -> None:
        self.home = home
        self.script = script
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://localhost:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server and wait until it answers."""
        command = [sys.executable, "-m", "streamlit", "run", str(self.script)]
        options = [f"--server.port={self.port}", "--server.headless=true"]
        environment = {**os.environ, "WINNOW_HOME": str(self.home)}
        with (self.home.parent / "app.log").open("ab") as log:
            self.process = subprocess.Popen([*command, *options], cwd=ROOT, env=environment, stdout=log, stderr=log)
        for _ in range(240):
            try:
                with urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=2):
                    return
            except OSError:
                time.sleep(0.25)
        raise AssertionError((self.home.parent / "app.log").read_text())

    def kill(self) -> None:
        """End the server as an accident would."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    """A running app over an empty workspace."""
    (tmp_path / "home").mkdir()
    app = App(tmp_path / "home")
    app.start()
    yield app
    app.kill()
    ws = Workspace(app.home)
    for job in jobs.jobs(ws):
        jobs.cancel(ws, job.id)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Headless Chromium; absent on some users' machines, never absent in CI."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        reason = "no Chromium on this machine; install Debian's package chromium"
        pytest.fail(reason) if os.environ.get("WINNOW_REQUIRE_ALL") else pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """One tab of 1440 × 900."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, accept_downloads=True)
    context.set_default_timeout(60_000)
    yield context.new_page()
    context.close()


@pytest.fixture
def grid(app: App, tmp_path: Path) -> str:
    """A project of 400 rows, 60 of them picked, whose map is a grid of 20 × 20, with three queries."""
    ws = Workspace(app.home)
    (app.home / "demo-installed.json").write_text('{"projects": []}')  # the demo is not needed here, so not waited for
    pid = ws.create_project("Grid").id
    keys = []
    for role, n in (("pool", 400), ("query", 3)):
        rows = [{"prompt": f"{role} {i}", "response": str(i), "source": f"s{i % 4}"} for i in range(n)]
        path = tmp_path / f"{role}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        keys.append(pipeline.load(ws, DatasetConfig(path=str(path)), role, project_id=pid))
    y, x = np.divmod(np.arange(400, dtype=np.float32), 20)
    with ws.build("map", "7" * 32, {}) as part:
        np.save(part / "pool_xy.npy", np.stack([x, y], axis=1))
    record = {"representation": {"name": "lexical", "options": {}}, "model": None, "warmup": None, "features": "7" * 32}
    record |= {"map": "7" * 32, "pool": keys[0], "queries": keys[1], "unusable": {}, "report": {}}
    with ws.build("representation", "8" * 32, {"pool": keys[0], "queries": keys[1], "name": "lexical"}) as part:
        np.save(part / "similarity.npy", np.random.default_rng(0).random((3, 400), dtype=np.float32))
        (part / "record.json").write_text(json.dumps(record))
    workbench.change(ws, pid, selection=SelectionConfig(budget=BudgetConfig(examples=60)))
    return pid
