"""Which number an answer ends in, and when two numbers are the same."""

from __future__ import annotations

import json
from typing import Any

import pytest

from curation.data.rows import Example, Message
from curation.evaluation import METRICS
from curation.evaluation.numeric_match import NumericMatch, final_number


def row(turn: str, **extra: Any) -> Example:
    return Example("id", (Message("user", "?"), Message("assistant", turn)), extra=json.dumps(extra))


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("#### 1,234", 1234.0),
        ("2 + 2 = 4 in all", 4.0),
        ("so the answer is -2.50 km, not 7", -2.5),
        ("#### 3 bolts of 4", 3.0),
        ("3 apples and .5 pears", 0.5),
        ("3/25", 0.12),
        ("1e-3", 0.001),
        ("1/0", None),
        ("none", None),
        ("", None),
    ],
)
def test_final_number(text: str, number: float | None) -> None:
    assert final_number(text) == (None if number is None else pytest.approx(number))


@pytest.mark.parametrize(
    ("example", "answer", "score"),
    [
        (row("12"), "It is 12.0", 1.0),
        (row("12"), "12 of 13", 0.0),
        (row("", answer=3), "3", 1.0),
        (row("", references=["0.12", "1/3"]), "3/25", 1.0),
        (row("x #### 7"), "#### 7", 1.0),
        (row("7"), "seven", 0.0),
        (row("1000000"), "1000000.5", 1.0),
        (row("1000000"), "1000002", 0.0),
        (row("0"), "0.1", 0.0),
    ],
)
def test_score(example: Example, answer: str, score: float) -> None:
    metric = METRICS.create("numeric_match")
    assert isinstance(metric, NumericMatch)
    assert metric.score(example, answer) == score


def test_tolerance_is_a_share_of_the_right_number() -> None:
    metric = METRICS.create("numeric_match", tolerance=0.1)
    assert isinstance(metric, NumericMatch)
    assert [metric.score(row("100"), text) for text in ("109", "120")] == [1.0, 0.0]


def test_a_row_without_a_number_says_so() -> None:
    metric = METRICS.create("numeric_match")
    assert metric.lacks(row("blue")) == "its right answer holds no number; give one in a column `answer`"
    assert metric.lacks(row("blue 2")) == ""
