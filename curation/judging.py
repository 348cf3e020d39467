"""A language model judges two runs of an experiment: what it will cost, what is sent where, and the result, kept.

`curation.evaluation.winning_rate` does the judging; here it meets a workspace. Verdicts are kept by what was asked
(``verdicts/``), so a stopped or repeated run pays for nothing twice; a result is the artefact ``winning_rate/<key>``.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from curation import answers
from curation.errors import EvaluationError
from curation.evaluation.endpoint import JudgeConfig
from curation.evaluation.winning_rate import VERSION, Pair, Price, WinningRate, price, winning_rate
from curation.progress import Progress
from curation.wording import counted
from curation.workspace import Workspace, content_key

_ASKED = ("endpoint", "model", "prompt", "max_tokens")  # what a verdict depends on


@dataclass(frozen=True)
class Plan:
    """What a judgement will send and cost: prompts of all that differ, prompts answered alike, the price."""

    pairs: tuple[Pair, ...]
    n_different: int
    n_alike: int
    price: Price


def installed() -> bool:
    """Whether the extra `judge` is installed."""
    return importlib.util.find_spec("openai") is not None


def has_key(config: JudgeConfig) -> bool:
    """Whether the environment holds a key for the judge; the key itself is told to nobody."""
    return bool(os.environ.get(config.key_variable))


def plan(
    ws: Workspace, result: Mapping[str, Any], first: str, second: str, config: JudgeConfig, limit: int = 0
) -> Plan:
    """Return what judging two runs will send and cost; asks nobody.

    Parameters
    ----------
    result : mapping
        As `curation.experiments.experiment` returns it.
    first, second : str
        Runs; the rate is the first one's.
    config : JudgeConfig
        Who judges.
    limit : int
        Most prompts that are judged, drawn by their ids; 0 means all.
    """
    found, alike = answers.pairs(ws, result, first, second)
    drawn = {p.id for p in sorted(found, key=lambda p: hashlib.sha256(p.id.encode()).digest())[: limit or None]}
    chosen = tuple(pair for pair in found if pair.id in drawn)
    return Plan(chosen, len(found), alike, price(chosen, config, ws.root / "verdicts"))


def what_leaves(planned: Plan, config: JudgeConfig, first: str, second: str) -> str:
    """Say what judging will send where and what it will cost; `first` and `second` are the runs' names."""
    price = planned.price
    money = f" That is at most {price.cost:,.2f} in your currency." if price.cost else ""
    kept = f" {counted(price.kept, 'verdict')} from before cost nothing." if price.kept else ""
    key = "A key is set" if has_key(config) else "No key is set"
    return (
        f"{counted(price.calls, 'request')} to {config.endpoint}, with the prompts of "
        f"{counted(len(planned.pairs), 'test row')} and the answers of {first} and {second}, each pair in both orders; "
        f"{planned.n_alike:,} prompts answered alike stay here. About {price.input_tokens:,} tokens are asked and at "
        f"most {price.output_tokens:,} answered.{money} A reply without a verdict is asked for once more, on top."
        f"{kept} {key} in the environment variable {config.key_variable}."
    )


def judge(
    ws: Workspace,
    experiment: str,
    first: str,
    second: str,
    config: JudgeConfig,
    limit: int = 0,
    progress: Progress | None = None,
) -> tuple[str, dict[str, Any]]:
    """Have two runs of the experiment with that key judged; return the result's key and the result.

    Returns
    -------
    key : str
        The artefact ``winning_rate/<key>`` with ``winning_rate.json``.
    result : dict
        The fields of `WinningRate`, ``first`` and ``second`` (runs), ``n_alike``, ``n_different``, ``judge`` (config).

    Raises
    ------
    EvaluationError
        If the runs answer everything alike, or as `winning_rate`.
    """
    told = json.loads((ws.artefact("experiment", experiment) / "result.json").read_text())
    planned = plan(ws, told, first, second, config, limit)
    if not planned.pairs:
        raise EvaluationError(
            f"the two arms answer all of {planned.n_alike:,} test prompts alike, so there is nothing to judge; choose "
            "two arms that differ"
        )
    asked = {name: getattr(config, name) for name in _ASKED}
    pairs = [dataclasses.astuple(pair) for pair in planned.pairs]
    about = {"experiment": experiment, "first": first, "second": second, **asked}

    def key_of(unreadable: Sequence[str]) -> str:
        return content_key("winning_rate", version=VERSION, pairs=pairs, unreadable=unreadable, **about)

    if (folder := ws.find("winning_rate", key := key_of(()))) is not None:
        return key, json.loads((folder / "winning_rate.json").read_text())
    made: WinningRate = winning_rate(planned.pairs, config, ws.root / "verdicts", progress)
    key = key_of(made.unreadable)
    found = {
        **dataclasses.asdict(made),
        "rate": made.rate.to_dict(),
        "first": first,
        "second": second,
        "n_alike": planned.n_alike,
        "n_different": planned.n_different,
        "judge": config.to_dict(),
    }
    with ws.build("winning_rate", key, about) as part:
        (part / "winning_rate.json").write_text(json.dumps(found, ensure_ascii=False, indent=1, sort_keys=True))
    return key, json.loads((ws.artefact("winning_rate", key) / "winning_rate.json").read_text())


def judgements(ws: Workspace, experiment: str) -> list[dict[str, Any]]:
    """Return what was judged of an experiment's runs, in any of its results, newest first.

    Of what was judged again, because a verdict could not be read, say, the newest alone is told.
    """
    found: dict[str, dict[str, Any]] = {}
    for artefact in ws.artefacts("winning_rate"):
        about = json.loads(artefact.config)
        if about["experiment"] == experiment or {about["first"], about["second"]} <= answers.same_runs(
            ws, experiment, about["experiment"]
        ):
            told = json.loads((ws.artefact("winning_rate", artefact.key) / "winning_rate.json").read_text())
            of = [told["first"], told["second"], *(told["judge"].get(name) for name in _ASKED)]
            found.setdefault(json.dumps([of, sorted([*told["values"], *told["unreadable"]])]), told)
    return list(found.values())
