"""Numeric match: the number that an answer ends in is the right one.

The answer's number is the first one of its marked final part (behind the last ``####``, else behind the last "answer
is"), else the last of its text; the right number is read the same way from what is right (see `base`). Thousands
separators are left out, a fraction such as 3/25 is its value. Units are not looked at: 3 km equals 3 m.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from curation.config import Options, option
from curation.data.rows import Example
from curation.evaluation.base import AnswerMetric, right_answers

_NUMBER = re.compile(r"-?(?:\d[\d,]*(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d+|/\d+)?")
_MARK = re.compile(r"####|answer is:?", re.IGNORECASE)


class NumericMatch(AnswerMetric):
    """Share of the test rows whose generated answer ends in the right number; higher is better."""

    @dataclass(frozen=True, kw_only=True)
    class Config(Options):
        """Options of `NumericMatch`."""

        tolerance: float = option(1e-6, "How far off a number may be, as a share of the right one.", low=0.0)

    def lacks(self, example: Example) -> str:
        """Say so if no right answer of the row holds a number."""
        if any(final_number(text) is not None for text in right_answers(example)):
            return ""
        return "its right answer holds no number; give one in a column `answer`"

    def score(self, example: Example, answer: str) -> float:
        """Return 1.0 for the right number, 0.0 for any other or none."""
        found = final_number(answer)
        right = (final_number(text) for text in right_answers(example))
        near = (_close(found, number, self.config.tolerance) for number in right)
        return float(any(near))


def final_number(text: str) -> float | None:
    """Return the number that `text` ends in, None if it holds none; see the module's head."""
    marks = list(_MARK.finditer(text))
    found = _NUMBER.findall(text[marks[-1].end() :] if marks else text)
    if not found:
        return None
    above, _, below = found[0 if marks else -1].replace(",", "").partition("/")
    if below and float(below) == 0:
        return None
    return float(above) / float(below or 1)


def _close(found: float | None, right: float | None, tolerance: float) -> bool:
    return found is not None and right is not None and math.isclose(found, right, rel_tol=tolerance)
