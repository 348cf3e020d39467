"""The frame of a benchmark of several sections: its arguments, a process a section, tables, one JSON object.

A section is a function of one parameter, `bench`, that returns figures and words; it stands in a module of this folder.
Nothing that computes is imported before the number of threads is set.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.benchmarks.measure import Bench

THREADS = "2"


def main(
    program: str, about: str, sections: Mapping[str, str], *, usual: Sequence[str] = (), quick: Sequence[str] = ()
) -> None:
    """Run what was asked for on the command line, a process a section.

    Parameters
    ----------
    program : str
        Module that is run, by its name in this folder.
    about : str
        What it is for.
    sections : mapping of str to str
        Section → module of this folder that has a function of that name.
    usual, quick : sequence of str
        Sections that run unless some are named, and those of them under ``--quick``; default all.
    """
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="little of everything, in one process")
    parser.add_argument("--json", action="store_true", help="end with one object: figure → value, baseline, bar, met")
    parser.add_argument("--only", choices=sections, nargs="+", help="sections to run")
    parser.add_argument("--cache", type=Path, help="folder to keep; default a temporary one")
    parser.add_argument("--here", action="store_true", help="run the sections in this process")
    options = parser.parse_args()
    os.environ.update({f"{library}_NUM_THREADS": THREADS for library in ("OMP", "MKL", "OPENBLAS", "NUMBA")})
    os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
    names = options.only or list((options.quick and quick) or usual or sections)
    with tempfile.TemporaryDirectory(prefix="winnow-bench-") as temporary:
        cache = options.cache or Path(temporary)
        cache.mkdir(parents=True, exist_ok=True)
        found: dict[str, Any] = {}
        if options.here or options.quick:
            from tests.benchmarks.measure import Bench

            found = _report({name: sections[name] for name in names}, Bench(cache, options.quick))
        else:
            for name in names:
                found |= _apart(program, name, cache)
    if options.json:
        print(json.dumps(found))


def _report(sections: Mapping[str, str], bench: Bench) -> dict[str, Any]:
    """Run sections in this process, print them as Markdown; return figure → what `--json` tells of it."""
    import torch

    from tests.benchmarks.measure import machine, table

    torch.set_num_threads(int(THREADS))
    found: dict[str, Any] = {}
    for name, module in sections.items():
        about = machine()
        figures, words = getattr(import_module(f"tests.benchmarks.{module}"), name)(bench)
        print("\n\n".join([f"### {name}", about, *words, table(figures)]), end="\n\n", flush=True)
        found |= {figure.name: figure.to_json() for figure in figures}
    return found


def _apart(program: str, name: str, cache: Path) -> dict[str, Any]:
    """Run a section in a process of its own, show what it prints, and return its figures."""
    command = [sys.executable, "-m", f"tests.benchmarks.{program}", "--here", "--json", "--only", name]
    told = subprocess.run([*command, "--cache", str(cache)], check=True, stdout=subprocess.PIPE, text=True).stdout
    shown, _, figures = told.rstrip("\n").rpartition("\n")
    print(shown, flush=True)
    found: dict[str, Any] = json.loads(figures)
    return found
