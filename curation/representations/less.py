"""LESS (Xia et al. 2024, arXiv 2402.04333): low-rank gradients of a warmed-up model, Adam's way for the pool.

For each warmup checkpoint with Adam moments (m, v) and g = ∇ of the mean loss over the answer's tokens, LoRA parameters
only: a query's feature is g; a pool row's is the direction that Adam would step in,
``less``: (β₁m + (1−β₁)g) / √(β₂v + (1−β₂)g² + ε), ε = 1e-8, no bias correction, as the authors' and TIS's code;
``adam``: m̂ / (√v̂ + ε) with the optimizer's own ε at step t = saved step + 1, torch's own step.
Then CountSketch to d dimensions, then unit length. Similarity weighs checkpoints by their mean learning rate.

Departs from the references in this: betas come from the optimizer's state, moments are matched by parameter name, rows
are computed in batches (as one at a time, to rounding), and the projection is CountSketch, not dense Rademacher. Left
out: SGD features for the pool, and full-parameter gradients.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from curation import losses, models
from curation.config import REQUIRED, Options, option
from curation.data.chat import IGNORED, Encoded
from curation.data.rows import Example
from curation.errors import ModelError
from curation.models import LanguageModelOptions
from curation.progress import Progress, Silent
from curation.representations.adam import Checkpoint, Direction
from curation.representations.base import Plan
from curation.representations.gradients import adapted_layers, per_example
from curation.representations.language_model import LanguageModelRepresentation, unit
from curation.representations.projection import CountSketch

if TYPE_CHECKING:
    import torch


class Less(LanguageModelRepresentation):
    """Compare the weight updates that examples would make: gradients of a briefly warmed-up model (LESS)."""

    name = "less"
    needs_warmup = True

    @dataclass(frozen=True, kw_only=True)
    class Config(LanguageModelOptions):
        """The base model's options, the warmup, and how gradients become features."""

        warmup: str = option(REQUIRED, "Folder of the warmup's checkpoints.")
        formula: str = option(
            "less", "Direction of a pool row: the authors' code, or torch's own Adam step.", choices=("less", "adam")
        )
        d: int = option(8192, "Dimensions after the random projection.", low=1, high=2**20)
        seed: int = option(0, "Seed of the random projection.", low=0)

    config: Config

    def __init__(self, config: Options) -> None:
        super().__init__(config)
        self._momentum: defaultdict[int, list[float]] = defaultdict(list)

    @cached_property
    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """The warmup's checkpoints, in order."""
        folder = Path(self.config.warmup)
        found = sorted(folder.glob("checkpoint-*[0-9]"), key=lambda path: int(path.name.rpartition("-")[2]))
        if not found:
            raise ModelError(f"the warmup folder {folder} has no checkpoint-1, checkpoint-2, …; run the warmup first")
        return tuple(Checkpoint.read(path) for path in found)

    @property
    def weights(self) -> npt.NDArray[np.float32]:
        """Mean learning rate of each checkpoint's epoch, normalised to sum 1, float32 (C,)."""
        rates = np.array([checkpoint.learning_rate for checkpoint in self.checkpoints], dtype=np.float32)
        return rates / rates.sum() if rates.sum() > 0 else np.full_like(rates, 1 / len(rates))

    def key(self) -> dict[str, Any]:
        """Return the base's key, each checkpoint's content hash, formula, dimensions and seed."""
        return super().key() | {
            "checkpoints": [checkpoint.key() for checkpoint in self.checkpoints],
            "formula": self.config.formula,
            "d": self.config.d,
            "seed": self.config.seed,
        }

    @cached_property
    def _model(self) -> Any:
        return models.load_causal_lm(self.config.model_config, adapter=self.checkpoints[0].folder)

    @cached_property
    def _layers(self) -> dict[str, Any]:
        return adapted_layers(self._model)

    @cached_property
    def _sketches(self) -> dict[str, CountSketch]:
        sketches, offset = {}, 0
        for name, layer in self._layers.items():
            n = layer.weight.numel()
            sketches[name] = CountSketch(offset, n, self.config.d, self.config.seed, layer.weight.device)
            offset += n
        return sketches

    def compute(self, examples: Sequence[Example], role: str) -> npt.NDArray[np.float32]:
        """Return one batch's features, float32 (rows, C, d), unit length."""
        rows = [self.encoder.encode(example) for example in examples]
        return self._all_checkpoints([rows], role, Silent())

    def compute_shard(
        self, examples: Sequence[Example], plan: Plan, number: int, progress: Progress
    ) -> npt.NDArray[np.float32]:
        """Return a shard's features."""
        batches = [[self.encoder.encode(examples[i]) for i in batch] for batch in plan.shards[number]]
        return self._all_checkpoints(batches, plan.role, progress)

    def _all_checkpoints(
        self, batches: Sequence[Sequence[Encoded]], role: str, progress: Progress
    ) -> npt.NDArray[np.float32]:
        """Checkpoint by checkpoint, so that adapters change once a shard, not once a batch."""
        n_rows, n_checkpoints = sum(map(len, batches)), len(self.checkpoints)
        features = np.empty((n_rows, n_checkpoints, self.config.d), dtype=np.float32)
        told = 0
        for c, checkpoint in enumerate(self.checkpoints):
            adam = self._enter(checkpoint)
            start = 0
            for number, rows in enumerate(batches):
                shares = self._momentum[c] if number == 0 and role == "pool" else None
                features[start : start + len(rows), c] = self._features(rows, adam if role == "pool" else {}, shares)
                start += len(rows)
                done = (c * n_rows + start) // n_checkpoints  # in whole examples
                progress.advance(done - told)
                told = done
        return features

    def _enter(self, checkpoint: Checkpoint) -> dict[str, Direction]:
        """Put a checkpoint's LoRA weights into the model; return its Adam directions by parameter name."""
        layers = self._layers
        weights, moments = checkpoint.tensors({name: layer.weight.shape for name, layer in layers.items()})
        directions = {}
        for name, layer in layers.items():
            layer.weight.data.copy_(weights[name])
            m, v = (moments[moment][name].flatten().to(layer.weight.device) for moment in ("exp_avg", "exp_avg_sq"))
            directions[name] = Direction(m, v, checkpoint, self.config.formula)
        return directions

    def _features(
        self, rows: Sequence[Encoded], adam: dict[str, Direction], shares: list[float] | None
    ) -> npt.NDArray[np.float32]:
        """Return one batch's features at the checkpoint that was entered, float32 (rows, d), unit length.

        Without `adam` they are plain gradients. Where `shares` is a list, each row's share of momentum is added to it.
        """
        import torch

        model = self._model
        inputs = losses.padded(rows, self.encoder.tokenizer.pad_token_id, model.device)
        result = torch.zeros((len(rows), self.config.d), dtype=torch.float32, device=model.device)
        parts = torch.zeros((2, len(rows)), dtype=torch.float32, device=model.device)

        def use(name: str, gradient: torch.Tensor) -> None:
            if adam and shares is not None:
                parts.add_(torch.stack(adam[name].parts(gradient)))
            self._sketches[name].add(adam[name].of(gradient) if adam else gradient, result)

        with torch.enable_grad(), per_example(self._layers, len(rows), use):
            example_losses(model, inputs).sum().backward()
        if adam and shares is not None:
            momentum, gradient = parts.sqrt().cpu().double()
            shares.extend((momentum / (momentum + gradient)).tolist())
        return unit(result).cpu().numpy()

    def report(self) -> dict[str, Any]:
        """Return, by checkpoint, what a user should know before trusting the features.

        ``weights``: its weight in the similarity; ``epsilon_share``: share of parameters whose second moment is below
        ε, where Adam's preconditioning disappears; ``momentum_share``: mean over a sample of the pool rows computed
        here of ‖momentum part‖ / (‖momentum part‖ + ‖gradient part‖), absent if none was computed.
        """
        report: dict[str, Any] = {
            "formula": self.config.formula,
            "weights": [float(weight) for weight in self.weights],
            "epsilon_share": [checkpoint.swamped(self.config.formula) for checkpoint in self.checkpoints],
        }
        if self._momentum:
            report["momentum_share"] = [float(np.mean(self._momentum[c])) for c in range(len(self.checkpoints))]
        return report


def example_losses(model: Any, inputs: dict[str, torch.Tensor]) -> Any:
    """Mean loss over each row's answer tokens, whatever the batch, (rows,)."""
    learned = (inputs["labels"][:, 1:] != IGNORED).sum(1)
    return losses.token_losses(model, inputs).sum(1) / learned
