"""How exact features are: the sketch against full gradients and a dense projection; batches, orders, shards alike."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from unittest import mock

import numpy as np
import torch
from scipy.stats import spearmanr

from curation import models, selectors
from curation.config import ModelConfig
from curation.data.chat import Encoder
from curation.data.rows import Example, RowError
from curation.representations import base
from curation.selectors import Budget
from tests.benchmarks import baselines
from tests.benchmarks.measure import TINY, Bench, Figure, features, has_bfloat16, less, worst_cosine

TASKS = ("gsm8k", "bbh", "humaneval", "nat_inst_task835", "nat_inst_task1195")  # the first is the one selected for
SEEDS = 8
TOP = 500
AGREEMENTS = (("Spearman", "ρ", 0.01), (f"top {TOP} by mean", "%", 1), (f"top {TOP} by round robin", "%", 1))


def sketch(bench: Bench) -> tuple[list[Figure], list[str]]:
    """The sketch beside a dense Rademacher projection, judged by exact similarities of full gradients.

    A dense projection to d dimensions is any d columns of a wider one, so one pass over its columns gives several
    draws of every d. Sketches are drawn anew from `SEEDS` seeds.
    """
    at_most, columns, dims = (48, 1024, (512, 1024)) if bench.quick else (2000, 32768, (1024, 2048, 4096, 8192, 16384))
    both, n_all = _full(bench, at_most)  # (n_all + n_pool, P)
    n_pool, n_queries = len(both) - n_all, len(bench.queries(TASKS[0]))
    pairs = _pairs(len(both), n_all)
    gram = (both @ both.T).numpy()
    exact = gram[:n_queries, n_all:]  # (n_queries, n_pool)
    dense = baselines.rademacher(both, columns, block=1024 if columns >= 1024 else columns)

    figures = []
    lines = [
        "| d | RMSE × √d: gradients | Adam directions | across | Spearman sketch | dense | top 500 by mean, sketch | "
        "dense | by round robin, sketch | dense |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for d in dims:
        ours = [baselines.unit(_in_parts(both, d, seed)) for seed in range(SEEDS)]
        theirs = [baselines.unit(part) for part in dense.split(d, dim=1) if part.shape[1] == d]
        rmse = {kind: _rmse(ours, *pairs[kind], gram) for kind in pairs}
        mine, others = (_agreement(drawn, exact, n_all) for drawn in (ours, theirs))
        worst = max(rmse.values())
        figures += [
            Figure(f"cosine error, d {d}", "RMSE", worst, d**-0.5, 1.1 * d**-0.5, "≤ 1.1 / √d", higher=False),
            *(
                Figure(f"{name}, d {d}", unit, float(ours_), float(dense_), float(dense_ - margin), f"dense − {margin}")
                for (name, unit, margin), ours_, dense_ in zip(AGREEMENTS, mine[0], others[0], strict=True)
            ),
        ]
        scaled = [f"{rmse[kind] * d**0.5:.3f}" for kind in pairs]
        cells = [
            f"{side[0][i]:.{digits}f} ± {side[1][i]:.{digits}f}"
            for i, digits in enumerate((3, 1, 1))
            for side in (mine, others)
        ]
        lines.append(f"| {d} | {' | '.join([*scaled, *cells])} |")
    if not bench.quick:
        figures.append(_exact_engine(bench, exact))
    words = (
        f"{n_pool} rows of pool_small × {n_queries} gsm8k queries, tiny-lm, {both.shape[1]:,} LoRA parameters; means "
        f"over {SEEDS} sketches and {columns} dense columns ({columns // dims[-1]} to {columns // dims[0]} draws), "
        "± the deviation of a draw. Spearman: mean over queries. Top by mean: LESS's own ranking. Cosine error over "
        "20,000 random pairs of each kind."
    )
    return figures, [words, "\n".join(lines)]


def _full(bench: Bench, n_pool: int) -> tuple[torch.Tensor, int]:
    """Plain gradients of all tasks' queries, then Adam directions of at most `n_pool` usable rows, all of unit length;
    and how many queries there are."""
    checkpoint = bench.checkpoint(TINY, 0.05) / "checkpoint-1"
    model: Any = models.load_causal_lm(ModelConfig(name=str(TINY), device="cpu"), adapter=checkpoint)
    adam = baselines.Adam.read(checkpoint, model)
    encoder = less(TINY, checkpoint.parent).encoder
    queries = [query for task in (TASKS[:1] if bench.quick else TASKS) for query in bench.queries(task)]
    examples = [*queries, *_usable(bench, encoder)[:n_pool]]
    vectors = torch.empty(len(examples), len(adam.m))
    gradients = baselines.bare(model, [encoder.encode(example) for example in examples])
    for i, gradient in enumerate(gradients):
        vectors[i] = baselines.unit(gradient if i < len(queries) else adam.direction(gradient))
    return vectors, len(queries)


def _usable(bench: Bench, encoder: Encoder) -> list[Example]:
    """The rows of pool_small of which something is learned, in order."""
    rows = []
    for example in bench.ws.examples(bench.pool()):
        with suppress(RowError):
            encoder.encode(example)
            rows.append(example)
    return rows


def _in_parts(vectors: torch.Tensor, d: int, seed: int) -> torch.Tensor:
    """Sketches of many vectors in bounded memory, (n, d)."""
    return torch.cat([baselines.sketched(part, d, seed) for part in vectors.split(256)])


def _pairs(n: int, n_queries: int) -> dict[str, tuple[Any, Any]]:
    """Random pairs of gradients, of pool directions, and across: indices of both sides."""
    rng, size = np.random.default_rng(0), 20_000
    kinds = {"gradients": (0, n_queries) * 2, "directions": (n_queries, n) * 2, "across": (0, n_queries, n_queries, n)}
    found = {}
    for kind, (a, b, c, e) in kinds.items():
        left, right = rng.integers(a, b, size), rng.integers(c, e, size)
        found[kind] = (left[left != right], right[left != right])
    return found


def _rmse(drawn: Sequence[torch.Tensor], left: Any, right: Any, gram: np.ndarray) -> float:
    """Root mean square error of the pairs' cosines; `gram` holds the exact ones of all."""
    errors = [((vectors @ vectors.T).numpy() - gram)[left, right] for vectors in drawn]
    return float(np.sqrt(np.mean(np.square(errors))))


def _agreement(drawn: Sequence[torch.Tensor], exact: np.ndarray, n_all: int) -> np.ndarray:
    """Mean and standard deviation over draws, (2, 3): rank correlation, overlap in % of the top rows by mean
    similarity, and by round robin."""
    rows = []
    for vectors in drawn:
        estimate = (vectors[: len(exact)] @ vectors[n_all:].T).numpy()
        rank = np.mean([spearmanr(a, b).statistic for a, b in zip(exact, estimate, strict=True)])
        tops = [_overlap(top(exact), top(estimate)) for top in (_by_mean, _by_turns)]
        rows.append([rank, *tops])
    return np.array([np.mean(rows, axis=0), np.std(rows, axis=0)])


def _by_mean(similarity: np.ndarray) -> set[int]:
    return set(np.argsort(-similarity.mean(0), kind="stable")[: min(TOP, similarity.shape[1] // 4)].tolist())


def _by_turns(similarity: np.ndarray) -> set[int]:
    budget = Budget(examples=min(TOP, similarity.shape[1] // 4))
    return set(selectors.create("round_robin").select(similarity, budget, seed=0).indices.tolist())


def _overlap(one: set[int], other: set[int]) -> float:
    return 100 * len(one & other) / len(one)


def _exact_engine(bench: Bench, exact: np.ndarray) -> Figure:
    """The engine's own ``exact`` against the similarities of full gradients."""
    method = less(TINY, bench.checkpoint(TINY, 0.05), exact=True)
    method.prepare(bench.queries(TASKS[0]))
    pool = _usable(bench, method.encoder)[:200]
    made = features(method, pool)
    error = max(float(np.abs(made[row.id][0] - exact[:, i]).max()) for i, row in enumerate(pool))
    return Figure("`exact`: largest error of a similarity, 200 rows", "cosine", error, None, 1e-4, "≤ 0.0001", False)


def invariance(bench: Bench) -> tuple[list[Figure], list[str]]:
    """The same rows alone, shuffled, in other batches and in other shards."""
    warmup = bench.checkpoint(TINY, 0.05)
    examples = bench.ws.examples(bench.pool())[: 12 if bench.quick else 200]
    shuffled = random.Random(0).sample(examples, len(examples))
    figures, lines = [], ["| float32 features | worst cosine | largest difference | rows with the same bytes |"]
    lines.append("|---|---:|---:|---:|")
    for dtype, autocast, bar in (("float32", "off", 0.9999), ("bf16", "on", 0.999)):
        if dtype == "bf16" and bench.quick and not has_bfloat16():
            continue
        method = less(TINY, warmup, autocast=autocast)
        first = features(method, examples)
        others = {"alone": {row.id: method.compute([row], "pool")[0] for row in examples}}
        if dtype == "float32":
            others["again"] = features(method, examples)
            others["shuffled"] = features(method, shuffled)
            for size in (512, 2048, 4096):
                others[f"{size} tokens a batch"] = features(less(TINY, warmup, tokens_per_batch=size), examples)
            with mock.patch.object(base, "SHARD_SIZE", 64):
                others["shards of 64 rows"] = features(method, examples)
        for name, made in others.items():
            ours, theirs = [first[row.id] for row in examples], [made[row.id] for row in examples]
            worst = worst_cosine(ours, theirs)
            figures.append(Figure(f"{dtype}, {name}: worst cosine", "cosine", worst, 1.0, bar, f"≥ {bar}"))
            difference = max(float(np.abs(a - b).max()) for a, b in zip(ours, theirs, strict=True))
            same = np.mean([a.tobytes() == b.tobytes() for a, b in zip(ours, theirs, strict=True)])
            if dtype == "float32":
                lines.append(f"| {name} | {worst:.7f} | {difference:.1e} | {same:.0%} |")
    return figures, [f"{len(examples)} rows of pool_small, tiny-lm, against the default plan.", "\n".join(lines)]
