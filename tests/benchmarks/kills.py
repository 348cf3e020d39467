"""How much work `kill -9` loses: LESS on real rows, killed from outside at random moments, beside a run left alone.

    python -m tests.benchmarks.kills [--rows 2000] [--kills 10] [--representation less] [--seed 0] [--json]

tiny-lm, pool_small × gsm8k. Every second kill waits for a shard to be half-written. After each, what the run had
computed and what of that is stored are compared; once all rows are there, the bytes of both stores, and another store
is begun until there were as many kills as asked for. Nothing is asserted; what is measured is printed.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

from curation import pipeline
from curation.config import DatasetConfig, ModelConfig, RepresentationConfig, TrainingConfig, WarmupConfig
from curation.progress import Silent
from curation.workspace import Workspace

THREADS = "2"
SHARD = 512
SHARED = Path(os.environ.get("WINNOW_TEST_DATA", Path(__file__).parents[3] / "shared"))
WARMUP = WarmupConfig(
    share=0.05, training=TrainingConfig(epochs=1.0, learning_rate=2e-4, lora_dropout=0.1, save_every_epoch=True)
)


class Counted(Silent):
    """Progress that says when the pool's turn comes, and writes a byte for each of its rows that is computed."""

    def __init__(self, log: Path) -> None:
        self._log, self._pool = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT), False

    def start(self, stage: str, total: int, unit: str = "examples") -> None:  # noqa: ARG002
        """Tell of the pool's stage."""
        self._pool = stage.endswith(": pool")
        if self._pool:
            print("go", flush=True)

    def advance(self, n: int = 1, **metrics: float) -> None:  # noqa: ARG002
        """Count rows of the pool."""
        if self._pool:
            os.write(self._log, bytes(n))


def represent(home: Path, pool: Path, name: str) -> None:
    """Compute the pool's features and their similarity to gsm8k's queries in the workspace at `home`."""
    ws = Workspace(home)
    keys = {
        role: pipeline.load(ws, DatasetConfig(path=str(path)), role)
        for role, path in (("pool", pool), ("query", SHARED / "data" / "queries" / "gsm8k.jsonl"))
    }
    pipeline.represent(
        ws,
        keys["pool"],
        keys["query"],
        RepresentationConfig(name=name),
        model=ModelConfig(name=str(SHARED / "models" / "tiny-lm"), max_length=512),
        warmup=WARMUP,
        draw_map=False,
        progress=Counted(home / "computed"),
    )


def start(home: Path, pool: Path, name: str) -> subprocess.Popen[str]:
    """Run `represent` in a process of its own, up to the moment when the pool's rows begin."""
    command = [sys.executable, "-m", "tests.benchmarks.kills", "--run", str(home), str(pool), name]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def computed(home: Path) -> int:
    """Rows of the pool that runs have computed so far."""
    log = home / "computed"
    return log.stat().st_size if log.exists() else 0


def stored(home: Path) -> int:
    """Rows of the pool whose shards are whole."""
    plans = [
        json.loads(path.read_text())["shards"] for path in sorted(home.glob("features/*-pool/plan-0000/plan.json"))
    ]
    return sum(
        sum(map(len, shard))
        for shards in plans
        for number, shard in enumerate(shards)
        if any(home.glob(f"features/*-pool/plan-0000/shard-{number:05d}.json"))
    )


def parts(home: Path) -> set[tuple[Path, int]]:
    """Files of shards that are being written, or were when their writer was killed, and since when."""
    found = set()
    for path in home.glob("features/*-pool/plan-*/shard-*.part"):
        with suppress(FileNotFoundError):
            found.add((path, path.stat().st_mtime_ns))
    return found


def kill(home: Path, pool: Path, name: str, delay: float, *, writing: bool) -> dict[str, Any] | None:
    """Kill a run after `delay` seconds, or at the next write after them; None if it is over by itself before."""
    before, stale = (computed(home), stored(home)), parts(home)
    process = start(home, pool, name)
    begun = time.monotonic()
    time.sleep(delay)
    while writing and process.poll() is None and parts(home) <= stale:
        time.sleep(0.0005)
    process.kill()
    if process.wait() == 0:
        return None
    after = computed(home), stored(home)
    return {
        "after_s": round(time.monotonic() - begun, 1),
        "in_a_write": not parts(home) <= stale,
        "computed": after[0] - before[0],
        "stored": after[1] - before[1],
        "lost": after[0] - before[0] - (after[1] - before[1]),
    }


def contents(home: Path) -> dict[str, bytes]:
    """All bytes of the feature stores and of the similarity."""
    paths = [p for p in home.glob("features/**/*") if p.is_file()]
    paths += home.glob("artefacts/representation/*/similarity.npy")
    return {str(path.relative_to(home)): path.read_bytes() for path in paths}


def measure(home: Path, name: str, n_rows: int, n_kills: int, seed: int) -> dict[str, Any]:
    """Run once undisturbed, then again with kills, and compare."""
    pool = home / "pool.jsonl"
    with gzip.open(SHARED / "data" / "pool_small.jsonl.gz", "rt", encoding="utf-8") as lines:
        pool.write_text("".join(islice(lines, n_rows)), encoding="utf-8")
    whole, killed = home / "whole", home / "killed"
    process = start(whole, pool, name)
    begun = time.monotonic()
    if process.wait():
        raise SystemExit("the undisturbed run failed; its error stands above")
    shard_s = (time.monotonic() - begun) * SHARD / n_rows
    delays, kills, identical = random.Random(seed), list[dict[str, Any]](), True
    while len(kills) < n_kills:
        shutil.rmtree(killed, ignore_errors=True)
        shutil.copytree(whole, killed, ignore=shutil.ignore_patterns("features", "representation", "computed"))
        told: dict[str, Any] | None = {}
        while told is not None and len(kills) < n_kills:
            delay = delays.uniform(0, 1.5 * shard_s)
            told = kill(killed, pool, name, delay, writing=len(kills) % 2 == 1)
            if told is not None:
                kills.append(told)
                print(json.dumps(told), file=sys.stderr, flush=True)
        if told is not None and start(killed, pool, name).wait():
            raise SystemExit("the last run failed; its error stands above")
        identical &= contents(whole) == contents(killed)
    return {
        "representation": name,
        "rows": n_rows,
        "kills": kills,
        "most_lost": max((told["lost"] for told in kills), default=0),
        "identical": identical,
        "bytes": sum(map(len, contents(whole).values())),
    }


def main() -> None:
    """Measure, and print a table and one JSON object last."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--representation", default="less")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print nothing but the object")
    parser.add_argument("--run", nargs=3, metavar=("HOME", "POOL", "NAME"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = THREADS
    if options.run:
        represent(Path(options.run[0]), Path(options.run[1]), options.run[2])
        return
    with tempfile.TemporaryDirectory(prefix="winnow-kills-") as home:
        found = measure(Path(home), options.representation, options.rows, options.kills, options.seed)
    if not options.json:
        columns = ["after_s", "in_a_write", "computed", "stored", "lost"]
        print("kill", *(f"{name:>10}" for name in columns))
        for number, told in enumerate(found["kills"], 1):
            print(f"{number:>4}", *(f"{told[name]!s:>10}" for name in columns))
        print(f"the final store ({found['bytes']:,} bytes) is {'' if found['identical'] else 'NOT '}identical")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
