"""How much of a selection hangs on which queries happened to be written: the bootstrap over the query set.

The queries are drawn anew with replacement, the selector picks again, and a pick's stability is the share of draws in
which it is picked still (Efron 1979; as stability selection, Meinshausen and Bühlmann 2010, does with training rows).
So that fifty draws cost little, each chooses among the candidates that have a prospect: those nearest to some query, or
to all of them on average, many times the budget, and what is picked now. In a small pool these are all candidates.
Arrays only.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from curation.selected import Selected
from curation.selectors import Overrides, Problem

DRAWS = 40
DEAR_DRAWS = 10  # where candidates are compared with each other
REACH = 20  # times the budget: candidates that have a prospect


def stability(
    selected: Selected, *, fixed: int = 0, draws: int | None = None, seed: int = 0
) -> npt.NDArray[np.float64]:
    """Return the share of resampled query sets under which each pick is picked still.

    Parameters
    ----------
    selected : Selected
        The subset and what made it.
    fixed : int
        How many of the last rows of the similarity are no written queries but pins that ask as such (`feedback`): they
        are in every draw.
    draws : int, optional
        Resampled query sets; default 40, or 10 where the selector compares candidates with each other.
    seed : int
        Seed of the draws.

    Returns
    -------
    float64 array (n_picked,)
        In the order of the picks; 1 for pins.
    """
    problem, picks = selected.problem, selected.subset.indices
    if selected.selector.blind:
        return np.ones(len(picks))
    n_draws = draws or (DEAR_DRAWS if selected.selector.needs_features else DRAWS)
    rows = _prospects(selected)
    place = np.full(problem.n_pool, -1, dtype=np.int64)
    place[rows] = np.arange(len(rows))
    overrides = Overrides(
        pinned=tuple(int(i) for i in place[list(selected.overrides.pinned)]),
        banned=tuple(int(i) for i in place[list(selected.overrides.banned)] if i >= 0),
    )
    few = dataclasses.replace(selected, overrides=overrides)
    rng = np.random.default_rng(seed)
    still = np.zeros(len(rows))
    vectors = problem.vectors[rows] if selected.selector.needs_features else None
    similarity = problem.similarity[:, rows]
    written = problem.n_queries - fixed
    for _ in range(n_draws):
        queries = np.sort(rng.integers(written, size=written))
        queries = np.concatenate([queries, np.arange(written, problem.n_queries)])
        groups = [problem.query_groups[q] for q in queries] if problem.query_groups else None
        drawn = Problem(
            similarity[queries],
            query_groups=groups,
            sources=[problem.sources[i] for i in rows] if problem.sources is not None else None,
            scores=None if problem.scores is None else np.asarray(problem.scores)[rows],
            costs=None if problem.costs is None else np.asarray(problem.costs)[rows],
        )
        again = dataclasses.replace(few, problem=drawn.having(vectors=vectors)).try_again()
        if again is not None:
            still[again.indices] += 1
    share: npt.NDArray[np.float64] = still[place[picks]] / n_draws
    return share


def _prospects(selected: Selected) -> npt.NDArray[np.int64]:
    """Candidates that some resampled query set might bring in, ascending."""
    problem, picks = selected.problem, selected.subset.indices
    wanted = REACH * len(picks)
    if problem.n_pool <= wanted:
        return np.arange(problem.n_pool)
    usable = np.where(selected.blocked, np.float32(-np.inf), problem.similarity)
    each = -(-wanted // problem.n_queries)
    nearest = np.argpartition(usable, problem.n_pool - each, axis=1)[:, -each:]
    average = np.argpartition(usable.mean(axis=0), problem.n_pool - wanted)[-wanted:]
    quotas = _of_limited_sources(selected)
    return np.unique(np.concatenate([nearest.ravel(), average, picks, quotas]))


def _of_limited_sources(selected: Selected) -> npt.NDArray[np.int64]:
    """One row of each source that has a quota, so that the quota still names a source that is there."""
    names = selected.problem.source_names if selected.quotas else []
    return np.array([names.index(source) for source in selected.quotas], dtype=np.int64)
