"""How fast features are made, against the plain loops of `baselines`; outputs are checked before anything is timed."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from curation import models, representations
from curation.config import ModelConfig
from curation.data.chat import Encoded
from curation.representations.less import Less
from curation.representations.projection import CountSketch
from tests.benchmarks import baselines
from tests.benchmarks.measure import TINY, Bench, Figure, features, has_bfloat16, less, seconds, worst_cosine

Found = tuple[list[Figure], list[str]]  # figures, and paragraphs of Markdown


def less_tiny(bench: Bench) -> Found:
    """LESS on tiny-lm, 500 rows of pool_small."""
    rows = 24 if bench.quick else 500
    return _less(bench, "tiny-lm", TINY, 0.05, rows, stacks=0 if bench.quick else 2, repeats=1 if bench.quick else 3)


def less_135m(bench: Bench) -> Found:
    """LESS on a randomly initialised Llama of 135 M, 64 rows of pool_small."""
    return _less(bench, "135M", bench.smol(), 0.008, 64, stacks=1, repeats=2)


def _less(bench: Bench, title: str, model: Path, share: float, n_rows: int, *, stacks: int, repeats: int) -> Found:
    warmup = bench.checkpoint(model, share)
    examples = bench.ws.examples(bench.pool())[:n_rows]
    checkpoint = warmup / "checkpoint-1"
    plain: Any = models.load_causal_lm(ModelConfig(name=str(model), device="cpu"), adapter=checkpoint)
    adam = baselines.Adam.read(checkpoint, plain)
    engines = {"float32": less(model, warmup), "bf16": less(model, warmup, autocast="on")}
    encoder = engines["float32"].encoder
    rows = [encoder.encode(example) for example in examples]
    tokens = sum(len(row.input_ids) for row in rows)

    d = engines["float32"].config.d
    wanted = [f for start in range(0, n_rows, 16) for f in _by_the_book(plain, adam, rows[start : start + 16], d)]
    checks = []
    for dtype, bar in (("float32", 0.9999), ("bf16", 0.999)):
        made = features(engines[dtype], examples)
        worst = worst_cosine([made[example.id] for example in examples], wanted)
        checks.append(Figure(f"{title}: worst cosine, {dtype}", "cosine", worst, 1.0, bar, f"≥ {bar}"))

    coarse = copy.deepcopy(plain).bfloat16()
    shapes = list(_full_batches(engines["float32"], examples, rows))
    sides: dict[str, Callable[[], object]] = {
        "float32": lambda: features(engines["float32"], examples),
        "bf16": lambda: features(engines["bf16"], examples),
        "bare": lambda: [None for g in baselines.bare(plain, [encoder.encode(example) for example in examples])],
        "ceiling float32": lambda: _ceiling(plain, shapes),
        "ceiling bf16": lambda: _ceiling(coarse, shapes),
    }
    took = seconds(sides, repeats)
    rate = {name: n_rows / best for name, best in took.items()}
    speed = {name: tokens / best for name, best in took.items()}
    figures = [Figure.times(f"{title}: LESS float32", "examples/s", rate["float32"], rate["bare"], 1.6, "bare")]
    if stacks:
        some = rows[: 16 * stacks]
        one = seconds({"published": lambda: list(baselines.published(plain, some, adam, 8192))}, 1)["published"]
        published = len(some) / one
        figures.append(
            Figure.times(f"{title}: LESS float32", "examples/s", rate["float32"], published, 60, "published")
        )
    figures += [
        Figure.times(f"{title}: LESS bf16", "examples/s", rate["bf16"], rate["bare"], 2.2, "bare float32"),
        *(
            Figure.times(f"{title}: LESS {dtype}", "tokens/s", speed[dtype], speed[f"ceiling {dtype}"], 0.85, "ceiling")
            for dtype in ("float32", "bf16")
        ),
        Figure(
            f"{title}: sketch's share of the time",
            "%",
            100 * _sketch_share(lambda: features(engines["float32"], examples)),
            None,
            2.0,
            "≤ 2 %",
            higher=False,
        ),
    ]
    parameters = sum(p.numel() for p in baselines.lora(plain).values())
    words = (
        f"{title}: {n_rows} rows of pool_small, {tokens:,} tokens, {parameters:,} LoRA parameters, d = {d}, 1 "
        f"checkpoint; best of {repeats} in turns. Ours: planning, tokenising twice, adapters, directions, sketch. "
        f"`bare`: tokenising and gradients. `published` on {16 * stacks} rows. Ceiling: batches of the plan's sizes, "
        "each of rows of equal length, logits at answers only, no weight gradients."
    )
    if not has_bfloat16():
        words += " This processor has no bfloat16 instructions: its bf16 figures are emulated and say nothing."
    return [*checks, *figures], [words]


def _by_the_book(
    model: Any, adam: baselines.Adam, rows: Sequence[Encoded], d: int, seed: int = 0
) -> Iterator[np.ndarray]:
    """Pool features of LESS by its definition, (d,) each."""
    directions = adam.direction(torch.stack(list(baselines.bare(model, rows))))
    yield from baselines.unit(baselines.sketched(directions, d, seed)).numpy()


def _full_batches(engine: Less, examples: Sequence[Any], rows: Sequence[Encoded]) -> Iterator[tuple[int, int, int]]:
    """Yield rows, length and answer length of each batch of the plan, were its rows all alike."""
    for shard in engine.plan(examples, "pool").shards:
        for batch in shard:
            length = round(np.mean([len(rows[i].input_ids) for i in batch]))
            answer = round(np.mean([sum(rows[i].labels_mask) for i in batch]))
            yield len(batch), length, min(max(answer, 1), length - 1)


def _ceiling(model: Any, shapes: Sequence[tuple[int, int, int]]) -> None:
    with baselines.ceiling(model) as step:
        for shape in shapes:
            step(*shape)


def _sketch_share(run: Callable[[], object]) -> float:
    with _clocked(CountSketch, "add") as spent:
        started = time.perf_counter()
        run()
        return spent[0] / (time.perf_counter() - started)


@contextmanager
def _clocked(owner: type, name: str) -> Iterator[list[float]]:
    """Add up the seconds spent in a method of `owner` while open."""
    method, spent = getattr(owner, name), [0.0]

    def timed(*given: Any, **named: Any) -> Any:
        started = time.perf_counter()
        result = method(*given, **named)
        spent[0] += time.perf_counter() - started
        return result

    setattr(owner, name, timed)
    try:
        yield spent
    finally:
        setattr(owner, name, method)


def rds(bench: Bench) -> Found:
    """RDS+ against a loop over single rows."""
    examples = bench.ws.examples(bench.pool())[: 32 if bench.quick else 500]
    method = representations.create("rds", model=str(TINY), device="cpu", autocast="off")
    plain: Any = models.load_causal_lm(ModelConfig(name=str(TINY), device="cpu"))
    encode = method.encoder.encode  # type: ignore[attr-defined]

    def loop() -> list[np.ndarray]:
        found = []
        for example in examples:
            ids = torch.tensor([encode(example).input_ids])
            with torch.no_grad():
                hidden = plain.base_model(input_ids=ids, use_cache=False).last_hidden_state[0]
            weighted = torch.arange(1.0, len(hidden) + 1) @ hidden  # (hidden size,)
            found.append(baselines.unit(weighted).numpy())
        return found

    return _against_loop(bench, "rds", method, examples, loop, 2.5)


def embed(bench: Bench) -> Found:
    """Embeddings against a loop over single texts."""
    examples = bench.ws.examples(bench.pool())[: 32 if bench.quick else 500]
    method: Any = representations.create("embed", device="cpu")

    def loop() -> list[np.ndarray]:
        found = []
        for example in examples:
            chunks = list(method._chunks(example.text, ""))
            mean = method._model.encode(chunks, batch_size=1, normalize_embeddings=True, show_progress_bar=False).mean(
                axis=0
            )
            found.append(mean / np.linalg.norm(mean))
        return found

    return _against_loop(bench, "embed", method, examples, loop, 2.0)


def _against_loop(
    bench: Bench, title: str, method: Any, examples: Sequence[Any], loop: Callable[[], list[np.ndarray]], factor: float
) -> Found:
    made = features(method, examples)
    worst = worst_cosine([made[example.id] for example in examples], loop())
    took = seconds({"ours": lambda: features(method, examples), "loop": loop}, 1 if bench.quick else 3)
    rate = {name: len(examples) / best for name, best in took.items()}
    return [
        Figure(f"{title}: worst cosine", "cosine", worst, 1.0, 0.9999, "≥ 0.9999"),
        Figure.times(title, "examples/s", rate["ours"], rate["loop"], factor, "batch-1 loop"),
    ], [f"{title}: {len(examples)} rows of pool_small, float32; tokenising on both sides."]
