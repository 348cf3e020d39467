"""A project with everything but the long work: loaded data, a representation, an experiment judged from seeded draws.

The numbers are drawn, not trained; what is made of them (intervals, differences, tables) is the package's own.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

if TYPE_CHECKING:
    from curation.workspace import Workspace

ROOT = Path(__file__).parents[2]
HOSTILE = "<script>alert(1)</script> **bold** [link](http://x.y) :red[red] $x$ 7"
ARMS = {"zero_shot": (0, 0.05, 2.6), "random": (12, 0.3, 1.4), "selected": (12, 0.6, 0.9), "full": (60, 0.85, 0.6)}


def write_rows(path: Path, n: int, kind: str) -> Path:
    """Write `n` additions as question and answer; the first answer holds what must never be read as markup."""
    rows = [
        {
            "prompt": f"{kind} {i}: what is {i} + 2?",
            "response": HOSTILE if i == 0 else str(i + 2),
            "source": f"<b>s{i % 3}</b>",
            "licence": "CC0",
        }
        for i in range(n)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def make_project(ws: Workspace, folder: Path, *, tests: int = 12) -> str:
    """Make a project whose pool and queries are loaded and represented; `tests` = 0 leaves the test set out."""
    from curation import pipeline, workbench
    from curation.config import (
        BudgetConfig,
        DatasetConfig,
        ExperimentConfig,
        ModelConfig,
        SelectionConfig,
        TrainingConfig,
    )

    pid = ws.create_project("Sums").id
    keys = {}
    for role, n in (("pool", 60), ("query", 4), ("test", tests)):
        if n:
            config = DatasetConfig(path=str(write_rows(folder / f"{role}.jsonl", n, role)))
            keys[role] = pipeline.load(ws, config, role, project_id=pid)
    rng = np.random.default_rng(0)
    record = {
        "representation": {"name": "lexical", "options": {}},
        "model": None,
        "warmup": None,
        "features": "f" * 32,
        "map": "d" * 32,
        "pool": keys["pool"],
        "queries": keys["query"],
        "unusable": {},
        "report": {},
    }
    config = {"pool": keys["pool"], "queries": keys["query"], "name": "lexical"}
    with ws.build("representation", "e" * 32, config) as part:
        np.save(part / "similarity.npy", rng.random((4, 60), dtype=np.float32))
        (part / "record.json").write_text(json.dumps(record))
    with ws.build("map", "d" * 32) as part:
        np.save(part / "pool_xy.npy", rng.random((60, 2), dtype=np.float32))
    workbench.change(
        ws,
        pid,
        model=ModelConfig(name="no-such/model"),
        selection=SelectionConfig(budget=BudgetConfig(examples=12)),
        experiment=ExperimentConfig(seeds=(0, 1, 2), training=TrainingConfig(epochs=2.0, batch_size=4)),
    )
    return pid


def add_result(
    ws: Workspace, pid: str, *, arms: tuple[str, ...] = tuple(ARMS), seeds: int = 3, better: bool = True
) -> dict[str, Any]:
    """Add a finished experiment to the project and return its result; `better` False makes tuning lose."""
    from curation import comparison, judgements, workbench
    from curation.config import ExperimentConfig
    from curation.evaluation import Evaluation

    rng = np.random.default_rng(1)
    tests, queries = ws.dataset(pid, "test"), ws.dataset(pid, "query")
    assert tests and queries
    rows = ws.examples(tests.key)
    ids = [e.id for e in rows]
    query_ids = ws.ids(queries.key)
    luck = rng.random(len(ids))
    judged: dict[str, list[Evaluation]] = {}
    keys: dict[str, dict[str, str]] = {}
    curves: dict[str, list[dict[str, float]]] = {}
    for arm in arms:
        n, share, loss = ARMS[arm]
        if not better:
            share = 0.9 if arm == "zero_shot" else 0.1
        for seed in range(1 if arm == "zero_shot" else seeds):
            right = luck + rng.normal(0, 0.05, len(ids)) < share
            answers = [e.answer if r else HOSTILE for e, r in zip(rows, right, strict=True)]
            values = {
                "query_loss": (loss + rng.normal(0, 0.1, len(query_ids))).tolist(),
                "test_loss": (loss + rng.normal(0, 0.1, len(ids))).tolist(),
                "exact_match": right.astype(float).tolist(),
            }
            evaluation = Evaluation(
                per_example=values,
                ids={"query_loss": query_ids, "test_loss": ids, "exact_match": ids},
                summary={m: float(np.mean(v)) for m, v in values.items()},
                answers=answers,
                answer_ids=ids,
            )
            key = f"{list(ARMS).index(arm)}{seed}" + "a" * 30
            if not ws.find("evaluation", key):
                with ws.build("evaluation", key, {}) as part:
                    (part / "evaluation.json").write_text(json.dumps(evaluation.to_dict()))
            judged.setdefault(arm, []).append(evaluation)
            keys.setdefault(arm, {})[str(seed)] = key
            if arm != "zero_shot":
                steps = range(1, 7 if arm != "full" else 31)
                noise = rng.normal(0, 0.1, 31)
                curves.setdefault(arm, []).extend(
                    {"step": s, "loss": loss + 2 / s + noise[s], "learning_rate": 1e-4, "seed": seed} for s in steps
                )
    config = ExperimentConfig(arms=arms, seeds=tuple(range(seeds)))
    result: dict[str, Any] = {
        "arms": {
            arm: {"n_examples": ARMS[arm][0], "tokens": 9 * ARMS[arm][0], "seconds": 4.0, "metrics": metrics}
            for arm, metrics in judgements.summaries(judged).items()
        },
        "differences": judgements.differences(judged),
        "curves": curves,
        "evaluations": keys,
        "n_query": len(query_ids),
        "n_test": len(ids),
        "metrics": ["query_loss", "test_loss", "exact_match"],
        "selected": list(comparison.as_saved(ws, workbench.view(ws, pid)).ids),
        "queries": queries.key,
        "tests": tests.key,
        "model": {"name": "no-such/model"},
        "seeds": list(range(seeds)),
        "config": config.to_dict(),
    }
    n = len(ws.experiments(pid)) + 1
    with ws.build("experiment", f"{n}" + "b" * 31, {}) as part:
        (part / "result.json").write_text(json.dumps(result))
    ws.add_experiment(pid, f"Try {n}", key=f"{n}" + "b" * 31, config=config.to_dict())
    return result


def add_job(ws: Workspace, pid: str, state: str, **fields: Any) -> str:
    """Add an experiment's job as it would stand in `state`, with readings of its losses."""
    import os
    import time

    import psutil

    from curation import jobs
    from curation.tables import Job

    job = Job(
        id=f"job{state}",
        kind="experiment",
        title="Experiment <b>1</b>",
        project_id=pid,
        state=state,
        stage="selected, seed 0: training",
        done=2,
        total=6,
        unit="steps",
        rate=2.0,
        eta=2.0,
        pid=os.getpid(),
        pid_created=psutil.Process().create_time(),
        ended=None if state in jobs.ACTIVE else time.time(),
        **fields,
    )
    with ws.write() as session:
        session.add(job)
    here = jobs.folder(ws, f"job{state}")
    here.mkdir(parents=True)
    readings = [
        {"time": 0, "attempt": 1, "stage": f"{arm}, seed 0: training", "done": step, "loss": 2.0 / step}
        for arm in ("random", "selected")
        for step in (1, 2)
    ]
    (here / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in readings))
    (here / "log.txt").write_text("tuning\n")
    return job.id


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Jobs that the page asked for, without the workspace, in place of starting them."""
    from curation import tasks

    asked: list[tuple[Any, ...]] = []
    monkeypatch.setattr(tasks, "start", lambda _ws, *given: asked.append(given))
    return asked


@pytest.fixture
def opened(workspace: Workspace, served: None, monkeypatch: pytest.MonkeyPatch) -> Callable[..., AppTest]:  # noqa: ARG001
    """Return a function that opens the app on a page of a project, without the demo."""
    import curation.demo.project as demo

    monkeypatch.setenv("WINNOW_HOME", str(workspace.root))
    monkeypatch.delenv("WINNOW_WORKSPACE", raising=False)
    monkeypatch.setattr(demo, "ensure", lambda ws: [])  # noqa: ARG005

    def open_page(page: str, pid: str, **params: str) -> AppTest:
        app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300)
        app.query_params["project"] = pid
        for name, value in params.items():
            app.query_params[name] = value
        app.run()
        return app.switch_page(f"pages/{page}.py").run()

    return open_page


@pytest.fixture
def sums(workspace: Workspace, tmp_path: Path) -> str:
    """A project that is represented and ready to be tuned."""
    return make_project(workspace, tmp_path)


@pytest.fixture
def bare_of_tests(workspace: Workspace, tmp_path: Path) -> str:
    """A project that is represented but has no test set."""
    return make_project(workspace, tmp_path, tests=0)


@pytest.fixture
def finish() -> Callable[..., dict[str, Any]]:
    """Return the function that adds a finished experiment."""
    return add_result


@pytest.fixture
def result_of() -> Callable[..., dict[str, Any]]:
    """Return a function that changes the stored result of the project's newest experiment."""

    def change(ws: Workspace, pid: str, *, sizes: bool = False, **changes: Any) -> dict[str, Any]:
        path = ws.artefact("experiment", ws.experiments(pid)[0].key) / "result.json"
        result: dict[str, Any] = json.loads(path.read_text()) | changes
        if sizes:
            for arm, knee in (("random", 4), ("selected", 12)):
                result["arms"][f"{arm}@4"] = result["arms"][arm] | {"n_examples": 4}
                result.setdefault("knees", {})[arm] = dict.fromkeys(result["metrics"], knee)
        path.write_text(json.dumps(result))
        return result

    return change


@pytest.fixture
def checked() -> Callable[..., None]:
    """Return a function that adds a quantile check of the project's representation."""

    def add(ws: Workspace) -> None:
        told = {"mean": 1.0, "low": 0.9, "high": 1.1, "per_seed": [1.0]}
        metrics = ["test_loss", "exact_match"]
        check = {
            "parts": [{"distance": n / 10, "metrics": dict.fromkeys(metrics, told)} for n in range(10)],
            "spearman": {
                "test_loss": {"mean": 0.9, "low": 0.5, "high": 0.97},
                "exact_match": {"mean": 0.1, "low": -0.5, "high": 0.6},
            },
            "metrics": metrics,
            "n_examples": 6,
            "seeds": [0],
        }
        with ws.build("quantiles", "9" * 32, {"representation": "e" * 32, "model": {"name": "no-such/model"}}) as part:
            (part / "check.json").write_text(json.dumps(check))

    return add


@pytest.fixture
def job() -> Callable[..., str]:
    """Return the function that adds an experiment's job in a state."""
    return add_job


@pytest.fixture
def hostile() -> str:
    """Text from data that must never be read as markup."""
    return HOSTILE
