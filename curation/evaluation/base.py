"""What every metric is: a name, the rows it reads, which way is better, and one value a row.

What is right for a row: its own field ``answer``, else any of its field ``references``, else its assistant turn.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from curation.config import Options
from curation.data.rows import Example

if TYPE_CHECKING:
    from curation.evaluation.judge import Judge

Role = Literal["queries", "tests", "tasks"]


class Metric(ABC):
    """A metric; its docstring's first line is its help.

    Attributes
    ----------
    role : {"queries", "tests", "tasks"}
        Rows it is measured on; "tasks" are its own.
    higher_is_better : bool
        Which way is better.
    lowest, highest : float
        The range of one row's value, infinite where it has no end; intervals are kept inside it.
    """

    Config: ClassVar[type[Options]] = Options
    role: ClassVar[Role]
    higher_is_better: ClassVar[bool]
    lowest: ClassVar[float] = -math.inf
    highest: ClassVar[float] = math.inf

    def __init__(self, config: Options) -> None:
        self.config: Any = config
        self.reasons: dict[str, str] = {}  # row id → why its value is what it is, where that can be said

    def prepare(self) -> None:
        """Raise EvaluationError, before a model is loaded, if it can't be measured on this machine as it is set."""
        return

    def lacks(self, example: Example) -> str:
        """Say what `example` lacks to be judged by this metric; empty if nothing."""
        del example
        return ""

    def fingerprint(self) -> str:
        """Return what the values depend on beyond the options, such as the hash of a file that they name."""
        return ""

    @abstractmethod
    def measure(self, judge: Judge) -> list[float | None]:
        """Return one value for each row of `role`, None for a row that is rejected or lacks something."""

    def measured(self, judge: Judge) -> list[tuple[str, float]]:
        """Return the id and value of every row that could be judged."""
        values = zip(judge.rows[self.role], self.measure(judge), strict=True)
        return [(example.id, value) for example, value in values if value is not None]


class AnswerMetric(Metric):
    """A metric of one generated answer to each test row, between 0 and 1."""

    role: ClassVar[Role] = "tests"
    higher_is_better = True
    lowest, highest = 0.0, 1.0

    def measure(self, judge: Judge) -> list[float | None]:
        """Return each row's score."""
        return [
            None if answer is None or self.lacks(example) else self.score(example, answer)
            for example, answer in zip(judge.rows[self.role], judge.answers(self.role), strict=True)
        ]

    @abstractmethod
    def score(self, example: Example, answer: str) -> float:
        """Return how right `answer` is, from 0 to 1."""


def right_answers(example: Example) -> list[str]:
    """Return what is right for `example`, at least one text; see the module's head."""
    given, references = example.field("answer"), example.field("references")
    if given is not None:
        return [str(given)]
    if isinstance(references, list) and references:
        return [str(reference) for reference in references]
    return [example.answer]
