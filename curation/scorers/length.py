"""Length of the learned answers, in characters: the plainest signal, and a known confounder of all others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from curation.data.rows import Example
from curation.progress import Progress, Silent
from curation.scorers.base import Scorer


class Length(Scorer):
    """Count the characters of the answers that are learned."""

    name = "length"
    unit = "answer characters"

    def key(self) -> dict[str, Any]:
        """Only the version: there are no options."""
        return {"name": self.name, "version": self.VERSION}

    def score(self, examples: Sequence[Example], progress: Progress | None = None) -> npt.NDArray[np.float64]:
        """Return the number of characters, (n,)."""
        progress = progress or Silent()
        progress.start(self.name, len(examples))
        counts = [sum(len(m.content) for m in e.messages if m.role == "assistant" and m.train) for e in examples]
        progress.advance(len(examples))
        return np.array(counts, dtype=np.float64)
