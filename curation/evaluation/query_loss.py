"""Loss on the queries: what selection aims at, hence optimistic; the test rows decide."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from curation.evaluation.base import Metric, Role

if TYPE_CHECKING:
    from curation.evaluation.judge import Judge


class QueryLoss(Metric):
    """Mean loss of the queries' answer tokens, in nats; lower is better."""

    role: ClassVar[Role] = "queries"
    higher_is_better = False
    lowest = 0.0

    def measure(self, judge: Judge) -> list[float | None]:
        """Return each query's mean loss over its answer tokens."""
        return judge.losses(self.role)
