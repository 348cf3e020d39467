"""Experiments in figures: is the comparison fair, are the intervals honest, does the sandbox hold.

    python -m tests.benchmarks.experiments [--quick] [--json] [--only NAME ...] [--cache DIR]

A process a section, with 2 threads. `--quick` takes under a minute and shows that `coverage`, `sandbox` and
`generation` work, or those that `--only` names; its figures are no measurements. The sections `truth` and `check` tune
some two hundred times, which takes hours, so they run only when named; what they have tuned stands in `--cache` and is
not tuned again. Nothing is asserted; what is measured is printed.
"""

from __future__ import annotations

from tests.benchmarks import frame

SECTIONS = {  # name: module of this folder
    "coverage": "experiments_statistics",
    "sandbox": "experiments_sandbox",
    "kills": "experiments_kills",
    "training": "experiments_speed",
    "generation": "experiments_speed",
    "losses": "experiments_speed",
    "demo": "experiments_speed",
    "truth": "experiments_truth",
    "check": "experiments_truth",
}

if __name__ == "__main__":
    usual = [name for name in SECTIONS if name not in ("truth", "check")]
    frame.main("experiments", __doc__, SECTIONS, usual=usual, quick=("coverage", "sandbox", "generation"))
