"""pass@k: the estimate against counting, what becomes of an answer, and HumanEval's own solutions."""

from __future__ import annotations

import json
from itertools import combinations
from math import comb
from pathlib import Path
from typing import Any

import pytest

from curation.data.rows import Example, Message
from curation.errors import ConfigError, EvaluationError
from curation.evaluation import METRICS, sandbox
from curation.evaluation.pass_at_k import estimate, program

PROMPT = 'import math\n\ndef area(r):\n    """Area of a circle."""\n'
BODY = "    return math.pi * r * r\n"
FIELDS = {"entry_point": "area", "test": "def check(candidate):\n    assert round(candidate(1), 2) == 3.14\n"}


def row(name: str = "id", prompt: str = PROMPT, **extra: Any) -> Example:
    messages = (Message("user", prompt), Message("assistant", BODY))
    return Example(name, messages, extra=json.dumps(FIELDS | extra))


@pytest.mark.parametrize(("n", "passed", "k"), [(5, 2, 1), (5, 2, 3), (5, 0, 2), (5, 5, 2), (4, 1, 4), (1, 1, 1)])
def test_the_estimate_is_the_share_of_draws_of_k_that_hold_a_passing_one(n: int, passed: int, k: int) -> None:
    holding = sum(any(i < passed for i in drawn) for drawn in combinations(range(n), k))
    assert estimate(n, passed, k) == pytest.approx(holding / comb(n, k))


@pytest.mark.parametrize(
    "answer",
    [
        BODY,
        BODY.lstrip(),  # a template stripped it
        BODY + "\nprint(area(2)\n",  # babble behind the body is cut
        BODY + "\n# and so on )",
        "Sure:\n```python\n" + PROMPT + BODY + "```\nThis is it.",
        "```python\ndef area(r):\n" + BODY + "```",  # the prompt's imports stand before it
        "```\n" + BODY + "```",
        "def area(r):\n    return helper(r)\n\ndef helper(r):\n" + BODY,
    ],
)
def test_an_answer_in_any_form_becomes_a_program_that_passes(answer: str) -> None:
    assert sandbox.Sandbox().run(program(row(), answer)).reason == ""


def test_a_fenced_prompt_gives_its_code_alone() -> None:
    fenced = row(prompt=f"Complete this:\n```python\n{PROMPT}```")
    assert sandbox.Sandbox().run(program(fenced, BODY)).reason == ""


@pytest.mark.parametrize("answer", ["    pass\n", "", "    return 3\n", "I do not know."])
def test_wrong_answers_fail(answer: str) -> None:
    assert not sandbox.Sandbox().run(program(row(), answer)).passed


class Answers:
    """A judge that gives the answers it was built with."""

    def __init__(self, rows: list[Example], written: list[list[str] | None]) -> None:
        self.rows, self.written = {"tests": rows}, written

    def answers(self, role: str) -> list[str | None]:
        assert role == "tests"
        return [None if texts is None else texts[0] for texts in self.written]

    def samples(self, role: str, n: int, temperature: float) -> list[list[str] | None]:
        assert (role, n, temperature) == ("tests", 4, 0.5)
        return self.written


def test_one_sample_is_the_greedy_answer() -> None:
    rows = [row("right"), row("wrong"), row("rejected"), row("lacking", test=None)]
    metric = METRICS.create("pass_at_k", allow=True)
    judge = Answers(rows, [[BODY], ["    return 1\n"], None, [BODY]])
    assert metric.measure(judge) == [1.0, 0.0, None, None]  # type: ignore[arg-type]
    assert metric.reasons == {"wrong": "AssertionError"}


def test_several_samples_are_estimated_from() -> None:
    metric = METRICS.create("pass_at_k", allow=True, samples=4, k=2, temperature=0.5)
    judge = Answers([row()], [[BODY, "    1/0\n", BODY, "    pass\n"]])
    assert metric.measure(judge) == [pytest.approx(1 - 1 / 6)]  # type: ignore[arg-type]
    assert metric.reasons == {"id": "ZeroDivisionError: division by zero"}


def test_it_is_off_until_it_is_switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EvaluationError, match=r"runs programs that the model writes and is off; switch its option `al"):
        METRICS.create("pass_at_k").prepare()
    monkeypatch.setattr(sandbox.sys, "platform", "darwin")
    with pytest.raises(EvaluationError, match=r"run only on Linux"):
        METRICS.create("pass_at_k", allow=True).prepare()


def test_what_is_missing_is_named() -> None:
    metric = METRICS.create("pass_at_k")
    assert metric.lacks(row(test=None)) == "it has no column `test` with text"
    assert metric.lacks(row(entry_point=3)) == "it has no column `entry_point` with text"
    with pytest.raises(ConfigError, match=r"pass@5 of 4 samples can't be told; raise samples to 5"):
        METRICS.create("pass_at_k", samples=4, k=5)


@pytest.mark.slow
def test_humanevals_own_solutions_pass_and_pass_fails(shared: Path) -> None:
    lines = (shared / "data" / "tests" / "humaneval.jsonl").read_text().splitlines()
    given = [json.loads(line) for line in lines]
    rows = [row(g["id"], g["prompt"], test=g["test"], entry_point=g["entry_point"]) for g in given]
    right = sandbox.Sandbox().run_all([program(r, g["response"]) for r, g in zip(rows, given, strict=True)])
    assert [o.reason for o in right] == [""] * 148
    empty = sandbox.Sandbox().run_all([program(r, "    pass\n") for r in rows])
    assert [o.passed for o in empty] == [False] * 148
