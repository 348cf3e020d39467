"""A person's decisions as queries: what is pinned asks for more of its kind, what is banned for less.

Rocchio's relevance feedback (1971), on similarities rather than on vectors: each pinned row becomes one query more, and
every candidate loses, in the eyes of all queries, `weight` times its nearness to the banned row that it is most like.
How near two pool rows are is on another scale than how near a query is to one (for LESS the one compares two Adam
directions, the other an SGD gradient with one), so the rows of pool-to-pool similarity are shifted and scaled to the
mean and spread of the queries' rows. Arrays only; the same decisions always give the same similarity. Left out:
learning the weight.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def adjusted(
    similarity: npt.NDArray[np.float32],
    vectors: npt.NDArray[np.float32],
    pinned: Sequence[int],
    banned: Sequence[int],
    weight: float,
) -> npt.NDArray[np.float32]:
    """Return the similarity as a person's decisions bend it.

    Parameters
    ----------
    similarity : float32 array (n_queries, n_pool)
        Similarity of the queries to the candidates; it is not changed.
    vectors : float32 array (n_pool, d)
        The candidates' features, of unit length (`selectors.Problem.vectors`).
    pinned, banned : sequence of int
        Candidates.
    weight : float
        How much of its likeness to a banned row a candidate loses; 0 leaves bans without effect on others.

    Returns
    -------
    float32 array (n_queries + n_pinned, n_pool)
        The queries' rows, then one for each pinned row.
    """
    mean = np.float32(similarity.mean(dtype=np.float64))
    spread = np.float32(similarity.std(axis=1, dtype=np.float64).mean())

    def asked_by(rows: Sequence[int]) -> npt.NDArray[np.float32]:
        near = vectors[np.asarray(rows, dtype=np.int64)] @ vectors.T  # (rows, n_pool)
        own = near.std(axis=1, keepdims=True)
        scaled: npt.NDArray[np.float32] = (near - near.mean(axis=1, keepdims=True)) / np.where(own > 0, own, 1)
        return mean + spread * scaled

    asked = np.concatenate([similarity, asked_by(pinned)])
    if banned and weight:
        asked -= np.float32(weight) * np.maximum(asked_by(banned).max(axis=0) - mean, 0)
    return asked
