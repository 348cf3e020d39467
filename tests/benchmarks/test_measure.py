"""The benchmarks' own arithmetic: bars, rates, the dense projection that the sketch is judged by."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.benchmarks import baselines, fidelity, scale
from tests.benchmarks.measure import Figure, table, worst_cosine


def test_bars_are_met_from_the_right_side() -> None:
    assert Figure.times("a", "examples/s", 3.2, 2.0, 1.6, "bare").met
    assert not Figure.times("a", "examples/s", 3.19, 2.0, 1.6, "bare").met
    memory = Figure("m", "GB", 3.1, None, 3.0, "≤ 3 GB", higher=False)
    assert memory.to_json() == {"value": 3.1, "baseline": None, "bar": 3.0, "met": False}
    assert "| m | GB | 3.1 |  |  | ≤ 3 GB | **no** |" in table([memory])


def test_rate_is_that_of_the_named_part() -> None:
    times, done = np.array([0.0, 1.0, 3.0]), np.array([0, 10, 20])
    assert scale._rate(times, done, 0.0, 0.5) == pytest.approx(10.0)
    assert scale._rate(times, done, 0.9, 1.0) == pytest.approx(5.0)


def test_dense_projection_is_of_signs_and_the_same_for_every_stack() -> None:
    identity = torch.eye(50)
    matrix = baselines.rademacher(identity, 20, block=8)
    assert set(matrix.unique().tolist()) == {-1.0, 1.0}
    assert abs(float(matrix.mean())) < 5 / 1000**0.5
    assert not torch.equal(matrix[:, :8], matrix[:, 8:16])
    torch.testing.assert_close(baselines.rademacher(identity[3:5], 20, block=8), matrix[3:5])


def test_errors_and_overlaps_are_those_of_what_is_compared() -> None:
    vectors = baselines.unit(torch.randn(6, 9, generator=torch.Generator().manual_seed(0)))
    left, right = np.array([0, 1]), np.array([2, 3])
    gram = (vectors @ vectors.T).numpy()
    assert fidelity._rmse([vectors], left, right, gram) == pytest.approx(0.0, abs=1e-7)
    gram[0, 2], gram[4, 5] = gram[0, 2] + 1, 9.0  # one of the two pairs, and one that is not asked for
    assert fidelity._rmse([vectors], left, right, gram) == pytest.approx(0.5**0.5)
    assert fidelity._overlap({1, 2, 3, 4}, {3, 4, 5, 6}) == 50.0
    similarity = (vectors[:2] @ vectors[2:].T).numpy()
    np.testing.assert_allclose(fidelity._agreement([vectors] * 2, similarity, 2), [[1, 100, 100], [0, 0, 0]])
    assert worst_cosine(vectors, vectors[[0, 1, 2, 3, 5, 4]]) == pytest.approx(float(vectors[4] @ vectors[5]), abs=1e-6)
