"""How long a person waits for the app: each page's first paint, and the map after the budget was changed.

    python -m tests.benchmarks.app [--runs 5] [--json]

A server of its own over a fresh workspace with the demo, headless Chromium at 1440 × 900. Each page is opened once
before anything is timed (warm). Painted means: the page's title stands, the server has ended its script, nothing on
screen is marked stale, and on pages with a map the map is drawn. Nothing is asserted; what is measured is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Page

ROOT = Path(__file__).parents[2]
PAGES = ("Data", "Represent", "Curate", "Compare", "Train", "Evaluate", "Report")
WITH_MAP = ("Curate", "Compare")
MAP = ".winnow-map[data-drawn]"
FLAGS = ["--no-sandbox", "--enable-unsafe-swiftshader", "--disable-background-networking", "--no-first-run"]
PAINTED = """([title, map]) => {
  const app = document.querySelector('[data-testid=stApp]');
  const heading = [...document.querySelectorAll('h1')].some(h => h.innerText.trim() === title);
  return heading && app.dataset.testScriptState === 'notRunning'
    && !document.querySelector('[data-stale=true]') && (!map || document.querySelector(map));
}"""


def serve(home: Path) -> tuple[subprocess.Popen[bytes], str]:
    """Start the app over a workspace; return its process and address once it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "app.py", f"--server.port={port}", "--server.headless=true"]
    log = (home.parent / "app.log").open("wb")
    environment = {**os.environ, "WINNOW_HOME": str(home)}
    server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    url = f"http://localhost:{port}"
    for _ in range(400):
        try:
            with urllib.request.urlopen(f"{url}/_stcore/health", timeout=2):
                return server, url
        except OSError:
            time.sleep(0.25)
    raise SystemExit("the app did not start")


def painted(page: Page, title: str) -> None:
    """Wait until the page of that title is painted."""
    page.wait_for_function(PAINTED, arg=[title, MAP if title in WITH_MAP else ""], polling=20, timeout=120_000)


def by_link(page: Page, url: str, title: str) -> float:
    """Seconds from a link typed in until the page is painted."""
    began = time.perf_counter()
    page.goto(f"{url}/{title.lower()}", wait_until="commit")
    painted(page, title)
    return time.perf_counter() - began


def by_click(page: Page, title: str) -> float:
    """Seconds from a click in the sidebar until the page is painted."""
    link = page.locator(".st-key-steps").get_by_role("link", name=re.compile(f"^{title}"))
    began = time.perf_counter()
    link.click(no_wait_after=True)
    painted(page, title)
    return time.perf_counter() - began


def redraws(page: Page, runs: int) -> list[float]:
    """Seconds from a typed budget until the map shows its picks."""
    seconds = []
    field = page.locator(".st-key-curate-budget input[type=number]").first
    for n in range(runs):
        before = page.locator(MAP).get_attribute("data-drawn")
        field.fill(str(200 + 40 * n))
        began = time.perf_counter()
        field.press("Enter")
        page.wait_for_function(
            "([map, before]) => document.querySelector(map).dataset.drawn !== before", arg=[MAP, before], polling=10
        )
        seconds.append(time.perf_counter() - began)
        page.wait_for_timeout(1500)
    return seconds


def measure(runs: int) -> dict[str, Any]:
    """Time every page and the budget."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        (Path(folder) / "home").mkdir()
        server, url = serve(Path(folder) / "home")
        try:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            for title in PAGES:
                by_link(page, url, title)
            links = {title: [by_link(page, url, title) for _ in range(runs)] for title in PAGES}
            clicks: dict[str, list[float]] = {title: [] for title in PAGES}
            for _ in range(runs):
                for title in PAGES:
                    clicks[title].append(by_click(page, title))
                    page.wait_for_timeout(300)
            by_click(page, "Curate")
            page.wait_for_timeout(1500)
            return {"by_link": links, "by_click": clicks, "budget": redraws(page, 2 * runs)}
        finally:
            server.kill()


def main() -> None:
    """Measure and print, one JSON object last."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print nothing but the object")
    options = parser.parse_args()
    found = measure(options.runs)
    if not options.json:
        print("| page | by link, median (worst) | by click, median (worst) |\n|---|---:|---:|")
        for title in PAGES:
            told = (f"{median(s):.2f} s ({max(s):.2f})" for s in (found["by_link"][title], found["by_click"][title]))
            print(f"| {title} | {' | '.join(told)} |")
        print(f"\nbudget to map: median {median(found['budget']):.2f} s, worst {max(found['budget']):.2f} s\n")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
