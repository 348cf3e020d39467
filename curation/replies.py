"""Talking to a tuned model: one conversation continued by the base model or by a run of an experiment.

The model is loaded with its chat form as for judging, answers, and is let go of again: between two questions no memory
is held. A turn that the model's chat form can't express is refused, never bent.

What was said is kept in the workspace (``chats/<experiment>.jsonl``, one line a turn), each person's for themselves;
once the experiment has a further result, what runs that both have replied is read there too.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curation import logs
from curation.answers import arm_of, other_logs, seed_of
from curation.config import EvaluationConfig, ModelConfig
from curation.data.rows import Example, Message
from curation.design import ZERO_SHOT
from curation.errors import EvaluationError
from curation.progress import Silent
from curation.workspace import Workspace


@dataclass(frozen=True)
class Turn:
    """A question, and what the model of each run that was asked replied."""

    question: str
    replies: Mapping[str, str]


def conversation(ws: Workspace, experiment: str, author: str = "") -> list[Turn]:
    """Return a person's conversation with an experiment's models, oldest turn first, since they last began anew."""
    entries = logs.read(_path(ws, experiment))
    for key, runs in other_logs(ws, "chats", experiment).items():
        entries += [kept for entry in logs.read(_path(ws, key)) if (kept := _of_runs(entry, runs))]
    turns: list[Turn] = []
    for entry in sorted(entries, key=lambda entry: float(entry["time"])):
        if entry["author"] != author:
            continue
        if entry["action"] == "anew":
            turns.clear()
        else:
            turns.append(Turn(entry["question"], entry["replies"]))
    return turns


def _of_runs(entry: dict[str, Any], runs: Collection[str]) -> dict[str, Any] | None:
    """Return a line of the log with the replies of `runs` alone; None for a turn to which none of them replied."""
    if entry["action"] == "anew":
        return entry
    replies = {run: text for run, text in entry["replies"].items() if run in runs}
    return {**entry, "replies": replies} if replies else None


def keep(ws: Workspace, experiment: str, turn: Turn, author: str = "") -> None:
    """Add a turn to a person's conversation."""
    said = {"question": turn.question, "replies": dict(turn.replies)}
    logs.append(_path(ws, experiment), {"action": "turn", **said, "author": author, "time": time.time()})


def begin_anew(ws: Workspace, experiment: str, author: str = "") -> None:
    """Begin a new conversation; what was said before stays in the log."""
    logs.append(_path(ws, experiment), {"action": "anew", "author": author, "time": time.time()})


def _path(ws: Workspace, experiment: str) -> Path:
    return ws.root / "chats" / f"{experiment}.jsonl"


def continued(turns: Sequence[Turn], run: str, asked: str) -> list[tuple[str, str]]:
    """Return the conversation as one run's model knows it, its own replies alone, with the next question."""
    said = []
    for turn in turns:
        if run in turn.replies:
            said += [("user", turn.question), ("assistant", turn.replies[run])]
    return [*said, ("user", asked)]


def can_talk(ws: Workspace, result: Mapping[str, Any], run: str) -> bool:
    """Whether the model of a run is here: an untuned one always, a tuned one where its weights are kept."""
    return arm_of(run) in _untuned(result) or ws.find("arm", _tuned(result, run) or "none") is not None


def _untuned(result: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return arm → the model's options, of the base model and of further ones that were judged as they are."""
    return {ZERO_SHOT: result["model"], **result.get("models", {})}


def _tuned(result: Mapping[str, Any], run: str) -> str:
    """Key of the tuned model; experiments of older versions did not keep it."""
    return str(result.get("tuned", {}).get(arm_of(run), {}).get(str(seed_of(run)), ""))


def reply(
    ws: Workspace,
    result: Mapping[str, Any],
    run: str,
    turns: Sequence[tuple[str, str]],
    *,
    max_new_tokens: int = 128,
    temperature: float = 0.0,
    seed: int = 0,
) -> str:
    """Return what a run's model says next.

    Parameters
    ----------
    result : mapping
        As `curation.experiments.experiment` returns it.
    run : str
        Whose model; a run of zero-shot is the base model.
    turns : sequence of (role, text)
        The conversation so far; the last turn is the user's.
    max_new_tokens : int
        Longest reply.
    temperature : float
        0 always takes the likeliest token; above, tokens are drawn.
    seed : int
        Of what is drawn: the same seed gives the same reply.

    Raises
    ------
    EvaluationError
        If the tuned model is not kept here, or the conversation does not fit the model.
    ModelError
        If the model can't be loaded.
    """
    from curation.evaluation.judge import Judge

    adapter = None
    if arm_of(run) not in _untuned(result):
        if not can_talk(ws, result, run):
            raise EvaluationError(
                f"the tuned model of {run} is not in this workspace (it was judged elsewhere, or by an older version); "
                "start the same experiment again to have it, or talk to the base model"
            )
        adapter = ws.artefact("arm", _tuned(result, run)) / "model"
    row = Example("conversation", (*(Message(role, text) for role, text in turns), Message("assistant", "")))
    config = EvaluationConfig(max_new_tokens=max_new_tokens, batch_size=1)
    model = ModelConfig.from_dict(_untuned(result).get(arm_of(run), result["model"]))
    judge = Judge(model, adapter, {"tests": [row]}, config, Silent(), seed)
    try:
        said = judge.samples("tests", 1, temperature)[0]
        reason = judge.rejected.get(row.id, "")
    finally:
        del judge
        _release()
    if said is None:
        raise EvaluationError(f"the model can't take this conversation: {reason}")
    return said[0]


def _release() -> None:
    """Give back what the model held, on the GPU too."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
