"""LESS on a GPU: how fast, in how much memory, at what share of what the device's matrix units give.

    python -m tests.benchmarks.gpu [--shape 0.5b 7b] [--rank 16] [--rows 256] [--tokens-per-batch 0]

Randomly initialised Llamas, made on the device and saved nowhere, with random adapters and Adam moments: speed does not
depend on what weights say. Weights in bfloat16, adapters in float32, as a real base loads. Rows are random words with
lengths as in instruction data. Without a GPU the shape is `tiny`, which only shows that the script runs.

The share counts 4 operations a base weight and token (forward, and backward to activations), the output layer at
answers only, and 6 a LoRA weight and token; attention's own products are not counted, so the share is a lower bound.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from safetensors.torch import save_file

from curation import models, representations
from curation.data.rows import Example, Message

SHAPES: dict[str, dict[str, Any]] = {
    "tiny": {
        "num_hidden_layers": 2,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "vocab_size": 4096,
        "tie_word_embeddings": True,
    },
    "0.5b": {  # Qwen2.5-0.5B's
        "num_hidden_layers": 24,
        "hidden_size": 896,
        "intermediate_size": 4864,
        "num_attention_heads": 14,
        "num_key_value_heads": 2,
        "vocab_size": 151936,
        "tie_word_embeddings": True,
    },
    "7b": {  # Llama-2-7B's
        "num_hidden_layers": 32,
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_attention_heads": 32,
        "num_key_value_heads": 32,
        "vocab_size": 32000,
        "tie_word_embeddings": False,
    },
}
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj"]


def rows(n: int) -> list[Example]:
    """Conversations of random words: about 100 words asked and 60 answered, widely spread."""
    rng = np.random.default_rng(0)
    words = ["sea", "winter", "four", "house", "river", "and", "the", "slowly", "green", "count"]

    def text(mean: float) -> str:
        return " ".join(rng.choice(words, size=max(1, int(rng.lognormal(np.log(mean), 0.8)))))

    return [Example(f"row{i}", (Message("user", text(75)), Message("assistant", text(45)))) for i in range(n)]


def matrix_peak(device: str) -> float:
    """Operations a second of a large bfloat16 matrix product, best of ten."""
    n = 8192 if device == "cuda" else 512
    a = torch.randn(n, n, device=device, dtype=torch.bfloat16)
    best = float("inf")
    for _ in range(10):
        _wait(device)
        started = time.perf_counter()
        a @ a
        _wait(device)
        best = min(best, time.perf_counter() - started)
    return 2 * n**3 / best


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def random_model(shape: str, rank: int, device: str) -> Any:
    """A Llama of that shape with adapters, all random, on the device."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, LlamaConfig

    torch.manual_seed(0)
    config = LlamaConfig(**SHAPES[shape], max_position_embeddings=4096, pad_token_id=0)
    with torch.device(device):
        base = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
        lora = LoraConfig(task_type="CAUSAL_LM", r=rank, target_modules=TARGETS, init_lora_weights=False)
        return get_peft_model(base, lora).eval()


def save_around(model: Any, folder: Path) -> Path:
    """Write what the engine reads besides the base's weights: tokenizer, config, and a warmup; return its folder."""
    for file in (models.SHIPPED / models.DEMO_MODEL).glob("*"):
        if "token" in file.name or "template" in file.name:
            shutil.copyfile(file, folder / file.name)
    model.config.save_pretrained(folder)
    save_file({"none": torch.zeros(1)}, folder / "model.safetensors")  # looked for, never read
    checkpoint = folder / "warmup" / "checkpoint-1"
    model.save_pretrained(checkpoint, save_embedding_layers=False)
    moments = {}
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            moments[f"{name}/exp_avg"] = torch.randn(parameter.shape) * 1e-4
            moments[f"{name}/exp_avg_sq"] = torch.rand(parameter.shape) * 1e-8
    save_file(moments, checkpoint / "optimizer.safetensors")
    about = {"step": 100, "betas": [0.9, 0.999], "eps": 1e-8, "learning_rate_mean": 1e-5}
    (checkpoint / "optimizer.json").write_text(json.dumps(about))
    return checkpoint.parent


class Nowhere:
    """A sink that forgets."""

    def has(self, shard: int) -> bool:  # noqa: ARG002
        """Nothing is stored."""
        return False

    def write(self, shard: int, ids: Sequence[str], values: Any) -> None:
        """Forget."""


def measure(shape: str, *, rank: int, n_rows: int, tokens_per_batch: int, device: str) -> dict[str, Any]:
    """Time LESS's pool features of random rows; return what the table shows."""
    model = random_model(shape, rank, device)
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(models, "load_causal_lm", lambda *_, **__: model):
        warmup = save_around(model, Path(folder))
        given = {"device": device, "dtype": "bfloat16", "tokens_per_batch": tokens_per_batch}
        method: Any = representations.create("less", model=folder, warmup=str(warmup), **given)
        examples = rows(n_rows)
        encoded = [method.encoder.encode(example) for example in examples]
        plan = method.plan(examples, "pool")
        longest = [examples[i] for i in plan.shards[0][0]]
        method.compute(longest, "pool")  # the first call makes what all share, and shows the most memory
        _wait(device)
        started = time.perf_counter()
        method.stream(examples, plan, Nowhere())
        _wait(device)
        took = time.perf_counter() - started
    tokens, answers = (sum(map(len, part)) for part in zip(*((e.input_ids, _learned(e)) for e in encoded), strict=True))
    weights = {name: p.numel() for name, p in model.named_parameters()}
    head = SHAPES[shape]["vocab_size"] * SHAPES[shape]["hidden_size"]
    lora = sum(n for name, n in weights.items() if "lora_" in name)
    body = sum(n for name, n in weights.items() if "layers" in name and "lora_" not in name)
    rate = (4 * body * tokens + 4 * head * answers + 6 * lora * tokens) / took
    peak = matrix_peak(device)
    return {
        "shape": shape,
        "parameters (M)": sum(weights.values()) / 1e6,
        "LoRA (M)": lora / 1e6,
        "rows": n_rows,
        "tokens": tokens,
        "examples/s": n_rows / took,
        "tokens/s": tokens / took,
        "peak memory (GB)": _peak_memory(device) / 1e9,
        "TFLOP/s": rate / 1e12,
        "matrix peak (TFLOP/s)": peak / 1e12,
        "share (%)": 100 * rate / peak,
    }


def _learned(encoded: Any) -> list[int]:
    return [i for i, learned in zip(encoded.input_ids, encoded.labels_mask, strict=True) if learned]


def _peak_memory(device: str) -> int:
    if device == "cuda":
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure each shape and print a table."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    usual = ["0.5b", "7b"] if device == "cuda" else ["tiny"]
    parser.add_argument("--shape", choices=list(SHAPES), nargs="+", default=usual)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--rows", type=int, default=256 if device == "cuda" else 16)
    parser.add_argument("--tokens-per-batch", type=int, default=0, help="0 is the engine's own")
    options = parser.parse_args(arguments)
    name = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    print(f"{name}, torch {torch.__version__}, bfloat16, LoRA rank {options.rank} on {', '.join(TARGETS)}\n")
    for i, shape in enumerate(options.shape):
        if device == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        made = measure(
            shape, rank=options.rank, n_rows=options.rows, tokens_per_batch=options.tokens_per_batch, device=device
        )
        if i == 0:
            print(f"| {' | '.join(made)} |\n|{'---|' * len(made)}")
        cells = (f"{value:,.4g}" if isinstance(value, float) else str(value) for value in made.values())
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
