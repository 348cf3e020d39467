"""`winnow`: everything the app does, from the command line.

Each command prints its result's path last, or one JSON object with ``--json``; progress goes to standard error. It
exits 0, or with the code of the error's kind in `curation.errors`; 1 when declined, 130 when interrupted.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from curation.cli_judge import judge
from curation.console import JsonOption, Lines, OutOption, WorkspaceOption, stderr
from curation.console import finish as _finish
from curation.console import open_workspace as _open
from curation.errors import ConfigError, CurationError, WorkspaceError
from curation.workspace import Workspace

if TYPE_CHECKING:
    from curation.cost import Cost
    from curation.report import Records

app = typer.Typer(help="Winnow: find the few hundred examples that teach a model a task.", no_args_is_help=True)
jobs_app = typer.Typer(
    help="See, pause, cancel, resume and reorder jobs; give orders to a running experiment.",
    invoke_without_command=True,
)
app.add_typer(jobs_app, name="jobs")
app.command()(judge)

SelectionOption = Annotated[
    str, typer.Option(help="Name of a saved selection; else what the experiment tuned on, or the present one.")
]
ExperimentOption = Annotated[
    str, typer.Option(help="Name or key of a finished experiment on it, for the card; else the newest.")
]


@app.command()
def run(
    config: Annotated[Path, typer.Argument(help="A JSON config; `winnow export` and the Report page write them.")],
    out: OutOption = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Do all that a config asks for, reusing what is there, and export the selection."""
    from curation import export, findings, pipeline, report
    from curation.config_files import read_config

    ws = _open(workspace)
    settled = pipeline.settle(read_config(config))
    made = pipeline.run(ws, settled, Lines())
    folder = out or Path(f"{config.stem}-export")
    records = report.of_run(ws, made, settled, config.stem)
    card = export.write(ws, records, folder) / f"{export.CARD}.html"
    result = {k: made[k] for k in ("pool", "queries", "tests", "representation", "experiment")}
    result |= {"export": str(folder), "report": str(card), "n_selected": len(made["subset"])}
    if made["result"]:
        result["arms"] = {arm: told["metrics"] for arm, told in made["result"]["arms"].items()}
        result["warnings"] = findings.warnings(made["result"])
        for warning in result["warnings"]:
            stderr.print(f"warning: {warning}", highlight=False, markup=False)
    if made["quantiles"]:
        result["quantiles"] = made["quantiles"]["spearman"]
    _finish(as_json, result, folder)


@app.command(name="next")
def next_round(
    config: Annotated[Path, typer.Argument(help="A JSON config whose experiment has a dev_share.")],
    out: Annotated[Path, typer.Option("--out", help="File to write.")] = Path("next-queries.jsonl"),
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the next round's query set: the present one, and what the tuned model got wrong on the dev split."""
    from curation import pipeline
    from curation.config_files import read_config

    text, n_new = pipeline.next_queries(_open(workspace), read_config(config), Lines())
    out.write_text(text, "utf-8")
    _finish(as_json, {"queries": str(out), "n_new": n_new}, out)


@app.command()
def cost(
    config: Annotated[Path, typer.Argument(help="A JSON config, as for `winnow run`.")],
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Foretell what a config takes, its experiment included: time, memory, disk, by trials on this machine."""
    from curation import cost as costs
    from curation import forecast, pipeline
    from curation.config_files import read_config

    ws, asked = _open(workspace), read_config(config)
    told = costs.estimate(
        ws,
        pipeline.load(ws, asked.pool, "pool", progress=Lines()),
        pipeline.load(ws, asked.queries, "query", progress=Lines()),
        asked.representation,
        model=asked.model,
        warmup=asked.warmup,
        draw_map=False,
        progress=Lines(),
    )
    further = forecast.of_config(ws, asked, Lines())
    if as_json:
        print(json.dumps(told.to_dict() | ({"experiment": further.to_dict()} if further else {})))
        return
    _show_cost(told, "rows")
    if further is not None and asked.experiment is not None:
        price = asked.experiment.price_per_hour * further.seconds / 3600
        _show_cost(further, "trainings", f"{price:,.2f}" if price else "")


def _show_cost(told: Cost, what: str, price: str = "") -> None:
    """Print a cost as a table; `what` it counts."""
    table = Table(box=None, show_header=False)
    for stage, seconds in told.parts.items():
        table.add_row(stage, f"{seconds:,.0f} s")
    table.add_row("in all", f"{told.seconds:,.0f} s, between {told.low:,.0f} and {told.high:,.0f}")
    if price:
        table.add_row("price", price)
    table.add_row("memory", f"{told.memory / 1e9:.2f} GB")
    if told.gpu_memory:
        table.add_row("GPU memory", f"{told.gpu_memory / 1e9:.2f} GB")
    table.add_row("disk", f"{told.disk / 1e6:,.1f} MB")
    table.add_row(what, f"{told.rows:,} to compute, {told.reused:,} stored already")
    table.add_row("how", told.how)
    for warning in told.warnings:
        table.add_row("warning", warning)
    Console().print(table)


@app.command()
def demo(
    targets: Annotated[str, typer.Option(help="One target skill, several with commas, or all.")] = "",
    seeds: Annotated[int, typer.Option(min=1, help="Trainings an arm.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Which world to draw: other examples, noise, traps.")] = 0,
    out: OutOption = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Do the whole loop on the demo: draw a world, represent, select, tune three arms, judge, report."""
    from curation.demo import project

    ws = _open(workspace)
    folder = out or Path("winnow-demo")
    told = project.run(ws, targets=project.parse_targets(targets), seeds=seeds, seed=seed, out=folder, progress=Lines())
    _finish(as_json, told, Path(told["report"]))


@app.command(name="app")
def open_app(
    port: Annotated[int, typer.Option(help="Port.")] = 8501,
    address: Annotated[str, typer.Option(help="Address to bind; other than localhost demands a login.")] = "localhost",
    headless: Annotated[bool, typer.Option(help="Do not open a browser.")] = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Open the app in a browser."""
    from curation import serving

    script = Path(__file__).parent.parent / "app.py"
    if not script.is_file():
        raise WorkspaceError(f"{script} is missing; install Winnow with `pip install -e .` from its repository")
    if refused := serving.refusal(address, has_login=serving.has_login(script.parent)):
        raise ConfigError(refused)
    command = [sys.executable, "-m", "streamlit", "run", str(script)]
    command += [f"--server.port={port}", f"--server.address={address}"]
    environment = dict(os.environ) | ({"WINNOW_HOME": str(workspace.expanduser().resolve())} if workspace else {})
    if not headless:
        threading.Thread(target=serving.show, args=(f"http://{address}:{port}",), daemon=True).start()
    raise typer.Exit(subprocess.run(command, env=environment, cwd=script.parent).returncode)


@app.command()
def export(
    project: Annotated[str, typer.Argument(help="Id of a project; `winnow export` without one lists them.")] = "",
    selection: SelectionOption = "",
    experiment: ExperimentOption = "",
    out: OutOption = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a project's selection: rows with reasons, card, manifest, and the config that makes it again."""
    from curation import export

    ws = _open(workspace)
    records = _records(ws, project, selection, experiment)
    folder = export.write(ws, records, out or Path(f"{project}-export"))
    _finish(as_json, {"export": str(folder), "n_selected": len(records.subset)}, folder)


@app.command()
def push(
    project: Annotated[str, typer.Argument(help="Id of a project; `winnow export` without one lists them.")],
    repo: Annotated[str, typer.Argument(help="Data set on the hub: OWNER/NAME, or NAME among your own.")],
    selection: SelectionOption = "",
    experiment: ExperimentOption = "",
    public: Annotated[bool, typer.Option("--public", help="Let everybody read it; else only those you let.")] = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Push what `winnow export` writes, the card as README, to a data set of the hub, with the hub's own login."""
    from curation import publishing

    ws = _open(workspace)
    records = _records(ws, project, selection, experiment)
    seen = "public" if public else "private"
    sent = f"sending to {publishing.place(repo)} ({seen}): {publishing.what_leaves(records)}"
    stderr.print(sent, highlight=False, markup=False)
    url = publishing.push(ws, records, repo, private=not public)
    _finish(as_json, {"url": url, "n_selected": len(records.subset)}, url)


def _records(ws: Workspace, project: str, selection: str, experiment: str) -> Records:
    """Return the records of what was named of a project."""
    from curation import report

    if not project:
        known = ", ".join(p.id for p in ws.projects()) or "none yet; `winnow app` makes them"
        raise WorkspaceError(f"no project was named, expected one of: {known}")
    return report.named(ws, project, selection=selection, experiment=experiment)


@app.command()
def merge(
    experiment: Annotated[str, typer.Argument(help="Key of an experiment's result, as `winnow run --json` tells it.")],
    arm: Annotated[str, typer.Argument(help="Which arm.")] = "selected",
    seed: Annotated[int, typer.Option(help="Which of its trainings.")] = 0,
    out: OutOption = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Merge a tuned arm's adapter into its base model: one model in the standard format."""
    from curation import merging
    from curation.config import ModelConfig

    ws = _open(workspace)
    result = json.loads((ws.artefact("experiment", experiment) / "result.json").read_text("utf-8"))
    tuned = merging.models_of(result)
    if (arm, seed) not in tuned:
        known = ", ".join(f"{name} with seed {n}" for name, n in tuned) or "none"
        raise WorkspaceError(f"experiment {experiment} has no model {arm!r} with seed {seed}; it has: {known}")
    folder = merging.merge(ws, tuned[arm, seed][0], ModelConfig.from_dict(result["model"]), Lines())
    if out is not None:
        shutil.copytree(folder, out, dirs_exist_ok=True)
    _finish(as_json, {"model": str(out or folder)}, out or folder)


@jobs_app.callback()
def list_jobs(context: typer.Context, workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """List the jobs: running, then queued in their order, then ended ones."""
    from curation import jobs

    context.obj = ws = _open(workspace)
    if context.invoked_subcommand:
        return
    found = jobs.jobs(ws)
    if as_json:
        print(json.dumps([job.model_dump() for job in found]))
        return
    table = Table("id", "state", "what", "stage", "done", box=None)
    for job in found:
        done = f"{job.done:,} of {job.total:,} {job.unit}" if job.total else ""
        table.add_row(job.id, job.state, job.title, job.error or job.stage, done)
    Console().print(table)


@jobs_app.command()
def cancel(context: typer.Context, job: str) -> None:
    """End a job and all its processes."""
    from curation import jobs

    print(jobs.cancel(context.obj, job).state)


@jobs_app.command()
def pause(context: typer.Context, job: str) -> None:
    """End a job and all its processes until it is resumed."""
    from curation import jobs

    print(jobs.cancel(context.obj, job, pause=True).state)


@jobs_app.command()
def resume(context: typer.Context, job: str) -> None:
    """Queue a failed, paused or cancelled job again; it goes on from what it had finished."""
    from curation import jobs

    print(jobs.resume(context.obj, job).state)


@jobs_app.command()
def order(
    context: typer.Context,
    job: str,
    what: Annotated[str, typer.Argument(help="leave or take an arm, or stop a training.")],
    of: Annotated[str, typer.Argument(help='An arm, as "random"; to stop, a training, as "random, seed 0".')],
) -> None:
    """Have an experiment leave an arm out, take it in again, or stop a training and keep what it has learned."""
    from curation import jobs
    from curation.orders import Orders

    jobs.job(context.obj, job)
    orders = Orders(jobs.folder(context.obj, job))
    known = {"leave": orders.leave, "take": orders.take, "stop": orders.stop}
    if what not in known:
        raise ConfigError(f"an experiment can't be ordered to {what!r}, expected one of: {', '.join(known)}")
    known[what](of)


@jobs_app.command()
def move(context: typer.Context, job: str, place: int) -> None:
    """Put a queued job at a place in its queue; 0 is next."""
    from curation import jobs

    jobs.move(context.obj, job, place)


@jobs_app.command()
def log(context: typer.Context, job: str, lines: int = 50) -> None:
    """Print the end of a job's log."""
    from curation import jobs

    jobs.job(context.obj, job)
    print(jobs.log_tail(context.obj, job, lines))


def main() -> None:
    """Run `winnow`; an error that a user can cause is one sentence and the code of its kind."""
    # the training stack's notes to its own developers
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"(transformers|peft|trl)\.")
    try:
        app(standalone_mode=True)
    except CurationError as error:
        stderr.print("[red]error:[/red] ", end="")
        stderr.print(str(error), highlight=False, markup=False)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        stderr.print("interrupted; the same command goes on from what was finished")
        sys.exit(130)


if __name__ == "__main__":
    main()
