"""The Curate page by hand: a lasso that is banned and refilled, the budget's slider, and every key."""

from __future__ import annotations

import getpass
import json
import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Page, WebSocketRoute, expect

from curation import workbench
from curation.config import BudgetConfig, SelectionConfig
from curation.workspace import Workspace

if TYPE_CHECKING:
    from conftest import App

pytestmark = [pytest.mark.browser, pytest.mark.slow]
N = 400
MAP = ".winnow-map[data-drawn]"
SUMMARY = ".st-key-curate-summary"


def open_page(app: App, page: Page, pid: str, budget: int = 60) -> Workspace:
    page.goto(f"{app.url}/curate?project={pid}&selector=round_robin&budget={budget}&seed=0")
    expect(page.locator(MAP)).to_be_visible()
    expect(page.locator(SUMMARY)).to_contain_text("stability 0.")  # the last that is drawn
    return Workspace(app.home)


def picks(ws: Workspace, pid: str, budget: int) -> list[int]:
    """What the library picks by itself under the decisions that stand."""
    chosen = SelectionConfig(selector="round_robin", budget=BudgetConfig(examples=budget))
    return [int(i) for i in workbench.view(ws, pid, selection=chosen).subset.indices]


def expect_drawn(page: Page, rows: list[int]) -> None:
    """Wait until the picks' points on the map, pinned ones included, are exactly these rows."""
    script = f"""(wanted) => {{
        const traces = document.querySelector("{MAP}")?.data ?? [];
        const shown = traces.filter((t) => t.meta === "row" && /^(picked|pinned)/.test(t.name));
        const unpack = (c) => Array.from(c?._inputArray ?? c ?? []);
        const numbers = shown.flatMap((t) => unpack(t.customdata)).filter((n) => n);
        return JSON.stringify(numbers.sort((a, b) => a - b)) === wanted;
    }}"""
    page.wait_for_function(script, arg=json.dumps(sorted(i + 1 for i in rows), separators=(",", ":")))


def at(page: Page, x: float, y: float) -> tuple[float, float]:
    """Where on screen a place of the map is."""
    box = page.locator(f"{MAP} .nsewdrag").first.bounding_box()
    assert box is not None
    layout = f"document.querySelector('{MAP}')._fullLayout"
    dx, dy = page.evaluate(f"[{layout}.xaxis.d2p({x}), {layout}.yaxis.d2p({y})]")
    return box["x"] + dx, box["y"] + dy


def drag_lasso(page: Page, corners: list[tuple[float, float]]) -> None:
    places = [at(page, *corner) for corner in corners]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=8)
    page.mouse.up()


def read_row(page: Page, number: int) -> None:
    expect(page.locator(".st-key-curate-detail")).to_contain_text(f"row {number} ")


def test_a_lasso_is_banned_refilled_undone_and_there_again_after_a_reload(app: App, page: Page, grid: str) -> None:
    ws = open_page(app, page, grid)
    before = picks(ws, grid, 60)
    expect_drawn(page, before)
    drag_lasso(page, [(5.5, 5.5), (12.5, 5.5), (12.5, 10.5), (5.5, 10.5), (5.5, 6.0)])
    inside = {i for i in range(N) if 6 <= i % 20 <= 12 and 6 <= i // 20 <= 10}
    expect(page.locator(".st-key-curate-marked")).to_contain_text("35 rows in the lasso")

    page.get_by_role("button", name="Ban all 35").click()
    expect(page.locator(".st-key-curate-head").get_by_role("button", name="Undo")).to_be_enabled()
    after = picks(ws, grid, 60)
    caught = inside & set(before)
    assert len(after) == 60 and not inside & set(after) and caught
    expect_drawn(page, after)
    expect(page.locator(SUMMARY)).to_contain_text("60 picked of 400")
    expect(page.locator(SUMMARY)).to_contain_text(f"{len(set(after) - set(before))} in, {len(caught)} out")

    page.get_by_role("button", name="Undo").click()
    expect_drawn(page, before)
    assert ws.overrides(grid).banned == ()
    page.get_by_role("button", name="Redo").click()
    expect_drawn(page, after)

    page.reload()
    expect(page.locator(MAP)).to_be_visible()
    expect_drawn(page, after)
    expect(page.locator(".st-key-curate-marked")).to_contain_text("35 rows in the lasso")
    expect(page.locator(SUMMARY)).to_contain_text("60 picked of 400")
    page.keyboard.press("u")
    expect_drawn(page, before)


def test_the_slider_moved_ten_times_gives_the_right_picks_each_time(app: App, page: Page, grid: str) -> None:
    ws = open_page(app, page, grid)
    handle = page.get_by_role("slider").first
    sizes = []
    for key in ["ArrowRight"] * 4 + ["ArrowLeft"] * 6:
        shown = page.get_by_label("Exactly").first
        was = shown.input_value()
        handle.press(key)
        expect(shown).not_to_have_value(was)
        size = int(shown.input_value())
        expect(page.locator(SUMMARY)).to_contain_text(f"{size} picked of 400")
        expect_drawn(page, picks(ws, grid, size))
        expect(page).to_have_url(re.compile(rf"budget={size}&"))
        sizes.append(size)
    assert len(set(sizes)) > 5 and sizes[3] > 60 > sizes[9]


def test_two_changes_both_stand_though_the_answer_to_the_first_is_on_its_way(app: App, page: Page, grid: str) -> None:
    """The browser then asks for the second with the address of before the first."""
    answers: list[str | bytes] = []
    sockets: list[WebSocketRoute] = []
    held = False

    def answer(message: str | bytes) -> None:
        if held:
            answers.append(message)
        else:
            sockets[-1].send(message)

    def through(socket: WebSocketRoute) -> None:
        sockets.append(socket)
        server = socket.connect_to_server()
        socket.on_message(server.send)
        server.on_message(answer)

    page.route_web_socket(re.compile("_stcore/stream"), through)
    ws = open_page(app, page, grid)
    held = True
    page.get_by_role("combobox", name="Selector", exact=True).click()
    page.get_by_role("option", name="Influence").click()
    while workbench.settings(ws, grid).selection.selector != "influence":
        page.wait_for_timeout(50)
    page.get_by_role("radio", name="Similarity").click()
    page.wait_for_timeout(500)  # the click is on its way too
    held = False
    for message in answers:
        sockets[-1].send(message)
    expect(page).to_have_url(re.compile("colour=similarity"))
    expect(page).to_have_url(re.compile("selector=influence"))
    assert workbench.settings(ws, grid).selection.selector == "influence"


def test_minimums_set_in_the_form_hold_and_are_emptied_again(app: App, page: Page, grid: str) -> None:
    ws = open_page(app, page, grid)

    def set_to(similarity: str, shortest: str) -> SelectionConfig:
        """Fill the form in, press its button, and return the selection once it stands in the link and on the map."""
        page.get_by_role("spinbutton", name="Minimum similarity").fill(similarity)
        page.get_by_role("spinbutton", name="Shortest answer").fill(shortest)
        page.get_by_role("spinbutton", name="Shortest answer").press("Tab")
        page.get_by_role("button", name="Apply").click()
        expect(page).to_have_url(
            re.compile("minimum=0.9.*score=length%3A3") if shortest else re.compile("seed=0(?!.*mini)")
        )
        asked = workbench.settings(ws, grid).selection
        expect_drawn(page, [int(i) for i in workbench.view(ws, grid, selection=asked).subset.indices])
        expect(page.get_by_role("spinbutton", name="Minimum similarity")).to_have_value(similarity)
        return asked

    page.locator("[data-testid=stPopoverButton]:visible").filter(has_text="tune").click()
    asked = set_to("0.9", "3")
    assert (asked.minimum_similarity, asked.minimum_score) == (0.9, 3.0)
    assert min(workbench.view(ws, grid, selection=asked).subset.indices) >= 100  # whose answers have three digits
    asked = set_to("", "")
    assert (asked.minimum_similarity, asked.minimum_score) == (None, None)


def test_every_key_does_what_the_page_says(app: App, page: Page, grid: str) -> None:
    ws = open_page(app, page, grid)
    order = picks(ws, grid, 60)
    ids = workbench.view(ws, grid).pool_ids
    read_row(page, order[0] + 1)
    page.keyboard.press("j")
    read_row(page, order[1] + 1)
    page.keyboard.press("j")
    read_row(page, order[2] + 1)
    page.keyboard.press("k")
    read_row(page, order[1] + 1)

    page.keyboard.press("b")
    expect(page.locator(".st-key-curate-detail")).to_contain_text("Unban")
    assert ws.overrides(grid).banned == (ids[order[1]],)
    page.keyboard.press("j")  # the row that was next, though the banned one is elsewhere now
    read_row(page, order[2] + 1)
    page.keyboard.press("p")
    expect(page.locator(".st-key-curate-detail")).to_contain_text("Unpin")
    assert ws.overrides(grid).pinned == (ids[order[2]],)
    page.keyboard.press("u")
    expect(page.locator(".st-key-curate-detail")).not_to_contain_text("Unpin")
    page.keyboard.press("Shift+U")
    expect(page.locator(".st-key-curate-detail")).to_contain_text("Unpin")
    assert ws.overrides(grid).pinned == (ids[order[2]],)

    page.keyboard.press("n")
    expect(page.get_by_role("dialog").get_by_role("textbox")).to_be_focused()
    page.keyboard.type("a note with j, k and b in it")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".st-key-curate-detail")).to_contain_text("a note with j, k and b in it")
    assert ws.overrides(grid).banned == (ids[order[1]],)
    assert {entry.author for entry in ws.override_log(grid)} == {getpass.getuser()}

    page.keyboard.press("/")
    field = page.get_by_placeholder("Words in the conversation")
    expect(field).to_be_focused()
    page.keyboard.type("pool 39")
    page.keyboard.press("Enter")
    expect(page.locator(".st-key-curate-marked")).to_contain_text("11 rows")
    expect(field).not_to_be_focused()
    page.keyboard.press("j")
    expect(page).to_have_url(re.compile("search=pool\\+39|search=pool%2039"))
    found = workbench.matching(ws, workbench.view(ws, grid), search="pool 39")
    page.wait_for_function(f"{json.dumps(found)}.some((i) => location.href.includes(i))")


def test_a_click_on_the_map_turns_the_table_to_its_row_and_a_cell_shows_its_point(
    app: App, page: Page, grid: str
) -> None:
    ws = open_page(app, page, grid)
    view = workbench.view(ws, grid)
    ids, listed = view.pool_ids, workbench.matching(ws, view)
    page.mouse.click(*at(page, 3, 17))
    read_row(page, 17 * 20 + 3 + 1)
    there = listed.index(ids[17 * 20 + 3]) // 25 + 1
    expect(page.locator(".st-key-curate-marked")).to_contain_text(f"page {there} of 16")
    expect(page).to_have_url(re.compile(ids[17 * 20 + 3]))  # the address follows what is drawn
    other = page.context.new_page()
    other.goto(page.url)
    read_row(other, 17 * 20 + 3 + 1)
    expect(other.locator(".st-key-curate-marked")).to_contain_text(f"page {there} of 16")
