"""A cheap first stage before a dear representation: which rows go on, and how many of the best ones that loses.

The first stage keeps the pool rows that rank best for any query. What it loses is measured, not assumed: of the rows it
leaves out a random sample goes on as well, and tells how many of the dear representation's own top k were left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from curation.config import FirstStageConfig

TOPS = (100, 500, 2000)  # the k for which recall is told, where so many rows go on


@dataclass(frozen=True)
class Stage:
    """Rows of a pool after its first stage, as positions.

    Attributes
    ----------
    kept : int64 array
        The rows that go on, ascending.
    audit : int64 array
        A random sample of the other rows, ascending, which goes on to measure what was lost.
    n_pool : int
        Rows that the first stage saw.
    """

    kept: npt.NDArray[np.int64]
    audit: npt.NDArray[np.int64]
    n_pool: int

    @property
    def rows(self) -> npt.NDArray[np.int64]:
        """Kept and audited rows, ascending."""
        return np.sort(np.concatenate([self.kept, self.audit]))


def choose(similarity: npt.NDArray[np.float32], usable: npt.NDArray[np.int64], config: FirstStageConfig) -> Stage:
    """Return which rows go on.

    Parameters
    ----------
    similarity : float32 array of shape (n_queries, n_pool)
        The first stage's; a row counts by its best rank for any query, so that no query loses to one of greater scale.
    usable : int64 array
        Positions of the rows that have features there.
    config : FirstStageConfig
        How many go on, and how many are audited.
    """
    columns = similarity[:, usable]
    best = np.full(len(usable), len(usable))
    for row in columns:
        order = np.argsort(-row, kind="stable")
        best[order] = np.minimum(best[order], np.arange(len(usable)))
    n_kept = max(1, round(config.keep * len(usable)))
    order = np.argsort(best, kind="stable")
    rng = np.random.default_rng(config.seed)
    left = np.sort(order[n_kept:])
    audit = rng.permutation(len(left))[: config.audit]
    return Stage(np.sort(usable[order[:n_kept]]), np.sort(usable[left[audit]]), len(usable))


def recall(scores: npt.NDArray[np.floating[Any]], stage: Stage, tops: Sequence[int] = TOPS) -> list[dict[str, float]]:
    """Estimate which share of the dear representation's own top k the first stage kept.

    Parameters
    ----------
    scores : array of shape (n_pool,)
        The dear representation's nearness of each row to the query set; read for kept and audited rows only.
    stage : Stage
        What went on. Each audited row stands for (left out / audited) rows.
    tops : sequence of int
        The k.

    Returns
    -------
    list of dict
        For each k below the number of kept rows: ``k``, ``recall``, and ``low`` and ``high``, the 95 % interval that
        Clopper and Pearson's for the share of left-out rows among the top k gives. Exact where all were audited.
    """
    from scipy.stats import beta

    n_left, n_audit = stage.n_pool - len(stage.kept), len(stage.audit)
    weight = np.concatenate([np.ones(len(stage.kept)), np.full(n_audit, n_left / max(1, n_audit))])
    rows = np.concatenate([stage.kept, stage.audit])
    order = np.argsort(-scores[rows], kind="stable")
    reached = np.cumsum(weight[order])  # rows of the whole pool that are estimated to score as high
    told = []
    for k in tops:
        if k >= len(stage.kept):
            continue
        top = order[: int(np.searchsorted(reached, k, side="left")) + 1]
        n_kept, missed = int((top < len(stage.kept)).sum()), int((top >= len(stage.kept)).sum())
        shares = [missed / max(1, n_audit)] * 3
        if 0 < n_audit < n_left:
            shares[1] = float(beta.ppf(0.025, missed, n_audit - missed + 1)) if missed else 0.0
            shares[2] = float(beta.ppf(0.975, missed + 1, n_audit - missed)) if missed < n_audit else 1.0
        mean, high, low = (n_kept / (n_kept + n_left * share) if n_kept else 0.0 for share in shares)
        told.append({"k": k, "recall": mean, "low": low, "high": high})
    return told
