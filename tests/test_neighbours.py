"""The neighbour graph is the plain definition's, ties and all, and groups near-duplicates."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from curation import neighbours
from curation.similarity import Features


def features(values: np.ndarray) -> Features:
    length = np.linalg.norm(values, axis=1, keepdims=True)
    unit = (values / np.where(length > 0, length, 1)).astype(np.float32)
    return Features(unit[:, None], np.ones(1, dtype=np.float32), tuple(map(str, range(len(values)))))


def sparse(made: Features) -> Features:
    return Features(csr_matrix(made.dense()), made.weights, made.ids)


def plain(made: Features, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Every row against every other, sorted; the definition."""
    values = made.dense()
    cosine = values @ values.T
    np.fill_diagonal(cosine, -np.inf)
    order = np.argsort(-cosine, axis=1, kind="stable")[:, : min(k, len(values) - 1)]
    return order, 1 - np.take_along_axis(cosine, order, axis=1)


@given(st.integers(1, 60), st.integers(1, 8), st.integers(0, 5), st.booleans())
@settings(max_examples=60)
def test_it_is_the_plain_definition_with_ties_to_the_lower_index(n: int, k: int, seed: int, is_sparse: bool) -> None:
    rows = np.zeros((n, 4))  # unit vectors along axes and nothing: many ties, and every product exact
    kind = np.random.default_rng(seed).integers(0, 5, n)
    rows[np.arange(n)[kind < 4], kind[kind < 4]] = 1
    made = features(rows)
    indices, distances = neighbours.graph(sparse(made) if is_sparse else made, k)
    wanted, far = plain(made, k)
    np.testing.assert_array_equal(indices, wanted)
    np.testing.assert_array_equal(distances, far)
    assert indices.dtype == np.int32 and distances.dtype == np.float32


@pytest.mark.parametrize("is_sparse", [False, True])
def test_blocks_cover_every_pair(is_sparse: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "_SIDE", 7)
    monkeypatch.setattr(neighbours, "TILE_BYTES", 4 * 50 * 6)
    made = features(np.random.default_rng(0).normal(size=(50, 6)))
    indices, distances = neighbours.graph(sparse(made) if is_sparse else made)
    wanted, far = plain(made, neighbours.K)
    np.testing.assert_array_equal(indices, wanted)
    np.testing.assert_allclose(distances, far, atol=1e-6)


def test_checkpoints_weigh_as_they_do_in_the_similarity() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(40, 2, 5))
    values /= np.linalg.norm(values, axis=2, keepdims=True)
    made = Features(values.astype(np.float32), np.array([0.8, 0.2], dtype=np.float32), tuple(map(str, range(40))))
    np.testing.assert_array_equal(neighbours.graph(made)[0], plain(made, neighbours.K)[0])


def test_wide_rows_keep_their_near_duplicates_nearest() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(40, 2_000))
    rows[20:] = rows[:20] + 0.2 * rng.normal(size=(20, 2_000))
    indices, distances = neighbours.graph(features(rows))
    np.testing.assert_array_equal(indices[:, 0], (np.arange(40) + 20) % 40)
    assert distances[:, 0].max() < 0.1


@pytest.mark.parametrize("is_sparse", [False, True])
def test_of_a_large_pool_the_strongest_directions_are_compared(
    is_sparse: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("LARGE", 99), ("_SAMPLE", 80), ("_AXES", 4)):
        monkeypatch.setattr(neighbours, name, value)
    rng = np.random.default_rng(0)
    made = features(rng.normal(size=(100, 3)) @ rng.normal(size=(3, 30)))  # three directions hold all of it
    indices, _ = neighbours.graph(sparse(made) if is_sparse else made, 3)
    assert np.mean(indices == plain(made, 3)[0]) > 0.95


def test_progress_ends_with_the_last_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "_SIDE", 10)
    told: list[int] = []
    watcher = type("P", (), {"start": lambda *_: None, "advance": lambda _, n=1: told.append(n)})()
    neighbours.graph(features(np.random.default_rng(0).normal(size=(35, 3))), progress=watcher)
    assert sum(told) == 35 and len(told) == 4 and told[0] > told[-1]


def test_groups_are_of_near_duplicates_and_theirs() -> None:
    angles = np.array([0.0, 0.2, 0.4, 1.5, 1.55, 3.0])
    graph = neighbours.graph(features(np.stack([np.cos(angles), np.sin(angles)], axis=1)))
    np.testing.assert_array_equal(neighbours.groups(graph, cosine=0.95), [0, 0, 0, 3, 3, 5])


def test_many_equal_rows_are_one_group() -> None:
    graph = neighbours.graph(features(np.repeat(np.eye(2), 60, axis=0)))
    np.testing.assert_array_equal(neighbours.groups(graph, cosine=0.95), np.repeat([0, 60], 60))
