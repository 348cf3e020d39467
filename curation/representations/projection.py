"""CountSketch: the random projection of LESS's gradients (Charikar et al. 2002; an SJLT with one entry a column).

Every coefficient has one bucket and one sign, drawn by a counter-based hash of (seed, its global index), so a feature's
projection depends on no device, batch, chunk or shard. It costs O(P) an example where the references' dense Rademacher
matrix costs O(P·d), and keeps inner products without bias: E⟨Rx, Ry⟩ = ⟨x, y⟩, variance ≤ (‖x‖²‖y‖² + ⟨x, y⟩²) / d.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch


class CountSketch:
    """Projection of the coefficients ``offset … offset + n − 1`` of a long vector to `d` dimensions.

    The sketch of a vector is the sum of the sketches of its pieces.

    Parameters
    ----------
    offset, n : int
        Global index of the first coefficient, and how many there are.
    d : int
        Dimensions of the result, below 2³¹.
    seed : int
        Seed; another one draws another projection.
    device : str
        Where the tensors that it projects lie.
    """

    def __init__(self, offset: int, n: int, d: int, seed: int, device: str) -> None:
        import torch

        random = hashed(np.arange(offset, offset + n, dtype=np.uint64), seed)
        bucket = ((random >> np.uint64(33)) * np.uint64(d)) >> np.uint64(31)  # high 31 bits, scaled to 0 … d − 1
        sign = (random & np.uint64(1)).astype(np.float32) * 2 - 1
        self.bucket = torch.from_numpy(bucket.astype(np.int64)).to(device)  # (n,)
        self.sign = torch.from_numpy(sign).to(device)  # (n,)

    def add(self, values: torch.Tensor, result: torch.Tensor) -> None:
        """Add the projection of `values` (rows, n) to `result` (rows, d), both float32; `values` is overwritten."""
        result.scatter_add_(1, self.bucket.expand_as(values), values.mul_(self.sign))


class Sketches:
    """Projection of the gradients of several layers, laid end to end.

    Parameters
    ----------
    sizes : mapping of str to int
        The layers in their order: numbers in each one's gradient.
    d, seed, device
        As for `CountSketch`.
    """

    def __init__(self, sizes: Mapping[str, int], d: int, seed: int, device: str) -> None:
        self.width = d
        self._pieces, offset = {}, 0
        for name, n in sizes.items():
            self._pieces[name] = CountSketch(offset, n, d, seed, device)
            offset += n

    def add(self, name: str, values: torch.Tensor, result: torch.Tensor) -> None:
        """Add one layer's part (rows, n) to `result` (rows, d), both float32; `values` is overwritten."""
        self._pieces[name].add(values, result)

    def finish(self, result: torch.Tensor) -> torch.Tensor:
        """Return the features, (rows, d) of unit length."""
        return unit(result)


def unit(vectors: torch.Tensor) -> torch.Tensor:
    """Scale the last dimension to length 1; zero stays zero."""
    scaled: torch.Tensor = vectors / vectors.norm(dim=-1, keepdim=True).clamp_min(1e-30)
    return scaled


def hashed(counter: npt.NDArray[np.uint64], seed: int) -> npt.NDArray[np.uint64]:
    """SplitMix64 (Steele et al. 2014) at position `counter` of the stream that `seed` names: 64 random bits each."""
    with np.errstate(over="ignore"):  # arithmetic modulo 2⁶⁴ is meant
        start = _mix(np.array([seed], dtype=np.uint64) + np.uint64(0x632BE59BD9B4E019))
        return _mix(start + (counter + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15))


def _mix(z: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
