"""What is stored of a map: rows without features keep their places empty, and a map drawn anew is found by its key."""

from __future__ import annotations

import numpy as np
import pytest

from curation import mapping
from curation.progress import Silent
from curation.similarity import Features
from curation.workspace import Workspace


def test_rows_without_features_have_neither_neighbours_nor_a_place(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [f"r{i}" for i in range(30)]
    monkeypatch.setattr(Workspace, "ids", lambda *_: ids)
    kept = np.arange(30) % 5 != 2
    values = np.random.default_rng(0).normal(size=(int(kept.sum()), 1, 6)).astype(np.float32)
    values /= np.linalg.norm(values, axis=2, keepdims=True)
    values[4] = values[0]
    features = Features(values, np.ones(1, dtype=np.float32), tuple(i for i, k in zip(ids, kept, strict=True) if k))
    keys = mapping.Keys.of(workspace, "f", "p", {})
    card = {"pool": "p", "name": "n", "features": "f", "thinned": {}}
    mapping.draw(workspace, keys, card, features, pool="p", compare=True, progress=Silent())
    indices, distances = mapping.read_graph(workspace.artefact("neighbours", keys.graph))
    places = np.flatnonzero(kept)
    assert (indices[~kept] == -1).all() and np.isinf(distances[~kept]).all()
    assert np.isin(indices[kept], places).all()
    assert indices[places[0], 0] == places[4] and indices[places[4], 0] == places[0]
    folder = workspace.artefact("map", keys.map)
    xy = np.load(folder / "pool_xy.npy")
    np.testing.assert_array_equal(np.isfinite(xy[:, 0]), kept)
    groups = np.load(folder / "twins.npy")
    assert groups[places[4]] == places[0] and (groups[~kept] == np.flatnonzero(~kept)).all()
    assert mapping.Keys.of(workspace, "f", "p", {}) == keys
    assert mapping.Keys.of(workspace, "g", "p", {}).base == ""
