"""Winning rate: a language model judges two arms' answers pair by pair (Zheng et al., 2023, MT-bench).

Any endpoint that speaks OpenAI's chat protocol is the judge (extra `judge`). Each pair is judged in both orders, since
judges favour a place; where the two verdicts disagree it is a tie. The winning rate is (wins + ties / 2) / pairs. Every
call is kept as a JSON file by the hash of all that was asked, so that nothing is asked, or paid, twice, and a run that
was cut off goes on where it stopped.

A reply without a verdict is asked for again, and never kept as one: the next run asks anew.

Left out: the judge's own seed of randomness (temperature 0 is asked for), and any defence against answers that speak to
the judge.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curation.errors import EvaluationError
from curation.evaluation.endpoint import JudgeConfig, about_tokens, connect, reply
from curation.evaluation.statistics import Interval, interval
from curation.progress import Progress, Silent

if TYPE_CHECKING:
    from openai import OpenAI

VERSION = 1  # of what is asked: part of each call's key
_VERDICT = re.compile(r"\[\[\s*([ABC])\s*\]\]")
_TRIES = 2  # for a verdict that can be read


@dataclass(frozen=True)
class Pair:
    """One row's prompt with the answers of the two arms that are compared."""

    id: str
    question: str
    first: str
    second: str


@dataclass(frozen=True)
class Price:
    """What a run will cost, told before it: calls to make, calls kept, tokens of both kinds, money.

    At most, if every reply is a verdict; those that are none are asked for once more.
    """

    calls: int
    kept: int
    input_tokens: int
    output_tokens: int
    cost: float


@dataclass(frozen=True)
class WinningRate:
    """How often the first arm's answer is preferred.

    Attributes
    ----------
    rate : Interval
        (wins + ties / 2) / pairs, with its interval over the rows.
    wins, losses, ties : int
        Pairs; a tie is one in the judge's words in both orders, or a verdict that turned with the order.
    agreement : float
        Share of pairs on which both orders gave the same verdict.
    first_place : float
        Share of the verdicts for one of two answers that went to the one read first; 0.5 is fair.
    values : dict of id to float
        1 won, 0.5 tied, 0 lost.
    unreadable : tuple of id
        Pairs that are in no count, because a verdict could not be read; the next run asks for it anew.
    input_tokens, output_tokens : int
        As the endpoint counted them, over all calls, kept ones included.
    cost : float
        Of those tokens, at the prices that were set.
    """

    rate: Interval
    wins: int
    losses: int
    ties: int
    agreement: float
    first_place: float
    values: dict[str, float] = field(repr=False)
    unreadable: tuple[str, ...]
    input_tokens: int
    output_tokens: int
    cost: float


def price(pairs: Sequence[Pair], config: JudgeConfig, folder: Path) -> Price:
    """Return what judging `pairs` will cost, kept verdicts left out; asks nobody."""
    asked = [prompt for prompts in _prompts(pairs, config) for prompt in prompts]
    new = [prompt for prompt in asked if _kept(folder, config, prompt) is None]
    tokens = sum(about_tokens(prompt) for prompt in new)
    answered = len(new) * config.max_tokens
    return Price(len(new), len(asked) - len(new), tokens, answered, _cost(config, tokens, answered))


def winning_rate(
    pairs: Sequence[Pair], config: JudgeConfig, folder: Path, progress: Progress | None = None
) -> WinningRate:
    """Have every pair judged in both orders.

    Parameters
    ----------
    pairs : sequence of Pair
        One for each row; the rate is the first answers'.
    config : JudgeConfig
        Who judges.
    folder : Path
        Where verdicts are kept, one JSON file a call.
    progress : Progress, optional
        Told of each verdict.

    Raises
    ------
    EvaluationError
        If there is no pair, the extra `judge` is not installed, the endpoint is down, too slow, refuses or keeps
        asking to wait, or no verdict can be read. What was judged until then is kept.
    """
    if not pairs:
        raise EvaluationError("there is no pair of answers to judge; evaluate two arms on the same test rows first")
    prompts = [prompt for both in _prompts(pairs, config) for prompt in both]
    folder.mkdir(parents=True, exist_ok=True)
    answers = _ask_all(prompts, config, folder, progress or Silent())
    verdicts = [verdict(answer["text"]) for answer in answers]
    if not any(verdicts):
        said = " ".join(answers[0]["text"].split())[:80]
        raise EvaluationError(
            f"none of the {len(verdicts)} verdicts of {config.model} can be read (the first: {said!r}), expected one "
            "that ends with [[A]], [[B]] or [[C]]; change the judge's prompt, raise max_tokens, or take another model"
        )
    judged = [(pair.id, a, b) for pair, a, b in zip(pairs, verdicts[::2], verdicts[1::2], strict=True) if a and b]
    if not judged:
        raise EvaluationError(
            f"no pair has two verdicts of {config.model} that can be read, expected [[A]], [[B]] or [[C]] at the end "
            "of each; change the judge's prompt, raise max_tokens, or take another model"
        )
    turned = {"A": "B", "B": "A", "C": "C"}
    values = {row: {"A": 1.0, "B": 0.0, "C": 0.5}[a] if a == turned[b] else 0.5 for row, a, b in judged}
    decided = [v for v in verdicts if v in ("A", "B")]
    asked, answered = (sum(int(answer[name]) for answer in answers) for name in ("input_tokens", "output_tokens"))
    return WinningRate(
        rate=interval([list(values.values())], lowest=0.0, highest=1.0),
        wins=sum(v == 1.0 for v in values.values()),
        losses=sum(v == 0.0 for v in values.values()),
        ties=sum(v == 0.5 for v in values.values()),
        agreement=sum(a == turned[b] for _, a, b in judged) / len(judged),
        first_place=decided.count("A") / len(decided) if decided else 0.5,
        values=values,
        unreadable=tuple(pair.id for pair in pairs if pair.id not in values),
        input_tokens=asked,
        output_tokens=answered,
        cost=_cost(config, asked, answered),
    )


def verdict(text: str) -> str:
    """Return "A", "B" or "C" (equal) as the judge's text ends, "" if it can't be read."""
    found = _VERDICT.findall(text)
    return found[-1] if found else text.strip() if text.strip() in ("A", "B", "C") else ""


def _prompts(pairs: Sequence[Pair], config: JudgeConfig) -> list[tuple[str, str]]:
    """Return what is asked for each pair: in its own order, and turned."""

    def filled(question: str, first: str, second: str) -> str:
        texts = {"question": question, "first": first, "second": second}
        return re.sub(r"\{(question|first|second)\}", lambda m: texts[m[1]], config.prompt)

    return [(filled(p.question, p.first, p.second), filled(p.question, p.second, p.first)) for p in pairs]


def _path(folder: Path, config: JudgeConfig, prompt: str) -> Path:
    """Return where the answer to `prompt` is kept: a file named by the hash of all that the answer depends on."""
    asked = [VERSION, config.endpoint, config.model, config.max_tokens, prompt]
    return folder / f"{hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:32]}.json"


def _kept(folder: Path, config: JudgeConfig, prompt: str) -> dict[str, Any] | None:
    """Return the answer to `prompt` that is kept; None without one, or where it is no verdict (earlier versions)."""
    path = _path(folder, config, prompt)
    if not path.is_file():
        return None
    answer: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return answer if verdict(answer["text"]) else None


def _cost(config: JudgeConfig, asked: int, answered: int) -> float:
    return (asked * config.input_price + answered * config.output_price) / 1e6


def _ask_all(prompts: Sequence[str], config: JudgeConfig, folder: Path, progress: Progress) -> list[dict[str, Any]]:
    """Return the answers to `prompts` in their order, asking only for those not kept."""
    progress.start("verdicts", len(prompts), "verdicts")
    found = {p: answer for p in dict.fromkeys(prompts) if (answer := _kept(folder, config, p)) is not None}
    new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in found]
    progress.advance(len(prompts) - len(new))
    if new:
        client = connect(config)
        pool = ThreadPoolExecutor(config.parallel)
        try:
            waiting = {pool.submit(_ask, client, prompt, config, folder): prompt for prompt in new}
            for future in as_completed(waiting):
                found[waiting[future]] = future.result()
                progress.advance()
        finally:
            pool.shutdown(cancel_futures=True)
            client.close()
    return [found[prompt] for prompt in prompts]


def _ask(client: OpenAI, prompt: str, config: JudgeConfig, folder: Path) -> dict[str, Any]:
    """Ask for one verdict, again where it can't be read, and return the answer; only a verdict is kept."""
    text, tokens = "", [0, 0]
    for _ in range(_TRIES):
        text, *used = reply(client, prompt, config)
        tokens = [before + more for before, more in zip(tokens, used, strict=True)]
        if verdict(text):
            break
    answer = {
        "model": config.model,
        "endpoint": config.endpoint,
        "prompt": prompt,
        "text": text,
        "input_tokens": tokens[0],
        "output_tokens": tokens[1],
    }
    if verdict(text):
        path = _path(folder, config, prompt)
        part = path.with_suffix(f".{os.getpid()}.part")
        part.write_text(json.dumps(answer, ensure_ascii=False, indent=1), "utf-8", "surrogatepass")
        part.replace(path)
    return answer
