"""The whole loop on the demo project by clicking; the app killed in mid-job; two tabs; a reload."""

from __future__ import annotations

import json
import os
import re
import signal
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Page, expect

from curation import findings, jobs, results, workbench
from curation.workspace import Workspace

if TYPE_CHECKING:
    from conftest import App

pytestmark = [pytest.mark.browser, pytest.mark.slow]
LONG = 300_000


def step(page: Page, title: str) -> None:
    """Click a step of the work in the sidebar and wait until its page is drawn."""
    page.locator(".st-key-steps").get_by_role("link", name=re.compile(f"^{title}")).click()
    expect(page.get_by_role("heading", name=title, exact=True, level=1)).to_be_visible()


def idle(page: Page) -> None:
    """Wait until the server has nothing more to draw."""
    page.wait_for_timeout(300)
    expect(page.get_by_test_id("stStatusWidget")).to_be_hidden()


def fill(page: Page, label: str, value: str) -> None:
    """Type into a field and leave it."""
    field = page.get_by_label(label, exact=True).first
    field.fill(value)
    field.press("Enter")
    idle(page)


def expect_picked(page: Page, n: int) -> None:
    """Wait until the Curate page says that so many are picked."""
    expect(page.locator(".st-key-curate-summary")).to_contain_text(f"{n} picked of 6,000")
    idle(page)


def decide(page: Page, act: str) -> None:
    """Press Pin or Ban for the example on screen and wait until it can be undone."""
    page.get_by_role("button", name=re.compile(f"^{act}")).first.click()
    expect(page.get_by_role("button", name=re.compile("^Undo"))).to_be_enabled()
    idle(page)


def until(page: Page, condition: Callable[[], object]) -> None:
    """Wait until the workspace says so."""
    deadline = time.monotonic() + LONG / 1000
    while not condition():
        assert time.monotonic() < deadline
        page.wait_for_timeout(200)


def test_the_whole_loop_by_clicking(app: App, page: Page, tmp_path: Path) -> None:
    page.goto(app.url)
    expect(page.get_by_role("heading", name="Data", exact=True)).to_be_visible()
    expect(page.get_by_test_id("stMetricValue").first).to_have_text("6,000")

    step(page, "Represent")
    page.get_by_role("button", name="Compute", exact=True).first.wait_for()
    lexical = page.locator("[data-testid=stVerticalBlock]", has=page.get_by_role("heading", name="Lexical")).last
    lexical.get_by_role("button", name=re.compile("^Compute")).click()
    ws = Workspace(app.home)
    project = re.search(r"project=([\w-]+)", page.url)
    assert project is not None
    pid = project[1]
    until(page, lambda: any(r.name == "lexical" for r in workbench.represented(ws, pid)))
    lexical_key = next(r.key for r in workbench.represented(ws, pid) if r.name == "lexical")

    step(page, "Curate")
    expect_picked(page, 300)
    fill(page, "Exactly", "60")
    expect_picked(page, 60)
    decide(page, "Ban")
    expect_picked(page, 60)
    view = workbench.view(ws, pid)
    assert len(view.overrides.banned) == 1 and len(view.subset) == 60 and view.represented.key == lexical_key
    page.get_by_role("button", name=re.compile("^Save")).click()
    page.get_by_label("Name", exact=True).fill("clicked")
    page.get_by_role("button", name="Save selection").click()
    until(page, lambda: [s.name for s in ws.selections(pid)] == ["clicked"])

    step(page, "Train")
    idle(page)
    page.get_by_test_id("stButtonGroup").get_by_text("Full pool", exact=True).click()
    idle(page)
    fill(page, "Seeds", "1")
    fill(page, "Name", "By hand")
    page.get_by_role("button", name="Start 2 trainings").click()
    page.get_by_role("button", name="Cancel").first.wait_for()
    page.reload()
    page.get_by_role("button", name="Read the evaluation").wait_for(timeout=LONG)
    expect(page.locator(".st-key-done")).to_contain_text("By hand", timeout=LONG)
    page.get_by_role("button", name="Read the evaluation").click()

    expect(page.get_by_role("heading", name="Evaluate", exact=True, level=1)).to_be_visible()
    record = results.experiments(ws, pid)[0]
    assert record.name == "By hand" and record.result is not None
    for arm in ("zero_shot", "random", "selected"):
        stored = record.result["arms"][arm]["metrics"]["exact_match"]["mean"]
        shown = page.locator(f".st-key-arm-{arm}").get_by_test_id("stMetricValue")
        expect(shown).to_have_text(findings.shown("exact_match", stored))
    folder = ws.artefact("evaluation", record.result["evaluations"]["selected"]["0"])
    judged = json.loads((folder / "evaluation.json").read_text())
    right = judged["per_example"]["exact_match"]
    assert sum(right) / len(right) == pytest.approx(record.result["arms"]["selected"]["metrics"]["exact_match"]["mean"])

    step(page, "Report")
    idle(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="Card, HTML").click()
    card = tmp_path / "card.html"
    download.value.save_as(card)
    assert findings.shown("exact_match", sum(right) / len(right)) in card.read_text("utf-8")
    with page.expect_download() as download:
        page.get_by_role("button", name="All of it, zip").click()
    download.value.save_as(tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert len(archive.read("subset.jsonl").splitlines()) == 60


def test_a_job_outlives_the_killed_app_and_a_killed_job_resumes(app: App, page: Page) -> None:
    page.goto(f"{app.url}/represent")
    page.get_by_role("button", name=re.compile("^Compute")).first.wait_for()
    box = page.locator("[data-testid=stVerticalBlock]", has=page.get_by_role("heading", name="RDS+")).last
    box.get_by_role("button", name=re.compile("^Compute")).click()
    page.get_by_role("button", name="Cancel").first.wait_for()
    app.kill()
    ws = Workspace(app.home)
    until(page, lambda: jobs.jobs(ws)[0].done)  # it works on without the app
    job = jobs.jobs(ws)[0]
    assert job.state == "running" and job.pid is not None
    os.kill(job.pid, signal.SIGSTOP)  # a fast machine would else end it before it can be killed
    app.start()
    page.goto(f"{app.url}/represent")
    expect(page.get_by_role("button", name="Cancel").first).to_be_visible()
    os.kill(job.pid, signal.SIGKILL)
    expect(page.get_by_role("button", name="Resume").first).to_be_visible(timeout=15_000)
    assert jobs.job(ws, job.id).state == "failed"
    page.get_by_role("button", name="Resume").first.click()
    page.get_by_role("button", name="Cancel").first.wait_for()
    assert jobs.wait(ws, job.id, LONG / 1000).state == "succeeded"


def test_two_tabs_and_a_reload_keep_everything(app: App, page: Page) -> None:
    page.goto(f"{app.url}/curate")
    expect_picked(page, 300)
    fill(page, "Exactly", "40")
    expect_picked(page, 40)
    page.get_by_placeholder("Words in the conversation").fill("reverse")
    page.get_by_placeholder("Words in the conversation").press("Enter")
    idle(page)
    other = page.context.new_page()
    other.goto(page.url)
    expect_picked(other, 40)
    decide(page, "Pin")
    decide(other, "Ban")
    project = re.search(r"project=([\w-]+)", page.url)
    assert project is not None
    log = Workspace(app.home).override_log(project[1])
    assert [entry.action for entry in log] == ["pin", "ban"]
    page.reload()
    expect_picked(page, 40)
    expect(page.get_by_placeholder("Words in the conversation")).to_have_value("reverse")
