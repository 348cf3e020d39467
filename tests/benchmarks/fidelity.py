"""How exact features are: the sketch against full gradients and a dense projection; batches, orders, shards alike."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any
from unittest import mock

import numpy as np
import torch
from scipy.stats import spearmanr

from curation import models, selectors
from curation.config import ModelConfig
from curation.data.rows import Example
from curation.representations import base
from curation.selectors import Budget
from tests.benchmarks import baselines
from tests.benchmarks.measure import TINY, Bench, Figure, features, less, worst_cosine

TASKS = ("gsm8k", "bbh", "humaneval", "nat_inst_task835", "nat_inst_task1195")  # the first is the one selected for
SEEDS = 5
TOP = 500


def sketch(bench: Bench) -> tuple[list[Figure], list[str]]:
    """The sketch beside a dense Rademacher projection, judged by exact similarities of full gradients.

    A dense projection to d dimensions is any d columns of a wider one, so one pass over its columns gives several
    draws of every d. Sketches are drawn anew from `SEEDS` seeds.
    """
    n_pool, columns, dims = (64, 1024, (512, 1024)) if bench.quick else (2000, 32768, (1024, 2048, 4096, 8192, 16384))
    gradients, directions = _full(bench, n_pool)  # (n_queries of all tasks, P), (n_pool, P), of unit length
    n_queries = len(bench.queries(TASKS[0]))
    exact = (gradients[:n_queries] @ directions.T).numpy()  # (n_queries, n_pool)
    both = torch.cat([gradients, directions])
    del gradients, directions
    pairs = _pairs(len(both), len(both) - n_pool)
    cosines = {kind: (both[a] * both[b]).sum(1).numpy() for kind, (a, b) in pairs.items()}
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
        rmse = {kind: _rmse(ours, *pairs[kind], cosines[kind]) for kind in pairs}
        mine, others = (_agreement(drawn, exact, len(both) - n_pool) for drawn in (ours, theirs))
        worst = max(rmse.values())
        figures += [
            Figure(f"cosine error, d {d}", "RMSE", worst, d**-0.5, 1.1 * d**-0.5, "≤ 1.1 / √d", higher=False),
            Figure(f"Spearman, d {d}", "ρ", mine[0], others[0], others[0] - 0.01, "dense − 0.01"),
            Figure(f"top {TOP} by mean, d {d}", "%", mine[1], others[1], others[1] - 1, "dense − 1 point"),
            Figure(f"top {TOP} by round robin, d {d}", "%", mine[2], others[2], others[2] - 1, "dense − 1 point"),
        ]
        scaled = [f"{rmse[kind] * d**0.5:.3f}" for kind in pairs]
        cells = [f"{value:.{digits}f}" for i, digits in enumerate((4, 1, 1)) for value in (mine[i], others[i])]
        lines.append(f"| {d} | {' | '.join([*scaled, *cells])} |")
    if not bench.quick:
        figures.append(_exact_engine(bench, exact))
    words = (
        f"{n_pool} rows of pool_small × {n_queries} gsm8k queries, tiny-lm, {both.shape[1]:,} LoRA parameters; means "
        f"over {SEEDS} sketches and {columns} dense columns ({columns // dims[-1]} to {columns // dims[0]} draws). "
        "Spearman: mean over queries. Top by mean: LESS's own ranking. Cosine error over 20,000 random pairs a kind."
    )
    return figures, [words, "\n".join(lines)]


def _full(bench: Bench, n_pool: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Plain gradients of all queries and Adam directions of pool rows at one checkpoint, whole, of unit length."""
    checkpoint = bench.checkpoint(TINY, 0.05) / "checkpoint-1"
    model: Any = models.load_causal_lm(ModelConfig(name=str(TINY), device="cpu"), adapter=checkpoint)
    adam = baselines.Adam.read(checkpoint, model)
    encoder = less(TINY, checkpoint.parent).encoder
    queries = [query for task in (TASKS[:1] if bench.quick else TASKS) for query in bench.queries(task)]
    pool = bench.ws.examples(bench.pool())[:n_pool]

    def whole(examples: Sequence[Example]) -> Iterator[torch.Tensor]:
        return baselines.bare(model, [encoder.encode(example) for example in examples])

    directions = torch.empty(n_pool, len(adam.m))
    for row, gradient in zip(directions, whole(pool), strict=True):
        row.copy_(baselines.unit(adam.direction(gradient)))
    return baselines.unit(torch.stack(list(whole(queries)))), directions


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


def _rmse(drawn: Sequence[torch.Tensor], left: Any, right: Any, exact: Any) -> float:
    """Root mean square error of the cosines of the pairs."""
    errors = [(vectors[left] * vectors[right]).sum(1).numpy() - exact for vectors in drawn]
    return float(np.sqrt(np.mean(np.square(errors))))


def _agreement(drawn: Sequence[torch.Tensor], exact: np.ndarray, n_queries: int) -> tuple[float, float, float]:
    """Mean rank correlation, and overlap in % of the top rows by mean similarity and by round robin."""
    rows = []
    for vectors in drawn:
        estimate = (vectors[: len(exact)] @ vectors[n_queries:].T).numpy()
        rows.append(
            (
                np.mean([spearmanr(a, b).statistic for a, b in zip(exact, estimate, strict=True)]),
                _overlap(_by_mean(exact), _by_mean(estimate)),
                _overlap(_by_turns(exact), _by_turns(estimate)),
            )
        )
    rank, by_mean, by_turns = np.mean(rows, axis=0)
    return float(rank), float(by_mean), float(by_turns)


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
    pool = bench.ws.examples(bench.pool())[:200]
    made = features(method, pool)
    error = max(float(np.abs(made[row.id][0] - exact[:, i]).max()) for i, row in enumerate(pool))
    return Figure("`exact`: largest error of a similarity, 200 rows", "cosine", error, None, 1e-4, "≤ 0.0001", False)


def invariance(bench: Bench) -> tuple[list[Figure], list[str]]:
    """The same rows alone, shuffled, in other batches and in other shards."""
    warmup = bench.checkpoint(TINY, 0.05)
    examples = bench.ws.examples(bench.pool())[: 24 if bench.quick else 200]
    shuffled = random.Random(0).sample(examples, len(examples))
    figures, lines = [], ["| float32 features | worst cosine | largest difference | rows with the same bytes |"]
    lines.append("|---|---:|---:|---:|")
    for dtype, autocast, bar in (("float32", "off", 0.9999), ("bf16", "on", 0.999)):
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
