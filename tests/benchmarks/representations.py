"""Representations in figures: speed against plain loops and the machine's ceiling, exactness, and the full pool.

    python -m tests.benchmarks.representations [--quick] [--json] [--only NAME ...] [--cache DIR]

Both sides of every comparison run on the same inputs in one process with 2 threads, a process a section, outputs
checked first. `--quick` takes under a minute and shows that all works; its times are no measurements. The section
`pool37k` takes half an hour and more, so it runs only when named. `--cache` keeps data sets, models and warmups (and
`pool37k`'s features, which are then not timed again). Nothing is asserted; what is measured is printed.
"""

from __future__ import annotations

from tests.benchmarks import frame

SECTIONS = {  # name: module of this folder
    "less_tiny": "speed",
    "less_135m": "speed",
    "sketch": "fidelity",
    "invariance": "fidelity",
    "rds": "speed",
    "embed": "speed",
    "pool37k": "scale",
}
USUAL = tuple(name for name in SECTIONS if name != "pool37k")
QUICK = tuple(name for name in USUAL if name != "less_135m")

if __name__ == "__main__":
    frame.main("representations", __doc__, SECTIONS, usual=USUAL, quick=QUICK)
