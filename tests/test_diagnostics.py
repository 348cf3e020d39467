"""Distances, coverage and explanations equal their definitions on cases small enough to do by hand."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation import diagnostics, selectors
from curation.similarity import Features

S = np.array([[0.9, 0.8, 0.1, 0.5, 0.2], [0.1, 0.2, 0.8, 0.5, 0.7]], dtype=np.float32)


def test_distance_is_one_minus_the_nearest_pick() -> None:
    np.testing.assert_allclose(diagnostics.coverage(S, [1, 4]), [0.8, 0.7], atol=1e-6)
    assert diagnostics.distance(S, [1, 4]) == pytest.approx(0.25)
    assert np.isnan(diagnostics.distance(S, []))


def test_random_distance_is_seeded_and_near_its_expectation() -> None:
    similarity = np.random.default_rng(0).normal(size=(3, 30))
    exact = np.mean([diagnostics.distance(similarity, pair) for pair in itertools.combinations(range(30), 2)])
    assert diagnostics.random_distance(similarity, 2, seed=1, draws=3000) == pytest.approx(exact, abs=0.05)
    assert diagnostics.random_distance(similarity, 2, seed=1) == diagnostics.random_distance(similarity, 2, seed=1)


@pytest.mark.parametrize("picks", [[0], [3], [4], [0, 3], [1, 2], [3, 4], [0, 1, 2, 3, 4]])
def test_uncovered_equals_counting_all_subsets(picks: list[int]) -> None:
    expected = []
    for query, row in enumerate(S):
        best = row[picks].max()
        subsets = list(itertools.combinations(range(5), len(picks)))
        nearer = sum(row[list(subset)].max() > best for subset in subsets)
        if nearer > len(subsets) / 2:
            expected.append(query)
    assert diagnostics.uncovered(S, picks) == expected


def test_nothing_picked_covers_nothing() -> None:
    assert diagnostics.uncovered(S, []) == [0, 1]
    assert diagnostics.summary(S, [])["redundancy"] == 0.0


def test_near_duplicates_among_the_picks_are_counted() -> None:
    groups = np.arange(40)
    groups[[7, 30, 31]] = 3
    assert diagnostics.redundancy(groups, [3, 7, 5, 6]) == 0.5
    assert diagnostics.redundancy(groups, [3, 9, 10]) == 0.0
    assert diagnostics.redundancy(groups, []) == 0.0
    assert diagnostics.summary(np.zeros((1, 40)), [3, 7], groups=groups)["redundancy"] == 1.0


def test_without_groups_only_exact_repeats_are_redundant() -> None:
    similarity = np.random.default_rng(0).normal(size=(8, 100))
    similarity[:, 1] = similarity[:, 0]
    similarity[:, 2] = similarity[:, 0] + 0.01
    similarity[:, [3, 4]] = 0  # like no query: that is not being like each other
    assert diagnostics.summary(similarity, [0, 1, 2, 50])["redundancy"] == 0.5
    assert diagnostics.summary(similarity, [3, 4, 5, 6])["redundancy"] == 0.0
    assert diagnostics.summary(similarity, [5])["redundancy"] == 0.0


def test_wasserstein_by_hand_and_against_matching() -> None:
    from scipy.optimize import linear_sum_assignment

    # one pick each: query 0 ↔ candidate 0 at 0.1, query 1 ↔ candidate 2 at 0.2
    assert diagnostics.wasserstein(S, [2, 0]) == pytest.approx(0.15)
    similarity = np.random.default_rng(0).uniform(-1, 1, size=(6, 20))
    cost = 1 - similarity[:, :6]
    assert diagnostics.wasserstein(similarity, range(6)) == pytest.approx(cost[linear_sum_assignment(cost)].mean())
    assert np.isnan(diagnostics.wasserstein(S, []))


@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(1, 12))
def test_no_subset_is_nearer_than_the_bounds(seed: int, n_queries: int, n_picks: int) -> None:
    rng = np.random.default_rng(seed)
    similarity = rng.uniform(-1, 1, size=(n_queries, 12))
    eligible = np.sort(rng.permutation(12)[: max(n_picks, 8)])
    nearest = diagnostics.nearest_bound(similarity, eligible)
    moved = diagnostics.wasserstein_bound(similarity, n_picks, eligible)
    for _ in range(10):
        picks = rng.permutation(eligible)[:n_picks]
        assert diagnostics.distance(similarity, picks) >= nearest - 1e-9
        assert diagnostics.wasserstein(similarity, picks) >= moved - 1e-9
    tops = np.unique([eligible[similarity[q, eligible].argmax()] for q in range(n_queries)])
    assert diagnostics.distance(similarity, tops) == pytest.approx(nearest)


def test_the_wasserstein_bound_is_reached_where_queries_do_not_compete() -> None:
    similarity = np.array([[0.9, 0.7, 0.0, 0.1, 0.0], [0.0, 0.0, 0.8, 0.6, 0.1]])
    every = np.arange(5)
    assert diagnostics.wasserstein_bound(similarity, 4, every) == pytest.approx(0.25)
    assert diagnostics.wasserstein(similarity, [0, 1, 2, 3]) == pytest.approx(0.25)
    assert np.isnan(diagnostics.wasserstein_bound(similarity, 6, every))


def test_distances_stand_beside_random_and_a_bound() -> None:
    rng = np.random.default_rng(0)
    one = np.ones(1, dtype=np.float32)
    z, q = (rng.normal(size=(n, 8)) for n in (200, 6))
    z, q = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (z, q))
    features = [Features(x[:, None], one, tuple(map(str, range(len(x))))) for x in (z, q)]
    picked = selectors.create("round_robin").select(q @ z.T, 20).indices
    told = diagnostics.distances(
        q @ z.T, picked, eligible=np.arange(200), discrepancy=lambda i: diagnostics.mmd(*features, i)
    )
    assert list(told) == ["mean_nearest", "wasserstein", "mmd"]
    for name in ("mean_nearest", "wasserstein"):
        assert told[name]["bound"] <= told[name]["value"] < told[name]["random"]
    assert told["mmd"]["value"] < told["mmd"]["random"] and told["mmd"]["bound"] is None
    assert json.loads(json.dumps(told)) == told
    assert "mmd" not in diagnostics.distances(q @ z.T, picked, eligible=np.arange(200))


def test_coverage_stands_beside_random_and_the_best_there_is() -> None:
    told = diagnostics.covered(S, [1, 4], np.array([1, 2, 3, 4]))
    np.testing.assert_allclose(told["value"], [0.8, 0.7], atol=1e-6)
    np.testing.assert_allclose(told["bound"], [0.8, 0.8], atol=1e-6)
    assert all(r <= b for r, b in zip(told["random"], told["bound"], strict=True))


def test_mmd_equals_the_kernel_sums() -> None:
    rng = np.random.default_rng(0)
    weights = np.array([0.25, 0.75], dtype=np.float32)
    pool = Features(rng.normal(size=(9, 2, 5)).astype(np.float32), weights, tuple("abcdefghi"))
    query = Features(rng.normal(size=(4, 2, 5)).astype(np.float32), weights, tuple("wxyz"))

    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.einsum("icd,jcd,c->ij", a, b, weights).mean())

    picks = pool.values[[1, 5, 6]]
    squared = kernel(picks, picks) - 2 * kernel(picks, query.values) + kernel(query.values, query.values)
    assert diagnostics.mmd(pool, query, [1, 5, 6]) == pytest.approx(squared**0.5, rel=1e-5)


def test_selection_is_nearer_than_random_in_every_distance() -> None:
    rng = np.random.default_rng(0)
    z, q = rng.normal(size=(500, 16)), rng.normal(size=(8, 16)) + 1
    z, q = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (z, q))
    similarity = q @ z.T
    one = np.ones(1, dtype=np.float32)
    pool, query = (Features(x[:, None], one, tuple(map(str, range(len(x))))) for x in (z, q))
    picked, drawn = (selectors.create(name).select(similarity, 40).indices for name in ("round_robin", "random"))
    told = diagnostics.summary(similarity, picked)
    assert told["distance"] < told["random_distance"]
    assert told["uncovered"] == []
    assert diagnostics.wasserstein(similarity, picked) < diagnostics.wasserstein(similarity, drawn)
    assert diagnostics.mmd(pool, query, picked) < diagnostics.mmd(pool, query, drawn)
    assert json.loads(json.dumps(told)) == told
