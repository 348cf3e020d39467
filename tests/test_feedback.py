"""Pins ask for more of their kind, bans for less, and without decisions nothing changes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation import selectors
from curation.errors import SelectionError
from curation.feedback import adjusted, steered
from curation.selectors import Overrides, Problem
from curation.similarity import Features


def clusters() -> tuple[np.ndarray, np.ndarray]:
    """Three kinds of 20 rows; the one query is like the first kind, less like the second. Returns S and vectors."""
    rng = np.random.default_rng(0)
    centres = np.eye(3, 16)
    z = np.repeat(centres, 20, axis=0) + 0.1 * rng.normal(size=(60, 16))
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    query = (2 * centres[0] + centres[1]) / 5**0.5
    return (query[None] @ z.T).astype(np.float32), z.astype(np.float32)


def kinds(similarity: np.ndarray, overrides: Overrides) -> list[int]:
    picked = selectors.create("round_robin").select(similarity, 12, overrides).indices
    return np.bincount(picked // 20, minlength=3).tolist()


def test_without_decisions_nothing_changes() -> None:
    similarity, z = clusters()
    np.testing.assert_array_equal(adjusted(similarity, z, (), (), 1.0), similarity)
    np.testing.assert_array_equal(adjusted(similarity, z, (), (3,), 0.0), similarity)


def test_a_pin_brings_its_kind() -> None:
    similarity, z = clusters()
    pin = Overrides(pinned=(45,))
    assert kinds(similarity, pin) == [11, 0, 1]
    steered = adjusted(similarity, z, (45,), (), 0.5)
    assert steered.shape == (2, 60)
    assert kinds(steered, pin) == [6, 0, 6]  # the pin itself, then turn by turn


def test_a_ban_sends_its_kind_away_by_its_weight() -> None:
    similarity, z = clusters()
    ban = Overrides(banned=(0,))
    assert kinds(similarity, ban) == [12, 0, 0]
    assert kinds(adjusted(similarity, z, (), (0,), 2.0), ban) == [0, 12, 0]
    small, large = (similarity - adjusted(similarity, z, (), (0,), w) for w in (0.5, 1.0))
    np.testing.assert_allclose(large, 2 * small, atol=1e-6)
    assert (small >= 0).all() and small[0, 1:20].min() > small[0, 20:].max()


def test_a_pins_row_has_the_say_of_one_query() -> None:
    rng = np.random.default_rng(1)
    similarity = (0.01 * rng.normal(size=(4, 300)) + 5).astype(np.float32)  # another scale, as LESS's
    z = rng.normal(size=(300, 8)).astype(np.float32)
    row = adjusted(similarity, z, (7,), (), 0.5)[-1]
    assert row.mean() == pytest.approx(similarity.mean(), abs=1e-4)
    assert row.std() == pytest.approx(similarity.std(axis=1).mean(), rel=1e-3)
    order = np.argsort(-(z @ z[7]))
    np.testing.assert_array_equal(order[:5], np.argsort(-row)[:5])


@given(st.integers(0, 10**6), st.lists(st.integers(0, 29), max_size=4), st.lists(st.integers(0, 29), max_size=4))
def test_it_is_finite_repeatable_and_leaves_its_input(seed: int, pinned: list[int], banned: list[int]) -> None:
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(30, 4)).astype(np.float32)
    z[:3] = 0  # rows without features
    similarity = rng.normal(size=(3, 30)).astype(np.float32)
    before = similarity.copy()
    steered = adjusted(similarity, z, pinned, banned, 0.7)
    assert steered.shape == (3 + len(pinned), 30) and steered.dtype == np.float32 and np.isfinite(steered).all()
    np.testing.assert_array_equal(steered, adjusted(similarity, z, pinned, banned, 0.7))
    np.testing.assert_array_equal(similarity, before)


def test_a_steered_problem_has_the_pins_as_queries_of_their_subtask() -> None:
    similarity, z = clusters()
    two = np.concatenate([similarity, -similarity])
    features = Features(z[:, None], np.ones(1, dtype=np.float32), tuple(map(str, range(60))))
    problem = Problem(two, pool_features=features, query_groups=["near", "far"])
    pins = int(similarity[0].argmax()), int(similarity[0].argmin())
    assert similarity[0].min() < 0
    made = steered(problem, pins, (), 0.5)
    assert made.query_groups == ["near", "far", "near", "far"] and made.n_queries == 4
    assert made.vectors is problem.vectors
    np.testing.assert_array_equal(made.similarity, adjusted(two, problem.vectors, pins, (), 0.5))
    assert steered(problem, (), (3,), 0.0) is problem and steered(problem, (), (), 0.5) is problem
    with pytest.raises(SelectionError, match="decisions can't steer the other picks here: no vectors are stored"):
        steered(Problem(similarity), (5,), (), 0.5)
