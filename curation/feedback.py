"""A person's decisions as queries: what is pinned asks for more of its kind, what is banned for less.

Rocchio's relevance feedback (1971), on similarities rather than on vectors: each pinned row becomes one query more, and
every candidate loses, in the eyes of all queries, `weight` times its nearness to the banned row that it is most like.
Candidates are compared in at most 512 dimensions (`Problem.vectors`). How near two of them are is on another scale than
how near a query is to one (for LESS the one compares two Adam directions, the other an SGD gradient with one), so the
rows of pool-to-pool similarity are shifted and scaled to the mean and spread of the queries' rows. Arrays only; the
same decisions always give the same similarity. Left out: learning the weight.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from curation.errors import SelectionError
from curation.selectors import Problem

NO_VECTORS = (
    "decisions can't steer the other picks here: no vectors are stored that compare two rows of the pool (exact LESS "
    "keeps none); turn this off, or compute another representation"
)


def steered(problem: Problem, pinned: Sequence[int], banned: Sequence[int], weight: float) -> Problem:
    """Return the problem with the similarity that `adjusted` gives; a pin joins the subtask of its nearest query.

    Raises
    ------
    SelectionError
        If there are decisions but no features that compare two candidates.
    """
    if not pinned and not (banned and weight):
        return problem
    try:
        vectors = problem.vectors
    except SelectionError as error:
        raise SelectionError(NO_VECTORS) from error
    groups = None
    if problem.query_groups is not None:
        groups = [*problem.query_groups, *(problem.query_groups[q] for q in problem.nearest_query[list(pinned)])]
    made = Problem(
        adjusted(problem.similarity, vectors, pinned, banned, weight),
        query_groups=groups,
        sources=problem.sources,
        scores=problem.scores,
        costs=problem.costs,
    )
    return made.having(vectors=vectors)


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
