"""LESS without projection: a pool row's direction times the held gradients of the queries, and nothing else is kept.

With few and fixed queries this is cheaper to store than any sketch and has no error; it is also what a sketch is judged
by. A pool row's feature is its similarity to each query, so another query set asks for the pool anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from curation.errors import ModelError

if TYPE_CHECKING:
    import torch


class Held:
    """The queries' gradients at one checkpoint, by layer; reduces pool directions to cosines.

    Parameters
    ----------
    gradients : mapping of str to tensor of shape (n_queries, n)
        Each layer's gradients, float32; scaled in place so that a query's whole gradient has unit length.
    """

    def __init__(self, gradients: Mapping[str, torch.Tensor]) -> None:
        import torch

        self._gradients = gradients
        squares = torch.stack([values.square().sum(1) for values in gradients.values()]).sum(0)  # (n_queries,)
        for values in gradients.values():
            values.div_(squares.sqrt().clamp_min(1e-30)[:, None])
        self.width = len(squares) + 1  # the last column gathers the direction's squared length

    def add(self, name: str, values: torch.Tensor, result: torch.Tensor) -> None:
        """Add one layer's part (rows, n) of pool directions to `result` (rows, n_queries + 1), float32."""
        result[:, :-1].addmm_(values, self._gradients[name].T)
        result[:, -1].add_(values.square().sum(1))

    def finish(self, result: torch.Tensor) -> torch.Tensor:
        """Return the cosines, (rows, n_queries)."""
        return result[:, :-1] / result[:, -1:].sqrt().clamp_min(1e-30)


def require_room(n_queries: int, n_parameters: int, n_checkpoints: int, available: int) -> None:
    """Refuse queries whose gradients can't be held; `available` is in bytes."""
    needed = 4 * n_queries * n_parameters * n_checkpoints
    if needed > available:
        raise ModelError(
            f"exact LESS holds {n_queries:,} queries × {n_parameters / 1e6:,.1f} M LoRA weights × {n_checkpoints} "
            f"checkpoints × 4 bytes = {needed / 1e9:.1f} GB but {available / 1e9:.1f} GB are free; use fewer queries, "
            "a smaller lora_r, or the sketch (exact off)"
        )
