"""The loop in figures: does the demo teach the truth on worlds never looked at, and does LESS win on real rows?

    python -m tests.benchmarks.loop [--worlds 101 102 103] [--only demo|worlds|real] [--json]

`demo`: `winnow demo` from an empty workspace, timed as a process. `worlds`: on each world and each of the four targets,
LESS + round_robin at 5 % of the pool against random at the same budget and at three times it, three trainings each;
every arm by the same code, with the same options and epochs. `real`: pool_small, gsm8k and tiny-lm, budget 100, test
loss of the LESS arm against random's for three seeds. Nothing is asserted; what is measured is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean
from typing import Any

THREADS = "2"
SHARED = Path(os.environ.get("WINNOW_TEST_DATA", Path(__file__).parents[3] / "shared"))
SEEDS = (0, 1, 2)


def demo(home: Path) -> dict[str, Any]:
    """Time `winnow demo` as its user would, from nothing."""
    command = [
        sys.executable,
        "-m",
        "curation.cli",
        "demo",
        "--workspace",
        str(home),
        "--out",
        str(home / "out"),
        "--json",
    ]
    started = time.monotonic()
    told = subprocess.run(command, check=True, capture_output=True, text=True)
    return {"wall_seconds": round(time.monotonic() - started, 1), **json.loads(told.stdout.splitlines()[-1])}


def worlds(home: Path, seeds: list[int]) -> list[dict[str, Any]]:
    """Measure every target of every world; the random arms of a world are tuned once and judged on each target."""
    from curation import pipeline
    from curation.config import BudgetConfig, SelectionConfig
    from curation.demo import project, recipe
    from curation.demo.skills import TARGETS
    from curation.experiments import Inputs, arm_ids, judge, tune
    from curation.progress import Silent
    from curation.workspace import Workspace

    ws, rows = Workspace(home), []
    for world in seeds:
        folder = project.draw(ws, world)
        for target in TARGETS:
            config = project.config(folder, target, len(SEEDS))
            pool, queries = pipeline.load(ws, config.pool, "pool"), pipeline.load(ws, config.queries, "query")
            tests = pipeline.load(ws, config.tests, "test")  # type: ignore[arg-type]
            shown = pipeline.represent(
                ws, pool, queries, config.representation, model=config.model, warmup=config.warmup, draw_map=False
            )
            subset = pipeline.select(ws, shown, config.selection)
            ids = ws.ids(pool)
            triple = SelectionConfig(selector="random", budget=BudgetConfig(examples=3 * recipe.BUDGET))
            selected = tuple(ids[i] for i in subset.indices)
            base = Inputs(recipe.MODEL, pool, queries, tests, tuple(ids), selected)
            wide = Inputs(recipe.MODEL, pool, queries, tests, tuple(ids), tuple(ids[: triple.budget.examples]))
            row: dict[str, Any] = {"world": world, "target": target}
            row |= project.precision(ws, folder, target, pool, list(selected))
            for name, arm, inputs, training in (
                ("zero_shot", "zero_shot", base, None),
                ("random", "random", base, recipe.TRAINING),
                ("random_3x", "random", wide, recipe.TRAINING),
                ("selected", "selected", base, recipe.TRAINING),
                ("full", "full", base, recipe.FULL_TRAINING),
            ):
                scores = []
                for seed in SEEDS if name not in ("zero_shot", "full") else SEEDS[:1]:
                    chosen = arm_ids(arm, inputs, seed)
                    made = tune(ws, inputs, chosen, training, seed, title=name, progress=Silent()) if training else None
                    _, judged = judge(ws, inputs, made, recipe.EVALUATION, title=name, progress=Silent())
                    scores.append(judged.summary["exact_match"])
                row[name] = round(mean(scores), 4)
            rows.append(row)
            print(json.dumps(row), file=sys.stderr, flush=True)
    return rows


def real(home: Path) -> dict[str, Any]:
    """Tune tiny-lm on 100 rows of pool_small chosen by LESS for gsm8k, and on 100 random ones."""
    from curation import pipeline
    from curation.config import RunConfig
    from curation.workspace import Workspace

    data = SHARED / "data"
    training = {"learning_rate": 1e-3, "epochs": 4, "batch_size": 8, "micro_batch_size": 8}
    config = RunConfig.from_dict(
        {
            "pool": {"path": str(data / "pool_small.jsonl.gz")},
            "queries": {"path": str(data / "queries" / "gsm8k.jsonl")},
            "tests": {"path": str(data / "tests" / "gsm8k.jsonl")},
            "model": {"name": str(SHARED / "models" / "tiny-lm"), "max_length": 512},
            "representation": {"name": "less"},
            "warmup": {"share": 0.1, "training": {**training, "epochs": 2, "learning_rate": 2e-4, "batch_size": 16}},
            "selection": {"budget": {"examples": 100}},
            "experiment": {
                "arms": ["zero_shot", "random", "selected"],
                "seeds": list(SEEDS),
                "training": training,
                "evaluation": {"metrics": ["query_loss", "test_loss"]},
            },
        }
    )
    made = pipeline.run(Workspace(home), config)
    arms = made["result"]["arms"]
    losses = {arm: told["metrics"]["test_loss"]["per_seed"] for arm, told in arms.items()}
    wins = sum(a < b for a, b in zip(losses["selected"], losses["random"], strict=True))
    return {"test_loss": losses, "seeds_won": wins, "of": len(SEEDS)}


def main() -> None:
    """Run what was asked for and print one JSON object last."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, nargs="+", default=[101, 102, 103])
    parser.add_argument("--only", choices=("demo", "worlds", "real"), nargs="+", default=["demo", "worlds", "real"])
    parser.add_argument("--home", type=Path, help="workspace to keep; default a temporary one")
    parser.add_argument("--json", action="store_true", help="print nothing but the object")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = THREADS
    home = options.home or Path(tempfile.mkdtemp(prefix="winnow-bench-"))
    found: dict[str, Any] = {}
    if "demo" in options.only:
        found["demo"] = demo(home / "demo")
    if "real" in options.only:
        found["real"] = real(home / "real")
    if "worlds" in options.only:
        found["worlds"] = worlds(home / "worlds", options.worlds)
    if not options.json:
        for row in found.get("worlds", []):
            print("  ".join(f"{k} {v:.3f}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
