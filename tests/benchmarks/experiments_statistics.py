"""Coverage of the intervals, simulated with a known effect: does the 95 % interval hold the truth 95 times in 100?"""

from __future__ import annotations

import math

import numpy as np

from curation.evaluation.statistics import difference, interval
from tests.benchmarks.measure import Bench, Figure

N_SEEDS, N_EXAMPLES, EFFECT, AIM = 3, 200, 0.3, 0.95
SHARES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)
ROWS = {"rows alone": 1.0, "rows and pairs alike": 0.5, "pairs alone": 0.0}
WHAT = ("a mean", "a difference from zero-shot", "a difference from another tuned arm")


def coverage(bench: Bench) -> tuple[list[Figure], list[str]]:
    """Worst distance from 95 % over all shares of seed noise, where the rest of the variance lies half in rows."""
    draws = 50 if bench.quick else 1000
    shares = SHARES[::4] if bench.quick else SHARES
    lines = [f"| the rest of the variance | interval of | {' | '.join(f'{s:.0%}' for s in shares)} |"]
    lines.append("|---|---|" + "---:|" * len(shares))
    worst = dict.fromkeys(WHAT, (0.0, 0.0))
    for rest, rows in ROWS.items():
        found = [_covered(share, rows, draws) for share in shares]  # (n_shares, 4)
        for column, what in enumerate(WHAT):
            lines.append(f"| {rest} | {what} | " + " | ".join(f"{100 * f[column]:.1f}" for f in found) + " |")
            if rows == 0.5:
                worst[what] = tuple(100 * max(abs(f[at] - AIM) for f in found) for at in (column, -1))  # type: ignore[assignment]
    words = [
        f"Coverage in % of {draws:,} draws, {N_SEEDS} seeds × {N_EXAMPLES} rows, effect {EFFECT}, by the share of seed "
        "noise in one value's variance. The rest is noise of rows, of single (seed, row) pairs, or half of each; the "
        "figures are the worst of the half-and-half lines. Against: a mean's interval from rows alone.",
        "\n".join(lines),
    ]
    name = "interval coverage, worst distance from 95 %"
    figures = [
        Figure(f"{name}: {what}", "points", ours, rows, 2.0, "93–97 % at every share", higher=False)
        for what, (ours, rows) in worst.items()
    ]
    return figures, words


def _covered(share: float, rows: float, draws: int) -> list[float]:
    """Share of `draws` whose interval holds the truth: of each of `WHAT`, and of a mean's interval from rows alone."""
    rng = np.random.default_rng([int(1000 * share), int(10 * rows)])
    row_sd, pair_sd, seed_sd = (math.sqrt(v) for v in ((1 - share) * rows, (1 - share) * (1 - rows), share))

    def arm(shift: float, n_seeds: int = N_SEEDS) -> np.ndarray:
        """Values (n_seeds, n_examples) of an arm whose rows answer in their own way to it."""
        own = row_sd * rng.standard_normal(N_EXAMPLES)
        pairs = pair_sd * rng.standard_normal((n_seeds, N_EXAMPLES))
        return shift + own + pairs + seed_sd * rng.standard_normal((n_seeds, 1))

    hits = np.zeros(4)
    for _ in range(draws):
        tuned, other = arm(EFFECT), arm(0.0)
        zero_shot = row_sd * rng.standard_normal((1, N_EXAMPLES))  # no training, so no noise of a seed
        hits += [
            one.low <= EFFECT <= one.high
            for one in (
                interval(tuned),
                difference(tuned, zero_shot, higher_is_better=True),
                difference(tuned, other, higher_is_better=True),
                interval(tuned.mean(0, keepdims=True)),
            )
        ]
    return [float(h) for h in hits / draws]
