"""Blind votes: a person sees two answers to one prompt, not whose they are, and says which is better.

The log of a result is append-only JSON lines in the workspace (``votes/<experiment>.jsonl``): undo is a line too, so
nothing is lost, and a restart or another tab goes on where it stood. Once the experiment has a further result, votes on
the runs that both have are read there too. Which prompt comes next and which answer stands left is drawn from the two
runs, the voter and the row, never from the clock: the order is the same after a reload, and another voter has another
one.

The winning rate is (wins + ties / 2) / prompts, over prompts on which the two answers differ, as a judge's is; where
several people voted on a prompt it counts once, with their mean.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from curation import answers, logs
from curation.errors import EvaluationError
from curation.evaluation.statistics import Interval, interval
from curation.evaluation.winning_rate import Pair
from curation.workspace import Workspace

CHOICES = ("left", "right", "tie")


@dataclass(frozen=True)
class Vote:
    """One line of the log: who preferred which run's answer to a row, when; `better` is "" for a tie.

    `left` and `right` are the runs as they stood; an undo takes back its author's last vote on that row and those runs
    (of earlier versions, which do not name them: the last of all).
    """

    row: str
    left: str
    right: str
    better: str = ""
    author: str = ""
    time: float = 0.0
    action: str = "vote"


@dataclass(frozen=True)
class Ballot:
    """What is put to the vote next: a pair's row and answers, and the runs that they are of, still to be hidden."""

    row: str
    question: str
    answers: tuple[str, str]  # left, right
    runs: tuple[str, str]  # left, right


@dataclass(frozen=True)
class Preference:
    """What the votes on two runs come to; the rate is the first run's.

    Attributes
    ----------
    rate : Interval
        (wins + ties / 2) / prompts, with its interval over prompts.
    wins, losses, ties : int
        Votes.
    voters : int
        People who voted.
    """

    rate: Interval
    wins: int
    losses: int
    ties: int
    voters: int


def log(ws: Workspace, experiment: str) -> list[Vote]:
    """Return an experiment's whole log, oldest first; before it what stands in the logs of its other results."""
    others = answers.other_logs(ws, "votes", experiment).items()
    told = [v for key, runs in others for v in standing(_entries(ws, key)) if {v.left, v.right} <= runs]
    return [*sorted(told, key=lambda v: v.time), *_entries(ws, experiment)]


def _entries(ws: Workspace, experiment: str) -> list[Vote]:
    return [Vote(**entry) for entry in logs.read(_path(ws, experiment))]


def standing(entries: Iterable[Vote]) -> list[Vote]:
    """Return the votes that were not taken back, oldest first."""
    votes: list[Vote] = []
    for entry in entries:
        if entry.action == "vote":
            votes.append(entry)
        elif (last := max((i for i, v in enumerate(votes) if _taken_back(v, entry)), default=-1)) >= 0:
            del votes[last]
    return votes


def _taken_back(cast: Vote, undo: Vote) -> bool:
    """Whether an undo can mean that vote; the last one that it can mean is taken back."""
    of, meant = ((v.row, v.left, v.right) for v in (cast, undo))
    return cast.author == undo.author and (of == meant or not undo.row)


def of_runs(votes: Iterable[Vote], first: str, second: str) -> list[Vote]:
    """Return the votes that compare these two runs, whichever stood left."""
    return [vote for vote in votes if {vote.left, vote.right} == {first, second}]


def ballot(pairs: Sequence[Pair], first: str, second: str, votes: Iterable[Vote], author: str = "") -> Ballot | None:
    """Return what a person is asked next, None once every pair has their vote.

    Parameters
    ----------
    pairs : sequence of Pair
        Rows with the answers of `first` and `second`, as `curation.answers.pairs` has them.
    votes : iterable of Vote
        Those that stand.
    author : str
        Who votes.
    """
    done = {vote.row for vote in of_runs(votes, first, second) if vote.author == author}
    left = [pair for pair in pairs if pair.id not in done]
    if not left:
        return None
    drawn = {pair.id: _drawn(first, second, author, pair.id) for pair in left}
    pair = min(left, key=lambda p: drawn[p.id])
    one, other = sorted((first, second))
    said = {first: pair.first, second: pair.second}
    runs = (one, other) if drawn[pair.id][-1] & 1 else (other, one)
    return Ballot(pair.id, pair.question, (said[runs[0]], said[runs[1]]), runs)


def _drawn(first: str, second: str, author: str, row: str) -> bytes:
    return hashlib.sha256(json.dumps([*sorted((first, second)), author, row]).encode()).digest()


def vote(ws: Workspace, experiment: str, asked: Ballot, choice: str, author: str = "") -> Vote:
    """Append a vote: ``left``, ``right`` or ``tie``.

    Raises
    ------
    EvaluationError
        If `choice` is none of them.
    """
    if choice not in CHOICES:
        raise EvaluationError(f"a vote is {choice!r}, expected one of: {', '.join(CHOICES)}")
    better = {"left": asked.runs[0], "right": asked.runs[1], "tie": ""}[choice]
    return _append(ws, experiment, Vote(asked.row, *asked.runs, better, author))


def undo(ws: Workspace, experiment: str, taken: Vote) -> None:
    """Take back a vote, in the log that holds it; one that does not stand changes nothing."""
    for key in (experiment, *answers.other_logs(ws, "votes", experiment)):
        if taken in standing(_entries(ws, key)):
            _append(ws, key, dataclasses.replace(taken, better="", action="undo"))
            return


def _append(ws: Workspace, experiment: str, entry: Vote) -> Vote:
    entry = dataclasses.replace(entry, time=time.time())
    logs.append(_path(ws, experiment), dataclasses.asdict(entry))
    return entry


def _path(ws: Workspace, experiment: str) -> Path:
    return ws.root / "votes" / f"{experiment}.jsonl"


def values(votes: Iterable[Vote], first: str, second: str) -> dict[str, float]:
    """Return row → how the voters preferred the first run's answer, on average: 1 always, 0 never, a tie half."""
    told: dict[str, list[float]] = {}
    for one in of_runs(votes, first, second):
        told.setdefault(one.row, []).append(1.0 if one.better == first else 0.0 if one.better else 0.5)
    return {row: sum(each) / len(each) for row, each in told.items()}


def preference(votes: Iterable[Vote], first: str, second: str) -> Preference | None:
    """Return what the votes on two runs come to; None without any."""
    found = of_runs(votes, first, second)
    if not found:
        return None
    return Preference(
        rate=interval([list(values(found, first, second).values())], lowest=0.0, highest=1.0),
        wins=sum(one.better == first for one in found),
        losses=sum(one.better == second for one in found),
        ties=sum(not one.better for one in found),
        voters=len({one.author for one in found}),
    )
