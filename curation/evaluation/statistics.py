"""Means of arms with intervals over seeds and examples, and paired differences between arms.

Values form a table (n_seeds, n_examples): every seed's model judged on the same rows. Two things are random, which
examples were drawn and how a seed's training fell out. Resampling 2 to 5 seeds (the percentile bootstrap) is far too
narrow: with 3 it loses a third of their variance and uses the normal quantile 1.96 where Student's t is 4.30. So each
level gets its own t, as Banerjee (1960) does for two unknown variances. The half width h at error α is

    h² = t(n_examples − 1)² · R + t(k)² · max(0, S − 0.15 R)

S    variance of the mean as the seeds show it: variance of the seeds' means / n_seeds, summed over the arms
R    what the rows add to it: variance of the rows' means / n_examples, less the noise of single (seed, row) pairs,
     which S holds already
k    degrees of freedom of S: n_seeds − 1 of one arm; of two arms after Welch (1947), less biased for few seeds than
     Satterthwaite's

The 0.15 is this module's own: without it little seed noise is covered too often (Banerjee's bound is one-sided).
Coverage of the 95 % interval is then 93.8 to 96.2 % for 3 or 5 seeds and 93 to 97 % for 2, for one arm and for two,
whatever the shares of the three noises (200 rows; simulated in ``tests/benchmarks/experiments_statistics.py``). With
one seed the interval covers examples only, and says so (`n_seeds`). A p-value is the smallest α whose interval leaves
zero out.

For bounded values (exact match) pseudo-rows at the ends are added, as Agresti & Coull (1998) do for a share and Agresti
& Min (2005) for a paired difference, or ten wrong answers out of ten would give an interval of no width.

When several arms are compared with one baseline, `effects` corrects their p-values after Holm (1979): the chance of
calling even one equal arm different stays at 5 %. Left out: simultaneous intervals; the ends shown are each arm's own.

A departure to know of: strongly skewed losses on few rows are covered less often than said (16 rows, log-normal with
σ = 1: 0.87 for 0.95).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from curation.errors import EvaluationError
from curation.evaluation import METRICS, Evaluation

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """Mean and its interval; `n_seeds` = 1 says that it covers examples only. Infinite ends mean: no statement."""

    mean: float
    low: float
    high: float
    n_seeds: int
    n_examples: int
    level: float = 0.95

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; an infinite end is null."""
        return {k: None if isinstance(v, float) and math.isinf(v) else v for k, v in dataclasses.asdict(self).items()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Build from what `to_dict` gave."""
        ends: dict[str, Any] = {"low": -math.inf, "high": math.inf}
        return cls(**{k: ends[k] if v is None and k in ends else v for k, v in data.items()})


@dataclass(frozen=True)
class Difference(Interval):
    """Mean difference first − second; `better`: the first arm is better, worse, or (None) not distinguishable.

    `n_seeds` is the smaller of the two arms' numbers of seeds. `p` is two-sided; with `comparisons` > 1 it is corrected
    for that many (Holm), and an arm may then be not distinguishable though its own interval leaves zero out.
    """

    better: bool | None = None
    p: float = 1.0
    comparisons: int = 1

    @property
    def distinguishable(self) -> bool:
        """Whether the arms are told apart, all comparisons counted."""
        return self.better is not None


def interval(
    values: ArrayLike, *, level: float = 0.95, lowest: float = -math.inf, highest: float = math.inf
) -> Interval:
    """Mean of one arm over seeds and examples, with its interval.

    Parameters
    ----------
    values : array_like (n_seeds, n_examples)
        One value for each seed's model and row.
    level : float
        Coverage that is aimed at.
    lowest, highest : float
        Range of one value; the interval is kept inside it.

    Returns
    -------
    Interval

    Raises
    ------
    EvaluationError
        If there is no value, or one is not finite.
    """
    table = _table(values)
    ends = [lowest, lowest, highest, highest] if math.isfinite(highest - lowest) else []
    spread = _spread(table.mean(0), ends, [table])
    low, high = spread.ends(1 - level)
    n_seeds, n_examples = table.shape
    return Interval(float(table.mean()), max(low, lowest), min(high, highest), n_seeds, n_examples, level)


def difference(
    first: ArrayLike,
    second: ArrayLike,
    *,
    higher_is_better: bool,
    level: float = 0.95,
    lowest: float = -math.inf,
    highest: float = math.inf,
) -> Difference:
    """Mean difference of two arms on the same rows, with its interval and p-value.

    Rows are paired: what makes a row hard for both arms cancels. Seeds are not: a seed shared by two arms draws other
    batches from other rows.

    Parameters
    ----------
    first, second : array_like (n_seeds of the arm, n_examples)
        Values of the arms; column j of both is the same row. An arm that is not trained has one seed.
    higher_is_better : bool
        Which way is better.
    level, lowest, highest
        As for `interval`; `lowest` and `highest` are those of one value, not of the difference.

    Raises
    ------
    EvaluationError
        If the arms have other numbers of rows, there is no value, or one is not finite.
    """
    a, b = _table(first), _table(second)
    if a.shape[1] != b.shape[1]:
        raise EvaluationError(
            f"arms with {a.shape[1]} and {b.shape[1]} rows can't be paired; judge both on the same rows"
        )
    span = highest - lowest
    ends = [-span, span] if math.isfinite(span) else []
    spread = _spread(a.mean(0) - b.mean(0), ends, [a, b])
    low, high = (min(max(end, -span), span) for end in spread.ends(1 - level))
    mean = float(a.mean() - b.mean())
    better = None if low <= 0.0 <= high else (mean > 0) == higher_is_better
    return Difference(mean, low, high, min(len(a), len(b)), a.shape[1], level, better, spread.p_value())


def holm(differences: Mapping[str, Difference], *, higher_is_better: bool) -> dict[str, Difference]:
    """Correct differences that are shown together (Holm, 1979): `p`, `better` and `comparisons` are set anew.

    Parameters
    ----------
    differences : mapping of name to Difference
        One family, each with its own p-value.
    higher_is_better : bool
        Which way is better.
    """
    m, running = len(differences), 0.0
    corrected = {}
    for rank, name in enumerate(sorted(differences, key=lambda n: differences[n].p)):
        found = differences[name]
        running = max(running, min(1.0, (m - rank) * found.p))
        better = (found.mean > 0) == higher_is_better if running < 1 - found.level else None
        corrected[name] = dataclasses.replace(found, p=running, better=better, comparisons=m)
    return {name: corrected[name] for name in differences}


def effects(
    arms: Mapping[str, Sequence[Evaluation]], baseline: str, *, level: float = 0.95
) -> dict[str, dict[str, Difference]]:
    """Difference of every other arm from `baseline` by metric, corrected for the number of arms.

    Parameters
    ----------
    arms : mapping of name to sequence of Evaluation
        One evaluation for each seed of the arm, all on the same rows.
    baseline : str
        The arm that is subtracted, for example ``"random"`` or ``"zero_shot"``.
    level : float
        As for `interval`.

    Returns
    -------
    dict of arm to dict of metric to Difference
        Empty if `baseline` is no arm of them.

    Raises
    ------
    EvaluationError
        If the arms were judged on other rows.
    """
    if baseline not in arms:
        return {}
    others = [arm for arm in arms if arm != baseline]
    found = {arm: compare(arms[arm], arms[baseline], level=level) for arm in others}
    for metric in {name: None for by_metric in found.values() for name in by_metric}:
        family = {arm: found[arm][metric] for arm in others if metric in found[arm]}
        for arm, one in holm(family, higher_is_better=METRICS.load(metric).higher_is_better).items():
            found[arm][metric] = one
    return found


def summarise(evaluations: Sequence[Evaluation], *, level: float = 0.95) -> dict[str, Interval]:
    """Mean and interval of each metric of one arm.

    Parameters
    ----------
    evaluations : sequence of Evaluation
        One for each seed, on the same rows.
    level : float
        As for `interval`.

    Raises
    ------
    EvaluationError
        If the seeds were judged on other rows.
    """
    found = {}
    for name in _shared_metrics(evaluations):
        metric = METRICS.load(name)
        table = _values(evaluations, name)
        found[name] = interval(table, level=level, lowest=metric.lowest, highest=metric.highest)
    return found


def compare(first: Sequence[Evaluation], second: Sequence[Evaluation], *, level: float = 0.95) -> dict[str, Difference]:
    """Difference first − second of each metric that both arms have, paired by row.

    Parameters
    ----------
    first, second : sequence of Evaluation
        The arms: one evaluation for each seed, all on the same rows.
    level : float
        As for `interval`.

    Raises
    ------
    EvaluationError
        If they were judged on other rows.
    """
    found = {}
    for name in _shared_metrics([*first, *second]):
        metric = METRICS.load(name)
        both = _values([*first, *second], name)
        found[name] = difference(
            both[: len(first)],
            both[len(first) :],
            higher_is_better=metric.higher_is_better,
            level=level,
            lowest=metric.lowest,
            highest=metric.highest,
        )
    return found


def _shared_metrics(evaluations: Sequence[Evaluation]) -> list[str]:
    if not evaluations:
        raise EvaluationError("an arm has no evaluation; judge at least one of its seeds")
    return [name for name in evaluations[0].per_example if all(name in e.per_example for e in evaluations)]


def _values(evaluations: Sequence[Evaluation], name: str) -> Array:
    """Values (n_seeds, n_examples) of a metric, checked to be of the same rows."""
    if len({tuple(e.ids[name]) for e in evaluations}) > 1:
        raise EvaluationError(f"{name} was judged on other rows in some evaluations; judge all arms on the same rows")
    return np.array([e.per_example[name] for e in evaluations])


def _table(values: ArrayLike) -> Array:
    table = np.asarray(values, np.float64)
    if table.ndim != 2 or table.size == 0:
        raise EvaluationError(f"values have shape {table.shape}, expected (n_seeds, n_examples) with at least one each")
    if not np.isfinite(table).all():
        seed, example = np.argwhere(~np.isfinite(table))[0]
        raise EvaluationError(
            f"the value of seed {seed}, row {example} is {table[seed, example]}; judge that arm again"
        )
    return table


_SLACK = 0.15  # share of R taken off S; see the module's head


@dataclass(frozen=True)
class _Spread:
    """A mean with the variances of its two levels (see the module's head); `rows` is infinite for a single row."""

    centre: float
    rows: float
    row_freedom: int
    seeds: float
    seed_freedom: float

    def half_width(self, alpha: float) -> float:
        """Return h at error `alpha`."""
        from scipy.special import stdtrit

        if math.isinf(self.rows):
            return math.inf  # one row says nothing about others
        squared = stdtrit(self.row_freedom, 1 - alpha / 2) ** 2 * self.rows
        if self.seeds > 0:
            squared += stdtrit(self.seed_freedom, 1 - alpha / 2) ** 2 * self.seeds
        return math.sqrt(squared)

    def ends(self, alpha: float) -> tuple[float, float]:
        """Return the interval's ends at error `alpha`."""
        half = self.half_width(alpha)
        return self.centre - half, self.centre + half

    def p_value(self) -> float:
        """Return the smallest error at which zero lies outside the interval."""
        from scipy.optimize import brentq

        far = abs(self.centre)
        if far == 0 or math.isinf(self.rows):
            return 1.0
        if self.half_width(_LEAST) < far:
            return _LEAST
        return float(brentq(lambda alpha: self.half_width(alpha) - far, _LEAST, 1.0))


_LEAST = 1e-12  # no smaller p-value is told


def _spread(means: Array, ends: Sequence[float], tables: Sequence[Array]) -> _Spread:
    """Variances of the mean of `means` (n_examples,); `ends` are the pseudo-rows of a bounded metric."""
    rows = np.concatenate([means, ends])  # (n,)
    shown = float(rows.var(ddof=1)) / len(rows) if len(rows) > 1 else math.inf
    seen, pairs = [], 0.0
    for table in (t for t in tables if len(t) > 1):
        n_seeds, n_examples = table.shape
        seen.append((float(table.mean(1).var(ddof=1)) / n_seeds, n_seeds - 1))
        left = table - table.mean(0) - table.mean(1, keepdims=True) + table.mean()  # (n_seeds, n_examples)
        if n_examples > 1:
            pairs += float((left**2).sum()) / ((n_seeds - 1) * (n_examples - 1)) / (n_seeds * n_examples)
    own = max(0.0, shown - pairs)
    excess = max(0.0, sum(v for v, _ in seen) - _SLACK * own)
    return _Spread(float(rows.mean()), own, len(rows) - 1, excess, _freedom(seen))


def _freedom(variances: Sequence[tuple[float, int]]) -> float:
    """Degrees of freedom of a sum of (variance, its degrees of freedom), after Welch (1947); 1 if there is none."""
    squares = sum(variance**2 / (k + 2) for variance, k in variances)
    if squares == 0:
        return 1.0
    found = sum(variance for variance, _ in variances) ** 2 / squares - 2
    return min(max(found, min(k for _, k in variances)), sum(k for _, k in variances))
