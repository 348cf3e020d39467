"""LESS (Xia et al. 2024, arXiv 2402.04333): low-rank gradients of a warmed-up model, Adam's way for the pool.

For each warmup checkpoint with Adam moments (m, v) and g = ∇ of the mean loss over the answer's tokens, LoRA parameters
only: a query's feature is g; a pool row's is the direction that Adam would step in,
``less``: (β₁m + (1−β₁)g) / √(β₂v + (1−β₂)g² + ε), ε = 1e-8, no bias correction, as the authors' and TIS's code;
``adam``: m̂ / (√v̂ + ε) with the optimizer's own ε at step t = saved step + 1, torch's own step.
Then CountSketch to d dimensions, then unit length. Similarity weighs checkpoints by their mean learning rate.

Departs from the references in this: betas come from the optimizer's state, moments are matched by parameter name, rows
are computed in batches (as one at a time, to rounding), and the projection is CountSketch, not dense Rademacher. With
``exact`` there is none: see `curation.representations.exact`. Left out: full-parameter gradients.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from curation import losses, models
from curation.config import REQUIRED, option
from curation.data.chat import IGNORED, Encoded
from curation.data.rows import Example
from curation.errors import ModelError
from curation.model_options import LanguageModelOptions
from curation.progress import Progress, Silent
from curation.representations.adam import Checkpoint, Direction
from curation.representations.base import storage_option
from curation.representations.exact import Held, require_room
from curation.representations.gradients import Adapted, adapted_layers, per_example
from curation.representations.language_model import LanguageModelRepresentation
from curation.representations.projection import Sketches

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
            "less",
            "Direction of a pool row: the authors' code, torch's own Adam step, or the plain gradient.",
            choices=("less", "adam", "sgd"),
        )
        exact: bool = option(
            False, "No projection: keep only each row's similarity to the present queries. For few, fixed queries."
        )
        d: int = option(8192, "Dimensions after the random projection.", low=1, high=2**20)
        seed: int = option(0, "Seed of the random projection.", low=0)
        storage: str = storage_option()

    config: Config
    _held: dict[int, Held]  # by checkpoint, where exact
    _momentum: defaultdict[int, list[float]]  # by checkpoint, of a sample of the pool rows

    def prepare(self, queries: Sequence[Example]) -> None:
        """Take the query set, which exact features depend on."""
        super().prepare(queries)
        self._held, self._momentum = {}, defaultdict(list)

    @cached_property
    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """The warmup's checkpoints, in order."""
        folder = Path(self.config.warmup)
        found = sorted(folder.glob("checkpoint-*[0-9]"), key=lambda path: int(path.name.rpartition("-")[2]))
        if not found:
            raise ModelError(f"the warmup folder {folder} has no checkpoint-1, checkpoint-2, …; run the warmup first")
        return tuple(Checkpoint.read(path) for path in found)

    @cached_property
    def _rates(self) -> npt.NDArray[np.float32]:
        """Mean learning rate of each checkpoint's epoch, normalised to sum 1, float32 (C,)."""
        rates = np.array([checkpoint.learning_rate for checkpoint in self.checkpoints], dtype=np.float32)
        return rates / rates.sum() if rates.sum() > 0 else np.full_like(rates, 1 / len(rates))

    @property
    def weights(self) -> npt.NDArray[np.float32]:
        """Weight of each checkpoint in the similarity; exact features have them in already."""
        return np.ones(1, dtype=np.float32) if self.config.exact else self._rates

    @property
    def storage(self) -> str:
        """How pool features are kept; exact similarities in float32."""
        return "float32" if self.config.exact else self.config.storage

    @property
    def rows_compare(self) -> bool:
        """An exact feature says how near its row is to each query, not how near two rows are."""
        return not self.config.exact

    def key(self) -> dict[str, Any]:
        """Return the base's key, each checkpoint's content hash, formula, and dimensions and seed or the queries."""
        reduced: dict[str, Any] = {"d": self.config.d, "seed": self.config.seed}
        if self.config.exact:
            reduced = {"queries": [query.id for query in self.queries]}
        checkpoints = [checkpoint.key() for checkpoint in self.checkpoints]
        return super().key() | {"checkpoints": checkpoints, "formula": self.config.formula} | reduced

    @cached_property
    def _model(self) -> Any:
        return models.load_causal_lm(self.config.model_config, adapter=self.checkpoints[0].folder)

    @cached_property
    def _layers(self) -> list[Adapted]:
        return adapted_layers(self._model)

    @property
    def _sizes(self) -> dict[str, int]:
        return {layer.name: layer.size for layer in self._layers}

    @cached_property
    def _sketches(self) -> Sketches:
        return Sketches(self._sizes, self.config.d, self.config.seed, str(self._model.device))

    def compute(self, examples: Sequence[Example], role: str) -> npt.NDArray[np.float32]:
        """Return one batch's features."""
        return self.compute_batches([examples], role, Silent())

    def compute_batches(
        self, batches: Sequence[Sequence[Example]], role: str, progress: Progress
    ) -> npt.NDArray[np.float32]:
        """Return the features of some batches, float32 (rows, C, d), or (rows, 1, n_queries) where exact.

        Checkpoint by checkpoint, so that adapters change once a shard, not once a batch.
        """
        n_rows, n_checkpoints = sum(map(len, batches)), len(self.checkpoints)
        if self.config.exact and role == "query":
            progress.advance(n_rows)
            return self._one_hot([example for batch in batches for example in batch])
        encoded = [[self.encode(example) for example in batch] for batch in batches]
        width = len(self.queries) if self.config.exact else self.config.d
        features = np.zeros((n_rows, 1 if self.config.exact else n_checkpoints, width), dtype=np.float32)
        told = 0
        for c, checkpoint in enumerate(self.checkpoints):
            directions = self._enter(checkpoint)
            reducer = self._hold(c) if self.config.exact else self._sketches
            if role == "query" or self.config.formula == "sgd":
                directions = {}
            start = 0
            for number, rows in enumerate(encoded):
                shares = self._momentum[c] if number == 0 and directions else None
                compute = partial(self._features, reducer=reducer, directions=directions, shares=shares)
                values = self.split(rows, compute, progress)
                stop = start + len(rows)
                if self.config.exact:
                    features[start:stop, 0] += self._rates[c] * values
                else:
                    features[start:stop, c] = values
                start = stop
                done = (c * n_rows + start) // n_checkpoints  # in whole examples
                progress.advance(done - told)
                told = done
        return features

    def _enter(self, checkpoint: Checkpoint) -> dict[str, Direction]:
        """Put a checkpoint's LoRA weights into the model; return its Adam directions by layer."""
        import torch

        present = {name: weight for layer in self._layers for name, weight in layer.weights.items()}
        stored, moments = checkpoint.tensors({name: weight.shape for name, weight in present.items()})
        directions = {}
        for layer in self._layers:
            for name, weight in layer.weights.items():
                weight.data.copy_(stored[name])
            m, v = (
                torch.cat([moments[moment][name].flatten() for name in layer.weights]).to(self._model.device)
                for moment in ("exp_avg", "exp_avg_sq")
            )
            directions[layer.name] = Direction(m, v, checkpoint, self.config.formula)
            if self.config.computes_in == "float32":
                layer.fold()
        return directions

    def _one_hot(self, examples: Sequence[Example]) -> npt.NDArray[np.float32]:
        """Features of queries that pick their own column out of a pool row's similarities, (rows, 1, n_queries)."""
        place = {query.id: i for i, query in enumerate(self.queries)}
        return np.eye(len(place), dtype=np.float32)[[place[example.id] for example in examples], None]

    def _hold(self, c: int) -> Held:
        """Return the queries' gradients at checkpoint `c`, which was entered; computed once."""
        import torch

        if c not in self._held:
            sizes = self._sizes
            if not self._held:
                free = models.memory_available(self.config.model_config)
                require_room(len(self.queries), sum(sizes.values()), len(self.checkpoints), free)
            device = self._model.device
            gradients = {name: torch.empty((len(self.queries), n), device=device) for name, n in sizes.items()}
            for i, query in enumerate(self.queries):

                def keep(name: str, gradient: torch.Tensor, row: int = i) -> None:
                    gradients[name][row] = gradient[0]

                self._backward([self.encode(query)], keep)
            self._held[c] = Held(gradients)
        return self._held[c]

    def _features(
        self,
        rows: Sequence[Encoded],
        reducer: Sketches | Held,
        directions: dict[str, Direction],
        shares: list[float] | None,
    ) -> npt.NDArray[np.float32]:
        """Return what `reducer` makes of one batch at the checkpoint that was entered, float32 (rows, ·).

        Without `directions` plain gradients are reduced. Where `shares` is a list, each row's share of momentum is
        added to it.
        """
        import torch

        result = torch.zeros((len(rows), reducer.width), device=self._model.device)
        parts = torch.zeros((2, len(rows)), device=self._model.device)

        def use(name: str, gradient: torch.Tensor) -> None:
            if shares is not None:
                parts.add_(torch.stack(directions[name].parts(gradient)))
            reducer.add(name, directions[name].of(gradient) if directions else gradient, result)

        self._backward(rows, use)
        if shares is not None:
            momentum, gradient = parts.sqrt().cpu().double()
            shares.extend((momentum / (momentum + gradient)).tolist())
        return reducer.finish(result).cpu().numpy()

    def _backward(self, rows: Sequence[Encoded], use: Callable[[str, torch.Tensor], None]) -> None:
        """Hand `use` each layer's gradients of one batch, float32 (rows, n)."""
        import torch

        inputs = losses.padded(rows, self.encoder.tokenizer.pad_token_id, self._model.device)
        with torch.enable_grad(), per_example(self._layers, len(rows), use):
            with self.config.autocasting():
                loss = example_losses(self._model, inputs).sum()
            loss.backward()

    def report(self) -> dict[str, Any]:
        """Return, by checkpoint, what a user should know before trusting the features.

        ``weights``: its weight in the similarity; ``epsilon_share``: share of parameters whose second moment is below
        ε, where Adam's preconditioning disappears; ``momentum_share``: mean over a sample of the pool rows computed
        here of ‖momentum part‖ / (‖momentum part‖ + ‖gradient part‖), absent if none was computed.
        """
        report: dict[str, Any] = {
            "formula": self.config.formula,
            "weights": [float(weight) for weight in self._rates],
        }
        if self.config.formula != "sgd":
            report["epsilon_share"] = [checkpoint.swamped(self.config.formula) for checkpoint in self.checkpoints]
        if self._momentum:
            report["momentum_share"] = [float(np.mean(self._momentum[c])) for c in range(len(self.checkpoints))]
        return report


def example_losses(model: Any, inputs: dict[str, torch.Tensor]) -> Any:
    """Mean loss over each row's answer tokens, whatever the batch, (rows,)."""
    learned = (inputs["labels"][:, 1:] != IGNORED).sum(1)
    return losses.token_losses(model, inputs).sum(1) / learned
