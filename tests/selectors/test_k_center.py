"""k-center equals its plain version: farthest first among the nearest."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
import pytest

from curation import selectors
from curation.selectors import Budget, Overrides, Problem
from tests.selectors.cases import features_of, problem_of


def slow(
    problem: Problem, blocked: np.ndarray, *, pinned: list[int], budget: int, reach: int = 10, **_: object
) -> Iterator[int]:
    """Measure the distance to every pick at every turn; what is not considered follows by nearness."""
    vectors, order = problem.vectors.astype(np.float64), np.argsort(-problem.nearest, kind="stable")
    order = order[~blocked[order]]
    left, chosen = np.sort(order[: reach * budget]), list(pinned)
    while len(left):
        if chosen:
            away = (1 - (vectors[left] @ vectors[chosen].T).max(axis=1)).astype(np.float32)
            chosen.append(int(left[away.argmax()]))
        else:
            chosen.append(int(order[0]))
        left = left[left != chosen[-1]]
        yield chosen[-1]
    yield from order[reach * budget :].tolist()


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(("budget", "reach"), [(1, 10), (12, 3), (60, 1)])
@pytest.mark.parametrize(("pinned", "banned"), [((), ()), ((5,), (0, 1, 33))])
def test_any_reach_equals_the_slow_version(
    pinned: tuple[int, ...], banned: tuple[int, ...], budget: int, reach: int, ties: bool
) -> None:
    problem, blocked = problem_of(6, 80, 8, ties=ties), np.isin(np.arange(80), [*pinned, *banned])
    subset = selectors.create("k_center", reach=reach).select(problem, budget, Overrides(pinned, banned))
    expected = islice(slow(problem, blocked, pinned=list(pinned), budget=budget, reach=reach), budget - len(pinned))
    assert subset.indices.tolist() == [*pinned, *expected]


def test_starts_from_the_nearest_and_goes_far() -> None:
    vectors = np.array([[1, 0], [0.6, 0.8], [0, 1], [-1, 0]], dtype=np.float32)
    problem = Problem(np.array([[0.9, 0.8, 0.7, 0.1]]), features_of(vectors))
    assert selectors.create("k_center").select(problem, 3).indices.tolist() == [0, 3, 2]
    assert selectors.create("k_center", reach=1).select(problem, 3).indices.tolist() == [0, 2, 1]


def test_the_rest_follows_by_nearness_where_quotas_use_up_those_considered() -> None:
    problem = problem_of(3, 100, 1)
    near = np.argsort(-problem.nearest, kind="stable")
    sources = ["few" if i in near[:20] else "many" for i in range(100)]
    bound = Problem(problem.similarity, problem.pool_features, sources=sources)
    picked = selectors.create("k_center", reach=1).select(bound, 20, quotas={"few": 2}).indices
    assert picked[2:].tolist() == near[20:38].tolist()


def test_a_token_budget_considers_as_many_examples_as_it_holds() -> None:
    problem = problem_of(3, 200, 1).having(costs=np.full(200, 7))
    by_examples = selectors.create("k_center", reach=3).select(problem, 10)
    by_tokens = selectors.create("k_center", reach=3).select(problem, Budget(tokens=70))
    assert by_tokens.indices.tolist() == by_examples.indices.tolist()
