"""What a representation will cost, told before it is computed: seconds, memory and disk, measured on model and rows.

A calibration does the very work on a few batches of the actual rows, in a feature store that is thrown away: one row to
load the model, then batches spread over the range of lengths, for some twenty seconds. Each trial is described by what
costs (`TERMS`); non-negative least squares on relative errors gives the seconds of each term, and the plan of all rows
is priced by them. LESS is tried on one checkpoint and counted for all; a warmup that is not trained yet is tried for a
few steps, whose checkpoint then stands in for it. Left out: several GPUs, and the download of a model.
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from curation.config import ModelConfig, RepresentationConfig, WarmupConfig
from curation.errors import DataError
from curation.features_store import MEMORY_BYTES, FeatureStore
from curation.memory import Peak, resident
from curation.progress import Progress, Silent
from curation.workspace import Workspace, content_key

if TYPE_CHECKING:
    from curation.data.rows import Example
    from curation.representations import Plan, Representation

SECONDS = 20.0  # of a calibration, once the model is loaded
# What a plan consists of, what tells most first: few trials tell few terms apart. The squares are attention's.
TERMS = ("padded tokens", "batches", "tokens", "rows", "rows × length²", "shards")
SAMPLE = 2_048  # rows whose lengths are taken; they stand for the others
_TRIALS = 24
_SPREAD = 0.15  # a prediction is never said to be surer than this
_WARMUP_SPREAD, _MAP_SPREAD = 0.3, 0.5
_WARMUP_STEPS, _STEP_SECONDS = 4, 2.0
_EFFICIENCY = 0.4  # of a training step against a bare matrix product; decides the size of a trial step only
_MAP_START, _MAP_ROW = 20.0, 0.0016  # seconds on one core of 2 GHz: UMAP's own compilation, and each row


@dataclass(frozen=True)
class Cost:
    """What computing a representation will take.

    Attributes
    ----------
    parts : dict of str to float
        Stage → seconds, in order.
    low, high : float
        Seconds between which the whole is expected.
    memory, gpu_memory : int
        Most bytes held at once, in main memory and on the GPU.
    disk : int
        Bytes that will be written and stay.
    rows, reused : int
        Pool rows and queries to be computed, and those whose features are stored already.
    how : str
        How it was measured, in words.
    warnings : tuple of str
        What will not fit.
    """

    parts: dict[str, float]
    low: float
    high: float
    memory: int
    gpu_memory: int
    disk: int
    rows: int
    reused: int
    how: str
    warnings: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """Seconds of the whole."""
        return sum(self.parts.values())

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {"seconds": self.seconds, **dataclasses.asdict(self), "warnings": list(self.warnings)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Build from what `to_dict` gave."""
        known = {name: value for name, value in data.items() if name != "seconds"}
        return cls(**known | {"warnings": tuple(data["warnings"])})


# ----------------------------------------------------------------------------------------------------- calibration


@dataclass(frozen=True, eq=False)
class Rates:
    """What one checkpoint's features of a representation cost on this machine.

    Attributes
    ----------
    coefficients : float64 array (len(TERMS),)
        Seconds of each term.
    spread : float
        Root mean square of the relative errors with which each trial was foretold from the others, longer ones
        weighing more.
    start : float
        Seconds to load the model.
    width, row_bytes : int
        Numbers a row (0 if sparse), and bytes a row on disk.
    memory, gpu_memory : int
        Most bytes held while the longest batch was computed.
    trials : int
        Batches tried.
    seconds : float
        Time that the trials took.
    """

    coefficients: npt.NDArray[np.float64]
    spread: float
    start: float
    width: int
    row_bytes: int
    memory: int
    gpu_memory: int
    trials: int
    seconds: float

    @property
    def how(self) -> str:
        """How they were measured, in words."""
        return f"timed {self.trials} batches of your own rows with this model, {self.seconds:.0f} s"

    def price(self, representation: Representation, examples: Sequence[Example], role: str, total: int) -> float:
        """Seconds to compute `total` rows, for which `examples` stand."""
        found = _terms(representation, examples, representation.plan(examples, role)) * (total / max(1, len(examples)))
        return float(found @ self.coefficients)


def calibrate(
    representation: Representation,
    examples: Sequence[Example],
    role: str = "pool",
    *,
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
    began = time.monotonic()
    representation.plan(examples[:1], role)  # loads what lengths need
    start = time.monotonic() - began
    plan = representation.plan(examples, role)
    if not plan.shards:
        reason = plan.rejected[0][1] if plan.rejected else "there is none"
        raise DataError(f"none of {len(examples)} rows can be represented (first: {reason}); choose other rows")
    progress.start("trying a few batches", _TRIALS, "trials")
    batches = [batch for shard in plan.shards for batch in shard]
    shortest = [examples[batches[-1][-1]]]
    trials: list[_Trial] = []
    with tempfile.TemporaryDirectory() as folder, Peak() as peak:
        start += _Trial.run(representation, shortest, role, Path(folder, "start")).seconds
        loaded = resident()
        began = time.monotonic()
        for rows in _spread_out(batches):
            chosen = [examples[i] for i in rows]
            if trials:
                left = seconds - (time.monotonic() - began)
                chosen = chosen[: trials[-1].affordable(left / 2, representation.length(chosen[0], role))]
                if left <= 0 or len(trials) >= _TRIALS:
                    break
            if chosen:
                trials.append(_Trial.run(representation, chosen, role, Path(folder, str(len(trials)))))
                progress.advance()
        width, row_bytes = max(trials, key=lambda trial: len(trial.ids)).weigh(role)
    # Where the longest batch was more than the time allowed, what was held is scaled up to it.
    longest = len(batches[0]) * representation.length(examples[batches[0][0]], role)
    scale = max(1.0, longest / max(trial.padded for trial in trials))
    coefficients, spread = _fit(np.array([t.terms for t in trials]), np.array([t.seconds for t in trials]))
    return Rates(
        coefficients,
        spread,
        start,
        width,
        row_bytes,
        memory=round(loaded + max(0, peak.host - loaded) * scale),
        gpu_memory=round(peak.gpu * scale),
        trials=len(trials),
        seconds=time.monotonic() - began,
    )


@dataclass(frozen=True, eq=False)
class _Trial:
    """Some rows computed and stored as one shard: what they consist of, and how long it took."""

    terms: npt.NDArray[np.float64]
    seconds: float
    ids: tuple[str, ...]
    folder: Path

    @classmethod
    def run(cls, representation: Representation, rows: Sequence[Example], role: str, folder: Path) -> Self:
        """Compute and store the rows."""
        began = time.monotonic()
        FeatureStore(folder, role).fill(representation, rows)
        seconds = time.monotonic() - began
        terms = _terms(representation, rows, representation.plan(rows, role))
        return cls(terms, seconds, tuple(row.id for row in rows), folder)

    @property
    def padded(self) -> float:
        """Padded tokens."""
        return float(self.terms[0])

    def affordable(self, seconds: float, length: int) -> int:
        """How many rows of a length can be computed in some seconds, if a token takes what it took here."""
        return int(self.padded / self.seconds * seconds / max(1, length))

    def weigh(self, role: str) -> tuple[int, int]:
        """Numbers a row (0 if sparse), and bytes a row on disk."""
        values = FeatureStore(self.folder, role).features(self.ids).values
        size = sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())
        return int(np.prod(values.shape[1:])) if len(values.shape) > 2 else 0, size // len(self.ids)


def _spread_out(batches: Sequence[Sequence[int]]) -> Iterator[Sequence[int]]:
    """Yield rows to try: the shortest alone, the middle batch, the longest, some batches as one shard, then others
    that halve the gaps; a batch once."""
    n = len(batches)
    yield batches[-1][-1:]
    halving = [(2 * i + 1) / 2**k for k in range(2, 6) for i in range(2 ** (k - 1))]
    tried = set()
    for trial, place in enumerate([0.5, 0.0, *halving]):
        if trial == 2 and n > 3:
            yield [row for batch in batches[2 * n // 3 :][:3] for row in batch]
        at = round(place * (n - 1))
        if at not in tried:
            tried.add(at)
            yield batches[at]


def _terms(representation: Representation, examples: Sequence[Example], plan: Plan) -> npt.NDArray[np.float64]:
    """Return how often each of `TERMS` occurs in the plan, (len(TERMS),)."""
    total = np.zeros(len(TERMS))
    for shard in plan.shards:
        total[-1] += 1
        for batch in shard:
            lengths = [representation.length(examples[i], plan.role) for i in batch]
            n, longest = len(batch), max(lengths)
            total[:-1] += (n * longest, 1, sum(lengths), n, n * longest**2)
    return total


def _fit(terms: npt.NDArray[np.float64], seconds: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], float]:
    """Return the seconds of each term, (len(TERMS),), and how far off each trial is foretold by the others.

    Parameters
    ----------
    terms : array (n_trials, len(TERMS))
        What each trial consisted of.
    seconds : array (n_trials,)
        How long each took.
    """
    from scipy.optimize import nnls

    used = np.arange(len(TERMS))[: max(1, len(seconds) // 2)]

    def solve(rows: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
        weight = 1 / np.sqrt(seconds[rows])  # what disturbs a trial grows with the time that it takes
        left = terms[rows][:, used] * weight[:, None]
        scale = left.max(axis=0)  # the terms differ by orders of magnitude
        found = np.zeros(len(TERMS))
        found[used] = nnls(left / scale, seconds[rows] * weight)[0] / scale
        return found

    every = np.ones(len(seconds), dtype=np.bool_)
    if len(seconds) < 3:
        return solve(every), 2 * _SPREAD
    errors = []
    for i in range(len(seconds)):
        others = every.copy()
        others[i] = False
        errors.append(terms[i] @ solve(others) / seconds[i] - 1)
    return solve(every), float(np.sqrt(np.average(np.square(errors), weights=seconds)))


# ------------------------------------------------------------------------------------------------------- prediction


def predict(
    representation: Representation,
    examples: Sequence[Example],
    *,
    total: int | None = None,
    seconds: float = SECONDS,
    progress: Progress | None = None,
) -> Cost:
    """Foretell what computing pool rows takes, the loading of the model included.

    Parameters
    ----------
    representation : Representation
        What is computed.
    examples : sequence of Example
        The rows, or a sample of them.
    total : int, optional
        How many rows there are, where `examples` is a sample.
    seconds : float
        About how long the calibration may take.

    Raises
    ------
    DataError, ModelError
        As `calibrate`.
    """
    total = len(examples) if total is None else total
    rates = calibrate(representation, examples, seconds=seconds, progress=progress)
    work = rates.price(representation, examples, "pool", total)
    surely = min(1.0, max(_SPREAD, rates.spread))
    return Cost(
        {"loading the model": rates.start, "pool rows": work},
        low=(rates.start + work) * (1 - surely),
        high=(rates.start + work) * (1 + surely),
        memory=rates.memory,
        gpu_memory=rates.gpu_memory,
        disk=total * rates.row_bytes,
        rows=total,
        reused=0,
        how=rates.how,
    )


def estimate(
    ws: Workspace,
    pool: str,
    queries: str,
    config: RepresentationConfig,
    *,
    model: ModelConfig | None = None,
    warmup: WarmupConfig | None = None,
    draw_map: bool = True,
    progress: Progress | None = None,
) -> Cost:
    """Foretell what `curation.representing.represent` will take, given what the workspace has already.

    Parameters
    ----------
    ws, pool, queries, config, model, warmup, draw_map, progress
        As `represent` takes them.

    Raises
    ------
    CurationError
        As `represent`, where that would fail before it computes anything: no base model, no row that can be used, a
        model that does not fit into the memory.
    """
    from curation import representations
    from curation.representing import options_of

    progress = progress or Silent()
    n_pool, n_queries = len(ws.ids(pool)), len(ws.ids(queries))
    options = options_of(config, model)
    with tempfile.TemporaryDirectory() as scratch:
        learned = _Warmup()
        if representations.REGISTRY.load(config.name).needs_warmup and model is not None:
            learned = _warmup(ws, pool, model, warmup or WarmupConfig(), Path(scratch), progress)
            options["warmup"] = str(learned.one)
        key = _features_key(ws, config.name, options, queries, learned.trained)
        new = {
            role: ws.feature_store(key, role).missing(ws.ids(dataset)) if key else ws.ids(dataset)
            for role, dataset in (("query", queries), ("pool", pool))
        }
        representation = representations.create(config.name, **options)
        rows = {role: _sample(ws, dataset, new[role]) for role, dataset in (("query", queries), ("pool", pool))}
        main = "pool" if rows["pool"] else "query"
        began = time.monotonic()
        representation.prepare(ws.examples(queries))
        parts = {"warmup": learned.seconds, "queries": (time.monotonic() - began) * learned.checkpoints}
        rates = calibrate(representation, rows[main], main, progress=progress) if rows[main] else None
        if rates is not None:
            parts["loading the model"] = rates.start
            for role, stage in (("query", "queries"), ("pool", "pool rows")):
                one = rates.price(representation, rows[role], role, len(new[role]))
                parts[stage] = parts.get(stage, 0.0) + one * learned.checkpoints
