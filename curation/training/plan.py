"""Which rows make each batch: a pure function of (seed, epoch), so that a resumed run sees the very same batches."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

WINDOW = 8  # optimizer steps whose rows are sorted by length together


class BatchPlan:
    """Which rows make each batch of each epoch; read by the loader as its batch sampler.

    Each epoch is a fresh shuffle. Within windows of `WINDOW` steps rows are sorted by length and cut into batches,
    whose order is shuffled again: little padding, and every row once an epoch. The last, short batch is a random one.

    Parameters
    ----------
    lengths : sequence of int
        Tokens of each row.
    batch_size, micro_batch_size : int
        Rows an optimizer step, and rows a forward pass.
    seed : int
        Seed of all shuffles.
    """

    def __init__(self, lengths: Sequence[int], *, batch_size: int, micro_batch_size: int, seed: int) -> None:
        self.lengths = np.asarray(lengths)
        self.batch_size = min(batch_size, len(lengths))
        self.micro_batch_size = min(micro_batch_size, self.batch_size)
        self.seed = seed
        self.epoch = 0
        self._counted: tuple[int, list[int]] = (-1, [])

    @property
    def accumulation(self) -> int:
        """Forward passes a full optimizer step."""
        return math.ceil(self.batch_size / self.micro_batch_size)

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps a pass over the rows."""
        return math.ceil(len(self.lengths) / self.batch_size)

    def steps(self, epoch: int) -> list[np.ndarray]:
        """Return the rows of each optimizer step of `epoch`, longest row first."""
        rng = np.random.default_rng([self.seed, epoch])
        order = rng.permutation(len(self.lengths))
        full = len(order) - len(order) % self.batch_size
        steps: list[np.ndarray] = []
        for start in range(0, full, WINDOW * self.batch_size):
            window = order[start : min(start + WINDOW * self.batch_size, full)]
            window = window[np.argsort(-self.lengths[window], kind="stable")]
            steps += np.split(window, len(window) // self.batch_size)
        steps = [steps[i] for i in rng.permutation(len(steps))]
        rest = order[full:]
        return [*steps, rest[np.argsort(-self.lengths[rest], kind="stable")]] if len(rest) else steps

    def tokens(self, step: int) -> int:
        """Tokens of optimizer step number `step` of the whole run, padding excluded."""
        epoch, within = divmod(step, self.steps_per_epoch)
        if self._counted[0] != epoch:
            self._counted = (epoch, [int(self.lengths[rows].sum()) for rows in self.steps(epoch)])
        return self._counted[1][within]

    def __len__(self) -> int:
        rest = len(self.lengths) % self.batch_size
        return len(self.lengths) // self.batch_size * self.accumulation + math.ceil(rest / self.micro_batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        for rows in self.steps(self.epoch):
            for start in range(0, len(rows), self.micro_batch_size):
                yield rows[start : start + self.micro_batch_size].tolist()
