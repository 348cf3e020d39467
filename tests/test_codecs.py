"""What a codec keeps of a vector: everything, or its direction to a stated bound."""

from __future__ import annotations

import numpy as np
import pytest

from curation.codecs import CODECS, decode, encode
from curation.errors import WorkspaceError


def vectors(n: int = 20, n_checkpoints: int = 2, d: int = 100, seed: int = 0) -> np.ndarray:
    """Unit vectors, float32 (n, C, d), the second row's first one zero."""
    values = np.random.default_rng(seed).normal(size=(n, n_checkpoints, d)).astype(np.float32)
    values /= np.linalg.norm(values, axis=2, keepdims=True)
    values[1, 0] = 0
    return values


def decoded(values: np.ndarray, codec: str) -> np.ndarray:
    out = np.full_like(values, np.nan)
    decode(encode(values, codec), codec, out)
    return out


@pytest.mark.parametrize(
    ("codec", "bytes_a_vector"), [("float16", 200), ("float32", 400), ("int8", 104), ("1-bit", 17)]
)
def test_size(codec: str, bytes_a_vector: int) -> None:
    assert sum(array[0, 0].nbytes for array in encode(vectors(), codec).values()) == bytes_a_vector


@pytest.mark.parametrize(
    ("codec", "least_cosine"), [("float16", 1 - 1e-6), ("float32", 1), ("int8", 0.9999), ("1-bit", 0.6)]
)
def test_direction_is_kept_to_a_bound_and_length_to_rounding(codec: str, least_cosine: float) -> None:
    values = vectors()
    got = decoded(values, codec)
    lengths = np.linalg.norm(got, axis=2)
    np.testing.assert_array_equal(got[1, 0], 0)
    np.testing.assert_allclose(np.delete(lengths.ravel(), 2), 1, atol=1e-3 if codec == "float16" else 1e-6)
    cosine = np.delete((got * values).sum(axis=2).ravel() / np.maximum(lengths.ravel(), 1e-9), 2)
    assert cosine.min() >= least_cosine - 1e-6


def test_int8_is_the_absmax_rounding_of_each_vector() -> None:
    values = np.array([[[1.0, -0.5, 0.25, 0.0], [-3.0, 0.01, 0.012, 3.0]]], dtype=np.float32)
    arrays = encode(values, "int8")
    np.testing.assert_array_equal(arrays["values"], np.array([[[127, -64, 32, 0], [-127, 0, 1, 127]]], dtype=np.int8))
    length, codes = np.linalg.norm(values, axis=2), arrays["values"].astype(float)
    np.testing.assert_allclose(arrays["scale"], length / np.linalg.norm(codes, axis=2), rtol=1e-6)


def test_1_bit_is_the_sign_of_each_number() -> None:
    values = np.array([[[3.0, -4.0, 0.0]]], dtype=np.float32)
    np.testing.assert_array_equal(encode(values, "1-bit")["values"], np.array([[[0b10000000]]], dtype=np.uint8))
    np.testing.assert_allclose(decoded(values, "1-bit"), np.array([[[5, -5, -5]]]) / np.sqrt(3), rtol=1e-6)


def test_1_bit_keeps_the_angle_of_gaussian_vectors() -> None:
    """Two signs agree with probability 1 − θ/π, so the decoded cosine is 1 − 2θ/π."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 1, 1, 2**16)).astype(np.float32)
    b = 0.8 * a + 0.6 * b
    got = decoded(np.concatenate([a, b]), "1-bit")[:, 0]
    got /= np.linalg.norm(got, axis=1, keepdims=True)
    assert float(got[0] @ got[1]) == pytest.approx(1 - 2 * np.arccos(0.8) / np.pi, abs=0.01)


@pytest.mark.parametrize("codec", CODECS)
def test_a_row_does_not_depend_on_its_neighbours(codec: str) -> None:
    values = vectors()
    together, alone = encode(values, codec), encode(values[3:4], codec)
    for name, array in alone.items():
        np.testing.assert_array_equal(together[name][3:4], array, strict=True)


def test_an_unknown_codec_is_refused() -> None:
    with pytest.raises(WorkspaceError, match="can't be kept as 'int3'; expected one of: float16, float32, int8, 1-bit"):
        encode(vectors(), "int3")
