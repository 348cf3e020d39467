"""How good a subset is for its queries, each figure beside a random subset's and, where one is cheap, a bound.

TIS (arXiv 2602.14696) shows that good selectors approximately minimise a distance between subset and query set; it is
reported here as the mean distance to the nearest pick, the Wasserstein distance and the maximum mean discrepancy.
Arrays only. `summary` answers while a control is moved (tens of milliseconds at 50 queries × 37,000 candidates);
`wasserstein` grows with the subset and is asked for by itself.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from curation.similarity import Features

Similarity = npt.NDArray[np.floating]  # (n_queries, n_pool)
Indices = npt.NDArray[np.int64] | Sequence[int]

_DRAWS = 5  # random subsets that the comparison is averaged over
_MANY = 2_000  # picks from which one random subset has to do
_REPEAT = 1e-3  # two picks repeat each other if their similarities differ by less than this share of their size


def coverage(similarity: Similarity, indices: Indices) -> npt.NDArray[np.float64]:
    """Similarity of each query to its nearest pick, (n_queries,); NaN where nothing is picked."""
    if len(indices) == 0:
        return np.full(len(similarity), np.nan)
    best: npt.NDArray[np.float64] = np.asarray(similarity[:, np.asarray(indices)], dtype=np.float64).max(axis=1)
    return best


def covered(similarity: Similarity, indices: Indices, eligible: npt.NDArray[np.int64]) -> dict[str, list[float]]:
    """Return each query's similarity to its nearest pick, to that of a random subset, and to the nearest eligible row.

    Returns
    -------
    dict
        ``value``, ``random`` (mean over seeded draws) and ``bound`` → one number a query.
    """
    told = {
        "value": coverage(similarity, indices),
        "random": np.mean([coverage(similarity, rows) for rows in drawn(eligible, len(indices))], axis=0),
        "bound": coverage(similarity, eligible),
    }
    return {name: values.tolist() for name, values in told.items()}


def distance(similarity: Similarity, indices: Indices) -> float:
    """Mean over queries of 1 − similarity to the nearest pick; NaN where nothing is picked."""
    return float(1 - coverage(similarity, indices).mean())


def random_distance(similarity: Similarity, n_picks: int, *, seed: int = 0, draws: int = _DRAWS) -> float:
    """Return what `distance` is for random subsets of `n_picks`, mean over seeded draws."""
    subsets = drawn(np.arange(similarity.shape[1]), n_picks, draws, seed)
    return float(np.mean([distance(similarity, rows) for rows in subsets]))


def drawn(
    eligible: npt.NDArray[np.int64], n_picks: int, draws: int = _DRAWS, seed: int = 0
) -> list[npt.NDArray[np.int64]]:
    """Return seeded random subsets of `n_picks` of the eligible candidates."""
    rng = np.random.default_rng(seed)
    return [eligible[rng.permutation(len(eligible))[:n_picks]] for _ in range(draws)]


def uncovered(similarity: Similarity, indices: Indices) -> list[int]:
    """Return the queries to which a random subset of the same size would, more likely than not, hold something nearer.

    With a candidates nearer than the nearest pick, n picks and N candidates, a random subset holds none of the a with
    probability C(N − a, n) / C(N, n).
    """
    n_pool, n_picks = similarity.shape[1], len(indices)
    if n_picks == 0:
        return list(range(len(similarity)))
    nearer = (similarity > coverage(similarity, indices)[:, None]).sum(axis=1)  # (n_queries,)
    return [q for q, a in enumerate(nearer.tolist()) if _log_choose(n_pool - a, n_picks, n_pool) < math.log(0.5)]


def _log_choose(left: int, n: int, whole: int) -> float:
    """Log of C(left, n) / C(whole, n)."""
    if left < n:
        return -math.inf
    return math.lgamma(left + 1) - math.lgamma(left - n + 1) - math.lgamma(whole + 1) + math.lgamma(whole - n + 1)


def redundancy(groups: npt.NDArray[np.int64], indices: Indices) -> float:
    """Share of the picks whose group (as `neighbours.groups` gives it) holds another pick."""
    if len(indices) == 0:
        return 0.0
    _, group, count = np.unique(groups[np.asarray(indices)], return_inverse=True, return_counts=True)
    return float((count[group] > 1).mean())


def _repeats(similarity: Similarity, indices: Indices) -> float:
    """Share of the picks that another pick repeats exactly, so that every query finds both as similar.

    All that similarity alone can tell: paraphrases differ in it no less than strangers do (tried on the demo pool).
    """
    from scipy.spatial import cKDTree

    if len(indices) < 2:
        return 0.0
    seen = np.asarray(similarity[:, np.asarray(indices)], dtype=np.float64).T  # (n_picks, n_queries)
    nearest, _ = cKDTree(seen).query(seen, k=2)
    size = np.linalg.norm(seen, axis=1)
    return float(((nearest[:, 1] < _REPEAT * size) & (size > 0)).mean())


def summary(
    similarity: Similarity,
    indices: Indices,
    *,
    groups: npt.NDArray[np.int64] | None = None,
    seen: npt.NDArray[np.int64] | None = None,
) -> dict[str, Any]:
    """Return what a selection's header line says, as plain JSON.

    Parameters
    ----------
    similarity : array of shape (n_queries, n_pool)
        Similarity.
    indices : int array
        The subset.
    groups : int64 array (n_pool,), optional
        Near-duplicates as `neighbours.groups` finds them; without it only exact repeats count as redundant.
    seen : int64 array, optional
        The candidates whose similarity is known, where a first stage left others out: what random subsets are drawn
        from, which makes them look nearer than those of the whole pool.

    Returns
    -------
    dict
        ``distance`` and ``random_distance`` (mean to the nearest pick), ``uncovered`` (query indices), ``redundancy``.
    """
    known = similarity if seen is None else similarity[:, seen]
    return {
        "distance": distance(similarity, indices),
        "random_distance": random_distance(known, len(indices)),
        "uncovered": uncovered(similarity, indices),
        "redundancy": _repeats(similarity, indices) if groups is None else redundancy(groups, indices),
    }


def wasserstein(similarity: Similarity, indices: Indices) -> float:
    """Least mean cost 1 − similarity at which the picks' mass, spread evenly, can be moved onto the queries'.

    Exact (POT's network simplex). 50 queries take 10 ms for 500 picks and seconds for tens of thousands.
    """
    os.environ.setdefault("POT_BACKEND_DISABLE_PYTORCH", "1")  # POT would import torch for arrays that are not torch's
    import ot

    if len(indices) == 0:
        return math.nan
    cost = 1 - np.asarray(similarity[:, np.asarray(indices)], dtype=np.float64)  # (n_queries, n_picks)
    return float(ot.emd2(ot.unif(cost.shape[0]), ot.unif(cost.shape[1]), cost, numItermax=10_000_000))


def mmd(pool: Features, query: Features, indices: Indices) -> float:
    """Maximum mean discrepancy between picks and queries under the similarity itself as kernel.

    For a dot-product kernel it is the distance between the two mean features.
    """
    if len(indices) == 0:
        return math.nan
    picks = pool.dense(np.asarray(indices, dtype=np.int64)).mean(axis=0, dtype=np.float64)
    return float(np.linalg.norm(picks - query.dense().mean(axis=0, dtype=np.float64)))


def nearest_bound(similarity: Similarity, eligible: npt.NDArray[np.int64]) -> float:
    """Return the least `distance` that any subset of the eligible candidates has: each query's nearest one is in.

    Reached as soon as the budget has room for one pick a query.
    """
    return distance(similarity, eligible)


def wasserstein_bound(similarity: Similarity, n_picks: int, eligible: npt.NDArray[np.int64]) -> float:
    """Return a distance below which no n_picks of the eligible candidates come in `wasserstein`.

    Two plans that ask for less, of which the dearer counts: every pick sends all its mass to its nearest query, or
    every query takes its mass from the n_picks / n_queries candidates nearest to it, whoever else takes from them.
    """
    n_queries = len(similarity)
    if not 0 < n_picks <= len(eligible):
        return math.nan
    known = similarity[:, eligible]
    best = known.max(axis=0)
    picks = 1 - float(np.sort(best)[len(best) - n_picks :].mean(dtype=np.float64))
    share = n_picks / n_queries  # of candidates that fill one query's need
    wanted = math.ceil(share)
    parts = np.full(wanted, 1 / share)
    parts[-1] = 1 - (wanted - 1) / share
    nearest = -np.sort(-np.partition(known, known.shape[1] - wanted, axis=1)[:, -wanted:], axis=1)
    return max(picks, 1 - float((nearest @ parts).mean(dtype=np.float64)))


def distances(
    similarity: Similarity,
    indices: Indices,
    *,
    eligible: npt.NDArray[np.int64],
    discrepancy: Callable[[Any], float] | None = None,
) -> dict[str, dict[str, float | None]]:
    """Return every distance between subset and query set, beside a random subset's and a bound, as plain JSON.

    Parameters
    ----------
    similarity : array of shape (n_queries, n_pool)
        Similarity.
    indices : int array
        The subset; at least one.
    eligible : int64 array
        The candidates that could have been picked: what random subsets and bounds are of.
    discrepancy : callable, optional
        Gives the MMD of some candidates to the queries.

    Returns
    -------
    dict
        ``mean_nearest``, ``wasserstein`` and, where it can be had, ``mmd`` → ``value``, ``random`` (mean over seeded
        draws) and ``bound`` (no subset of that size is nearer; None where none is cheap).
    """
    n_picks = len(indices)
    draws = drawn(eligible, n_picks, _DRAWS if n_picks <= _MANY else 1)
    told: dict[str, dict[str, float | None]] = {
        "mean_nearest": {
            "value": distance(similarity, indices),
            "random": float(np.mean([distance(similarity, d) for d in draws])),
            "bound": nearest_bound(similarity, eligible),
        },
        "wasserstein": {
            "value": wasserstein(similarity, indices),
            "random": float(np.mean([wasserstein(similarity, d) for d in draws])),
            "bound": wasserstein_bound(similarity, n_picks, eligible),
        },
    }
    if discrepancy is not None:
        random = float(np.mean([discrepancy(d) for d in draws]))
        told["mmd"] = {"value": discrepancy(np.asarray(indices)), "random": random, "bound": None}
    return told
