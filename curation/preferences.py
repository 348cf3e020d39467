"""Whose answers were preferred: people's blind votes and a judge's verdicts on an experiment's runs, in words.

Both tell a winning rate over prompts that two runs answer differently. Where people and a judge looked at the same
prompts, their agreement says how far the judge may be trusted to stand in for people (Zheng et al., 2023, MT-bench).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from curation import answers, judging, readings, votes
from curation.findings import Finding
from curation.wording import counted
from curation.workspace import Workspace


@dataclass(frozen=True)
class Preferred:
    """What is told of two runs by people or by a judge: the finding, and what it rests on."""

    finding: Finding
    details: tuple[str, ...]


def preferences(ws: Workspace, experiment: str, result: Mapping[str, Any]) -> list[Preferred]:
    """Return what people voted on an experiment's runs, pair by pair, and what judges found, the newest judge first."""
    names = answers.run_names(result)
    cast = votes.standing(votes.log(ws, experiment))
    order = list(reversed(names))  # a selection against random picks, not the other way round
    pairs = dict.fromkeys(tuple(sorted((v.left, v.right), key=order.index)) for v in cast)
    told = [by_people(cast, first, second, names) for first, second in pairs]
    told += [by_judge(found, cast, names) for found in judging.judgements(ws, experiment)]
    return [one for one in told if one is not None]


def by_people(cast: Sequence[votes.Vote], first: str, second: str, names: Mapping[str, str]) -> Preferred | None:
    """Return what the standing votes say of two runs; None without any.

    Parameters
    ----------
    cast : sequence of Vote
        As `votes.standing` returns them.
    first, second : str
        Runs; the rate is the first one's.
    names : mapping of str to str
        Run → how people call it.
    """
    told = votes.preference(cast, first, second)
    if told is None:
        return None
    counts = (
        f"{counted(told.wins, 'vote')} for {names[first]}, {told.losses:,} for {names[second]}, {told.ties:,} equal; "
        f"{counted(told.rate.n_examples, 'prompt')}, {counted(told.voters, 'voter')}. An equal vote counts half."
    )
    return Preferred(readings.preferred(told.rate.to_dict(), names[first], names[second], "people"), (counts,))


def by_judge(told: Mapping[str, Any], cast: Sequence[votes.Vote], names: Mapping[str, str]) -> Preferred:
    """Return what a judge found, and how often people who voted on the same prompts found the same.

    Parameters
    ----------
    told : mapping
        As `judging.judge` returns it.
    cast, names
        As `by_people`.
    """
    first, second = (names.get(told[k], told[k]) for k in ("first", "second"))
    counts = (
        f"{told['wins']:,} won, {told['losses']:,} lost, {told['ties']:,} tied. Both orders agree on "
        f"{100 * told['agreement']:.0f} % of the pairs; where they do not it is a tie. The answer read first got "
        f"{100 * told['first_place']:.0f} % of the clear verdicts (50 % is fair)."
    )
    if told["unreadable"]:
        counts += (
            f" Not counted, for want of a verdict that can be read: {counted(len(told['unreadable']), 'pair')}; "
            "judging again asks anew."
        )
    judge, money = told["judge"], f", {told['cost']:.2g} in your currency" if told["cost"] else ""
    asked = (
        f"Judge: {judge['model']} at {judge['endpoint']} · {told['input_tokens'] + told['output_tokens']:,} "
        f"tokens{money}"
    )
    details = [counts, agreement(told["values"], votes.values(cast, told["first"], told["second"])), asked]
    finding = readings.preferred(told["rate"], first, second, "the judge")
    return Preferred(finding, tuple(text for text in details if text))


def agreement(judged: Mapping[str, float], voted: Mapping[str, float]) -> str:
    """Say on how many prompts a judge and people prefer the same answer, or neither; empty where no prompt has both.

    Parameters
    ----------
    judged, voted : mapping of row id to float
        1 where the first run's answer is preferred, 0 the second's; several people's mean.
    """
    both = [row for row in voted if row in judged]
    if not both:
        return ""
    same = sum((judged[row] > 0.5) == (voted[row] > 0.5) and (judged[row] < 0.5) == (voted[row] < 0.5) for row in both)
    return f"People and the judge say the same on {same:,} of the {counted(len(both), 'prompt')} that both looked at."
