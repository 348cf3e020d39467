"""Multiple choice by likelihood: no text is generated, each choice is read as the answer and the likeliest counts.

A row's field ``choices`` lists the texts; its field ``answer`` (or ``label``) is the right one: its text, its place
from 0, or its letter. The likeliest choice is the one of lowest mean loss a token, so that long choices are not at a
disadvantage; lm-evaluation-harness's ``acc`` sums over tokens instead, its ``acc_norm`` divides by characters. Of equal
ones the first counts.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from curation.data.rows import Example, Message
from curation.evaluation.base import Metric, Role

if TYPE_CHECKING:
    from curation.evaluation.judge import Judge


class MultipleChoice(Metric):
    """Share of the test rows whose right choice is the likeliest to the model; higher is better."""

    role: ClassVar[Role] = "tests"
    higher_is_better = True
    lowest, highest = 0.0, 1.0

    def lacks(self, example: Example) -> str:
        """Say so if the row has no choices, or none of them is the right one."""
        if len(choices(example)) < 2:
            return "it has no column `choices` with two texts or more"
        if right_choice(example) is None:
            return "its column `answer` (or `label`) names none of its choices; give the text, place or letter"
        return ""

    def measure(self, judge: Judge) -> list[float | None]:
        """Return 1.0 for each row whose right choice has the lowest loss, 0.0 for each other."""
        rows = judge.rows[self.role]
        offered = [[] if self.lacks(row) else [_answered(row, text) for text in choices(row)] for row in rows]
        losses = iter(judge.losses_of([one for row in offered for one in row], "choices"))
        values: list[float | None] = []
        for row, variants in zip(rows, offered, strict=True):
            found = [next(losses) for _ in variants]
            known = [loss for loss in found if loss is not None]
            complete = len(known) == len(found) > 0
            values.append(float(known.index(min(known)) == right_choice(row)) if complete else None)
        return values


def choices(example: Example) -> list[str]:
    """Return the texts to choose from; none if the row has none."""
    given = example.field("choices")
    return [str(text) for text in given] if isinstance(given, list) else []


def right_choice(example: Example) -> int | None:
    """Return the place of the right choice, None if it can't be told."""
    texts = choices(example)
    label = example.field("answer")
    if label is None:
        label = example.field("label")
    if isinstance(label, str):
        if label.strip() in texts:
            return texts.index(label.strip())
        letter = label.strip().strip("().").upper()
        label = int(letter) if letter.isdigit() else ord(letter) - ord("A") if len(letter) == 1 else None
    return label if isinstance(label, int) and 0 <= label < len(texts) else None


def _answered(example: Example, text: str) -> Example:
    """Return the row with `text` as its assistant's answer."""
    return replace(example, messages=(*example.prompt, Message("assistant", text)))
