r"""Exact match of generated answers with the right one.

What is right: the row's own field ``answer``, else any of its field ``references``, else its assistant turn. A short
answer given in ``answer`` (or behind ``####``, as gsm8k writes it) is compared with the answer's final part: what
follows the last ``####``, else the last "answer is", else all of it; if the right one is a number, numbers are compared
(thousands separators out), the first of a marked final part, else the last of the text. Otherwise the whole text must
be equal but for white space around it. Case counts.
"""

from __future__ import annotations

import re

from curation.data.rows import Example
from curation.evaluation.base import AnswerMetric

_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?|-?\.\d+")
_MARK = re.compile(r"####|answer is:?", re.IGNORECASE)


class ExactMatch(AnswerMetric):
    """Share of the test rows whose generated answer equals the right one; higher is better."""

    def score(self, example: Example, answer: str) -> float:
        """Return 1.0 for the right answer, 0.0 for any other."""
        return float(matches(example, answer))


def matches(example: Example, answer: str) -> bool:
    """Tell whether `answer` is right for `example`; see the module's head for what counts as right."""
    given = example.field("answer")
    references = example.field("references")
    if given is not None:
        return _short_match(str(given), answer)
    if isinstance(references, list) and references:
        return answer.strip() in {str(reference).strip() for reference in references}
    if "####" in example.answer:
        return _short_match(example.answer.rpartition("####")[2], answer)
    return answer.strip() == example.answer.strip()


def _short_match(right: str, answer: str) -> bool:
    right = right.strip()
    marks = list(_MARK.finditer(answer))
    final = answer[marks[-1].end() :] if marks else answer
    if (number := _number(right)) is not None:
        found = _NUMBER.findall(final)
        return bool(found) and _number(found[0] if marks else found[-1]) == number
    return right in (final.strip(), final.strip().removesuffix("."))


def _number(text: str) -> float | None:
    """Return the number that `text` is, or None if it is anything else."""
    return float(text.replace(",", "")) if _NUMBER.fullmatch(text) else None
