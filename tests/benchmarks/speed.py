"""How fast features are made, against the plain loops of `baselines`; outputs are checked before anything is timed."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from curation import models, representations
from curation.config import ModelConfig
from curation.data.chat import Encoded
from curation.data.rows import Example
from curation.representations.less import Less
from curation.representations.projection import CountSketch
from tests.benchmarks import baselines
from tests.benchmarks.measure import TINY, Bench, Figure, features, has_bfloat16, less, seconds, worst_cosine

Found = tuple[list[Figure], list[str]]  # figures, and paragraphs of Markdown


def less_tiny(bench: Bench) -> Found:
    """LESS on tiny-lm, 500 rows of pool_small."""
    rows = 16 if bench.quick else 500
    return _less(bench, "tiny-lm", TINY, 0.05, rows, stacks=0 if bench.quick else 2, repeats=1 if bench.quick else 3)


def less_135m(bench: Bench) -> Found:
    """LESS on a randomly initialised Llama of 135 M, 64 rows of pool_small."""
    return _less(bench, "135M", bench.smol(), 0.008, 64, stacks=1, repeats=2)


@dataclass(frozen=True)
class Case:
    """A model with adapters, its warmup and some rows, as both sides see them."""

    engines: dict[str, Less]
    plain: Any
    adam: baselines.Adam
    examples: list[Example]
    rows: list[Encoded]

    @classmethod
    def make(cls, bench: Bench, model: Path, share: float, n_rows: int) -> Case:
        """Load everything; rows are the first of pool_small."""
        warmup = bench.checkpoint(model, share)
        plain: Any = models.load_causal_lm(ModelConfig(name=str(model), device="cpu"), adapter=warmup / "checkpoint-1")
        engines = {"float32": less(model, warmup)}
        if has_bfloat16():
            engines["bf16"] = less(model, warmup, autocast="on")
        examples = bench.ws.examples(bench.pool())[:n_rows]
        rows = [engines["float32"].encoder.encode(example) for example in examples]
        return cls(engines, plain, baselines.Adam.read(warmup / "checkpoint-1", plain), examples, rows)

    @property
    def tokens(self) -> int:
        """Tokens of all rows."""
        return sum(len(row.input_ids) for row in self.rows)

    def worst(self) -> Iterator[tuple[str, float]]:
        """Yield for each dtype the lowest cosine of the engine's features and the definition's."""
        d = self.engines["float32"].config.d
        wanted: list[Any] = []
        for start in range(0, len(self.rows), 16):
            directions = self.adam.direction(
                torch.stack(list(baselines.bare(self.plain, self.rows[start : start + 16])))
            )
            wanted += baselines.unit(baselines.sketched(directions, d)).numpy().tolist()
        for dtype, engine in self.engines.items():
            made = features(engine, self.examples)
            yield dtype, worst_cosine([made[example.id] for example in self.examples], wanted)

    def speeds(self, repeats: int) -> dict[str, float]:
        """Tokens a second of the engine and the ceiling in each dtype, and of `bare`."""
        encode, sides = self.engines["float32"].encoder.encode, dict[str, Callable[[], object]]()
        sides["bare"] = lambda: [None for _ in baselines.bare(self.plain, [encode(row) for row in self.examples])]
        for dtype, engine in self.engines.items():
            model = self.plain if dtype == "float32" else copy.deepcopy(self.plain).bfloat16()
            sides[dtype] = partial(features, engine, self.examples)
            sides[f"ceiling {dtype}"] = partial(_ceiling, model, list(_full_batches(engine, self.examples, self.rows)))
        return {name: self.tokens / best for name, best in seconds(sides, repeats).items()}


def _less(bench: Bench, title: str, model: Path, share: float, n_rows: int, *, stacks: int, repeats: int) -> Found:
    case = Case.make(bench, model, share, n_rows)
    bars = {"float32": 0.9999, "bf16": 0.999}
    figures = [
        Figure(f"{title}: worst cosine, {dtype}", "cosine", worst, 1.0, bars[dtype], f"≥ {bars[dtype]}")
        for dtype, worst in case.worst()
    ]
    speed = case.speeds(repeats)
    rate = {name: value * n_rows / case.tokens for name, value in speed.items()}
    figures.append(Figure.times(f"{title}: LESS float32", "examples/s", rate["float32"], rate["bare"], 1.6, "bare"))
    if stacks:
        some = case.rows[: 16 * stacks]
        took = seconds({"": lambda: list(baselines.published(case.plain, some, case.adam, 8192))}, 1)[""]
        figures.append(
            Figure.times(f"{title}: LESS float32", "examples/s", rate["float32"], len(some) / took, 60, "published")
        )
    if "bf16" in rate:
        figures.append(
            Figure.times(f"{title}: LESS bf16", "examples/s", rate["bf16"], rate["bare"], 2.2, "bare float32")
        )
    figures += [
        Figure.times(f"{title}: LESS {dtype}", "tokens/s", speed[dtype], speed[f"ceiling {dtype}"], 0.85, "ceiling")
        for dtype in case.engines
    ]
    share_of_sketch = 100 * _sketch_share(partial(features, case.engines["float32"], case.examples))
    figures.append(Figure(f"{title}: sketch's share of the time", "%", share_of_sketch, None, 2.0, "≤ 2 %", False))
    words = (
        f"{title}: {n_rows} rows of pool_small, {case.tokens:,} tokens, {len(case.adam.m):,} LoRA parameters, d = "
        f"{case.engines['float32'].config.d}, 1 checkpoint; best of {repeats} in turns. Ours: planning, tokenising, "
        f"adapters, directions, sketch. `bare`: tokenising and gradients. `published` on {16 * stacks} rows. "
        "Ceiling: batches of the plan's sizes, rows of one length, logits at answers only, no weight gradients."
    )
    if "bf16" not in rate:
        words += " This processor has no bfloat16 instructions, so those figures are not to be had here."
    return figures, [words]


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
    """RDS+ against two loops over single rows: as TIS publishes it, output layer included, and lean."""
    examples = bench.ws.examples(bench.pool())[: 24 if bench.quick else 500]
    method: Any = representations.create("rds", model=str(TINY), device="cpu", autocast="off")
    plain: Any = models.load_causal_lm(ModelConfig(name=str(TINY), device="cpu"))

    def loop(hidden: Callable[[torch.Tensor], torch.Tensor]) -> list[np.ndarray]:
        found = []
        for example in examples:
            with torch.no_grad():
                states = hidden(torch.tensor([method.encoder.encode(example).input_ids]))[0]  # (tokens, hidden size)
            found.append(baselines.unit(torch.arange(1.0, len(states) + 1) @ states).numpy())
        return found

    loops = {
        "published loop": lambda ids: plain(input_ids=ids, output_hidden_states=True).hidden_states[-1],
        "lean loop": lambda ids: plain.base_model(input_ids=ids, use_cache=False).last_hidden_state,
    }
    sides = {name: partial(loop, run) for name, run in loops.items()}
    return _against(bench, "rds", method, examples, sides, 2.5, plain.base_model)


def embed(bench: Bench) -> Found:
    """Embeddings against a loop over single rows."""
    examples = bench.ws.examples(bench.pool())[: 24 if bench.quick else 500]
    method: Any = representations.create("embed", device="cpu")

    def loop() -> list[np.ndarray]:
        found = []
        for example in examples:
            chunks = list(method._chunks(example.text, ""))
            vectors = method._model.encode(chunks, batch_size=1, normalize_embeddings=True, show_progress_bar=False)
            found.append(vectors.mean(axis=0) / np.linalg.norm(vectors.mean(axis=0)))
        return found

    return _against(bench, "embed", method, examples, {"batch-1 loop": loop}, 2.0, method._model)


def _against(
    bench: Bench,
    title: str,
    method: Any,
    examples: Sequence[Any],
    loops: Mapping[str, Callable[[], list[np.ndarray]]],
    factor: float,
    model: torch.nn.Module,
) -> Found:
    made = features(method, examples)
    ours = [made[example.id] for example in examples]
    worst = min(worst_cosine(ours, loop()) for loop in loops.values())
    took = seconds({"ours": partial(features, method, examples), **loops}, 1 if bench.quick else 3)
    rate = {name: len(examples) / best for name, best in took.items()}
    return [
        Figure(f"{title}: worst cosine", "cosine", worst, 1.0, 0.9999, "≥ 0.9999"),
        *(Figure.times(title, "examples/s", rate["ours"], rate[name], factor, name) for name in loops),
    ], [
        f"{title}: {len(examples)} rows of pool_small, float32; tokenising on both sides. The model's matrix products "
        f"alone would take {100 * _products(model, method, examples) / took['ours']:.0f} % of our time, at the rate of "
        "a product of two 2048 × 2048 matrices measured in this run: what is left is all that could be gained."
    ]


def _products(model: torch.nn.Module, method: Any, examples: Sequence[Any]) -> float:
    """Seconds that the linear layers' products take at the machine's measured rate, without padding."""
    square = torch.randn(2048, 2048)
    rate = 2 * 2048**3 / seconds({"": lambda: square @ square}, 5)[""]
    weights = sum(layer.weight.numel() for layer in model.modules() if isinstance(layer, torch.nn.Linear))
    return 2 * weights * sum(method.length(example, "pool") for example in examples) / rate
