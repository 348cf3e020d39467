"""Sections of `tests.benchmarks.selection` about what a person waits for, and the distances of every selection.

The views are of a project whose similarity and map are written straight into a workspace: cosines of clustered vectors,
rows of a few words. Everything is then asked for as the Curate page asks for it, with orderings warm.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

from curation import diagnostics, explain, figures_map, pipeline, selectors, workbench
from curation.config import BudgetConfig, DatasetConfig, RepresentationConfig, SelectionConfig
from curation.demo import project as demo
from curation.demo import recipe
from curation.demo.skills import TARGETS
from curation.progress import Silent
from curation.selected import Selected
from curation.selectors import Budget, Overrides, Problem
from curation.similarity import Features
from curation.views import View
from tests.benchmarks.measure import Bench, Figure
from tests.benchmarks.selection_peak import vectors

_QUICK = 20  # times fewer rows
_BUDGET = 500
_BUDGETS = (300, 500, 750, 1_000, 400, 2_000, 600, 200, 1_500, 900)
_FIXED = ("round_robin", "doubly_greedy", "influence")


def _ms(act: Callable[..., object], *given: object) -> float:
    started = time.perf_counter()
    act(*given)
    return 1e3 * (time.perf_counter() - started)


def _at_most(name: str, value: float, bar: float) -> Figure:
    return Figure(name, "ms", value, None, bar, f"≤ {bar:g}", higher=False)


# ---------------------------------------------------------------------------------------------------- explanations


def explanation(bench: Bench) -> tuple[list[Figure], list[str]]:
    """Ten picks and ten rows left out, explained for every selector at 50 × 37,408 (384-d), after a first one."""
    n_pool = 37_408 // (_QUICK if bench.quick else 1)
    z, q = vectors(n_pool, 384, 2), vectors(50, 384, 1)
    features = Features(z[:, None, :], np.ones(1, dtype=np.float32), tuple(map(str, range(n_pool))))
    problem = Problem(q @ z.T, pool_features=features)
    slowest, words = 0.0, ["Milliseconds an explanation, median of 20 rows; the first of a selection apart."]
    lines = ["| selector | first | picked | left out |", "|---|---:|---:|---:|"]
    for name in selectors.REGISTRY:
        selector = selectors.create(name)
        subset = selector.select(problem, _BUDGET)
        made = Selected(selector, problem, Budget(examples=_BUDGET), Overrides(), subset)
        left = np.setdiff1d(np.argsort(-problem.nearest, kind="stable")[: 4 * _BUDGET], subset.indices)
        groups = [subset.indices[:: _BUDGET // 10][:10], left[:: max(1, len(left) // 10)][:10]]
        first = _ms(explain.explain, made, int(groups[1][0]))
        spent = [median(_ms(explain.explain, made, int(i)) for i in rows) for rows in groups]
        lines.append(f"| {name} | {first:.1f} | {spent[0]:.1f} | {spent[1]:.1f} |")
        slowest = max(slowest, *spent)
    words.append("\n".join(lines))
    return [_at_most(f"explanation of one example, slowest selector, 50 × {n_pool:,}", slowest, 50)], words


# ----------------------------------------------------------------------------------------------------------- views


def _project(bench: Bench, n_queries: int, n_pool: int) -> str:
    """A project of that many rows, its similarity and map written as `represent` would."""
    ws, name = bench.ws, f"views-{n_queries}-{n_pool}"
    known = {p.name: p.id for p in ws.projects()}
    if name in known and ws.find("representation", name):
        return known[name]
    project = ws.create_project(name).id
    keys = {}
    for role, n in (("pool", n_pool), ("query", n_queries)):
        path = bench.cache / f"{role}-{n}.jsonl"
        path.write_text(
            "".join(
                json.dumps({"prompt": f"{role} row {i}", "response": "well", "source": f"s{i % 7}"}) + "\n"
                for i in range(n)
            )
        )
        keys[role] = pipeline.load(ws, DatasetConfig(path=str(path)), role, project_id=project)
    record = {
        "representation": RepresentationConfig(name="lexical").to_dict(),
        "model": None,
        "warmup": None,
        "features": "none",
        "map": name,
        "unusable": {},
        "report": {},
        "pool": keys["pool"],
        "queries": keys["query"],
    }

    def make(part: Path) -> None:
        np.save(part / "similarity.npy", vectors(n_queries, 64, 1) @ vectors(n_pool, 64, 2).T)
        (part / "record.json").write_text(json.dumps(record))

    def draw(part: Path) -> None:
        np.save(part / "pool_xy.npy", np.random.default_rng(0).normal(size=(n_pool, 2)).astype(np.float32))

    ws.produce("map", name, draw, {})
    ws.produce("representation", name, make, {"pool": keys["pool"], "queries": keys["query"], "name": "lexical"})
    return project


def _view(bench: Bench, project: str, selector: str, budget: int) -> View:
    config = SelectionConfig(selector=selector, budget=BudgetConfig(examples=budget))
    return workbench.view(bench.ws, project, selection=config)


def _drawn(bench: Bench, project: str, selector: str, budget: int) -> None:
    """All that the page asks for when a control is moved: picks, the line of figures, a page of rows, the map."""
    view = _view(bench, project, selector, budget)
    assert view.summary["n_picked"] == budget
    workbench.table(bench.ws, view)
    figures_map.pool_map(view)


def figure_ready(bench: Bench) -> tuple[list[Figure], list[str]]:
    """Budget and selector changes, from the change to the figure."""
    figures, words = [], []
    for n_queries, n_pool, bar in ((50, 37_408, 200), (100, 200_000, 600)):
        size = n_pool // (_QUICK if bench.quick else 1)
        project = _project(bench, n_queries, size)
        for selector in _FIXED:  # the ordering as far as it is needed, the map's fixed parts
            _drawn(bench, project, selector, min(size, 2 * max(_BUDGETS)))
        budgets = [min(size, b) for b in _BUDGETS]
        spent = {s: [_ms(_drawn, bench, project, s, b) for b in budgets] for s in _FIXED}
        spent["another each time"] = [_ms(_drawn, bench, project, _FIXED[i % 3], b - 1) for i, b in enumerate(budgets)]
        worst = max(median(times) for times in spent.values())
        figures.append(_at_most(f"change to figure ready, {n_queries} × {size:,}", worst, bar))
        told = ", ".join(f"{s} {median(t):.0f} (highest {max(t):.0f})" for s, t in spent.items())
        words.append(f"{n_queries} × {size:,}, milliseconds, median of {len(budgets)} budgets: {told}.")
    return figures, words


def _decided(bench: Bench, project: str, selector: str, action: str, row: str) -> None:
    """Decide about a row and select again."""
    bench.ws.override(project, action, row)
    assert len(_view(bench, project, selector, _BUDGET).subset) == _BUDGET


def decision(bench: Bench) -> tuple[list[Figure], list[str]]:
    """A ban and a pin, from the click to the updated selection."""
    size = 37_408 // (_QUICK if bench.quick else 1)
    project = _project(bench, 50, size)
    worst, words = 0.0, []
    for selector in _FIXED:
        view = _view(bench, project, selector, _BUDGET)
        spent: dict[str, list[float]] = {"ban": [], "pin": []}
        for place in view.subset.indices[:: _BUDGET // 10][:10].tolist():
            for action, row in (("ban", place), ("pin", (place + 1) % size)):
                spent[action].append(_ms(_decided, bench, project, selector, action, view.pool_ids[row]))
        while bench.ws.overrides(project).can_undo:
            bench.ws.override(project, "undo")
        worst = max(worst, *(median(times) for times in spent.values()))
        words.append(
            f"{selector}, milliseconds, median of 10: "
            + ", ".join(f"{a} {median(t):.0f} (highest {max(t):.0f})" for a, t in spent.items())
            + "."
        )
    return [_at_most(f"pin or ban to updated selection, {size:,} rows", worst, 100)], words


# ------------------------------------------------------------------------------------------------------- distances


def distances(bench: Bench) -> tuple[list[Figure], list[str]]:
    """Every selector × budget × distance on the demo's targets; whether herding has the lowest MMD everywhere."""
    ws, folder = bench.ws, demo.draw(bench.ws, 0)
    name = "lexical" if bench.quick else "rds"
    targets, budgets = (tuple(TARGETS)[:1], (50, 200)) if bench.quick else (tuple(TARGETS), (50, 200, 500, 1_000))
    words = [f"Representation {name}. Each cell: mean nearest / Wasserstein / MMD; lower is nearer."]
    worst = 0.0
    for target in targets:
        pool = bench.load(folder / "pool.jsonl", "pool")
        queries = bench.load(folder / "queries" / f"{target}.jsonl", "query")
        config = RepresentationConfig(name=name)
        shown = pipeline.represent(ws, pool, queries, config, model=recipe.MODEL, draw_map=False, progress=Silent())
        stores = {role: ws.feature_store(shown.record["features"], role) for role in ("pool", "query")}
        usable = np.array([i for i, row in enumerate(ws.ids(pool)) if row not in shown.unusable])
        ids = ws.ids(pool)
        z, q = stores["pool"].features([ids[i] for i in usable]), stores["query"].features(ws.ids(queries))
        if name == "lexical":
            from curation import representations

            z, q = representations.create("lexical").join(z, q)
        similarity = np.asarray(shown.similarity)[:, usable]
        problem = Problem(similarity, pool_features=z, query_groups=ws.column(queries, "group"))
        lines = [f"| {target} | " + " | ".join(f"{b:,}" for b in budgets) + " |", "|---|" + "---:|" * len(budgets)]
        found: dict[str, list[float]] = {}
        for selector in selectors.REGISTRY:
            cells = []
            for budget in budgets:
                picks = selectors.create(selector).select(problem, budget).indices
                near = diagnostics.distance(similarity, picks)
                moved, apart = diagnostics.wasserstein(similarity, picks), diagnostics.mmd(z, q, picks)
                found.setdefault(selector, []).append(apart)
                cells.append(f"{near:.3f} / {moved:.3f} / {apart:.4f}")
            lines.append(f"| {selector} | " + " | ".join(cells) + " |")
        others = [found[s] for s in found if s != "herding"]
        lowest = np.min(others, axis=0)
        worst = max(worst, float(np.max(np.array(found["herding"]) / lowest)))
        words.append("\n".join(lines))
    title = "MMD of herding over the lowest of all other selectors, highest of all targets and budgets"
    return [Figure(title, "share", worst, None, 1.0, "≤ 1", higher=False)], words
