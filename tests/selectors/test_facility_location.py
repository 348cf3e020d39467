"""Facility location equals plain greedy on its objective."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
import pytest

from curation import selectors
from curation.selectors import Overrides, Problem
from tests.selectors.cases import problem_of


def slow(problem: Problem, blocked: np.ndarray, *, pinned: list[int], eta: float = 1.0, **_: object) -> Iterator[int]:
    """Evaluate the objective for every candidate at every turn."""
    scores, chosen, left = problem.similarity.astype(np.float64), list(pinned), np.flatnonzero(~blocked)
    while len(left):
        service = scores[:, chosen].max(axis=1) if chosen else np.full(len(scores), -np.inf)
        gained = np.maximum(scores[:, left], service[:, None]).sum(axis=0) - (service.sum() if chosen else 0)
        best = int(left[(gained + eta * scores[:, left].max(axis=0)).astype(np.float32).argmax()])
        chosen.append(best)
        left = left[left != best]
        yield best


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("closeness", [0.0, 0.3])
@pytest.mark.parametrize("lower", [0, 3])
def test_any_weight_and_scale_equal_the_slow_version(closeness: float, lower: float, ties: bool) -> None:
    problem = Problem(problem_of(6, 70, 2, ties=ties).similarity - lower)
    subset = selectors.create("facility_location", closeness=closeness).select(problem, 40, Overrides((5, 60), (0, 33)))
    blocked = np.isin(np.arange(70), (5, 60, 0, 33))
    assert subset.indices.tolist() == [5, 60, *islice(slow(problem, blocked, pinned=[5, 60], eta=closeness), 38)]


def test_every_query_is_served_before_any_twice() -> None:
    similarity = np.full((4, 40), 0.0)
    for q in range(4):
        similarity[q, 10 * q : 10 * q + 10] = 0.9 - 0.001 * np.arange(10)
    assert selectors.create("facility_location").select(similarity, 4).indices.tolist() == [0, 10, 20, 30]
