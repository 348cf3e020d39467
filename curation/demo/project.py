"""The demo as a project in the app, and as one command: `winnow demo`.

The app's projects come with results that were computed by this very code and are shipped in ``assets/demo``; their
keys are those that a fresh computation would have, so everything can be computed again. `winnow demo` takes nothing
from there: it draws the world, represents, selects, tunes, judges and reports.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from curation import export, pipeline, report
from curation.config import BudgetConfig, DatasetConfig, ExperimentConfig, RunConfig, SelectionConfig
from curation.demo import recipe, world
from curation.demo.skills import TARGETS
from curation.errors import ConfigError
from curation.progress import Progress, Silent
from curation.workspace import Workspace

ASSETS = Path(__file__).parents[2] / "assets"
SEEDS = 3
FIRST_PICKS = 100


def parse_targets(text: str) -> tuple[str, ...]:
    """Return the target skills that a command names: one, several with commas, ``all``; empty means the first.

    Raises
    ------
    ConfigError
        If one is unknown.
    """
    named = tuple(t.strip() for t in text.split(",") if t.strip()) or TARGETS[:1]
    if named == ("all",):
        return tuple(TARGETS)
    for name in named:
        if name not in TARGETS:
            raise ConfigError(f"the demo has no target {name!r}; expected all, or one of: {', '.join(TARGETS)}")
    return named


def config(folder: Path, target: str, seeds: int) -> RunConfig:
    """Return the whole loop on one target of the world in `folder`."""
    return RunConfig(
        pool=DatasetConfig(path=str(folder / "pool.jsonl")),
        queries=DatasetConfig(path=str(folder / "queries" / f"{target}.jsonl")),
        tests=DatasetConfig(path=str(folder / "tests" / f"{target}.jsonl")),
        model=recipe.MODEL,
        representation=recipe.REPRESENTATION,
        warmup=recipe.WARMUP,
        selection=SelectionConfig(selector="round_robin", budget=BudgetConfig(examples=recipe.BUDGET)),
        experiment=ExperimentConfig(
            arms=("zero_shot", "random", "selected", "full"),
            seeds=tuple(range(seeds)),
            training=recipe.TRAINING,
            full_training=recipe.FULL_TRAINING,
            evaluation=recipe.EVALUATION,
        ),
    )


def draw(ws: Workspace, seed: int) -> Path:
    """Write the world of a seed into the workspace, if it is not there, and return its folder."""
    return ws.produce("demo-world", f"seed-{seed}-v{world.VERSION}", lambda part: world.write(part, seed))


def run(
    ws: Workspace,
    *,
    targets: tuple[str, ...],
    seeds: int = 1,
    seed: int = 0,
    out: Path = Path("winnow-demo"),
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Do the whole loop for each target and return what was found.

    Returns
    -------
    dict
        ``seconds``, ``target``, ``arms`` (arm → ``exact_match`` and ``test_loss`` → mean, low, high),
        ``skill_precision`` (share of the first 100 picks of the true skill), ``noise_share`` (of all picks) and
        ``report`` (path). With several targets those of the first, and all of them under ``targets``.
    """
    progress = progress or Silent()
    folder = draw(ws, seed)
    found = [
        _target(ws, folder, target, seeds, out / target if len(targets) > 1 else out, progress) for target in targets
    ]
    if len(found) == 1:
        return found[0]
    return {**found[0], "seconds": round(sum(f["seconds"] for f in found), 1), "targets": found}


def _target(ws: Workspace, folder: Path, target: str, seeds: int, out: Path, progress: Progress) -> dict[str, Any]:
    started = time.monotonic()
    settled = pipeline.settle(config(folder, target, seeds))
    made = pipeline.run(ws, settled, progress)
    records = report.of_run(ws, made, settled, f"Demo: {target}")
    card = export.write(ws, records, out) / f"{export.CARD}.html"
    seconds = time.monotonic() - started
    told = {
        arm: {
            metric: {end: values[end] for end in ("mean", "low", "high")} for metric, values in row["metrics"].items()
        }
        for arm, row in made["result"]["arms"].items()
    }
    return {
        "seconds": round(seconds, 1),
        "target": target,
        "arms": told,
        **precision(ws, folder, target, made["pool"], list(made["subset"]["id"])),
        "report": str(card),
    }


def precision(ws: Workspace, folder: Path, target: str, pool: str, picked: list[str]) -> dict[str, float]:
    """Compare picks with the truth that selection never saw.

    Returns
    -------
    dict
        ``skill_precision``: share of the first 100 picks that are of the target skill; ``skill_precision_all``: of
        all picks; ``noise_share``: share of all picks that are noise; ``pool_noise_share``: of the pool.
    """
    truth = json.loads((folder / "truth.json").read_text())
    name = dict(zip(ws.ids(pool), ws.column(pool, "user_id"), strict=True))
    rows = [truth[name[i]] for i in picked]
    whole = [truth[n] for n in name.values()]
    first = rows[:FIRST_PICKS]
    return {
        "skill_precision": sum(r["skill"] == target for r in first) / max(1, len(first)),
        "skill_precision_all": sum(r["skill"] == target for r in rows) / max(1, len(rows)),
        "noise_share": sum(r["noise"] for r in rows) / max(1, len(rows)),
        "pool_noise_share": sum(r["noise"] for r in whole) / len(whole),
    }


# ----------------------------------------------------------------------------------------------------- in the app


def ensure(ws: Workspace) -> list[str]:
    """Install the demo's projects, one a target, with the shipped results; once a workspace, some seconds at most.

    A demo project that was deleted stays deleted.
    """
    mark = ws.root / "demo-installed.json"
    if mark.is_file():
        return list(json.loads(mark.read_text())["projects"])
    folder = draw(ws, 0)
    held = ws.import_bundle(ASSETS / "demo")
    results = {key for kind, key in held if kind == "experiment"}
    made = []
    for target in reversed(TARGETS):  # the last one made is the first one shown
        made.append(_install(ws, config(folder, target, SEEDS), target, results))
    part = mark.with_suffix(".part")
    part.write_text(json.dumps({"projects": made}))
    part.replace(mark)
    return made


def _install(ws: Workspace, settled: RunConfig, target: str, results: set[str]) -> str:
    """Make one target's project: data sets, settings, and the shipped experiment on it."""
    assert settled.tests is not None and settled.experiment is not None and settled.model is not None
    project = ws.create_project(
        f"Demo: {target.replace('_', ' ')}",
        {
            "model": settled.model.to_dict(),
            "representation": settled.representation.to_dict(),
            "warmup": settled.warmup.to_dict(),
            "selection": settled.selection.to_dict(),
            "experiment": settled.experiment.to_dict(),
            "demo": True,
        },
    )
    for role, data in (("pool", settled.pool), ("query", settled.queries), ("test", settled.tests)):
        pipeline.load(ws, data, role, project_id=project.id)
    tests = ws.dataset(project.id, "test")
    for key in sorted(results):
        result = json.loads((ws.artefact("experiment", key) / "result.json").read_text())
        if tests is not None and result["tests"] == tests.key:
            ws.add_experiment(project.id, "Shipped with Winnow", key=key, config=result["config"])
    return project.id


def bundle(out: Path = ASSETS / "demo", home: Path | None = None) -> None:
    """Compute the demo's results from nothing and put what the app shows of them into `out` (``assets/demo``)."""
    import shutil
    import tempfile

    ws = Workspace(home or Path(tempfile.mkdtemp(prefix="winnow-bundle-")))
    run(ws, targets=tuple(TARGETS), seeds=SEEDS, out=ws.root / "reports", progress=Silent())
    folder = draw(ws, 0)
    for target in TARGETS:
        made = config(folder, target, SEEDS)
        keys = [pipeline.load(ws, data, "") for data in (made.pool, made.queries)]
        pipeline.represent(ws, keys[0], keys[1], made.representation, model=made.model, warmup=made.warmup)
    shutil.rmtree(out, ignore_errors=True)
    for kind in ("representation", "neighbours", "map", "experiment", "evaluation"):
        for artefact in ws.artefacts(kind):
            shutil.copytree(ws.artefact(kind, artefact.key), out / kind / artefact.key)


if __name__ == "__main__":
    bundle()
