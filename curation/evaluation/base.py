"""What every metric is: a name, the rows it reads, which way is better, and one value a row."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal

from curation.config import Options

if TYPE_CHECKING:
    from curation.evaluation.judge import Judge

Role = Literal["queries", "tests"]


class Metric(ABC):
    """A metric; its docstring's first line is its help.

    Attributes
    ----------
    role : {"queries", "tests"}
        Rows it is measured on.
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
        self.config = config

    @abstractmethod
    def measure(self, judge: Judge) -> list[float | None]:
        """Return one value for each row of `role`, None for a row that the judge rejected."""
