"""Is the predicted time the time that it takes? On three models, and on rows unlike those of the calibration.

    python -m tests.benchmarks.cost [--rows 400] [--seconds 20] [--methods less rds] [--json]

For each model (tiny-lm, a GPT-2 and a Qwen of other sizes and vocabularies, randomly initialised) a representation is
calibrated on a sample of long rows of the real pool and predicts (a) those long rows, (b) short ones, (c) the pool's
own mix; each is then computed into a fresh store and timed. `ratio` is predicted over measured. LESS has one
checkpoint, made by the few steps of a warmup that an estimate tries; what these foretell of the whole warmup is held
against training it as well. Nothing is asserted; what is measured is printed.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

THREADS = "2"
SHARED = Path(os.environ.get("WINNOW_TEST_DATA", Path(__file__).parents[3] / "shared"))
BAR = 0.3


def pool() -> list[Any]:
    """Rows of the real pool, as the app reads them."""
    from curation.data.rows import Example, Message

    with gzip.open(SHARED / "data" / "pool_small.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file.read().split("\n") if line]
    return [Example(r["id"], tuple(Message(m["role"], m["content"]) for m in r["messages"])) for r in rows]


def models(folder: Path) -> Iterator[tuple[str, Path]]:
    """Three models, two of them drawn at random with tiny-lm's tokenizer."""
    import torch
    from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel, Qwen2Config, Qwen2ForCausalLM

    tiny = SHARED / "models" / "tiny-lm"
    yield "tiny-lm", tiny
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    special = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    torch.manual_seed(0)
    drawn = {
        "gpt2": GPT2LMHeadModel(
            GPT2Config(n_embd=384, n_layer=8, n_head=6, vocab_size=20_000, n_positions=1024, **special)
        ),
        "qwen2": Qwen2ForCausalLM(
            Qwen2Config(
                hidden_size=512,
                intermediate_size=1408,
                num_hidden_layers=12,
                num_attention_heads=8,
                num_key_value_heads=2,
                vocab_size=50_000,
                max_position_embeddings=1024,
                tie_word_embeddings=True,
                **special,
            )
        ),
    }
    for name, model in drawn.items():
        model.save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
        yield name, folder / name


def mixes(rows: Sequence[Any], n: int) -> dict[str, list[Any]]:
    """Row mixes: the longest quarter, the shortest half, and the pool's own; `calibrated` shares no row with them."""
    by_length = sorted(rows, key=lambda row: len(row.text))
    longest, shortest = by_length[-len(rows) // 4 :], by_length[: len(rows) // 2]
    return {"calibrated": longest[::2][:n], "long": longest[1::2][:n], "short": shortest[:n], "mixed": list(rows[:n])}


def taken(method: str, options: dict[str, Any], rows: Sequence[Any], folder: Path) -> float:
    """Seconds to compute rows into a fresh store, the model loaded before."""
    from curation import representations
    from curation.features_store import FeatureStore

    representation = representations.create(method, **options)
    representation.compute(rows[:1], "pool")
    began = time.monotonic()
    FeatureStore(folder, "pool").fill(representation, rows)
    return time.monotonic() - began


def run(methods: Sequence[str], n: int, seconds: float) -> list[dict[str, Any]]:
    """Measure every method on every model and mix."""
    import curation.training.trainer  # noqa: F401 (its libraries take seconds to load, once a process)
    from curation import representations
    from curation.calibration import calibrate, mean_terms
    from curation.config import ModelConfig, TrainingConfig, WarmupConfig
    from curation.training import fine_tune
    from curation.training.trial import try_warmup

    told = []
    rows = mixes(pool(), n)
    with tempfile.TemporaryDirectory() as scratch:
        for name, path in models(Path(scratch)):
            model = ModelConfig(name=str(path), max_length=512)
            warmup = WarmupConfig(training=TrainingConfig(epochs=2.0, lora_r=16, save_every_epoch=True))
            folder = Path(scratch, f"{name}-warmup")
            foretold = try_warmup(model, rows["mixed"], warmup, folder, n_rows=len(rows["mixed"]))
            began = time.monotonic()
            fine_tune(model, rows["mixed"], warmup.training, Path(scratch, f"{name}-whole"), seed=0)
            told.append(line(name, "warmup", "mixed", foretold.seconds, time.monotonic() - began))
            for method in methods:
                options: dict[str, Any] = {"model": str(path), "max_length": 512}
                if method == "less":
                    options["warmup"] = str(folder)
                representation = representations.create(method, **options)
                rates = calibrate(representation, rows["calibrated"], seconds=seconds)
                for mix in ("long", "short", "mixed"):
                    predicted = rates.price(len(rows[mix]), mean_terms(representation, rows[mix], "pool"))
                    measured = taken(method, options, rows[mix], Path(scratch, f"{name}-{method}-{mix}"))
                    told.append(line(name, method, mix, predicted, measured))
    return told


def line(model: str, method: str, mix: str, predicted: float, measured: float) -> dict[str, Any]:
    """One comparison, told at once."""
    found = {
        "model": model,
        "method": method,
        "mix": mix,
        "predicted": round(predicted, 2),
        "measured": round(measured, 2),
        "ratio": round(predicted / measured, 3),
    }
    print("  ".join(f"{value}" for value in found.values()), file=sys.stderr, flush=True)
    return found


def main() -> None:
    """Run what was asked for and print one JSON object last."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=400, help="rows of each mix")
    parser.add_argument("--seconds", type=float, default=20.0, help="time of a calibration")
    parser.add_argument("--methods", nargs="+", default=["less", "rds"])
    parser.add_argument("--json", action="store_true", help="print nothing but the object")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = THREADS
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    found = run(options.methods, options.rows, options.seconds)
    worst = max((abs(f["ratio"] - 1) for f in found), default=0.0)
    figure = {"value": round(worst, 3), "baseline": None, "bar": BAR, "met": worst <= BAR}
    if not options.json:
        for f in found:
            print(
                f"{f['model']:8} {f['method']:7} {f['mix']:6} {f['predicted']:8.1f} s {f['measured']:8.1f} s",
                f["ratio"],
            )
    print(json.dumps({"predicted against measured, worst relative error": figure, "lines": found}))


if __name__ == "__main__":
    main()
