"""Experiments in figures: is the comparison fair, are the intervals honest, does the sandbox hold.

    python -m tests.benchmarks.experiments [--quick] [--json] [--only NAME ...] [--cache DIR]

A process a section, with 2 threads. `--quick` takes under a minute and shows that all works; its figures are no
measurements. `--cache` keeps data sets and models. Nothing is asserted; what is measured is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.benchmarks.measure import Bench

THREADS = "2"
SECTIONS = {  # name: module of this folder
    "coverage": "experiments_statistics",
    "sandbox": "experiments_sandbox",
}


def report(names: list[str], bench: Bench) -> dict[str, Any]:
    """Run sections in this process, print them as Markdown; return figure → what `--json` tells of it."""
    from importlib import import_module

    import torch

    from tests.benchmarks.measure import machine, table

    torch.set_num_threads(int(THREADS))
    found: dict[str, Any] = {}
    for name in names:
        about = machine()
        figures, words = getattr(import_module(f"tests.benchmarks.{SECTIONS[name]}"), name)(bench)
        print("\n\n".join([f"### {name}", about, *words, table(figures)]), end="\n\n", flush=True)
        found |= {figure.name: figure.to_json() for figure in figures}
    return found


def main() -> None:
    """Run what was asked for, a process a section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="little of everything, in one process")
    parser.add_argument("--json", action="store_true", help="end with one object: figure → value, baseline, bar, met")
    parser.add_argument("--only", choices=SECTIONS, nargs="+", help="sections to run")
    parser.add_argument("--cache", type=Path, help="folder to keep; default a temporary one")
    parser.add_argument("--here", action="store_true", help="run the sections in this process")
    options = parser.parse_args()
    os.environ.update(OMP_NUM_THREADS=THREADS, MKL_NUM_THREADS=THREADS, HF_HUB_OFFLINE="1")
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    names = options.only or list(SECTIONS)
    with tempfile.TemporaryDirectory(prefix="winnow-bench-") as temporary:
        cache = options.cache or Path(temporary)
        cache.mkdir(parents=True, exist_ok=True)
        if options.here or options.quick:
            from tests.benchmarks.measure import Bench

            found = report(names, Bench(cache, options.quick))
        else:
            found = {}
            for name in names:
                found |= _apart(name, cache)
    if options.json:
        print(json.dumps(found))


def _apart(name: str, cache: Path) -> dict[str, Any]:
    """Run a section in a process of its own, show what it prints, and return its figures."""
    command = [sys.executable, "-m", "tests.benchmarks.experiments", "--here", "--json", "--only", name]
    told = subprocess.run([*command, "--cache", str(cache)], check=True, stdout=subprocess.PIPE, text=True).stdout
    shown, _, figures = told.rstrip("\n").rpartition("\n")
    print(shown, flush=True)
    found: dict[str, Any] = json.loads(figures)
    return found


if __name__ == "__main__":
    main()
