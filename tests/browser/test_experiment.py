"""An experiment on the demo by clicking: watched, reloaded, one arm left out and taken in again, judged, handed on."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from curation import figures_results, findings, results, workbench
from curation.config import BudgetConfig, ExperimentConfig
from curation.workspace import Workspace

if TYPE_CHECKING:
    from conftest import App

pytestmark = [pytest.mark.browser, pytest.mark.slow]
LONG = 300_000
ARMS = ("zero_shot", "random", "off_task", "selected")
CHART = "[class*=st-key-live-losses] .js-plotly-plot"
POINTS = f"document.querySelector('{CHART}')?._fullData?.reduce((n, t) => n + (t._length ?? 0), 0) ?? 0"


def small(ws: Workspace, pid: str) -> None:
    """Set a project up for an experiment of some tens of seconds."""
    now = workbench.settings(ws, pid)
    training = dataclasses.replace(now.experiment.training, epochs=30.0, batch_size=8, micro_batch_size=8)
    workbench.change(
        ws,
        pid,
        selection=dataclasses.replace(now.selection, budget=BudgetConfig(examples=48)),
        experiment=ExperimentConfig(arms=ARMS, training=training, evaluation=now.experiment.evaluation),
    )


def arm(page: Page, name: str) -> Locator:
    """The line of an arm of the running experiment."""
    return page.locator("[class*=st-key-live-arm-]", has_text=name)


def offline(browser: Browser, card: Path) -> tuple[Page, list[str]]:
    """Open a file in a browser without a network; return the page and whatever it asked for or complained of."""
    context = browser.new_context(offline=True, viewport={"width": 1440, "height": 900})
    page, seen = context.new_page(), list[str]()
    page.on("request", lambda request: seen.append(request.url))
    page.on("console", lambda message: seen.append(message.text))
    page.on("pageerror", lambda error: seen.append(str(error)))
    page.goto(card.as_uri())
    return page, seen


def test_an_experiment_is_watched_disturbed_judged_and_handed_on(
    app: App, page: Page, browser: Browser, tmp_path: Path
) -> None:
    page.goto(app.url)
    expect(page.get_by_role("heading", name="Data", exact=True)).to_be_visible()
    found = re.search(r"project=([\w-]+)", page.url)
    assert found is not None
    ws, pid = Workspace(app.home), found[1]
    small(ws, pid)

    page.goto(f"{app.url}/train?project={pid}")
    page.get_by_role("button", name="Start 3 trainings").click()
    page.wait_for_function(f"({POINTS}) > 3")
    before = page.evaluate(POINTS)
    page.wait_for_function(f"({POINTS}) > {before}")  # the chart moves by itself

    arm(page, "Off-task").get_by_role("button", name="Leave out").click()
    expect(arm(page, "Off-task")).to_contain_text("left out")
    before = page.evaluate(POINTS)
    page.reload()
    page.wait_for_function(f"({POINTS}) >= {before}")
    expect(arm(page, "Off-task")).to_contain_text("left out")
    arm(page, "Off-task").get_by_role("button", name="Take in again").click()
    expect(arm(page, "Off-task")).not_to_contain_text("left out")

    page.get_by_role("button", name="Read the evaluation").click(timeout=LONG)
    expect(page.get_by_role("heading", name="Evaluate", exact=True, level=1)).to_be_visible()
    result = results.experiments(ws, pid)[0].result
    assert result is not None and set(result["arms"]) == {*ARMS} and not result["left_out_arms"]
    told = {name: result["arms"][name]["metrics"]["exact_match"] for name in ARMS}
    headline = findings.findings(result)[0].sentence
    expect(page.locator(".st-key-headline")).to_contain_text(headline)
    for name, value in told.items():
        shown = page.locator(f".st-key-arm-{name}").get_by_test_id("stMetricValue")
        expect(shown).to_have_text(findings.shown("exact_match", value["mean"]))

    page.goto(f"{app.url}/report?project={pid}")
    with page.expect_download() as download:
        page.get_by_role("button", name="Card, HTML").click()
    card = tmp_path / "card.html"
    download.value.save_as(card)
    opened, seen = offline(browser, card)
    expect(opened.locator(".lead")).to_have_text(headline)
    for name, value in told.items():
        row = opened.get_by_role("row").filter(
            has=opened.get_by_role("cell", name=findings.arm_label(name), exact=True)
        )
        expect(row.first).to_contain_text(findings.interval("exact_match", value))
    drawn = opened.evaluate("[...document.querySelectorAll('.js-plotly-plot')].map((g) => g._fullData.length)")
    assert drawn[0] == len(figures_results.arms(result).data) and len(drawn) >= 2
    assert seen == [card.as_uri()]
    opened.context.close()
