"""Winning rate: a language model judges two arms' answers pair by pair (Zheng et al., 2023, MT-bench).

Any endpoint that speaks OpenAI's chat protocol is the judge (extra `judge`). Each pair is judged in both orders, since
judges favour a place; where the two verdicts disagree it is a tie. The winning rate is (wins + ties / 2) / pairs. Every
call is kept as a JSON file by the hash of all that was asked, so that nothing is asked, or paid, twice, and a run that
was cut off goes on where it stopped.

The key comes from the environment and is never stored, logged or told. Left out: the judge's own seed of randomness
(temperature 0 is asked for), and any defence against answers that speak to the judge.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curation.config import Options, option
from curation.errors import ConfigError, EvaluationError
from curation.evaluation.statistics import Interval, interval
from curation.progress import Progress, Silent

if TYPE_CHECKING:
    from openai import OpenAI

VERSION = 1  # of what is asked: part of each call's key
FIELDS = ("question", "first", "second")
PROMPT = """You compare two answers to one request. Judge how right and how helpful they are; their order and their \
length must not matter.

[Request]
{question}

[Answer A]
{first}

[Answer B]
{second}

Explain briefly. Then end with [[A]] if answer A is better, [[B]] if answer B is better, or [[C]] if they are equally \
good."""
CHARACTERS_PER_TOKEN = 4  # of the price told beforehand, a rule of thumb for English
_VERDICT = re.compile(r"\[\[\s*([ABC])\s*\]\]")
_RETRIES = 4


@dataclass(frozen=True, kw_only=True)
class JudgeConfig(Options):
    """Who judges, and how it is asked."""

    endpoint: str = option("https://api.openai.com/v1", "Address of any endpoint that speaks OpenAI's chat protocol.")
    model: str = option("gpt-4o-mini", "Name of the judging model there.")
    key_variable: str = option("OPENAI_API_KEY", "Environment variable that holds the key; unset means none is needed.")
    prompt: str = option(PROMPT, "What the judge is asked; holds {question}, {first} and {second}.")
    max_tokens: int = option(512, "Longest verdict in tokens.", low=1)
    timeout: float = option(60.0, "Seconds to wait for one verdict.", low=0.1)
    parallel: int = option(4, "Verdicts asked for at once.", low=1, high=64)
    input_price: float = option(0.0, "Price of a million tokens asked, in your currency.", low=0.0)
    output_price: float = option(0.0, "Price of a million tokens answered, in your currency.", low=0.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        missing = [name for name in FIELDS if f"{{{name}}}" not in self.prompt]
        if missing:
            raise ConfigError(f"the judge's prompt lacks {{{missing[0]}}}; write it where that text shall stand")


@dataclass(frozen=True)
class Pair:
    """One row's prompt with the answers of the two arms that are compared."""

    id: str
    question: str
    first: str
    second: str


@dataclass(frozen=True)
class Price:
    """What a run will cost at most, told before it: calls to make, calls kept, tokens of both kinds, money."""

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
        Pairs that are in no count, because a verdict could not be read.
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
    new = [prompt for prompt in asked if not _kept(folder, config, prompt).is_file()]
    tokens = sum(math.ceil(len(prompt) / CHARACTERS_PER_TOKEN) for prompt in new)
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


def _kept(folder: Path, config: JudgeConfig, prompt: str) -> Path:
    """Return where the answer to `prompt` is kept: a file named by the hash of all that the answer depends on."""
    asked = [VERSION, config.endpoint, config.model, config.max_tokens, prompt]
    return folder / f"{hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:32]}.json"


def _cost(config: JudgeConfig, asked: int, answered: int) -> float:
    return (asked * config.input_price + answered * config.output_price) / 1e6


def _ask_all(prompts: Sequence[str], config: JudgeConfig, folder: Path, progress: Progress) -> list[dict[str, Any]]:
    """Return the answers to `prompts` in their order, asking only for those not kept."""
    progress.start("verdicts", len(prompts), "verdicts")
    new = [prompt for prompt in dict.fromkeys(prompts) if not _kept(folder, config, prompt).is_file()]
    progress.advance(len(prompts) - len(new))
    if new:
        client = _client(config)
        pool = ThreadPoolExecutor(config.parallel)
        try:
            for future in as_completed([pool.submit(_ask, client, prompt, config, folder) for prompt in new]):
                future.result()
                progress.advance()
        finally:
            pool.shutdown(cancel_futures=True)
            client.close()
    return [json.loads(_kept(folder, config, prompt).read_text("utf-8")) for prompt in prompts]


def _client(config: JudgeConfig) -> OpenAI:
    try:
        from openai import OpenAI
    except ImportError as error:
        raise EvaluationError(
            "judging answers needs the extra `judge`, which is not installed; run: pip install 'winnow-curation[judge]'"
        ) from error
    key = os.environ.get(config.key_variable) or "none"  # the client insists on one; local servers look at none
    return OpenAI(base_url=config.endpoint, api_key=key, timeout=config.timeout, max_retries=_RETRIES)


def _ask(client: OpenAI, prompt: str, config: JudgeConfig, folder: Path) -> None:
    """Ask for one verdict and keep it; the client itself waits and asks again where the endpoint says so."""
    import openai

    where = f"the judge {config.model} at {config.endpoint}"
    kept = "; verdicts so far are kept"
    try:
        told = client.chat.completions.create(
            model=config.model,
            messages=[{"role": "user", "content": prompt}],
            temperature=0.0,
            max_tokens=config.max_tokens,
        )
        text, usage = told.choices[0].message.content or "", told.usage
    except openai.APITimeoutError as error:
        raise EvaluationError(
            f"{where} gave no verdict within {config.timeout:g} seconds; raise timeout, lower parallel or take a "
            f"faster model{kept}"
        ) from error
    except openai.APIConnectionError as error:
        raise EvaluationError(f"{where} can't be reached; start it or correct the address{kept}") from error
    except openai.RateLimitError as error:
        raise EvaluationError(
            f"{where} still asks to wait after {_RETRIES} tries (429: too many requests, or the account is used up); "
            f"lower parallel or go on later{kept}"
        ) from error
    except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
        raise EvaluationError(
            f"{where} refuses the key ({error.status_code}); set the environment variable {config.key_variable} to one "
            f"that may use this model{kept}"
        ) from error
    except openai.APIStatusError as error:
        raise EvaluationError(
            f"{where} answers with status {error.status_code}; check the model's name and the address (it often ends "
            f"in /v1){kept}"
        ) from error
    except (openai.APIError, AttributeError, IndexError, TypeError, ValueError) as error:
        raise EvaluationError(
            f"{where} answers something other than OpenAI's chat protocol; check the address (it often ends in /v1)"
            f"{kept}"
        ) from error
    answer = {
        "model": config.model,
        "endpoint": config.endpoint,
        "prompt": prompt,
        "text": text,
        "input_tokens": usage.prompt_tokens if usage else math.ceil(len(prompt) / CHARACTERS_PER_TOKEN),
        "output_tokens": usage.completion_tokens if usage else math.ceil(len(text) / CHARACTERS_PER_TOKEN),
    }
    path = _kept(folder, config, prompt)
    part = path.with_suffix(f".{os.getpid()}.part")
    part.write_text(json.dumps(answer, ensure_ascii=False, indent=1), "utf-8", "surrogatepass")
    part.replace(path)
