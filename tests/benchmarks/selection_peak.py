"""What one selection takes: `python -m tests.benchmarks.selection_peak NAME N_QUERIES N_POOL BUDGET`.

Prints seconds, the most bytes held beside the similarity and the stored features, and what the selector noted.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

from curation import selectors
from curation.selectors import Problem
from curation.similarity import Features


def vectors(n: int, d: int, seed: int) -> np.ndarray:
    """Unit rows about 200 centres, the same ones for every seed, float32 (n, d)."""
    centres = np.random.default_rng(99).standard_normal((200, d), dtype=np.float32)
    rng = np.random.default_rng(seed)
    rows = centres[rng.integers(0, 200, n)]
    rows += rng.standard_normal((n, d), dtype=np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def features(values: np.ndarray) -> Features:
    """Features with one checkpoint."""
    return Features(values[:, None], np.ones(1, dtype=np.float32), tuple(map(str, range(len(values)))))


def _status(field: str) -> int:
    """A field of this process's memory, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(field))


def main(name: str, n_queries: int, n_pool: int, budget: int) -> None:
    """Measure one selection in this process."""
    pool = vectors(n_pool, 64, 2)
    similarity = vectors(n_queries, 64, 1) @ pool.T
    small = Problem(similarity[:, :2_000].copy(), features(pool[:2_000]))
    selectors.create(name).select(small, 20)  # loads what it uses
    about, before = features(pool), _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    started = time.perf_counter()
    subset = selectors.create(name).select(Problem(similarity, about), budget)
    print(time.perf_counter() - started, _status("VmHWM") - before, *subset.notes)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
