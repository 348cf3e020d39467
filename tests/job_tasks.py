"""Tasks that `test_jobs` lets real job processes do, through `WINNOW_TASKS`; no test of its own."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from curation.errors import DataError
from curation.progress import Progress
from curation.workspace import Workspace


def count(ws: Workspace, config: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Advance `n` units, `seconds` each, keeping what is done in an artefact so that a resume goes on from there."""
    n, seconds = config["n"], config.get("seconds", 0.0)

    def make(part: Path) -> None:
        state = part / "done.txt"
        done = int(state.read_text()) if state.exists() else 0
        progress.start("counting", n, "numbers")
        progress.advance(done)
        for i in range(done, n):
            time.sleep(seconds)
            state.write_text(str(i + 1))
            progress.advance(1, loss=1.0 / (i + 1))

    folder = ws.produce("count", ws.content_key("count", n=n), make, resumable=True)
    return {"sum": int((folder / "done.txt").read_text())}


def refuse(_ws: Workspace, _config: dict[str, Any], _progress: Progress) -> dict[str, Any]:
    """Fail as a user's mistake does."""
    raise DataError("the file is empty; choose another")


def crash(_ws: Workspace, config: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Fail as a defect does."""
    progress.log("about to crash")
    return {"never": 1 // config["zero"]}


def breed(ws: Workspace, _config: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Make a child and an orphaned grandchild in a session of its own, both deaf to SIGTERM; then sleep."""
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); open({0!r}, 'w').close(); time.sleep(600)"
    )
    grandchild = stubborn.format(str(ws.root / "grandchild"))
    child = f"import subprocess,sys; subprocess.Popen([sys.executable,'-c',{grandchild!r}], start_new_session=True)"
    subprocess.run([sys.executable, "-c", child], check=True)
    subprocess.Popen([sys.executable, "-c", stubborn.format(str(ws.root / "child"))])
    while not all((ws.root / name).exists() for name in ("child", "grandchild")):
        time.sleep(0.02)
    progress.start("breeding", 1)
    time.sleep(600)
    return {}


def write(ws: Workspace, config: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Write blocks of 64 KiB, as many as are asked for, into an artefact that keeps what it has."""

    def make(part: Path) -> None:
        progress.start("writing", config["blocks"], "blocks")
        for i in range(config["blocks"]):
            if not (block := part / f"{i}.bin").exists():
                beside = part / "beside"
                beside.write_bytes(bytes(2**16))
                beside.rename(block)
            progress.advance()

    ws.produce("blocks", "k", make, resumable=True)
    return {}


def compare(ws: Workspace, config: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Do a scripted experiment whose trainings take `seconds`, obeying the job's orders."""
    from curation import evaluation, experiments, pipeline, training
    from curation.orders import Orders
    from tests.scripted import Script, make_run

    script = Script(at_step=lambda _n: time.sleep(config["seconds"]))
    training.fine_tune, evaluation.evaluate = script.fine_tune, script.evaluate  # type: ignore[assignment]
    run = make_run(Path(config["folder"]), Path(config["model"]))
    assert run.tests and run.model and run.experiment
    data = ((run.pool, "pool"), (run.queries, "query"), (run.tests, "test"))
    pool, queries, tests = (pipeline.load(ws, one, role) for one, role in data)
    shown = pipeline.represent(ws, pool, queries, run.representation, draw_map=False)
    chosen = tuple(ws.ids(pool)[i] for i in range(0, 32, 4))
    inputs = pipeline.experiment_inputs(ws, shown, chosen, run.model, tests, run.experiment, run.selection)
    orders = Orders(ws.root / "jobs" / config["job"])
    return experiments.experiment(ws, inputs, run.experiment, progress, orders)[1]


TASKS = {"count": count, "refuse": refuse, "crash": crash, "breed": breed, "write": write, "compare": compare}
