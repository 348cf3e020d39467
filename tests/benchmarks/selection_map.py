"""Sections of `tests.benchmarks.selection` about the map: laying it out, and a map of 200,000 rows in a browser."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from curation import maps, neighbours, pipeline, similarity
from curation.config import DatasetConfig
from curation.similarity import Features
from curation.workspace import Workspace
from tests.benchmarks.measure import Bench, Figure

if TYPE_CHECKING:
    from playwright.sync_api import Page

N_QUERIES = 50


def clustered(n: int, d: int, seed: int = 0) -> np.ndarray:
    """Unit rows about 200 centres in a space whose directions differ in spread, float32 (n, d)."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((200, d), dtype=np.float32)
    spread = np.linspace(1.5, 0.1, d, dtype=np.float32)
    rows = 0.6 * centres[rng.integers(0, 200, n)] + rng.standard_normal((n, d), dtype=np.float32) * spread
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def trustworthiness(values: np.ndarray, xy: np.ndarray, *, k: int = 15, sample: int = 1_000) -> float:
    """Venna and Kaski's trustworthiness by cosine, over a seeded sample of rows against all others."""
    n = len(values)
    rows = np.random.default_rng(1).choice(n, min(sample, n), replace=False)
    wrong = 0.0
    for row in rows:
        near = values @ values[row]
        near[row] = np.inf
        rank = np.empty(n, dtype=np.int64)
        rank[np.argsort(-near, kind="stable")] = np.arange(n)
        far = ((xy - xy[row]) ** 2).sum(axis=1)
        far[row] = np.inf
        wrong += np.maximum(rank[np.argpartition(far, k)[:k]] - k, 0).sum()
    return float(1 - 2 * wrong / (len(rows) * k * (2 * n - 3 * k - 1)))


def _features(values: np.ndarray) -> Features:
    return Features(values[:, None], np.ones(1, dtype=np.float32), tuple(map(str, range(len(values)))))


def _draw(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The map as the pipeline draws it, queries last: neighbours, layout, and the queries placed."""
    pool, queries = _features(values[:-N_QUERIES]), _features(values[-N_QUERIES:])
    xy = maps.fit(pool, neighbours.graph(pool))
    return xy, maps.place(similarity.compute(queries, pool), xy)


def map_fit(bench: Bench) -> tuple[list[Figure], list[str]]:
    """Lay out a pool and its queries, against umap-learn on the same rows and threads."""
    from umap import UMAP

    n = 2_000 if bench.quick else 37_408
    values = clustered(n + N_QUERIES, 384)
    began = time.perf_counter()
    _draw(values[:500])
    first = time.perf_counter() - began
    began = time.perf_counter()
    UMAP().fit_transform(values[:500])
    their_first = time.perf_counter() - began
    began = time.perf_counter()
    xy, _ = _draw(values)
    ours = time.perf_counter() - began
    began = time.perf_counter()
    their_xy = UMAP().fit_transform(values)
    theirs = time.perf_counter() - began
    same = bool((_draw(values)[0] == xy).all())
    true, their_true = trustworthiness(values[:n], xy), trustworthiness(values[:n], their_xy[:n])
    figures = [
        Figure(f"map of {n:,} × 384 + {N_QUERIES} queries", "s", ours, theirs, theirs / 3, "≤ 1/3", higher=False),
        Figure("trustworthiness of the map (k 15)", "", true, their_true, their_true - 0.02, "≥ theirs − 0.02"),
        Figure("same bytes when drawn twice", "", float(same), None, 1, "yes"),
    ]
    return figures, [f"With compilation, 500 rows took {first:.1f} s at first, umap-learn {their_first:.1f} s."]


def map_paint(bench: Bench) -> tuple[list[Figure], list[str]]:
    """Open a large pool's map in headless Chromium, and lasso a part of it."""
    from playwright.sync_api import sync_playwright

    from tests.benchmarks import app

    n = 5_000 if bench.quick else 200_000
    runs = 2 if bench.quick else 5
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        home = Path(folder) / "home"
        project = large_project(home, n)
        server, url = app.serve(home)
        try:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=app.FLAGS)
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            page.set_default_timeout(300_000)
            link = f"{url}/curate?project={project}&selector=round_robin&budget=500"
            cold = _opened(page, link)
            paints = [_opened(page, link) for _ in range(runs)]
            lassos = [_lassoed(page, 0.2 + 0.1 * i) for i in range(runs)]
        finally:
            server.kill()
    figures = [
        Figure(f"first paint of {n:,} rows", "s", median(paints), None, 3, "≤ 3 s", higher=False),
        Figure(f"lasso to table among {n:,} rows", "s", median(lassos), None, 1, "≤ 1 s", higher=False),
    ]
    told = f"First paint on a server just started: {cold:.2f} s; worst when warm {max(paints):.2f} s; "
    return figures, [told + f"worst lasso {max(lassos):.2f} s."]


def large_project(home: Path, n: int) -> str:
    """Make a workspace whose one project has a pool of `n` short rows with a map of clusters; return its id."""
    home.mkdir(parents=True)
    (home / "demo-installed.json").write_text('{"projects": []}')  # the demo is not opened here
    ws = Workspace(home)
    project = ws.create_project("Large").id
    keys = []
    for role, count in (("pool", n), ("query", N_QUERIES)):
        path = home / f"{role}.jsonl"
        rows = ({"prompt": f"{role} {i}", "response": f"{i}", "source": f"s{i % 7}"} for i in range(count))
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        keys.append(pipeline.load(ws, DatasetConfig(path=str(path)), role, project_id=project))
    rng = np.random.default_rng(0)
    with ws.build("map", "7" * 32, {}) as part:
        xy = rng.normal(0, 12, (60, 2))[rng.integers(0, 60, n)] + rng.normal(0, 1.2, (n, 2))
        np.save(part / "pool_xy.npy", xy.astype(np.float32))
    record = {"representation": {"name": "lexical", "options": {}}, "model": None, "warmup": None, "features": "7" * 32}
    record |= {"map": "7" * 32, "pool": keys[0], "queries": keys[1], "unusable": {}, "report": {}}
    with ws.build("representation", "8" * 32, {"pool": keys[0], "queries": keys[1], "name": "lexical"}) as part:
        np.save(part / "similarity.npy", rng.random((N_QUERIES, n), dtype=np.float32))
        (part / "record.json").write_text(json.dumps(record))
    return project


def _opened(page: Page, link: str) -> float:
    """Seconds from a link typed in until its map is painted."""
    from tests.benchmarks import app

    page.goto("about:blank")
    began = time.perf_counter()
    page.goto(link, wait_until="commit")
    app.painted(page, "Curate")
    return time.perf_counter() - began


def _lassoed(page: Page, share: float) -> float:
    """Seconds from the end of a lasso over that share of the map's width until the table shows what it caught."""
    from tests.benchmarks import app

    marked = page.locator(".st-key-curate-marked")
    before = marked.inner_text() if marked.count() else ""
    box: Any = page.locator(f"{app.MAP} .nsewdrag").first.bounding_box()
    w, h = share * box["width"], share * box["height"]
    x, y = box["x"] + (box["width"] - w) / 2, box["y"] + (box["height"] - h) / 2
    page.mouse.move(x, y)
    page.mouse.down()
    for corner in ((x + w, y), (x + w, y + h), (x, y + h), (x, y + 5)):
        page.mouse.move(*corner, steps=8)
    began = time.perf_counter()
    page.mouse.up()
    page.wait_for_function(
        "before => { const e = document.querySelector('.st-key-curate-marked');"
        " return e && e.innerText !== before && /rows? in the lasso/.test(e.innerText); }",
        arg=before,
        polling=20,
    )
    seconds = time.perf_counter() - began
    app.painted(page, "Curate")
    assert re.search(r"\d", marked.inner_text())
    return seconds
