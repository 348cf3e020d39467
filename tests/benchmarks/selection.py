"""Selection in figures: every selector against its definition, memory, and what a person waits for on the Curate page.

    python -m tests.benchmarks.selection [--quick] [--json] [--only NAME ...] [--cache DIR]

Both sides of every comparison run on the same inputs in one process with 2 threads, a process a section, results
compared first; every timed call gets a fresh matrix, so that nothing kept from the last one helps. `--quick` takes
under a minute and shows that all works; its times are no measurements. Nothing is asserted; what is measured is
printed. A section is a function of one parameter, `bench`, in one of `MODULES`.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import subprocess
import sys
import tempfile
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.benchmarks.measure import Bench

THREADS = "2"
MODULES = tuple(f"tests.benchmarks.selection_{name}" for name in ("orders", "views", "map"))


def sections() -> dict[str, Any]:
    """Section by name: the modules' public functions of one parameter, `bench`."""
    modules = [import_module(name) for name in MODULES if find_spec(name)]
    return {
        name: function
        for module in modules
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if not name.startswith("_") and list(inspect.signature(function).parameters) == ["bench"]
    }


def report(names: list[str], bench: Bench) -> dict[str, Any]:
    """Run sections in this process, print them as Markdown; return figure → what `--json` tells of it."""
    import torch

    from tests.benchmarks.measure import machine, table

    torch.set_num_threads(int(THREADS))
    known, found = sections(), {}
    for name in names:
        about = machine()
        figures, words = known[name](bench)
        print("\n\n".join([f"### {name}", about, *words, table(figures)]), end="\n\n", flush=True)
        found |= {figure.name: figure.to_json() for figure in figures}
    return found


def main() -> None:
    """Run what was asked for, a process a section."""
    os.environ.update(OMP_NUM_THREADS=THREADS, MKL_NUM_THREADS=THREADS, OPENBLAS_NUM_THREADS=THREADS)
    os.environ.update(NUMBA_NUM_THREADS=THREADS, HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few rows, in one process")
    parser.add_argument("--json", action="store_true", help="end with one object: figure → value, baseline, bar, met")
    parser.add_argument("--only", choices=list(sections()), nargs="+", help="sections to run")
    parser.add_argument("--cache", type=Path, help="folder to keep; default a temporary one")
    parser.add_argument("--here", action="store_true", help="run the sections in this process")
    options = parser.parse_args()
    names = options.only or list(sections())
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
    command = [sys.executable, "-m", "tests.benchmarks.selection", "--here", "--json", "--only", name]
    told = subprocess.run([*command, "--cache", str(cache)], check=True, stdout=subprocess.PIPE, text=True).stdout
    shown, _, figures = told.rstrip("\n").rpartition("\n")
    print(shown, flush=True)
    found: dict[str, Any] = json.loads(figures)
    return found


if __name__ == "__main__":
    main()
