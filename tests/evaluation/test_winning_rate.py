"""The judge's logic and every way an endpoint can fail, against a scripted server on loopback."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from curation.errors import EvaluationError
from curation.evaluation import endpoint
from curation.evaluation.endpoint import JudgeConfig
from curation.evaluation.winning_rate import Pair, price, verdict, winning_rate
from curation.progress import Silent
from tests.loopback import Loopback, Reply

pytest.importorskip("openai", reason="the extra judge is not installed")

KEY = "sk-very-secret-key"


class Server:
    """A judge on loopback: `script` gives the reply to each request's prompt."""

    def __init__(self) -> None:
        self.script: Callable[[str], Reply] = lambda prompt: says(longer(prompt))
        self.prompts: list[str] = []
        self.keys: set[str] = set()
        self.loopback = Loopback(self._reply)
        self.url = f"{self.loopback.url}/v1"

    def _reply(self, _path: str, headers: Any, body: bytes) -> Reply:
        self.keys.add(headers["Authorization"])
        prompt = json.loads(body)["messages"][0]["content"]
        self.prompts.append(prompt)
        return self.script(prompt)


def says(text: str) -> Reply:
    """A chat completion in OpenAI's form."""
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    usage = {"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13}
    told = {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": usage}
    return 200, {}, told


def answers_in(prompt: str) -> tuple[str, str]:
    first, _, rest = prompt.partition("first=")[2].partition(" second=")
    return first, rest


def longer(prompt: str) -> str:
    """A judge that prefers the longer answer."""
    first, second = answers_in(prompt)
    return "[[C]]" if len(first) == len(second) else f"Well [[C]]? No: [[{'A' if len(first) > len(second) else 'B'}]]"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(endpoint, "_RETRIES", 1)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    made = Server()
    yield made
    made.loopback.close()


def config(server: Server, **options: Any) -> JudgeConfig:
    usual = {"model": "m", "prompt": "{question}: first={first} second={second}", "timeout": 20.0}
    return JudgeConfig(endpoint=server.url, **usual | options)


PAIRS = [Pair("won", "q1", "long answer", "short"), Pair("lost", "q2", "no", "yes, but"), Pair("tied", "q3", "a", "b")]


def test_wins_losses_and_ties_are_counted_and_kept(server: Server, tmp_path: Path) -> None:
    found = winning_rate(PAIRS, config(server, input_price=2.0, output_price=10.0), tmp_path / "new" / "folder")
    assert (found.wins, found.losses, found.ties, found.agreement) == (1, 1, 1, 1.0)
    assert found.values == {"won": 1.0, "lost": 0.0, "tied": 0.5}
    assert found.rate.mean == 0.5 and found.rate.n_examples == 3
    assert 0.0 <= found.rate.low < 0.5 < found.rate.high <= 1.0
    assert (found.input_tokens, found.output_tokens) == (60, 18)
    assert found.cost == pytest.approx((60 * 2 + 18 * 10) / 1e6)
    assert sorted(server.prompts)[:2] == ["q1: first=long answer second=short", "q1: first=short second=long answer"]
    assert len(server.prompts) == 6
    again = winning_rate(PAIRS, config(server), tmp_path / "new" / "folder")
    assert len(server.prompts) == 6 and again.values == found.values  # nothing is asked twice
    winning_rate(PAIRS[:1], config(server, model="other"), tmp_path / "new" / "folder")
    assert len(server.prompts) == 8  # another judge is


def test_a_judge_that_favours_a_place_gives_ties(server: Server, tmp_path: Path) -> None:
    server.script = lambda _: says("[[A]]")
    found = winning_rate(PAIRS, config(server), tmp_path)
    assert (found.wins, found.losses, found.ties) == (0, 0, 3)
    assert (found.agreement, found.first_place) == (0.0, 1.0)


def test_texts_that_look_like_places_in_the_prompt_are_left_alone(server: Server, tmp_path: Path) -> None:
    winning_rate([Pair("1", "{second} {x}", "{question}", "b")], config(server), tmp_path)
    assert "{second} {x}: first={question} second=b" in server.prompts


def test_equal_answers_cost_one_call(server: Server, tmp_path: Path) -> None:
    found = winning_rate([Pair("1", "q", "same", "same")], config(server), tmp_path)
    assert found.ties == 1 and len(server.prompts) == 1


def test_the_price_is_told_before_and_nobody_is_asked(server: Server, tmp_path: Path) -> None:
    asked = config(server, input_price=1.0, output_price=2.0, max_tokens=100)
    told = price(PAIRS, asked, tmp_path)
    characters = [len(f"{p.question}: first={p.first} second={p.second}") for p in PAIRS]
    assert (told.calls, told.kept, told.output_tokens) == (6, 0, 600)
    assert told.input_tokens == sum(2 * -(-n // 4) for n in characters)
    assert told.cost == pytest.approx((told.input_tokens + 2 * 600) / 1e6)
    assert server.prompts == []
    winning_rate(PAIRS[:1], asked, tmp_path)
    assert (price(PAIRS, asked, tmp_path).calls, price(PAIRS, asked, tmp_path).kept) == (4, 2)


def test_the_key_comes_from_the_environment_and_goes_nowhere_else(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    winning_rate(PAIRS, config(server), tmp_path)
    assert server.keys == {f"Bearer {KEY}"}
    assert all(KEY not in path.read_text() for path in tmp_path.iterdir())
    assert KEY not in json.dumps(config(server).to_dict())
    server.script = lambda _: (401, {}, {"error": {"message": f"Incorrect API key provided: {KEY}"}})
    with pytest.raises(EvaluationError, match=r"refuses the key \(401\); set the environment variable OPENAI") as told:
        winning_rate(PAIRS, config(server, model="other"), tmp_path)
    assert KEY not in str(told.value)
    monkeypatch.delenv("OPENAI_API_KEY")
    server.script = lambda prompt: says(longer(prompt))
    winning_rate(PAIRS, config(server, model="local"), tmp_path)  # a local server needs none


def test_a_run_that_was_cut_off_goes_on_where_it_stopped(server: Server, tmp_path: Path) -> None:
    seen: list[str] = []

    def fails_later(prompt: str) -> tuple[int, dict[str, str], Any]:
        seen.append(prompt)
        return says(longer(prompt)) if len(seen) <= 3 else (400, {}, {})

    server.script = fails_later
    with pytest.raises(EvaluationError, match=r"answers with status 400; check the model's name .*so far are kept"):
        winning_rate(PAIRS, config(server, parallel=1), tmp_path)
    assert len(list(tmp_path.glob("*.json"))) == 3 and not list(tmp_path.glob("*.part"))
    server.script = lambda prompt: says(longer(prompt))
    before = len(server.prompts)
    assert winning_rate(PAIRS, config(server, parallel=1), tmp_path).wins == 1
    assert len(server.prompts) == before + 3


def test_a_progress_that_raises_cancels_and_keeps(server: Server, tmp_path: Path) -> None:
    class CancelledError(Exception):
        pass

    class Cancelling(Silent):
        def advance(self, n: int = 1, **metrics: float) -> None:
            if n == 1 and not metrics:
                raise CancelledError

    with pytest.raises(CancelledError):
        winning_rate(PAIRS, config(server, parallel=1), tmp_path, Cancelling())
    assert 1 <= len(list(tmp_path.glob("*.json"))) < 6


def test_a_server_that_limits_the_rate_is_waited_for(server: Server, tmp_path: Path) -> None:
    times: list[float] = []

    def limits(prompt: str) -> tuple[int, dict[str, str], Any]:
        times.append(time.monotonic())
        return (429, {"Retry-After": "1"}, {"error": {}}) if len(times) == 1 else says(longer(prompt))

    server.script = limits
    assert winning_rate(PAIRS[:1], config(server, parallel=1), tmp_path).wins == 1
    assert times[1] - times[0] >= 0.9 and len(times) == 3


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (lambda _: (429, {"Retry-After": "0.01"}, {}), r"still asks to wait after 1 tries \(429.*lower parallel or"),
        (lambda _: (time.sleep(2), says("[[A]]"))[1], r"gave no verdict within 0.5 seconds; raise timeout, lower para"),
        (lambda _: (200, {}, None), r"can't be reached; start it or correct the address"),
        (
            lambda _: (404, {}, {"error": {"message": "no such model"}}),
            r"answers with status 404 \(no such model\); check the model's",
        ),
        (lambda _: (500, {}, b"oops"), r"answers with status 500"),
        (
            lambda _: (200, {"Content-Type": "text/html"}, b"<html>hello"),
            r"something other than OpenAI's chat protocol",
        ),
        (lambda _: (200, {}, b"{broken"), r"something other than OpenAI's chat protocol"),
        (lambda _: (200, {}, {"choices": []}), r"something other than OpenAI's chat protocol"),
        (lambda _: (200, {}, {"hello": 1}), r"something other than OpenAI's chat protocol"),
        (lambda _: says("Hm, hard to say."), r"none of the 2 verdicts of m can be read \(the first: 'Hm, hard to sa"),
        (lambda p: says("[[A]]" if "first=l" in p else "?"), r"no pair has two verdicts of m that can be read"),
        (lambda _: says(""), r"none of the 2 verdicts of m can be read \(the first: ''\)"),
    ],
)
def test_what_an_endpoint_does_wrong_is_one_sentence(
    script: Callable[[str], Any], message: str, server: Server, tmp_path: Path
) -> None:
    server.script = script
    with pytest.raises(EvaluationError, match=message):
        winning_rate(PAIRS[:1], config(server, timeout=0.5 if "0.5" in message else 20.0), tmp_path)


def test_no_server_at_all_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(endpoint, "_RETRIES", 0)
    with pytest.raises(
        EvaluationError, match=r"the judge m at http://127.0.0.1:9/v1 can't be reached; start it or corr"
    ):
        winning_rate(PAIRS, JudgeConfig(endpoint="http://127.0.0.1:9/v1", model="m"), tmp_path)


def test_pairs_with_an_unreadable_verdict_are_in_no_count_and_asked_again(server: Server, tmp_path: Path) -> None:
    server.script = lambda p: says("?" if p.startswith("q2: first=no") else longer(p))
    found = winning_rate(PAIRS, config(server), tmp_path)
    assert found.unreadable == ("lost",) and (found.wins, found.losses, found.ties) == (1, 0, 1)
    assert found.rate.mean == 0.75
    assert len(server.prompts) == 7 and (found.input_tokens, found.output_tokens) == (70, 21)  # once more, and paid
    told = price(PAIRS, config(server), tmp_path)
    assert (told.calls, told.kept) == (1, 5)
    server.script = lambda p: says(longer(p))
    again = winning_rate(PAIRS, config(server), tmp_path)
    assert again.unreadable == () and again.losses == 1 and len(server.prompts) == 8


def test_a_reply_without_a_verdict_is_asked_for_once_more(server: Server, tmp_path: Path) -> None:
    silent = iter([True])
    server.script = lambda p: says("" if next(silent, False) else longer(p))
    found = winning_rate(PAIRS[:1], config(server, parallel=1), tmp_path)
    assert found.wins == 1 and len(server.prompts) == 3 and found.input_tokens == 30


def test_what_an_earlier_version_kept_without_a_verdict_is_asked_for(server: Server, tmp_path: Path) -> None:
    winning_rate(PAIRS[:1], config(server), tmp_path)
    for path in tmp_path.glob("*.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"text": "no verdict"}))
    assert price(PAIRS[:1], config(server), tmp_path).kept == 0
    assert winning_rate(PAIRS[:1], config(server), tmp_path).wins == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [("x [[A]]", "A"), ("[[A]] or [[ B ]].", "B"), (" C\n", "C"), ("A is better", ""), ("[[D]]", ""), ("", "")],
)
def test_verdict(text: str, said: str) -> None:
    assert verdict(text) == said


def test_no_pairs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"there is no pair of answers to judge; evaluate two arms"):
        winning_rate([], JudgeConfig(), tmp_path)


def test_without_the_extra_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openai", None)
    with pytest.raises(EvaluationError, match=r"needs the extra `judge`.*pip install 'winnow-curation\[judge\]'"):
        winning_rate(PAIRS, JudgeConfig(), tmp_path)
