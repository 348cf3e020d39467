"""Stability is the share of resampled query sets in which a pick stays."""

from __future__ import annotations

import numpy as np
import pytest

from curation import selectors
from curation.selected import Selected
from curation.selectors import Budget, Overrides, Problem
from curation.similarity import Features
from curation.stability import stability

EVERY = sorted(selectors.REGISTRY)


def chosen(
    name: str, similarity: np.ndarray, budget: int, overrides: Overrides | None = None, **more: object
) -> Selected:
    problem, selector = Problem(similarity, **more), selectors.create(name)  # type: ignore[arg-type]
    decided = overrides or Overrides()
    subset = selector.select(problem, budget, decided)
    return Selected(selector, problem, Budget(examples=budget), decided, subset)


def test_it_equals_selecting_again_by_hand() -> None:
    similarity = np.random.default_rng(0).normal(size=(5, 60)).astype(np.float32)
    made = chosen("round_robin", similarity, 12)
    rng, expected = np.random.default_rng(3), np.zeros(60)
    for _ in range(25):
        rows = np.sort(rng.integers(5, size=5))
        expected[selectors.create("round_robin").select(similarity[rows], 12).indices] += 1
    np.testing.assert_array_equal(stability(made, draws=25, seed=3), expected[made.subset.indices] / 25)


def test_what_one_query_alone_brings_is_less_stable_than_what_all_want() -> None:
    rng = np.random.default_rng(1)
    similarity = rng.uniform(0, 0.1, size=(10, 300)).astype(np.float32)
    similarity[:, :5] = 0.9  # wanted by all
    similarity[7, 20:30] = 0.8  # wanted by one query alone
    made = chosen("doubly_greedy", similarity, 15)
    told = dict(zip(made.subset.indices.tolist(), stability(made, draws=200), strict=True))
    assert all(told[i] == 1 for i in range(5))
    alone = 1 - 0.9**10  # the chance that its query is drawn
    assert np.mean([told[i] for i in range(20, 30)]) == pytest.approx(alone, abs=0.1)


def test_what_a_pin_asks_for_as_a_query_is_asked_for_in_every_draw() -> None:
    similarity = np.random.default_rng(1).uniform(0, 0.1, size=(10, 300)).astype(np.float32)
    similarity[9, 20:30] = 0.8  # wanted by the last row alone
    made = chosen("doubly_greedy", similarity, 10)
    assert sorted(made.subset.indices) == list(range(20, 30))
    assert (stability(made, fixed=1) == 1).all()
    assert (stability(made) < 1).all()


def test_pins_and_random_draws_do_not_hang_on_the_queries() -> None:
    similarity = np.random.default_rng(2).normal(size=(4, 50)).astype(np.float32)
    assert (stability(chosen("random", similarity, 1)) == 1).all()  # a large pool for one pick
    made = chosen("round_robin", similarity, 10, Overrides(pinned=(7,), banned=(8,)))
    assert stability(made)[0] == 1


@pytest.mark.parametrize("name", EVERY)
def test_in_a_large_pool_only_what_has_a_prospect_is_looked_at(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    z, q = rng.normal(size=(2_000, 8)), rng.normal(size=(6, 8))
    z, q = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (z, q))
    features = Features(z[:, None].astype(np.float32), np.ones(1, dtype=np.float32), tuple(map(str, range(2_000))))
    made = chosen(name, (q @ z.T).astype(np.float32), 20, Overrides(pinned=(5,), banned=(6,)), pool_features=features)
    told = stability(made, draws=8)
    assert told.shape == (20,) and (told >= 0).all() and (told <= 1).all() and told[0] == 1
    np.testing.assert_array_equal(told, stability(made, draws=8))
    if name in ("round_robin", "doubly_greedy", "facility_location"):
        monkeypatch.setattr("curation.stability.REACH", 1_000)
        np.testing.assert_array_equal(told, stability(made, draws=8))  # the others had none
