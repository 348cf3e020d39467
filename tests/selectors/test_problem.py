"""A problem checks what it is given once, and keeps what selections share."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from curation import selectors
from curation.errors import SelectionError
from curation.selectors import Budget, Overrides, Problem
from curation.selectors import problem as module
from curation.selectors.round_robin import RoundRobin
from curation.similarity import Features
from tests.selectors.cases import features_of, problem_of, vectors_of


def test_budget_is_one_of_examples_or_tokens() -> None:
    for budget in ({}, {"examples": 1, "tokens": 1}):
        with pytest.raises(SelectionError, match="expected exactly one of the two"):
            Budget(**budget)
    for amount in (-3, 0, 1.5, True, "7"):
        with pytest.raises(SelectionError, match=r"the budget is .*, expected a whole number of at least 1; raise it"):
            Budget(examples=amount)  # type: ignore[arg-type]
        with pytest.raises(SelectionError, match=r"the budget is .*, expected a whole number of at least 1; raise it"):
            Budget(tokens=amount)  # type: ignore[arg-type]
    assert Budget(tokens=np.int64(7)).tokens == 7  # type: ignore[arg-type]


def test_columns_are_checked() -> None:
    similarity = problem_of(2, 4, 0).similarity
    with pytest.raises(SelectionError, match=r"similarity has shape \(4,\)"):
        Problem(similarity[0])
    with pytest.raises(SelectionError, match="sources has 3 entries, expected 4"):
        Problem(similarity, sources=["a"] * 3)
    with pytest.raises(SelectionError, match="query_groups has 4 entries, expected 2"):
        Problem(similarity, query_groups=["a"] * 4)
    with pytest.raises(SelectionError, match="pool_features has 3 rows, expected 4"):
        Problem(similarity, features_of(vectors_of(3, 0)))
    with pytest.raises(SelectionError, match="costs holds -1"):
        Problem(similarity).having(costs=np.array([1, -1, 1, 1]))


@pytest.mark.parametrize("n_pool", [1, 63, 5000])
def test_nearest_query_and_similarity(n_pool: int) -> None:
    problem = problem_of(7, n_pool, 1, ties=True)
    np.testing.assert_array_equal(problem.nearest, problem.similarity.max(axis=0))
    np.testing.assert_array_equal(problem.nearest_query, problem.similarity.argmax(axis=0))


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("shape", [(1, 1), (7, 63), (5, 60_000)])
def test_shortlists_are_each_querys_nearest(shape: tuple[int, int], ties: bool) -> None:
    problem = problem_of(*shape, 1, ties=ties)
    assert len(problem.shortlists) == shape[0]
    for row, short in zip(problem.similarity, problem.shortlists, strict=True):
        assert short.tolist() == np.argsort(-row, kind="stable")[: len(short)].tolist()
        assert len(short) >= 1 and (ties or len(short) <= max(64, 0.01 * len(row)))
        if len(short) < len(row):
            assert np.delete(row, short).max() < row[short[-1]]


def test_similarity_is_not_copied_where_it_is_float32() -> None:
    similarity = problem_of(2, 4, 0).similarity
    assert Problem(similarity).similarity is similarity
    assert Problem(similarity.astype(np.float64)).similarity.dtype == np.float32


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
@pytest.mark.parametrize("reads", ["nearest", "shortlists"])
def test_whatever_reads_the_similarity_first_checks_it(reads: str, bad: float) -> None:
    similarity = problem_of(3, 50, 0).similarity.astype(np.float64)
    assert len(getattr(Problem(1e30 * similarity), reads)) > 0  # of which the squares are too large for float32
    similarity[1, 4] = bad
    with pytest.raises(SelectionError, match=r"similarity of query 1 to candidate 4 is (nan|-?inf), expected finite"):
        getattr(Problem(similarity), reads)


def test_wide_features_are_narrowed_and_of_unit_length() -> None:
    values = np.random.default_rng(0).normal(size=(30, 2, 700)).astype(np.float32)
    weights = np.array([0.25, 0.75], dtype=np.float32)
    features = Features(values, weights, tuple(map(str, range(30))))
    vectors = Problem(np.ones((1, 30)), features).vectors
    assert vectors.shape == (30, module.WIDEST) and vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)
    exact = features.dense() / np.linalg.norm(features.dense(), axis=1, keepdims=True)
    assert np.abs(vectors @ vectors.T - exact @ exact.T).max() < 0.25


def test_vectors_of_a_huge_pool_are_narrower_still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 4 * 30 * 5)
    assert Problem(np.ones((1, 30)), features_of(vectors_of(30, 0))).vectors.shape == (30, 5)


def test_an_ordering_is_found_once_and_only_as_far_as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    order = RoundRobin.order
    monkeypatch.setattr(RoundRobin, "order", lambda self, *a: asked.append(a) or order(self, *a))
    problem, select = problem_of(3, 60, 0), selectors.create("round_robin").select
    for budget in (10, 40, 5):
        select(problem, budget)
    select(problem.having(costs=np.ones(60, dtype=np.int64)), Budget(tokens=20))
    assert len(asked) == 1
    select(problem, 10, Overrides(banned=(3,)))
    select(problem, 10, Overrides(pinned=(3,)))
    select(problem_of(3, 60, 0), 10)
    assert len(asked) == 4


def test_rankings_are_kept_whatever_is_banned() -> None:
    problem = problem_of(3, 60, 0)
    kept = problem.kept
    for banned in range(5):
        selectors.create("doubly_greedy").select(problem, 10, Overrides(banned=(banned,)))
    assert len(kept._found) == 1
    for banned in range(20):
        selectors.create("round_robin").select(problem, 10, Overrides(banned=(banned,)))
    assert len(kept._found) == module._KEPT


def test_threads_share_an_ordering() -> None:
    problem = problem_of(3, 600, 0)
    alone = selectors.create("mmr").select(problem_of(3, 600, 0), 300).indices

    def select(budget: int) -> np.ndarray:
        return selectors.create("mmr").select(problem, budget).indices

    with ThreadPoolExecutor(8) as pool:
        for picked in pool.map(select, [300, 10, 200, 150, 300, 50, 20, 299]):
            np.testing.assert_array_equal(picked, alone[: len(picked)])


ASKED_FIRST = """
import numpy as np
from curation.selectors import REGISTRY, Budget, Overrides, Problem, create
similarity = np.random.default_rng(0).random((40, 60_000), dtype=np.float32)
for ask in ("nearest", "shortlists", "nearest_query"):
    getattr(Problem(similarity), ask)
vectors = np.random.default_rng(1).normal(size=(60_000, 4)).astype(np.float32)
vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
for name in REGISTRY:
    if name != "knn_kde":  # it compares all pairs
        problem = Problem(similarity).having(vectors=vectors)
        assert len(create(name).select(problem, Budget(examples=40), Overrides(pinned=(7,), banned=(8,)))) == 40
"""


def test_whatever_is_asked_first_no_thread_waits_for_itself() -> None:
    environment = os.environ | {"OMP_NUM_THREADS": "2"}
    subprocess.run([sys.executable, "-c", ASKED_FIRST], check=True, timeout=300, env=environment)
