"""Token F1 of generated answers, as SQuAD's evaluation computes it (Rajpurkar et al., 2016).

Texts are lowercased, rid of ASCII punctuation and of the English articles, and split at white space. Where several
answers are right, the nearest counts.
"""

from __future__ import annotations

import re
import string
from collections import Counter

from curation.data.rows import Example
from curation.evaluation.base import AnswerMetric, right_answers

_DROPPED = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")


class TokenF1(AnswerMetric):
    """Overlap of the generated answer's words with the right one's (F1), order left out; higher is better."""

    def score(self, example: Example, answer: str) -> float:
        """Return the F1 with the nearest right answer."""
        return max(token_f1(answer, right) for right in right_answers(example))


def token_f1(answer: str, right: str) -> float:
    """Return the harmonic mean of precision and recall of words; 1.0 for two texts without any."""
    given, wanted = words(answer), words(right)
    if not given or not wanted:
        return float(given == wanted)
    shared = (Counter(given) & Counter(wanted)).total()
    return 2 * shared / (len(given) + len(wanted))


def words(text: str) -> list[str]:
    """Return SQuAD's normalised words."""
    return _ARTICLES.sub(" ", text.lower().translate(_DROPPED)).split()
