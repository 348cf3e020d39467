"""What the benchmarks share: figures and bars, the machine in words, rows, models and warmups, timing in turns."""

from __future__ import annotations

import os
import platform
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from curation import pipeline, representations
from curation.config import DatasetConfig, ModelConfig, TrainingConfig, WarmupConfig
from curation.data.rows import Example
from curation.progress import Silent
from curation.representations.less import Less
from curation.representing import make_warmup
from curation.workspace import Workspace

THREADS = 2
SHARED = Path(os.environ.get("WINNOW_TEST_DATA", Path(__file__).parents[3] / "shared"))
TINY = SHARED / "models" / "tiny-lm"
SMOL = {  # SmolLM2-135M's shape
    "num_hidden_layers": 30,
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "vocab_size": 49152,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": True,
}
SCHEDULE = TrainingConfig(
    epochs=1.0, learning_rate=2e-4, lora_r=16, lora_targets=("q_proj", "k_proj", "v_proj", "o_proj")
)


@dataclass(frozen=True)
class Figure:
    """One measured figure: what is ours, what stands against it, and what has to be reached, all in one unit."""

    name: str
    unit: str
    value: float
    baseline: float | None
    bar: float
    words: str  # the bar as it was set
    higher: bool = True  # whether more is better

    @property
    def met(self) -> bool:
        """Whether the bar is reached."""
        return self.value >= self.bar if self.higher else self.value <= self.bar

    @classmethod
    def times(cls, name: str, unit: str, value: float, baseline: float, factor: float, of: str) -> Figure:
        """A rate that has to be `factor` times the baseline."""
        return cls(f"{name} over {of}", unit, value, baseline, factor * baseline, f"≥ {factor:g} ×")

    def to_json(self) -> dict[str, Any]:
        """The figure as `--json` prints it."""
        return {"value": self.value, "baseline": self.baseline, "bar": self.bar, "met": self.met}


def table(figures: Sequence[Figure]) -> str:
    """All figures in Markdown, ready for RESULTS.md."""
    lines = ["| figure | unit | measured | against | ratio | bar | met |", "|---|---|---:|---:|---:|---|---|"]
    for f in figures:
        against, ratio = ("", "") if f.baseline is None else (f"{f.baseline:,.5g}", f"{f.value / f.baseline:.3g}")
        met = "yes" if f.met else "**no**"
        lines.append(f"| {f.name} | {f.unit} | {f.value:,.5g} | {against} | {ratio} | {f.words} | {met} |")
    return "\n".join(lines)


def machine() -> str:
    """The processor, what it can multiply, and what was used of it."""
    about = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").is_file() else ""
    names = [line.partition(":")[2].strip() for line in about.splitlines() if line.startswith("model name")]
    can = torch.cpu.get_capabilities()
    known = ("avx2", "avx512_f", "avx512_vnni", "avx512_bf16", "amx_bf16")
    flags = ", ".join(name for name in known if can.get(name)) or "none"
    load = f"load {os.getloadavg()[0]:.1f}"
    return (
        f"{len(names) or os.cpu_count()} × {names[0] if names else platform.processor()} ({flags}), "
        f"{torch.get_num_threads()} threads, torch {torch.__version__}, {load} when it began"
    )


def has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 by instructions of its own."""
    return any(torch.cpu.get_capabilities().get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def seconds(sides: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Best time of each side; they take turns, so that a bad moment of the machine hits no side alone."""
    best = dict.fromkeys(sides, float("inf"))
    for _ in range(repeats):
        for name, run in sides.items():
            started = time.perf_counter()
            run()
            best[name] = min(best[name], time.perf_counter() - started)
    return best


class Kept(dict[str, Any]):
    """A sink that keeps features by row id in memory."""

    def has(self, shard: int) -> bool:  # noqa: ARG002
        """Nothing is stored before."""
        return False

    def write(self, shard: int, ids: Sequence[str], values: Any) -> None:  # noqa: ARG002
        """Keep a shard's rows."""
        self.update(zip(ids, values, strict=True))


def features(method: Any, examples: Sequence[Example], role: str = "pool") -> Kept:
    """Plan and stream, as a store does, in memory."""
    kept = Kept()
    method.stream(examples, method.plan(examples, role), kept)
    return kept


def worst_cosine(ours: Sequence[Any], theirs: Sequence[Any]) -> float:
    """Lowest cosine of pairs of unit vectors, in float64."""
    pairs = zip(ours, theirs, strict=True)
    return min(float(np.ravel(a).astype(np.float64) @ np.ravel(b).astype(np.float64)) for a, b in pairs)


@dataclass(frozen=True)
class Bench:
    """Where things are kept between runs, and whether to hurry."""

    cache: Path
    quick: bool = False

    @cached_property
    def ws(self) -> Workspace:
        """The workspace in `cache`."""
        return Workspace(self.cache / "workspace")

    def load(self, path: Path, role: str) -> str:
        """Read a data file into the workspace; return its key."""
        return pipeline.load(self.ws, DatasetConfig(path=str(path)), role)

    def pool(self, name: str = "pool_small") -> str:
        """Key of one of the shared pools."""
        return self.load(SHARED / "data" / f"{name}.jsonl.gz", "pool")

    def queries(self, task: str) -> list[Example]:
        """Rows of one of the shared query sets."""
        return self.ws.examples(self.load(SHARED / "data" / "queries" / f"{task}.jsonl", "query"))

    def checkpoint(self, model: Path, share: float, pool: str = "pool_small") -> Path:
        """Folder of a warmup with one checkpoint on a share of a shared pool, made once."""
        config = WarmupConfig(share=share / 5 if self.quick else share, training=SCHEDULE)
        return make_warmup(self.ws, self.pool(pool), ModelConfig(name=str(model), device="cpu"), config, Silent())

    def smol(self) -> Path:
        """Folder of a randomly initialised Llama of SmolLM2-135M's shape with tiny-lm's tokenizer, made once."""
        folder = self.cache / "smol-135m"
        if not (folder / "model.safetensors").is_file():
            from transformers import LlamaConfig, LlamaForCausalLM

            torch.manual_seed(0)
            LlamaForCausalLM(LlamaConfig(**SMOL, bos_token_id=1, eos_token_id=2, pad_token_id=0)).save_pretrained(
                folder
            )
            for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
                shutil.copyfile(TINY / name, folder / name)
        return folder


def less(model: Path, warmup: Path, **options: Any) -> Less:
    """The engine on the CPU, in float32 unless told otherwise."""
    given = {"model": str(model), "warmup": str(warmup), "device": "cpu", "autocast": "off", **options}
    made = representations.create("less", **given)
    assert isinstance(made, Less)
    return made
