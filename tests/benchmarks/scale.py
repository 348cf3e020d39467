"""The full real pool through the pipeline: memory, rate from first to last, and what new queries cost afterwards."""

from __future__ import annotations

import json
import multiprocessing
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from curation import pipeline
from curation.config import ModelConfig, RepresentationConfig, WarmupConfig
from curation.progress import Silent
from tests.benchmarks.measure import SCHEDULE, SHARED, TINY, Bench, Figure

MODEL = ModelConfig(name=str(TINY), device="cpu")
SHARE = 0.005  # of the pool, for the warmup


class Clock(Silent):
    """Notes when how many rows of the last stage were done."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.done: list[int] = []

    def start(self, stage: str, total: int, unit: str = "examples") -> None:  # noqa: ARG002
        """Begin to count anew."""
        self.times, self.done = [time.perf_counter()], [0]

    def advance(self, n: int = 1, **metrics: float) -> None:  # noqa: ARG002
        """Note the time."""
        self.times.append(time.perf_counter())
        self.done.append(self.done[-1] + n)


def pool37k(bench: Bench) -> tuple[list[Figure], list[str]]:
    """LESS features of 37,408 rows with one checkpoint, then 100 new queries, then one."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as apart:  # its memory is not counted
        pool, lengths = apart.submit(_prepare, bench).result()
    first, hundred, one = (bench.load(path, "query") for path in _query_files(bench))
    clock = Clock()
    started = time.perf_counter()
    _represent(bench, pool, first, clock)
    whole = time.perf_counter() - started
    tokens = np.concatenate([[0], np.cumsum(np.sort(lengths)[::-1])])[clock.done]  # the plan is longest first
    early, late = (_rate(np.array(clock.times), tokens, *span) for span in ((0.0, 0.1), (0.9, 1.0)))
    rows = np.array(clock.done)
    rows_early, rows_late = (_rate(np.array(clock.times), rows, *span) for span in ((0.0, 0.1), (0.9, 1.0)))
    took = []
    for queries in (hundred, one):
        started = time.perf_counter()
        _represent(bench, pool, queries, Silent())
        took.append(time.perf_counter() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    n = len(lengths)
    figures = [
        Figure(f"{n:,} rows: peak memory", "GB", peak, None, 3.0, "≤ 3 GB", higher=False),
        Figure(f"{n:,} rows: last tenth of the tokens", "tokens/s", late, early, 0.9 * early, "≥ 0.9 × first tenth"),
        Figure(f"{n:,} rows: 100 new queries", "s", took[0], None, 15.0, "≤ 15 s", higher=False),
        Figure(f"{n:,} rows: one new query", "s", took[1], None, 3.0, "≤ 3 s", higher=False),
    ]
    words = (
        f"{n:,} rows, {int(lengths.sum()):,} tokens, tiny-lm, 1 checkpoint, d = 8192: {whole:,.0f} s in all, "
        f"{n / whole:.1f} examples/s, {lengths.sum() / whole:,.0f} tokens/s. In examples/s: {rows_early:.1f} in the "
        f"first tenth of the rows, which are the longest, {rows_late:.1f} in the last. New queries are timed from data "
        "set to stored similarity, the model's loading included."
    )
    return figures, [words]


def _prepare(bench: Bench) -> tuple[str, np.ndarray]:
    """Load the pool, train the warmup; return the pool's key and its rows' tokens."""
    pool = bench.pool("pool")
    bench.checkpoint(TINY, SHARE, "pool")
    return pool, np.array(pipeline.tokens(bench.ws, pool, MODEL))


def _query_files(bench: Bench) -> tuple[Path, Path, Path]:
    """The gsm8k queries, and 100 and 1 rows of its tests as queries never seen before."""
    lines = (SHARED / "data" / "tests" / "gsm8k.jsonl").read_text("utf-8").split("\n")
    rows = [{k: json.loads(line)[k] for k in ("id", "prompt", "response")} for line in lines[:101]]
    made = (bench.cache / "hundred.jsonl", bench.cache / "one.jsonl")
    for path, part in zip(made, (rows[:100], rows[100:]), strict=True):
        path.write_text("".join(json.dumps(row) + "\n" for row in part), "utf-8")
    return SHARED / "data" / "queries" / "gsm8k.jsonl", *made


def _represent(bench: Bench, pool: str, queries: str, progress: Silent) -> None:
    options = RepresentationConfig(name="less", options={"autocast": "off"})
    warmup = WarmupConfig(share=SHARE, training=SCHEDULE)
    pipeline.represent(bench.ws, pool, queries, options, model=MODEL, warmup=warmup, draw_map=False, progress=progress)


def _rate(times: np.ndarray, done: np.ndarray, start: float, stop: float) -> float:
    """Units a second between two shares of all units, by linear interpolation."""
    a, b = np.interp([start * done[-1], stop * done[-1]], done, times)
    return float((stop - start) * done[-1] / (b - a))
