"""Means of arms with intervals over seeds and examples, and paired differences between arms.

Values form a table (n_seeds, n_examples): every seed's model judged on the same rows. Two things are random, which
examples were drawn and how a seed's training fell out. The interval holds both: it is taken from many draws of

    mean + (standard error over examples) · t(n_examples − 1) + (standard error over seeds) · t(n_seeds − 1)

with independent Student variables, that is, a two-level bootstrap whose levels are drawn from Student's t and not by
resampling. Resampling 2 to 5 seeds (the percentile bootstrap) is far too narrow: with 3 it loses a third of their
variance and uses the normal quantile 1.96 where t's is 4.30. With one seed the interval covers examples only, and says
so (`n_seeds`).

For bounded values (exact match) pseudo-rows at the ends are added, as Agresti & Coull (1998) do for a share and Agresti
& Min (2005) for a paired difference, or ten wrong answers out of ten would give an interval of no width.

Departures to know of: noise of single (seed, row) pairs is counted in both errors, so that intervals are slightly wide;
strongly skewed losses on few rows are covered less often than said (16 rows, log-normal with σ = 1: 0.87 for 0.95).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
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

    `n_seeds` is the smaller of the two arms' numbers of seeds.
    """

    better: bool | None = None

    @property
    def distinguishable(self) -> bool:
        """Whether zero lies outside the interval."""
        return not self.low <= 0.0 <= self.high


def interval(
    values: ArrayLike,
    *,
    level: float = 0.95,
    lowest: float = -math.inf,
    highest: float = math.inf,
    resamples: int = 10_000,
    seed: int = 0,
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
    resamples : int
        Draws that the interval is read from.
    seed : int
        Seed of the draws: the same values give the same interval.

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
    draws = _draws(table.mean(0), ends, [table], resamples, seed)
    low, high = _percentiles(draws, level)
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
    resamples: int = 10_000,
    seed: int = 0,
) -> Difference:
    """Mean difference of two arms on the same rows, with its interval.

    Rows are paired: what makes a row hard for both arms cancels. Seeds are not: a seed shared by two arms draws other
    batches from other rows.

    Parameters
    ----------
    first, second : array_like (n_seeds of the arm, n_examples)
        Values of the arms; column j of both is the same row. An arm that is not trained has one seed.
    higher_is_better : bool
        Which way is better.
    level, lowest, highest, resamples, seed
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
    draws = _draws(a.mean(0) - b.mean(0), ends, [a, b], resamples, seed)
    low, high = (min(max(end, -span), span) for end in _percentiles(draws, level))
    mean = float(a.mean() - b.mean())
    better = None if low <= 0.0 <= high else (mean > 0) == higher_is_better
    return Difference(mean, low, high, min(len(a), len(b)), a.shape[1], level, better)


def summarise(evaluations: Sequence[Evaluation], *, level: float = 0.95, seed: int = 0) -> dict[str, Interval]:
    """Mean and interval of each metric of one arm.

    Parameters
    ----------
    evaluations : sequence of Evaluation
        One for each seed, on the same rows.
    level, seed
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
        found[name] = interval(table, level=level, lowest=metric.lowest, highest=metric.highest, seed=seed)
    return found


def compare(
    first: Sequence[Evaluation], second: Sequence[Evaluation], *, level: float = 0.95, seed: int = 0
) -> dict[str, Difference]:
    """Difference first − second of each metric that both arms have, paired by row.

    Parameters
    ----------
    first, second : sequence of Evaluation
        The arms: one evaluation for each seed, all on the same rows.
    level, seed
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
            seed=seed,
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


def _draws(means: Array, ends: Sequence[float], tables: Sequence[Array], resamples: int, seed: int) -> Array:
    """Draws (resamples,) of the mean; `ends` are the pseudo-rows of a bounded metric."""
    rng = np.random.default_rng(seed)
    rows = np.concatenate([means, ends])  # (n,)
    if len(rows) == 1:
        return rng.choice(np.array([-np.inf, np.inf]), resamples)  # one row says nothing about others
    draws: Array = rows.mean() + _student(rows, resamples, rng)
    for table in tables:
        if len(table) > 1:
            draws += _student(table.mean(1), resamples, rng)
    return draws


def _student(values: Array, resamples: int, rng: np.random.Generator) -> Array:
    """Standard error of the mean times Student's t, in equal steps of its probability and random order."""
    from scipy.stats import t

    steps = rng.permutation((np.arange(resamples) + 0.5) / resamples)
    return np.asarray(values.std(ddof=1) / math.sqrt(len(values)) * t.ppf(steps, len(values) - 1))


def _percentiles(draws: Array, level: float) -> tuple[float, float]:
    # A method that picks draws: interpolating between two infinite ones would give NaN.
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], method="inverted_cdf")
    return float(low), float(high)
