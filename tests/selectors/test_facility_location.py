"""Facility location equals plain greedy on its objective."""

from __future__ import annotations

import numpy as np
import pytest

from curation import selectors
from curation.selectors import Overrides
from tests.selectors.cases import problem_of


def slow_facility_location(
    similarity: np.ndarray, n_picks: int, pinned: list[int], banned: set[int], eta: float = 1.0
) -> list[int]:
    """Evaluate the objective for every candidate at every turn."""
    scores = similarity.astype(np.float64)

    def service(chosen: list[int]) -> float:
        return float(scores[:, chosen].max(axis=1).sum()) if chosen else 0.0

    chosen = list(pinned)
    while len(chosen) < n_picks:
        left = [i for i in range(scores.shape[1]) if i not in chosen and i not in banned]
        added = [round(service([*chosen, i]) - service(chosen) + eta * scores[:, i].max(), 6) for i in left]
        chosen.append(left[int(np.argmax(added))])
    return chosen


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("closeness", [0.0, 1.0])
@pytest.mark.parametrize(("pinned", "banned"), [((), ()), ((5, 60), (0, 1, 33))])
def test_equals_the_slow_version(
    pinned: tuple[int, ...], banned: tuple[int, ...], closeness: float, ties: bool
) -> None:
    similarity = problem_of(6, 70, 2, ties=ties).similarity
    subset = selectors.create("facility_location", closeness=closeness).select(
        similarity, 40, Overrides(pinned, banned)
    )
    assert subset.indices.tolist() == slow_facility_location(similarity, 40, list(pinned), set(banned), closeness)


def test_negative_similarity_does_not_mislead() -> None:
    similarity = problem_of(6, 70, 2).similarity - 3
    subset = selectors.create("facility_location").select(similarity, 40)
    assert subset.indices.tolist() == slow_facility_location(similarity, 40, [], set())


def test_every_query_is_served_before_any_twice() -> None:
    similarity = np.full((4, 40), 0.0)
    for q in range(4):
        similarity[q, 10 * q : 10 * q + 10] = 0.9 - 0.001 * np.arange(10)
    assert selectors.create("facility_location").select(similarity, 4).indices.tolist() == [0, 10, 20, 30]
