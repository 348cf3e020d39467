"""The map is deterministic, keeps clusters apart, stands for pools of any size, and places what is new by its like."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from curation import maps
from curation.similarity import Features


def features(values: np.ndarray) -> Features:
    values = values / np.linalg.norm(values, axis=1, keepdims=True)
    return Features(
        values[:, None].astype(np.float32), np.ones(1, dtype=np.float32), tuple(map(str, range(len(values))))
    )


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


def test_sparse_features_have_a_map() -> None:
    rng = np.random.default_rng(0)
    for n in (1, 2, 10, 60):
        values = rng.random((n, 500)) * (rng.random((n, 500)) < 0.05)
        made = Features(csr_matrix(values), np.ones(1, dtype=np.float32), tuple(map(str, range(n))))
        xy = maps.fit(made)
        assert xy.shape == (n, 2) and np.isfinite(xy).all()
        np.testing.assert_array_equal(maps.fit(made), xy)


@pytest.mark.parametrize("values", [np.zeros((20, 50)), np.ones((20, 50)) / 50**0.5, np.eye(20, 50)])
def test_sparse_rows_without_a_direction_of_their_own_have_one_map(values: np.ndarray) -> None:
    made = Features(csr_matrix(values, dtype=np.float32), np.ones(1, dtype=np.float32), tuple(map(str, range(20))))
    xy = maps.fit(made)
    assert np.isfinite(xy).all()
    np.testing.assert_array_equal(maps.fit(made), xy)


def test_new_rows_join_their_like_and_move_no_other() -> None:
    rng = np.random.default_rng(0)
    cluster = np.repeat(np.arange(3), 30)
    made = features(rng.normal(size=(3, 32))[cluster] + 0.2 * rng.normal(size=(90, 32)))
    xy = maps.fit(made)
    new = np.arange(90) % 10 == 3
    known = np.where(new[:, None], np.nan, xy).astype(np.float32)
    whole = maps.extend(made, known)
    np.testing.assert_array_equal(whole[~new], xy[~new])
    centres = np.stack([xy[~new & (cluster == c)].mean(axis=0) for c in range(3)])
    nearest = np.linalg.norm(whole[new][:, None] - centres, axis=2).argmin(axis=1)
    np.testing.assert_array_equal(nearest, cluster[new])
    assert whole.dtype == np.float32


def test_many_new_rows_are_placed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    made = features(np.random.default_rng(0).normal(size=(40, 8)))
    known = np.random.default_rng(1).normal(size=(40, 2)).astype(np.float32)
    known[::2] = np.nan
    whole = maps.extend(made, known)
    monkeypatch.setattr(maps, "_TOGETHER", 40 * 3)
    np.testing.assert_allclose(maps.extend(made, known), whole, atol=1e-5)


def test_thinning_keeps_lonely_rows_and_most_that_may_be_drawn() -> None:
    rng = np.random.default_rng(0)
    xy = np.concatenate([rng.normal(size=(5_000, 2)), rng.uniform(-100, 100, size=(40, 2))]).astype(np.float32)
    shown = maps.thin(xy, 600)
    assert 400 <= shown.sum() <= 600
    assert shown[5_000:].all()
    np.testing.assert_array_equal(maps.thin(xy, 600), shown)
    assert maps.thin(xy, len(xy)).all()


def test_thinning_never_draws_more_than_it_may_nor_rows_without_a_place() -> None:
    xy = np.random.default_rng(0).uniform(size=(3_000, 2)).astype(np.float32)
    xy[:10] = np.nan
    shown = maps.thin(xy, 100)
    assert shown.sum() == 100 and not shown[:10].any()
    assert maps.thin(np.zeros((50, 2), dtype=np.float32), 7).sum() == 7


@given(
    st.lists(st.tuples(st.integers(-4, 4), st.integers(-4, 4)), min_size=3, max_size=12),
    st.integers(0, 3),
)
@settings(max_examples=100)
def test_inside_is_the_even_odd_rule_edge_by_edge(corners: list[tuple[int, int]], seed: int) -> None:
    xy = np.random.default_rng(seed).integers(-5, 6, size=(60, 2)).astype(np.float32) / 2
    xy[0] = np.nan
    xs, ys = (list(map(float, side)) for side in zip(*corners, strict=True))
    wanted = np.zeros(60, dtype=bool)
    for n, (x, y) in enumerate(xy.tolist()):
        for x1, y1, x2, y2 in zip(xs, ys, xs[1:] + xs[:1], ys[1:] + ys[:1], strict=True):
            if (y1 > y) != (y2 > y) and x < (x2 - x1) * (y - y1) / (y2 - y1) + x1:
                wanted[n] ^= True
    np.testing.assert_array_equal(maps.inside(xy, xs, ys), wanted)


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
