"""What every scorer shares: one number a row, from the row alone, whatever the queries."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from curation.config import Options
from curation.data.rows import Example
from curation.progress import Progress


class Scorer(ABC):
    """Base of all scorers.

    Attributes
    ----------
    name : str
        Registry key.
    unit : str
        What the number counts, as a legend says it.
    VERSION : int
        Raised whenever the same row and options give another score; part of the key.
    needs_base_model : bool
        Whether its options ask for the base model.
    """

    name: ClassVar[str]
    unit: ClassVar[str]
    VERSION: ClassVar[int] = 1
    needs_base_model: ClassVar[bool] = False

    class Config(Options):
        """No options."""

    def __init__(self, config: Options) -> None:
        self.config = config

    @abstractmethod
    def key(self) -> dict[str, Any]:
        """Everything that a score depends on besides its row."""

    @abstractmethod
    def score(self, examples: Sequence[Example], progress: Progress | None = None) -> npt.NDArray[np.float64]:
        """Return one score a row, (n,); NaN where a row can't be scored."""
