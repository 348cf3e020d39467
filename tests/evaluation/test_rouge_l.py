"""ROUGE-L by hand, and its subsequence against every subsequence."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.data.rows import Example, Message
from curation.evaluation import METRICS
from curation.evaluation.rouge_l import RougeL, common_length, rouge_l


@pytest.mark.parametrize(
    ("answer", "right", "score"),
    [
        ("police killed the gunman", "police kill the gunman", 0.75),  # Lin (2004), section 3.1: S2 against S1
        ("the gunman kill police", "police kill the gunman", 0.5),  # S3
        ("Police, kill: the gunman!", "police kill the gunman", 1.0),
        ("a b c d e f", "b d", 0.5),  # precision 2/6, recall 1
        ("größer als größe", "größer größe", 0.8),
        ("", "police", 0.0),
        ("", "", 0.0),
    ],
)
def test_rouge_l(answer: str, right: str, score: float) -> None:
    assert rouge_l(answer, right) == pytest.approx(score)


words = st.lists(st.sampled_from("abc"), max_size=7)


@given(words, words)
def test_the_common_length_is_that_of_the_longest_of_all_subsequences(first: list[str], second: list[str]) -> None:
    of_second = {kept for n in range(len(second) + 1) for kept in combinations(second, n)}
    longest = max(n for n in range(len(first) + 1) if of_second & set(combinations(first, n)))
    assert common_length(first, second) == longest


def test_the_metric_takes_what_is_right_for_the_row() -> None:
    metric = METRICS.create("rouge_l")
    assert isinstance(metric, RougeL)
    row = Example("id", (Message("user", "?"), Message("assistant", "police kill the gunman")))
    assert metric.score(row, "police killed the gunman") == pytest.approx(0.75)
