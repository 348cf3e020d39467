"""Token F1 by hand, as SQuAD counts."""

from __future__ import annotations

import json

import pytest

from curation.data.rows import Example, Message
from curation.evaluation import METRICS
from curation.evaluation.token_f1 import TokenF1, token_f1


@pytest.mark.parametrize(
    ("answer", "right", "score"),
    [
        ("the cat sat", "A cat sat.", 1.0),
        ("cat sat down", "cat sat", 0.8),  # precision 2/3, recall 1
        ("cat cat cat", "cat", 0.5),  # a word counts as often as it stands in both
        ("dog", "cat", 0.0),
        ("", "cat", 0.0),
        ("", "the", 1.0),
        ("sat cat", "cat sat", 1.0),
    ],
)
def test_token_f1(answer: str, right: str, score: float) -> None:
    assert token_f1(answer, right) == pytest.approx(score)


def test_the_nearest_right_answer_counts() -> None:
    extra = json.dumps({"references": ["ten o'clock", "22 pm sharp"]})
    row = Example("id", (Message("user", "?"), Message("assistant", "x")), extra=extra)
    metric = METRICS.create("token_f1")
    assert isinstance(metric, TokenF1)
    assert metric.score(row, "22 pm") == pytest.approx(0.8)
