"""Which choice is the right one, and which the model finds likeliest."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from curation.data.rows import Example, Message
from curation.evaluation import METRICS
from curation.evaluation.multiple_choice import right_choice


def row(name: str = "id", **extra: Any) -> Example:
    return Example(name, (Message("user", "?"), Message("assistant", "x")), extra=json.dumps(extra))


@pytest.mark.parametrize(
    ("extra", "place"),
    [
        ({"choices": ["red", "blue"], "answer": "blue"}, 1),
        ({"choices": ["red", "blue"], "answer": 0}, 0),
        ({"choices": ["red", "blue"], "answer": "B"}, 1),
        ({"choices": ["red", "blue"], "answer": "(a)"}, 0),
        ({"choices": ["red", "blue"], "label": 1}, 1),
        ({"choices": ["red", "blue"], "answer": "1"}, 1),
        ({"choices": ["2", "1"], "answer": "1"}, 1),  # a choice's text comes before its place
        ({"choices": ["B", "A"], "answer": "A"}, 1),
        ({"choices": ["red", "blue"], "answer": 2}, None),
        ({"choices": ["red", "blue"], "answer": "C"}, None),
        ({"choices": ["red", "blue"], "answer": "green"}, None),
        ({"choices": ["red", "blue"]}, None),
    ],
)
def test_right_choice(extra: dict[str, Any], place: int | None) -> None:
    assert right_choice(row(**extra)) == place


class Losses:
    """A judge whose losses are the answers' own numbers; "never" is a row that can't be encoded."""

    def __init__(self, rows: list[Example]) -> None:
        self.rows = {"tests": rows}

    def losses_of(self, rows: Sequence[Example], title: str) -> list[float | None]:
        assert title == "choices" and all(r.messages[0].content == "?" for r in rows)
        return [None if r.answer == "never" else float(r.answer) for r in rows]


def test_the_choice_of_lowest_loss_is_taken() -> None:
    rows = [
        row("right", choices=["2", "0.5", "1"], answer=1),
        row("wrong", choices=["2", "0.5"], answer=0),
        row("lacking", choices=["1"], answer=0),
        row("tie", choices=["1", "1"], answer=0),
        row("too long", choices=["1", "never"], answer=0),
    ]
    metric = METRICS.create("multiple_choice")
    assert metric.measure(Losses(rows)) == [1.0, 0.0, None, 1.0, None]  # type: ignore[arg-type]


def test_what_a_row_lacks_is_said() -> None:
    metric = METRICS.create("multiple_choice")
    for lacking in (row(), row(choices="ab"), row(choices=["a"])):
        assert metric.lacks(lacking) == "it has no column `choices` with two texts or more"
    assert "names none of its choices" in metric.lacks(row(choices=["a", "b"], answer="e"))
    assert metric.lacks(row(choices=["a", "b"], answer="b")) == ""
