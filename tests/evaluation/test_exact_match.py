"""What counts as the right answer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from curation.data.rows import Example, Message
from curation.evaluation.exact_match import matches


def row(turn: str, **extra: Any) -> Example:
    return Example("id", (Message("user", "?"), Message("assistant", turn)), extra=json.dumps(extra))


@pytest.mark.parametrize(
    ("example", "answer", "right"),
    [
        (row("Blue."), " Blue.\n", True),
        (row("Blue."), "blue.", False),
        (row("Blue."), "Blue. It is.", False),
        (row("12"), "012", False),  # without `answer` the whole text counts
        # a field `answer`: the final part counts
        (row("It takes 2+1=3\n#### 3", answer="3"), "2+2=4, so 3 bolts\n#### 3", True),
        (row("", answer="3"), "I think it is 3", True),
        (row("", answer="3"), "3 apples and 4 pears", False),
        (row("", answer="3"), "#### 3 bolts, not 4", True),
        (row("", answer="3"), "#### 4", False),
        (row("", answer="3"), "", False),
        (row("", answer="1234"), "in all 1,234.", True),
        (row("", answer="1,234"), "1234", True),
        (row("", answer=3), "3.0", True),
        (row("", answer="-2.5"), "the answer is -2.50", True),
        (row("", answer="True"), "So the answer is True.", True),
        (row("", answer="True"), "True", True),
        (row("", answer="True"), "So the answer is False, not True.", False),
        (row("", answer="(B)"), "So the answer is (A). No: the answer is (B).", True),
        (row("", answer="] ]"), "So the answer is ] ].", True),
        # behind #### in the assistant turn
        (row("so\n#### 1,000"), "#### 1000", True),
        (row("so\n#### 7"), "#### 8", False),
        # references: any of them, whole
        (row("x", references=["10 pm", "22:00"]), "22:00 ", True),
        (row("x", references=["10 pm", "22:00"]), "x", False),
        (row("6", references=[]), "6", True),
        (row("x", references=[6]), "6", True),
    ],
)
def test_matches(example: Example, answer: str, right: bool) -> None:
    assert matches(example, answer) is right
