"""The map is deterministic, keeps clusters apart, stands for pools of any size, and places queries by similarity."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from curation import maps
from curation.similarity import Features

dense = Features.dense


def features(values: np.ndarray) -> Features:
    values = values / np.linalg.norm(values, axis=1, keepdims=True)
    return Features(
        values[:, None].astype(np.float32), np.ones(1, dtype=np.float32), tuple(map(str, range(len(values))))
    )


@pytest.mark.slow
@pytest.mark.parametrize("d", [32, 300])
def test_clusters_stay_apart_and_the_map_is_deterministic(d: int) -> None:
    rng = np.random.default_rng(0)
    cluster = np.repeat(np.arange(3), 30)
    made = features(rng.normal(size=(3, d))[cluster] + 0.2 * rng.normal(size=(90, d)))
    xy = maps.fit(made, seed=1)
    assert xy.shape == (90, 2)
    assert xy.dtype == np.float32
    assert np.isfinite(xy).all()
    gaps = np.linalg.norm(xy[:, None] - xy[None], axis=2)
    np.fill_diagonal(gaps, np.inf)
    same = cluster[gaps.argmin(axis=1)] == cluster
    assert same.mean() > 0.95
    np.testing.assert_array_equal(maps.fit(made, seed=1), xy)


@pytest.mark.parametrize("n", [1, 2, 3, 15])
@pytest.mark.parametrize("equal", [False, True])
@pytest.mark.parametrize("d", [1, 4, 200])
def test_small_pools_have_a_map(n: int, equal: bool, d: int) -> None:
    values = np.random.default_rng(0).normal(size=(n, d)) + 2
    xy = maps.fit(features(np.repeat(values[:1], n, axis=0) if equal else values))
    assert xy.shape == (n, 2)
    assert np.isfinite(xy).all()


def test_many_copies_of_few_rows_have_a_map() -> None:
    values = np.random.default_rng(0).normal(size=(4, 8))[np.arange(100) % 4]
    xy = maps.fit(features(values))
    assert len(np.unique(xy.round(4), axis=0)) == 4


def test_small_map_keeps_distances_of_a_plane() -> None:
    angles = np.linspace(0, 1, 10)
    made = features(np.column_stack([np.cos(angles), np.sin(angles)]))
    xy = maps.fit(made)
    wanted = np.linalg.norm(made.values[:, 0][:, None] - made.values[:, 0][None], axis=2)
    np.testing.assert_allclose(np.linalg.norm(xy[:, None] - xy[None], axis=2), wanted, atol=1e-5)


def test_a_pool_too_large_to_be_held_keeps_its_distances(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maps, "_LARGEST", 4 * 10 * 2000 - 1)
    monkeypatch.setattr(Features, "dense", lambda self, rows: dense(self, rows), raising=True)  # never all rows
    angles = np.linspace(0, 1, 10)[:, None]
    axes = np.random.default_rng(0).normal(size=(2, 2000)) / 2000**0.5
    made = features(np.hstack([np.cos(angles), np.sin(angles)]) @ axes)
    wanted = np.linalg.norm(made.values[:, 0][:, None] - made.values[:, 0][None], axis=2)
    xy = maps.fit(made)
    np.testing.assert_allclose(np.linalg.norm(xy[:, None] - xy[None], axis=2), wanted, atol=0.1)


def test_sparse_features_have_a_map() -> None:
    values = np.random.default_rng(0).random((10, 500)) * (np.random.default_rng(1).random((10, 500)) < 0.05)
    made = Features(csr_matrix(values), np.ones(1, dtype=np.float32), tuple("abcdefghij"))
    assert np.isfinite(maps.fit(made)).all()


def test_query_stands_where_its_nearest_candidates_stand() -> None:
    xy = np.array([[0, 0], [10, 0], [0, 10], [100, 100]], dtype=np.float32)
    similarity = np.array([[0.1, 0.9, 0.1, 0.1], [0.5, 0.5, -0.9, -0.9]])
    placed = maps.place(similarity, xy, nearest=2)
    np.testing.assert_allclose(placed[0], [10, 0], atol=0.2)
    np.testing.assert_allclose(placed[1], [5, 0], atol=1e-5)
    assert placed.dtype == np.float32
    assert np.isfinite(maps.place(similarity, xy)).all()


def test_negative_similarity_does_not_push_a_query_away() -> None:
    xy = np.array([[0, 0], [1, 0], [0, 1]], dtype=np.float32)
    placed = maps.place(np.array([[-0.9, -0.5, -0.7]]), xy)
    assert (placed >= 0).all() and (placed <= 1).all()
    assert placed[0, 0] > placed[0, 1]
