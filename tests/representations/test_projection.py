"""CountSketch keeps inner products without bias, and depends on seed and global index alone."""

from __future__ import annotations

import numpy as np
import torch

from curation.representations.projection import CountSketch, hashed

M64 = 2**64 - 1


def splitmix(counter: int, seed: int) -> int:
    """SplitMix64 on Python's own integers."""

    def mix(z: int) -> int:
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & M64
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & M64
        return z ^ (z >> 31)

    start = mix((seed + 0x632BE59BD9B4E019) & M64)
    return mix((start + (counter + 1) * 0x9E3779B97F4A7C15) & M64)


def sketch(x: torch.Tensor, d: int, seed: int, offset: int = 0) -> torch.Tensor:
    result = torch.zeros(len(x), d)
    CountSketch(offset, x.shape[1], d, seed, "cpu").add(x.clone(), result)
    return result


def test_hash_is_splitmix64() -> None:
    counters = np.array([0, 1, 2, 10**12], dtype=np.uint64)
    for seed in (0, 7):
        assert hashed(counters, seed).tolist() == [splitmix(int(c), seed) for c in counters]


def test_equals_the_matrix_it_stands_for() -> None:
    x, d, seed = torch.randn(3, 50), 8, 5
    matrix = torch.zeros(50, d)
    for i in range(50):
        bits = splitmix(i, seed)
        matrix[i, (bits >> 33) * d >> 31] = 1 if bits & 1 else -1
    torch.testing.assert_close(sketch(x, d, seed), x @ matrix)


def test_pieces_add_up_to_the_whole() -> None:
    x = torch.randn(2, 1000)
    whole = sketch(x, 64, 3)
    pieces = sketch(x[:, :300], 64, 3) + sketch(x[:, 300:], 64, 3, offset=300)
    torch.testing.assert_close(pieces, whole)


def test_inner_products_are_kept_without_bias() -> None:
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(2, 400, generator=rng)
    x[1] += x[0]
    x /= x.norm(dim=1, keepdim=True)
    d, exact = 64, float(x[0] @ x[1])
    estimates = np.array([float(s[0] @ s[1]) for s in (sketch(x, d, seed) for seed in range(600))])
    deviation = np.sqrt((1 + exact**2) / d)
    assert abs(estimates.mean() - exact) < 4 * deviation / np.sqrt(600)
    assert estimates.std() < 1.2 * deviation


def test_buckets_and_signs_are_even() -> None:
    made = CountSketch(0, 80_000, 16, 1, "cpu")
    counts = torch.bincount(made.bucket, minlength=16)
    assert len(counts) == 16
    assert (counts - 5_000).abs().max() < 5 * 5_000**0.5
    assert abs(float(made.sign.mean())) < 5 / 80_000**0.5
    assert abs(float((made.sign * made.bucket).mean())) < 5 * 9 / 80_000**0.5
