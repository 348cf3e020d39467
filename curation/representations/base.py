"""What every representation shares: its key, the batch plan fixed before the first shard, and the stream of shards.

A plan packs rows of similar length into batches of bounded tokens, longest first so that a lack of memory shows at
once. Batches never cross shards, so a resumed run, which skips whole shards, computes the same batches. A batch for
which memory does not suffice is halved until it does, with the same features to rounding.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from curation.config import Options, option
from curation.data.rows import Example, RowError
from curation.errors import ModelError
from curation.progress import Progress, Silent
from curation.similarity import Features

__all__ = ["Features", "Plan", "Representation", "Sink"]

SHARD_SIZE = 512
_Row = TypeVar("_Row")


def storage_option() -> Any:
    """Declare the option that says how pool features are kept."""
    return option(
        "float16",
        "How pool features are kept: int8 takes half of float16, 1-bit a sixteenth, each a little coarser.",
        choices=("float16", "int8", "1-bit"),
    )


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
        self._parts = 1  # into how many a batch is cut for lack of memory
        self.prepare(())

    def prepare(self, queries: Sequence[Example]) -> None:
        """Take the query set before anything else is asked; only features that depend on it make use of it."""
        self.queries = tuple(queries)

    def __reduce__(self) -> tuple[Any, ...]:
        """Cross to another process without what was loaded here."""
        return _again, (type(self), self.config, self.queries)

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
    def storage(self) -> str:
        """How pool features are kept: "float16", "float32", "int8" or "1-bit"."""
        return str(getattr(self.config, "storage", "float16"))

    @property
    def device(self) -> str:
        """Where it runs: ``"cpu"`` or ``"cuda"``."""
        return "cpu"

    @property
    def rows_compare(self) -> bool:
        """Whether the features of two pool rows tell how near the two are."""
        return True

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
            sink.write(number, [examples[i].id for i in plan.rows(number)], values)

    def compute_shard(self, examples: Sequence[Example], plan: Plan, number: int, progress: Progress) -> Any:
        """Return a shard's features; ModelError if one is not finite."""
        batches = [[examples[i] for i in batch] for batch in plan.shards[number]]
        values = self.compute_batches(batches, plan.role, progress)
        _require_finite(values, [examples[i].id for i in plan.rows(number)])
        return values

    def compute_batches(self, batches: Sequence[Sequence[Example]], role: str, progress: Progress) -> Any:
        """Return the features of a shard's batches, in order."""
        parts = []
        for batch in batches:
            parts.append(self.split(batch, lambda rows: self.compute(rows, role), progress))
            progress.advance(len(batch))
        return _joined(parts)

    def split(self, rows: Sequence[_Row], compute: Callable[[Sequence[_Row]], Any], progress: Progress) -> Any:
        """Return `compute` of the rows, in as many parts as memory asks for.

        Raises
        ------
        ModelError
            If there is no memory for one row alone.
        """
        while True:
            size = -(-len(rows) // self._parts)
            try:
                parts = [compute(rows[start : start + size]) for start in range(0, len(rows), size)]
            except (RuntimeError, MemoryError) as error:
                if not _out_of_memory(error):
                    raise
                if size == 1:
                    raise ModelError(
                        "memory does not suffice for one row alone; lower max_length, choose dtype bfloat16 or a "
                        "smaller model, or free memory"
                    ) from error
            else:
                return _joined(parts)
            self._parts *= 2
            progress.log(f"memory did not suffice for {size} rows at once; going on with {-(-size // 2)}")
            _free()

    def join(self, pool: Features, query: Features) -> tuple[Features, Features]:
        """Return both as `similarity.compute` needs them; most representations change nothing here."""
        return pool, query

    def report(self) -> dict[str, Any]:
        """Return what a user should know about the features computed so far, as plain JSON."""
        return {}


def _again(method: type[Representation], config: Options, queries: Sequence[Example]) -> Representation:
    made = method(config)
    made.prepare(queries)
    return made


def _joined(parts: Sequence[Any]) -> Any:
    if len(parts) == 1:
        return parts[0]
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    from scipy.sparse import vstack

    return vstack(parts, format="csr")


def _out_of_memory(error: BaseException) -> bool:
    """Whether a device, or this machine, had no memory left; torch has an error of its own for GPUs only."""
    import torch

    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def _free() -> None:
    """Give back what a failed batch left behind."""
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


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
