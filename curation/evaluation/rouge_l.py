"""ROUGE-L of generated answers: the longest common subsequence of words (Lin, 2004, section 3).

As in the package rouge-score: lowercased, F-measure with β = 1, no stemming; where several answers are right, the
nearest counts. Unlike there a word is any run of letters and digits, of any language.
"""

from __future__ import annotations

import re

from curation.data.rows import Example
from curation.evaluation.base import AnswerMetric, right_answers

_WORD = re.compile(r"[^\W_]+")


class RougeL(AnswerMetric):
    """Longest sequence of words that the generated and the right answer share (ROUGE-L, F1); higher is better."""

    def score(self, example: Example, answer: str) -> float:
        """Return ROUGE-L with the nearest right answer."""
        return max(rouge_l(answer, right) for right in right_answers(example))


def rouge_l(answer: str, right: str) -> float:
    """Return the harmonic mean of the common subsequence's shares of both texts; 0.0 if one has no word."""
    given, wanted = _WORD.findall(answer.lower()), _WORD.findall(right.lower())
    return 2 * common_length(given, wanted) / max(1, len(given) + len(wanted))


def common_length(first: list[str], second: list[str]) -> int:
    """Return the length of the longest common subsequence."""
    row = [0] * (len(second) + 1)  # row[j]: of the words of `first` so far and the first j of `second`
    for word in first:
        before = row
        row = [0]
        for j, other in enumerate(second):
            row.append(before[j] + 1 if word == other else max(before[j + 1], row[j]))
    return row[-1]
