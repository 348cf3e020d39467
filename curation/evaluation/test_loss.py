"""Loss on the held-out test rows, which selection never saw."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from curation.evaluation.base import Metric, Role

if TYPE_CHECKING:
    from curation.evaluation.judge import Judge


class TestLoss(Metric):
    """Mean loss of the test rows' answer tokens, in nats; lower is better."""

    __test__ = False  # pytest would take the name for a test case

    role: ClassVar[Role] = "tests"
    higher_is_better = False
    lowest = 0.0

    def measure(self, judge: Judge) -> list[float | None]:
        """Return each test row's mean loss over its answer tokens."""
        return judge.losses(self.role)
