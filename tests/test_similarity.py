"""Similarity equals the double sum of its definition, tiled or not, dense or sparse, and names what is not finite."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from curation import similarity
from curation.errors import SelectionError
from curation.similarity import Features


def features(n: int, n_checkpoints: int, d: int, seed: int, name: str, dtype: type = np.float32) -> Features:
    values = np.random.default_rng(seed).normal(size=(n, n_checkpoints, d))
    values /= np.linalg.norm(values, axis=2, keepdims=True)
    weights = np.arange(1, n_checkpoints + 1, dtype=np.float32)
    return Features(values.astype(dtype), weights / weights.sum(), tuple(f"{name}{i}" for i in range(n)))


@pytest.mark.parametrize("max_bytes", [1, 1_000, 2**28])
def test_equals_the_weighted_sum_of_inner_products(max_bytes: int) -> None:
    query, pool = features(3, 2, 8, 0, "q"), features(11, 2, 8, 1, "p")
    got = similarity.compute(query, pool, max_bytes=max_bytes)
    assert got.shape == (3, 11)
    assert got.dtype == np.float32
    for i in range(3):
        for j in range(11):
            expected = sum(float(w) * query.values[i, c] @ pool.values[j, c] for c, w in enumerate(pool.weights))
            assert got[i, j] == pytest.approx(expected, abs=1e-6)


def test_float16_features_are_multiplied_in_float32() -> None:
    query, pool = features(2, 1, 4096, 0, "q", np.float16), features(5, 1, 4096, 1, "p", np.float16)
    exact = query.values[:, 0].astype(np.float64) @ pool.values[:, 0].astype(np.float64).T
    np.testing.assert_allclose(similarity.compute(query, pool), exact, atol=1e-6)


@pytest.mark.parametrize("max_bytes", [1, 2**28])
def test_sparse_equals_dense(max_bytes: int) -> None:
    query, pool = features(3, 1, 20, 0, "q"), features(7, 1, 20, 1, "p")
    sparse = [Features(csr_matrix(f.values[:, 0]), f.weights, f.ids) for f in (query, pool)]
    np.testing.assert_allclose(
        similarity.compute(*sparse, max_bytes=max_bytes), similarity.compute(query, pool), atol=1e-6
    )
    np.testing.assert_allclose(sparse[1].dense(), pool.dense(), atol=1e-7)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_row_that_is_not_finite_is_named(bad: float) -> None:
    query, pool = features(3, 1, 4, 0, "q"), features(7, 1, 4, 1, "p")
    pool.values[5, 0, 2] = bad
    with pytest.raises(SelectionError, match="the feature of candidate p5 is not finite"):
        similarity.compute(query, pool)
    query.values[1, 0, 0] = bad
    with pytest.raises(SelectionError, match="the feature of query q1 is not finite"):
        similarity.compute(query, pool)


def test_a_bad_row_is_named_whatever_the_tiles() -> None:
    query, pool = features(3, 1, 4, 0, "q"), features(7, 1, 4, 1, "p")
    pool.values[5, 0, 2] = np.nan
    sparse = [Features(csr_matrix(f.values[:, 0]), f.weights, f.ids) for f in (query, pool)]
    for max_bytes in (1, 64, 2**20):
        for pair in ((query, pool), sparse):
            with pytest.raises(SelectionError, match="the feature of candidate p5 is not finite"):
                similarity.compute(*pair, max_bytes=max_bytes)
            with pytest.raises(SelectionError, match="the feature of query p5 is not finite"):
                similarity.compute(*pair[::-1], max_bytes=max_bytes)


def test_tiles_hold_each_row_once() -> None:
    pool = features(11, 2, 8, 1, "p")
    for made in (pool, Features(csr_matrix(pool.values[:, 0]), np.ones(1, np.float32), pool.ids)):
        tiles = list(made.tiles(4))
        assert [len(rows) for rows, _ in tiles] == [4, 4, 3]
        assert np.concatenate([rows for rows, _ in tiles]).tolist() == list(range(11))
        for rows, block in tiles:
            dense = block.toarray() if made.is_sparse else block
            np.testing.assert_array_equal(dense, made.dense(rows))


def test_narrowed_features_keep_inner_products(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = features(30, 2, 700, 1, "p")
    narrow = pool.narrowed(512)
    assert narrow.shape == (30, 512) and narrow.dtype == np.float32
    dense = pool.dense()
    np.testing.assert_allclose(narrow @ narrow.T, dense @ dense.T, atol=0.25)
    assert np.abs(narrow @ narrow.T - dense @ dense.T).mean() < 0.05
    monkeypatch.setattr(similarity, "TILE_BYTES", 7 * 4 * 1400)
    np.testing.assert_allclose(pool.narrowed(512), narrow, atol=1e-5)
    np.testing.assert_array_equal(features(3, 1, 8, 0, "q").narrowed(8), features(3, 1, 8, 0, "q").dense())


def test_features_of_two_representations_are_refused() -> None:
    with pytest.raises(SelectionError, match=r"\(1, 4\) and pool features of shape \(1, 5\) differ"):
        similarity.compute(features(2, 1, 4, 0, "q"), features(2, 1, 5, 0, "p"))
    one = features(2, 2, 4, 0, "q")
    other = Features(one.values, np.array([0.5, 0.5], np.float32), one.ids)
    with pytest.raises(SelectionError, match="differ in shape or weights"):
        similarity.compute(one, other)


def test_features_check_their_shape() -> None:
    with pytest.raises(SelectionError, match=r"features of shape \(2, 1, 3\) with 1 ids and 1 weights"):
        Features(np.zeros((2, 1, 3)), np.ones(1, np.float32), ("a",))


def test_narrowed_sparse_features_keep_inner_products() -> None:
    pool = features(30, 1, 4_000, 0, "p")
    sparse = Features(csr_matrix(pool.values[:, 0]), pool.weights, pool.ids)
    narrow, dense = sparse.narrowed(512), sparse.dense()
    assert narrow.shape == (30, 512) and narrow.dtype == np.float32
    np.testing.assert_allclose(narrow @ narrow.T, dense @ dense.T, atol=0.25)
    assert np.abs(narrow @ narrow.T - dense @ dense.T).mean() < 0.05
    np.testing.assert_array_equal(narrow, sparse.narrowed(512))
    np.testing.assert_array_equal(sparse.narrowed(4_000), dense)
