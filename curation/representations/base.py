"""What every representation shares: its key, the batch plan fixed before the first shard, and the stream of shards.

A plan packs rows of similar length into batches of bounded tokens, longest first so that a lack of memory shows at
once. Batches never cross shards, so a resumed run, which skips whole shards, computes the same batches. Left out:
backing off when memory runs out.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from curation.config import Options
from curation.data.rows import Example, RowError
from curation.errors import ModelError
from curation.progress import Progress, Silent
from curation.similarity import Features

__all__ = ["Features", "Plan", "Representation", "Sink"]

SHARD_SIZE = 512


class Sink(Protocol):
    """Where shards go; a shard that it `has` is not computed again."""

    def has(self, shard: int) -> bool:
        """Whether the shard is stored whole."""

    def write(self, shard: int, ids: Sequence[str], values: Any) -> None:
        """Store a shard: float32 array (rows, C, d) or CSR matrix (rows, d), one row an id."""


@dataclass(frozen=True)
class Plan:
    """Which rows are computed together: shard → batch → indices into the examples it was made from.

    Attributes
    ----------
    role : str
        ``"pool"`` or ``"query"``.
    shards : tuple of tuple of tuple of int
        Shards of batches of example indices.
    rejected : tuple of (str, str)
        Id and reason of each row that can't be represented.
    """

    role: str
    shards: tuple[tuple[tuple[int, ...], ...], ...]
    rejected: tuple[tuple[str, str], ...] = ()

    def rows(self, shard: int) -> list[int]:
        """Return the indices of a shard's rows, in the order in which they are stored."""
        return [i for batch in self.shards[shard] for i in batch]

    def to_json(self, ids: Sequence[str]) -> str:
        """Write the plan with row ids in place of indices: `ids` are those of the examples it was made from."""
        shards = [[[ids[i] for i in batch] for batch in shard] for shard in self.shards]
        return json.dumps({"role": self.role, "shards": shards, "rejected": self.rejected})

    @classmethod
    def from_json(cls, text: str, ids: Sequence[str]) -> Plan:
        """Read what `to_json` wrote, for examples with these ids in any order."""
        data = json.loads(text)
        position = {row_id: i for i, row_id in enumerate(ids)}
        shards = tuple(tuple(tuple(position[i] for i in batch) for batch in shard) for shard in data["shards"])
        return cls(data["role"], shards, tuple((row_id, reason) for row_id, reason in data["rejected"]))


class Representation(ABC):
    """Base of all representations: `length` and `compute` are what a simple one has to give.

    Attributes
    ----------
    name : str
        Registry key.
    VERSION : int
        Raised whenever the same row and options give another feature; part of the key.
    needs_base_model, needs_warmup : bool
        Whether its options ask for the base model, and for the folder of LESS's warmup.
    """

    name: ClassVar[str]
    VERSION: ClassVar[int] = 1
    needs_base_model: ClassVar[bool] = False
    needs_warmup: ClassVar[bool] = False

    class Config(Options):
        """No options."""

    def __init__(self, config: Options) -> None:
        self.config = config

    @abstractmethod
    def key(self) -> dict[str, Any]:
        """Everything that a feature depends on besides its row: content hashes, options, version; never a path."""

    @abstractmethod
    def length(self, example: Example, role: str) -> int:
        """Return the row's length in tokens (or what stands for them); RowError if it can't be represented."""

    @abstractmethod
    def compute(self, examples: Sequence[Example], role: str) -> Any:
        """Return one batch's features: float32 (rows, C, d), or CSR (rows, d)."""

    @property
    def weights(self) -> npt.NDArray[np.float32]:
        """Weight of each checkpoint in the similarity, float32 (C,), sum 1."""
        return np.ones(1, dtype=np.float32)

    @property
    def batch_tokens(self) -> int:
        """Most padded tokens a batch (no bound here); a longer row makes a batch of its own."""
        return 2**62

    def plan(self, examples: Sequence[Example], role: str) -> Plan:
        """Fix which rows are computed together; rows that can't be represented are listed in `rejected`.

        Parameters
        ----------
        examples : sequence of Example
            Rows.
        role : {"pool", "query"}
            What they are.
        """
        lengths: list[tuple[int, int]] = []
        rejected: list[tuple[str, str]] = []
        for i, example in enumerate(examples):
            try:
                lengths.append((self.length(example, role), i))
            except RowError as error:
                rejected.append((example.id, error.reason))
        lengths.sort(key=lambda pair: (-pair[0], pair[1]))
        shards = [lengths[start : start + SHARD_SIZE] for start in range(0, len(lengths), SHARD_SIZE)]
        return Plan(role, tuple(_pack(shard, self.batch_tokens) for shard in shards), tuple(rejected))

    def stream(self, examples: Sequence[Example], plan: Plan, sink: Sink, progress: Progress | None = None) -> None:
        """Compute the plan's shards that the sink does not have, each written as soon as it is whole.

        Raises
        ------
        ModelError
            If a feature is not finite; the row is named.
        """
        progress = progress or Silent()
        missing = [number for number in range(len(plan.shards)) if not sink.has(number)]
        progress.start(f"{self.name}: {plan.role}", sum(len(plan.rows(number)) for number in missing))
        for number in missing:
            values = self.compute_shard(examples, plan, number, progress)
            ids = [examples[i].id for i in plan.rows(number)]
            _require_finite(values, ids)
            sink.write(number, ids, values)

    def compute_shard(self, examples: Sequence[Example], plan: Plan, number: int, progress: Progress) -> Any:
        """Return a shard's features, batch by batch."""
        parts = []
        for batch in plan.shards[number]:
            parts.append(self.compute([examples[i] for i in batch], plan.role))
            progress.advance(len(batch))
        if len(parts) == 1:
            return parts[0]
        return np.concatenate(parts)

    def join(self, pool: Features, query: Features) -> tuple[Features, Features]:
        """Return both as `similarity.compute` needs them; most representations change nothing here."""
        return pool, query

    def report(self) -> dict[str, Any]:
        """Return what a user should know about the features computed so far, as plain JSON."""
        return {}


def _pack(lengths: Sequence[tuple[int, int]], batch_tokens: int) -> tuple[tuple[int, ...], ...]:
    """Cut rows, longest first, into batches whose padded size stays within `batch_tokens`."""
    batches: list[list[int]] = []
    longest = 0
    for length, i in lengths:
        if not batches or (len(batches[-1]) + 1) * longest > batch_tokens:
            batches.append([])
            longest = length
        batches[-1].append(i)
    return tuple(tuple(batch) for batch in batches)


def _require_finite(values: Any, ids: Sequence[str]) -> None:
    """NaN sorts first in an argmax: refuse it where it is made, naming the row."""
    data = values if isinstance(values, np.ndarray) else values.data
    if np.isfinite(data).all():
        return
    dense = values if isinstance(values, np.ndarray) else values.toarray()
    bad = int(np.flatnonzero(~np.isfinite(dense).reshape(len(ids), -1).all(axis=1))[0])
    raise ModelError(
        f"the feature of row {ids[bad]} is not finite (NaN or infinite); try dtype float32, or ban the row"
    )
