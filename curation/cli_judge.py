"""`winnow judge`: two runs of an experiment put to a language model, as the Evaluate page does."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from curation.console import JsonOption, Lines, WorkspaceOption, finish, open_workspace, stderr, with_options
from curation.errors import ConfigError, EvaluationError, WorkspaceError
from curation.evaluation.endpoint import JudgeConfig
from curation.workspace import Workspace


@with_options(JudgeConfig)
def judge(
    experiment: Annotated[str, typer.Argument(help="An experiment's name, or the key that `winnow run --json` tells.")],
    first: Annotated[
        str, typer.Argument(help='Whose rate it is, as the page names it: Selected, or "Random, seed 1".')
    ],
    second: Annotated[str, typer.Argument(help="With whom it is compared.")],
    limit: Annotated[int, typer.Option(min=0, help="Prompts judged at most, drawn by their ids; 0: all.")] = 0,
    price_only: Annotated[
        bool, typer.Option("--price-only", help="Tell what it would send and cost, and end.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Send without asking.")] = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
    **asked: Any,
) -> None:
    """Have a language model judge two arms' answers; what leaves this machine and its price are told first.

    Exits 0, 1 when declined, 2 for a bad option (or no answer whether to send), 6 for an unknown experiment, 9 for an
    unknown arm or an endpoint that fails; verdicts so far are then kept, and the same command goes on.
    """
    from curation import answers, judging, preferences, votes

    config = JudgeConfig.from_dict(asked)
    ws = open_workspace(workspace)
    key = _experiment(ws, experiment)
    result = json.loads((ws.artefact("experiment", key) / "result.json").read_text("utf-8"))
    names = answers.run_names(result)
    one, other = (_run(names, name) for name in (first, second))
    plan = judging.plan(ws, result, one, other, config, limit)
    told = judging.what_leaves(plan, config, names[one], names[other])
    if price_only:
        price = dataclasses.asdict(plan.price) | {"pairs": len(plan.pairs), "alike": plan.n_alike}
        finish(as_json, price, told)
        return
    stderr.print(f"what leaves this machine: {told}", highlight=False, markup=False)
    if plan.price.calls and not yes:
        if not sys.stdin.isatty():
            raise ConfigError("nothing was sent, since nobody can be asked here; add --yes to send it")
        typer.confirm("Send and judge?", abort=True, err=True)
    made, found = judging.judge(ws, key, one, other, config, limit, Lines())
    preferred = preferences.by_judge(found, votes.standing(votes.log(ws, key)), names)
    for text in (preferred.finding.sentence, *preferred.details):
        stderr.print(text, highlight=False, markup=False)
    path = ws.artefact("winning_rate", made) / "winning_rate.json"
    counts = {name: found[name] for name in ("first", "second", "rate", "wins", "losses", "ties", "cost")}
    finish(as_json, {"winning_rate": str(path), **counts, "unreadable": len(found["unreadable"])}, path)


def _experiment(ws: Workspace, called: str) -> str:
    """Return the key of the finished experiment with that name or key."""
    from curation import results

    made = [(r.name, r.key) for p in ws.projects() for r in results.experiments(ws, p.id) if r.result]
    keys = {key for name, key in made if called == name} or {
        a.key for a in ws.artefacts("experiment") if a.key == called
    }
    if len(keys) == 1:
        return keys.pop()
    if keys:
        raise WorkspaceError(f"{len(keys)} experiments are called {called!r}; give the key of one: {', '.join(keys)}")
    known = ", ".join(f"{name} ({key})" for name, key in made) or "none that has finished"
    raise WorkspaceError(f"there is no finished experiment {called!r}, expected one of: {known}")


def _run(names: Mapping[str, str], called: str) -> str:
    """Return the run that is called so on the page."""
    found = [run for run, name in names.items() if called.casefold() in (run.casefold(), name.casefold())]
    if not found:
        known = "; ".join(names.values()) or "none"
        raise EvaluationError(f"the experiment has no arm {called!r}, expected one of: {known}")
    return found[0]
