"""What a representation costs on this machine, a batch at a time, from trials on the actual model and rows.

After one row to load the model, batches spread over the range of lengths are computed for some twenty seconds, each in
a shard that one short row opens: a shard's first batch does more than the others. Batches of rows cut short tell
what a row costs beside its tokens, so that rows shorter than those at hand can be priced as well. A trial is described
by what costs (`TERMS`), and non-negative least squares gives the seconds of each term; the plan of all rows is priced
by them. Left out: the writing of shards, which is a few percent at most.
"""

from __future__ import annotations

import dataclasses
import math
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from curation.errors import DataError
from curation.features_store import FeatureStore
from curation.memory import Peak, on_gpu, resident
from curation.progress import Progress, Silent

if TYPE_CHECKING:
    from curation.data.rows import Example, Message
    from curation.representations import Plan, Representation

SECONDS = 20.0  # of the trials, once the model is loaded
SPREAD = 0.15  # no prediction is said to be surer than this
# What a plan consists of, what tells most first: few trials tell few terms apart. The squares are attention's.
TERMS = ("padded tokens", "batches", "tokens", "rows", "rows × length²", "shards")
_TRIALS = 24
_CUT, _CUT_ROWS = 8, 128  # rows are cut to an eighth, and so many of them are
_WEIGHED = 128  # rows by which the size of sparse features is found
_HEADER = 128  # bytes at the head of an .npy file

Terms = npt.NDArray[np.float64]  # (len(TERMS),)
Batch = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Rates:
    """What one checkpoint's features of a representation cost on this machine.

    Attributes
    ----------
    coefficients, terms : float64 arrays (len(TERMS),)
        Seconds of each term, and how often each occurs a row.
    spread : float
        Root mean square of the relative errors with which each trial was foretold from the others, longer ones
        weighing more.
    start : float
        Seconds to load the model.
    planning : float
        Seconds to find a row's length.
    holding : float
        Seconds to take up the query set, for features that depend on it.
    width : int
        Numbers a row; 0 if sparse.
    row_bytes : float
        Bytes a row on disk.
    memory, held, gpu_memory : int
        Most bytes resident while the longest batch was computed; those of them that the query set takes; most bytes
        that torch held on the GPU.
    trials : int
        Batches tried.
    seconds : float
        Time that they took.
    """

    coefficients: Terms
    terms: Terms
    spread: float
    start: float
    planning: float
    holding: float
    width: int
    row_bytes: float
    memory: int
    held: int
    gpu_memory: int
    trials: int
    seconds: float

    @property
    def how(self) -> str:
        """How they were measured, in words."""
        return f"timed {self.trials} batches of your own rows with this model for {math.ceil(self.seconds)} s"

    def price(self, total: int, terms: Terms | None = None) -> float:
        """Seconds to compute `total` rows, like those tried or with other mean terms."""
        return total * (float((self.terms if terms is None else terms) @ self.coefficients) + self.planning)


def mean_terms(representation: Representation, examples: Sequence[Example], role: str) -> Terms:
    """Return how often each of `TERMS` occurs a row where `examples` are computed."""
    if not examples:
        return np.zeros(len(TERMS))
    plan = representation.plan(examples, role)
    return _terms(plan.shards, lambda i: representation.length(examples[i], role)) / len(examples)


def calibrate(
    representation: Representation,
    examples: Sequence[Example],
    role: str = "pool",
    *,
    queries: Sequence[Example] = (),
    seconds: float = SECONDS,
    progress: Progress | None = None,
) -> Rates:
    """Try a representation on a few batches of the rows.

    Parameters
    ----------
    representation : Representation
        Its model is loaded if it is not yet, and stays.
    examples : sequence of Example
        Rows like those that will be computed.
    role : {"pool", "query"}
        What they are.
    queries : sequence of Example
        The query set, for features that depend on it.
    seconds : float
        About how long the trials may take; one row is tried however long it takes.

    Raises
    ------
    DataError
        If none of the rows can be represented.
    ModelError
        If the model can't be loaded or does not fit into the memory.
    """
    progress = progress or Silent()
    progress.start("trying a few batches", _TRIALS, "trials")
    began = time.monotonic()
    representation.prepare(queries[:1])
    representation.plan(examples[:1], role)  # loads what lengths need
    loading, began = time.monotonic() - began, time.monotonic()
    plan = representation.plan(examples, role)
    planning = (time.monotonic() - began) / max(1, len(examples))
    if not plan.shards:
        reason = plan.rejected[0][1] if plan.rejected else "there is none"
        raise DataError(f"none of {len(examples)} rows can be represented (first: {reason}); choose other rows")
    cut = _cut(examples[:_CUT_ROWS])
    trials = _Trials(representation, [*examples, *cut], plan)
    short = [
        tuple(len(examples) + i for i in batch) for shard in representation.plan(cut, role).shards for batch in shard
    ]
    with tempfile.TemporaryDirectory() as folder, Peak() as peak:
        start, before = trials.run([]), resident()
        representation.prepare(queries)
        began, store = time.monotonic(), FeatureStore(Path(folder), role)
        store.fill(representation, [examples[i] for i in trials.shortest])
        holding = 0.0 if representation.rows_compare else time.monotonic() - began
        loaded, gpu, began = resident(), on_gpu(), time.monotonic()
        every = [batch for shard in plan.shards for batch in shard]
        trials.add([every[len(every) // 2][:1]])  # as long as most; a shorter one would tell of little but overhead
        for batches in _spread_out(every, short):
            left = seconds - (time.monotonic() - began)
            if left <= 0 or len(trials.seconds) >= _TRIALS:
                break
            if batches := trials.affordable(batches, left / 2):
                trials.add(batches)
                progress.advance()
        took = time.monotonic() - began
        width, row_bytes = _weigh(representation, store, examples)
    coefficients, spread = _fit(np.array(trials.terms), np.array(trials.seconds))
    return Rates(
        coefficients,
        _terms(plan.shards, trials.length) / len(examples),
        spread,
        start=loading + start,
        planning=planning,
        holding=holding,
        width=width,
        row_bytes=row_bytes,
        memory=round(loaded + max(0, peak.host - loaded) * trials.unseen),
        held=0 if representation.rows_compare else max(0, loaded - before),
        gpu_memory=round(gpu + max(0, peak.gpu - gpu) * trials.unseen),
        trials=len(trials.seconds),
        seconds=took,
    )


class _Trials:
    """Batches of a plan computed as shards of their own: what each consisted of, and how long it took."""

    def __init__(self, representation: Representation, examples: Sequence[Example], plan: Plan) -> None:
        self._representation, self._examples, self._plan = representation, examples, plan
        self.length = cache(lambda i: representation.length(examples[i], plan.role))
        self.shortest = plan.shards[-1][-1][-1:]
        self.terms: list[Terms] = []
        self.seconds: list[float] = []
        self._largest = 0.0  # padded tokens of a batch

    def run(self, batches: Sequence[Batch]) -> float:
        """Compute the shortest row and then the batches, as one shard; return the seconds that it took."""
        began = time.monotonic()
        plan = dataclasses.replace(self._plan, shards=((self.shortest, *batches),))
        self._representation.compute_shard(self._examples, plan, 0, Silent())
        return time.monotonic() - began

    def add(self, batches: Sequence[Batch]) -> None:
        """Compute the batches and keep how long it took."""
        self.seconds.append(self.run(batches))
        self._largest = max(self._largest, *(_terms([[batch]], self.length)[0] for batch in batches))
        self.terms.append(_terms([(self.shortest, *batches)], self.length))

    def affordable(self, batches: Sequence[Batch], seconds: float) -> Sequence[Batch]:
        """Return what of the batches can be computed in some seconds, if a token takes what it took in the largest."""
        most, took = max((terms[0], took) for terms, took in zip(self.terms, self.seconds, strict=True))
        tokens = most / took * seconds
        if _terms([batches], self.length)[0] <= tokens:
            return batches
        rows = batches[0][: int(tokens / self.length(batches[0][0]))]
        return [rows] if rows else []

    @property
    def unseen(self) -> float:
        """Padded tokens of the plan's longest batch over those of the largest tried, at least 1."""
        longest = _terms([self._plan.shards[0][:1]], self.length)[0]
        return float(max(1.0, longest / self._largest))


def _cut(examples: Sequence[Example]) -> list[Example]:
    """Return rows of their own with an eighth of every message."""

    def short(message: Message) -> Message:
        return dataclasses.replace(message, content=message.content[: len(message.content) // _CUT + 1])

    return [dataclasses.replace(row, id=f"{row.id} cut", messages=tuple(map(short, row.messages))) for row in examples]


def _spread_out(batches: Sequence[Batch], cut: Sequence[Batch]) -> Iterator[Sequence[Batch]]:
    """Yield what to try: the middle batch, the longest, three of rows cut short, three in a row, then others that halve
    the gaps, each once."""
    n = len(batches)
    halving = [(2 * i + 1) / 2**k for k in range(2, 6) for i in range(2 ** (k - 1))]
    tried = set()
    for trial, place in enumerate([0.5, 0.0, *halving]):
        if trial == 2:
            yield cut[:3]
            if n > 3:
                yield batches[2 * n // 3 :][:3]
        at = round(place * (n - 1))
        if at not in tried:
            tried.add(at)
            yield batches[at : at + 1]


def _terms(shards: Sequence[Sequence[Batch]], length: Callable[[int], int]) -> Terms:
    """Return how often each of `TERMS` occurs in some shards."""
    total = np.zeros(len(TERMS))
    for shard in shards:
        total[-1] += 1
        for batch in shard:
            lengths = [length(i) for i in batch]
            n, longest = len(batch), max(lengths)
            total[:-1] += (n * longest, 1, sum(lengths), n, n * longest**2)
    return total


def _weigh(representation: Representation, store: FeatureStore, examples: Sequence[Example]) -> tuple[int, float]:
    """Return numbers a row (0 if sparse) and bytes a row in the store; sparse rows differ, so some more are stored."""
    rows = [example for example in examples if not store.missing([example.id])]
    values = store.features([row.id for row in rows]).values
    width = int(np.prod(values.shape[1:])) if len(values.shape) > 2 else 0
    if not width:
        store.fill(representation, examples[:_WEIGHED])
        rows = [example for example in examples[:_WEIGHED] if not store.rejected([example.id])]
    size = sum(path.stat().st_size - _HEADER for path in store.folder.rglob("*.npy"))
    return width, size / len(rows)


def _fit(terms: npt.NDArray[np.float64], seconds: npt.NDArray[np.float64]) -> tuple[Terms, float]:
    """Return the seconds of each term, and how far off each trial is foretold by the others.

    Parameters
    ----------
    terms : array (n_trials, len(TERMS))
        What each trial consisted of.
    seconds : array (n_trials,)
        How long each took.
    """
    from scipy.optimize import nnls

    used = np.arange(len(TERMS))[: max(1, len(seconds) // 2)]

    def solve(rows: npt.NDArray[np.bool_]) -> Terms:
        weight = 1 / np.sqrt(seconds[rows])  # what disturbs a trial grows with the time that it takes
        left = terms[rows][:, used] * weight[:, None]
        scale = left.max(axis=0)  # the terms differ by orders of magnitude
        found = np.zeros(len(TERMS))
        found[used] = nnls(left / scale, seconds[rows] * weight)[0] / scale
        return found

    every = np.ones(len(seconds), dtype=np.bool_)
    if len(seconds) < 3:
        return solve(every), 2 * SPREAD
    errors = []
    for i in range(len(seconds)):
        others = every.copy()
        others[i] = False
        errors.append(terms[i] @ solve(others) / seconds[i] - 1)
    return solve(every), float(np.sqrt(np.average(np.square(errors), weights=seconds)))
