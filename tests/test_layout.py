"""The layout's weights are umap-learn's, its map as true to the neighbours, and the same on any number of threads."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from sklearn.manifold import trustworthiness

from curation import layout, maps, neighbours
from curation.progress import Silent
from curation.similarity import Features


def features(n: int, d: int) -> Features:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(12, d))[rng.integers(0, 12, n)] + rng.normal(size=(n, d)) * 0.6
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    return Features(values[:, None].astype(np.float32), np.ones(1, dtype=np.float32), tuple(map(str, range(n))))


@pytest.mark.slow
def test_weights_are_those_of_umap_learn() -> None:
    from umap.umap_ import fuzzy_simplicial_set

    made = features(300, 10)
    values = made.dense()
    values[7] = values[5]
    made = Features(values[:, None], made.weights, made.ids)
    indices, distances = neighbours.graph(made)
    itself = np.arange(300)[:, None]
    theirs, *_ = fuzzy_simplicial_set(
        values,
        16,
        0,
        "cosine",
        knn_indices=np.hstack([itself, indices]),
        knn_dists=np.hstack([np.zeros((300, 1), dtype=np.float32), distances]),
    )
    np.testing.assert_allclose(layout.weigh(indices, distances).toarray(), theirs.toarray(), atol=1e-4)


@pytest.mark.slow
def test_the_map_is_as_true_to_the_neighbours_as_umap_learns() -> None:
    from umap import UMAP

    made = features(1_500, 60)
    values = made.dense()
    theirs = UMAP(metric="cosine", random_state=0, n_jobs=1).fit_transform(values)
    ours, bar = (trustworthiness(values, xy, n_neighbors=15, metric="cosine") for xy in (maps.fit(made), theirs))
    assert ours > bar - 0.02


@pytest.mark.parametrize("threads", [1, 3])
def test_any_number_of_threads_gives_the_same_map(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = layout.weigh(*neighbours.graph(features(200, 10)))
    start = np.random.default_rng(0).normal(size=(200, 2)).astype(np.float32)
    xy = layout.lay_out(weights, start, seed=0, progress=Silent())
    monkeypatch.setattr(numba.config, "NUMBA_NUM_THREADS", threads)
    np.testing.assert_array_equal(layout.lay_out(weights, start, seed=0, progress=Silent()), xy)
    assert (layout.lay_out(weights, start, seed=1, progress=Silent()) != xy).any()


def test_every_round_is_told_so_that_a_cancel_gets_through() -> None:
    class CancelledError(Exception):
        pass

    class Watcher(Silent):
        rounds = 0

        def advance(self, n: int = 1, **metrics: float) -> None:  # noqa: ARG002
            self.rounds += n
            if self.rounds == 5:
                raise CancelledError

    weights = layout.weigh(*neighbours.graph(features(60, 5)))
    watcher = Watcher()
    with pytest.raises(CancelledError):
        layout.lay_out(weights, np.zeros((60, 2), dtype=np.float32), seed=0, progress=watcher)
    assert watcher.rounds == 5
