"""The map by hand: zoom, lasso, click and keys reach the workspace, and survive a redraw and a reload."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Page, expect

from curation import workbench
from curation.workspace import Workspace

if TYPE_CHECKING:
    from conftest import App

pytestmark = [pytest.mark.browser, pytest.mark.slow]
N = 400
MAP = ".winnow-map[data-drawn]"


def drawn(page: Page) -> str:
    return str(page.locator(MAP).get_attribute("data-drawn"))


def redrawn(page: Page, before: str) -> None:
    expect(page.locator(MAP)).not_to_have_attribute("data-drawn", before)


def view_of(page: Page) -> list[list[float]]:
    """What part of the map is on screen."""
    layout = f"document.querySelector('{MAP}')._fullLayout"
    return list(page.evaluate(f"[{layout}.xaxis.range, {layout}.yaxis.range]"))


def at(page: Page, x: float, y: float) -> tuple[float, float]:
    """Where on screen a place of the map is."""
    box = page.locator(f"{MAP} .nsewdrag").first.bounding_box()
    assert box is not None
    layout = f"document.querySelector('{MAP}')._fullLayout"
    dx, dy = page.evaluate(f"[{layout}.xaxis.d2p({x}), {layout}.yaxis.d2p({y})]")
    return box["x"] + dx, box["y"] + dy


def test_zoom_lasso_click_and_keys(app: App, page: Page, grid: str) -> None:
    page.goto(f"{app.url}/curate?project={grid}&selector=round_robin&budget=20&seed=0")
    expect(page.locator(MAP)).to_be_visible()
    ws = Workspace(app.home)

    # the wheel zooms, and another budget leaves the zoom as it is
    page.mouse.move(*at(page, 9, 9))
    whole = view_of(page)
    page.mouse.wheel(0, -300)
    page.wait_for_function(f"document.querySelector('{MAP}')._fullLayout.xaxis.range[0] > {whole[0][0]}")
    zoomed, before = view_of(page), drawn(page)
    page.get_by_label("Exactly").fill("37")
    page.get_by_label("Exactly").press("Enter")
    redrawn(page, before)
    assert view_of(page) == zoomed != whole
    expect(page.locator(".st-key-curate-summary")).to_contain_text("37 picked of 400")

    # a lasso drawn with the mouse holds exactly the rows inside it
    before = drawn(page)
    corners = [at(page, x, y) for x, y in ((5.5, 5.5), (12.5, 5.5), (12.5, 10.5), (5.5, 10.5), (5.5, 6.0))]
    page.mouse.move(*corners[0])
    page.mouse.down()
    for corner in corners[1:]:
        page.mouse.move(*corner, steps=8)
    page.mouse.up()
    redrawn(page, before)
    expect(page.locator(".st-key-curate-marked")).to_contain_text("35 rows in the lasso")
    expect(page).to_have_url(re.compile("area=lasso"))

    # banned at once, taken back with one key
    page.get_by_role("button", name="Ban all 35").click()
    expect(page.locator(".st-key-curate-head").get_by_role("button", name="Undo")).to_be_enabled()
    inside = {i for i in range(N) if 6 <= i % 20 <= 12 and 6 <= i // 20 <= 10}
    ids = workbench.view(ws, grid).pool_ids
    assert set(ws.overrides(grid).banned) == {ids[i] for i in inside}
    page.keyboard.press("u")
    expect(page.locator(".st-key-curate-head").get_by_role("button", name="Redo")).to_be_enabled()
    assert ws.overrides(grid).banned == ()

    # a click reads a row, a key pins it
    page.mouse.click(*at(page, 8, 9))
    expect(page.locator(".st-key-curate-detail")).to_contain_text("row 189")
    page.keyboard.press("p")
    expect(page.locator(".st-key-curate-detail")).to_contain_text("Pinned by hand")
    assert ws.overrides(grid).pinned == (ids[188],)
    expect(page.locator(".st-key-curate-summary")).to_contain_text("37 picked of 400")

    # all of it is in the link
    page.reload()
    expect(page.locator(MAP)).to_be_visible()
    expect(page.locator(".st-key-curate-marked")).to_contain_text("35 rows in the lasso")
    expect(page.locator(".st-key-curate-detail")).to_contain_text("row 189")
    expect(page.locator(".st-key-curate-summary")).to_contain_text("37 picked of 400")


def test_what_the_legend_hides_stays_hidden(app: App, page: Page, grid: str) -> None:
    page.goto(f"{app.url}/curate?project={grid}&selector=round_robin&budget=20&seed=0&colour=query")
    expect(page.locator(MAP)).to_be_visible()
    redraws = drawn(page)
    hidden = f"document.querySelector('{MAP}')._fullData.filter(t => t.visible === 'legendonly').map(t => t.uid)"
    entry = page.locator(f"{MAP} .legend .traces").filter(has_text="1 · query 0")
    entry.locator(".legendtoggle").click()
    page.wait_for_function(f"{hidden}.length === 3")
    gone = page.evaluate(hidden)
    assert gone == ["pool queries 0", "kind queries 0", "picked queries 0"]
    page.locator(f"{MAP} .legend .traces").filter(has_text="queries").last.locator(".legendtoggle").click()
    page.get_by_label("Exactly").fill("37")
    page.get_by_label("Exactly").press("Enter")
    redrawn(page, redraws)
    expect(page.locator(".st-key-curate-summary")).to_contain_text("37 picked of 400")
    assert page.evaluate(hidden) == gone  # the budget moved: still hidden, and the queries still there
