"""What a representation will cost, told before it is computed: seconds, memory and disk, on this machine and data.

`predict` prices rows by a calibration on the actual model and rows (`curation.calibration`). `estimate` does that for a
workspace: it counts only what is not stored yet, prices LESS by one checkpoint for all of them, and tries a warmup that
is not trained yet for a few steps, whose checkpoint then stands in for it. The map is priced by rule of thumb. Left
out: the download of a model, and how much a first stage's rows differ from the whole pool's.
"""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from curation.calibration import SECONDS, SPREAD, Rates, calibrate, mean_terms
from curation.config import ModelConfig, RepresentationConfig, WarmupConfig
from curation.memory import free, free_on_gpu, resident
from curation.progress import Progress, Silent
from curation.representing import key_of_features, key_of_warmup, keys_of, options_of
from curation.workspace import Workspace

if TYPE_CHECKING:
    from curation.data.rows import Example
    from curation.representations import Representation

SAMPLE = 2_048  # rows whose lengths are taken; they stand for the others
_WARMUP_SAMPLE = 512
_WARMUP_SPREAD, _MAP_SPREAD = 0.3, 0.5
_ROW_BYTES = 1_200  # of an example in memory, beside its text
_MAP_BYTES = 16 + 8 * 15  # a pool row: position and twin group, 15 neighbours and how near they are
# By rule of thumb, in seconds: reading a number; compiling the map's loops and each row's layout; keeping the nearer of
# two rows. Then the dimensions that `neighbours` narrows wide features to, and the memory of the compiler.
_READ, _MAP_START, _MAP_ROW, _MAP_PAIR = 4e-9, 5.0, 0.0003, 2e-9
_NARROW, _COMPILER_BYTES = 512, 200 * 10**6


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
        return cls(**{k: v for k, v in data.items() if k != "seconds"} | {"warnings": tuple(data["warnings"])})


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
    parts = {"loading the model": rates.start, "pool rows": rates.price(total) / _devices(representation)}
    low, high = _range(parts, rates)
    disk = round(total * rates.row_bytes)
    return Cost(parts, low, high, rates.memory, rates.gpu_memory, disk, total, 0, rates.how)


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
        As `represent`, where that would fail before it has computed much: no base model, no row that can be used, a
        model that does not fit into the memory.
    """
    from curation import representations

    progress = progress or Silent()
    options = options_of(config, model)
    asked = ws.examples(queries)
    parts: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as scratch:
        tried = _Warmup()
        if representations.REGISTRY.load(config.name).needs_warmup and model is not None:
            tried = _warmup(ws, pool, model, warmup or WarmupConfig(), Path(scratch), progress)
            options["warmup"] = str(tried.folder)
            parts["the warmup"] = tried.seconds
        if config.first_stage:
            cheap = RepresentationConfig(name=config.first_stage.name)
            first = estimate(ws, pool, queries, cheap, model=model, draw_map=False, progress=progress)
            parts["the first stage"] = first.seconds
        todo = _Todo.of(ws, pool, queries, config, _features_key(config.name, options, asked, tried), draw_map=draw_map)
        if todo.done:
            return Cost({}, 0.0, 0.0, 0, 0, 0, 0, todo.n_compared + len(asked), "it is computed already")
        one = representations.create(config.name, **options)
        rates = None
        if role := "pool" if todo.new["pool"] else "query" if todo.new["query"] else "":
            rows = _sample(ws, pool if role == "pool" else queries, todo.new[role])
            rates = calibrate(one, rows, role, queries=asked, progress=progress)
            parts |= _features_parts(todo, rates, one, asked, tried.checkpoints)
        size = _Size.of(todo, rates, tried, one, _stored_width(ws, todo, queries))
        parts["similarity and map" if todo.draws else "similarity"] = _afterwards(todo, size.width)
    low, high = _range(parts, rates)
    return Cost(
        parts,
        low,
        high,
        memory=size.memory + int(sum(ws.column(pool, "n_chars"))) + _ROW_BYTES * todo.n_pool,
        gpu_memory=size.gpu_memory,
        disk=size.disk,
        rows=todo.n_new + len(todo.new["query"]),
        reused=todo.n_compared - todo.n_new + len(asked) - len(todo.new["query"]),
        how=rates.how if rates else "all features are stored already, so nothing was timed",
        warnings=_warnings(ws, size),
    )


def _features_parts(
    todo: _Todo, rates: Rates, one: Representation, asked: Sequence[Example], checkpoints: int
) -> dict[str, float]:
    """Seconds of the stages that compute features, at all checkpoints."""
    queries = rates.holding  # exact features of queries cost nothing else
    if one.rows_compare:
        queries = rates.price(len(todo.new["query"]), mean_terms(one, asked, "query"))
    pool = rates.price(todo.n_new) / _devices(one)
    return {"loading the model": rates.start, "queries": queries * checkpoints, "pool rows": pool * checkpoints}


@dataclass(frozen=True)
class _Todo:
    """What of a representation is not there yet; `features` is the key of its stores, empty where not known yet."""

    features: str
    new: dict[str, list[str]]  # role → ids without features
    n_pool: int
    n_compared: int  # pool rows that a first stage lets through
    n_queries: int
    draws: bool
    done: bool = False  # whether all is there

    @classmethod
    def of(
        cls, ws: Workspace, pool: str, queries: str, config: RepresentationConfig, features: str, *, draw_map: bool
    ) -> Self:
        """Look into the workspace."""
        new = {"query": ws.ids(queries), "pool": ws.ids(pool)}
        n_queries, n_pool = map(len, new.values())
        n_compared = n_pool
        if config.first_stage:
            n_compared = min(n_pool, max(1, round(config.first_stage.keep * n_pool)) + config.first_stage.audit)
        key, drawn = keys_of(ws, features, pool, queries, config.first_stage)
        if features:
            draw_map = draw_map and ws.find("map", drawn.map) is None
            new = {role: ws.feature_store(features, role).missing(ids) for role, ids in new.items()}
        done = bool(features) and ws.find("representation", key) is not None and not draw_map
        return cls(features, new, n_pool, n_compared, n_queries, draw_map, done)

    @property
    def n_new(self) -> int:
        """How many pool rows are to be computed; what a first stage lets through is taken to be like the rest."""
        return round(len(self.new["pool"]) * self.n_compared / max(1, self.n_pool))


@dataclass(frozen=True)
class _Warmup:
    """A warmup as far as it is there: what training it costs, and a folder with one of its `checkpoints`.

    That one is the last of `trained`, or what a few steps made where none is.
    """

    folder: Path = Path()
    trained: Path | None = None
    checkpoints: int = 1
    seconds: float = 0.0
    disk: int = 0
    memory: int = 0
    gpu_memory: int = 0


def _warmup(
    ws: Workspace, pool: str, model: ModelConfig, config: WarmupConfig, scratch: Path, progress: Progress
) -> _Warmup:
    """Find the trained warmup, or try a few steps of it."""
    found = ws.find("warmup", key_of_warmup(pool, model, config))
    if found is not None:
        checkpoints = sorted(found.glob("checkpoint-*[0-9]"), key=lambda path: int(path.name.rpartition("-")[2]))
        (scratch / "one").mkdir()
        (scratch / "one" / "checkpoint-1").symlink_to(checkpoints[-1].resolve(), target_is_directory=True)
        return _Warmup(scratch / "one", found, len(checkpoints))
    from curation.training.trial import try_warmup

    ids = ws.ids(pool)
    n_rows = max(1, round(config.share * len(ids)))
    progress.start("trying a few steps of the warmup", 0, "steps")
    told = try_warmup(model, _sample(ws, pool, ids, min(n_rows, _WARMUP_SAMPLE)), config, scratch, n_rows=n_rows)
    return _Warmup(scratch, None, told.checkpoints, told.seconds, told.disk, told.memory, told.gpu_memory)


def _features_key(name: str, options: dict[str, Any], asked: Sequence[Example], tried: _Warmup) -> str:
    """Return the key of the feature stores, empty where it depends on a warmup that is not trained."""
    from curation import representations

    if representations.REGISTRY.load(name).needs_warmup:
        if tried.trained is None:
            return ""
        options = options | {"warmup": str(tried.trained)}
    whole = representations.create(name, **options)
    whole.prepare(asked)
    return key_of_features(whole)


def _sample(ws: Workspace, dataset: str, ids: Sequence[str], n: int = SAMPLE) -> list[Example]:
    """Return at most `n` of the rows of these ids, drawn at random."""
    wanted = set(ids)
    positions = [i for i, row_id in enumerate(ws.ids(dataset)) if row_id in wanted]
    chosen = np.random.default_rng(0).permutation(positions)[:n]
    return ws.some(dataset, chosen.tolist())


@dataclass(frozen=True)
class _Size:
    """Numbers a pool row's features have, and bytes: most held in main memory and on the GPU, and written to disk."""

    width: int
    memory: int
    gpu_memory: int
    disk: int

    @classmethod
    def of(cls, todo: _Todo, rates: Rates | None, tried: _Warmup, one: Representation, width: int) -> Self:
        """Add up what is held while features are computed, and then while they are compared."""
        from curation.representations.base import SHARD_SIZE

        copies = tried.checkpoints if one.rows_compare else 1
        similarity = 4 * todo.n_queries * todo.n_pool
        disk = similarity + tried.disk + _MAP_BYTES * todo.n_pool * todo.draws
        computing, gpu_memory = tried.memory, tried.gpu_memory
        if rates is not None:
            width = rates.width * copies
            disk += round((todo.n_new + len(todo.new["query"])) * rates.row_bytes * copies)
            shard = 3 * 4 * SHARD_SIZE * width  # float32: the batches, the whole, and what is written of it
            computing = max(computing, rates.memory + rates.held * (tried.checkpoints - 1) + shard)
            gpu_memory = max(gpu_memory, rates.gpu_memory)
        comparing = resident() + 2 * similarity
        if todo.draws:
            comparing += _COMPILER_BYTES + 2 * 4 * todo.n_compared * min(width, _NARROW)
        return cls(width, max(computing, comparing), gpu_memory, disk)


def _stored_width(ws: Workspace, todo: _Todo, queries: str) -> int:
    """Return how many numbers a stored feature has; 0 if it is sparse, or none is stored."""
    ids = ws.ids(queries)[:1]
    if not todo.features or todo.new["query"] or not ids:
        return 0
    shape = ws.feature_store(todo.features, "query").features(ids).values.shape
    return int(np.prod(shape[1:])) if len(shape) > 2 else 0


def _devices(representation: Representation) -> int:
    """Number of devices among which pool rows are shared out."""
    from curation import engines

    return len(engines.devices(representation)) if representation.device == "cuda" else 1


def _afterwards(todo: _Todo, width: int) -> float:
    """Seconds to compare features and to draw the map, by rule of thumb and the speed of a matrix product."""
    x = np.ones((1024, 1024), dtype=np.float32)
    seconds = []
    for _ in range(3):
        began = time.monotonic()
        x @ x
        seconds.append(time.monotonic() - began)
    n, product = todo.n_compared, min(seconds) / 1024**3  # seconds a multiply-and-add
    total = n * width * (todo.n_queries * product + _READ)
    if todo.draws:
        narrow = n * width * _NARROW * product if width > _NARROW else 0.0
        pair = min(width, _NARROW) * product + _MAP_PAIR
        total += _MAP_START + n * _MAP_ROW + 2 * narrow + n * n / 2 * pair
    return total


def _range(parts: dict[str, float], rates: Rates | None) -> tuple[float, float]:
    """Seconds between which the sum of the parts is expected."""
    surely = {"the warmup": _WARMUP_SPREAD, "similarity and map": _MAP_SPREAD}
    known = min(0.9, max(SPREAD, rates.spread if rates else 0.0))
    error = sum(seconds * surely.get(stage, known) for stage, seconds in parts.items())
    return max(0.0, sum(parts.values()) - error), sum(parts.values()) + error


def _warnings(ws: Workspace, size: _Size) -> tuple[str, ...]:
    """Say what will not fit."""
    told = []
    room = free()
    if size.memory > room:
        told.append(
            f"It needs about {size.memory / 1e9:.1f} GB of memory and {room / 1e9:.1f} GB are free: choose a smaller "
            "model, a shorter longest conversation or fewer tokens a batch, or close other programs."
        )
    if size.gpu_memory:
        room = free_on_gpu()
        if size.gpu_memory > room:
            told.append(
                f"Its batches need about {size.gpu_memory / 1e9:.1f} GB on the GPU and {room / 1e9:.1f} GB are free: "
                "they will be cut smaller, which takes longer."
            )
    room = shutil.disk_usage(ws.root).free
    if size.disk > room:
        told.append(
            f"It writes about {size.disk / 1e9:.1f} GB and the workspace's disk has {room / 1e9:.1f} GB free: free "
            "some space, or choose fewer dimensions or a smaller storage."
        )
    return tuple(told)
