"""A warmup checkpoint and the direction in which its Adam would step for one more example.

Moments and LoRA weights are matched by parameter name; a name or shape that does not match is refused (the references
read them by position, which mixes parameters up: LESS issues 4, 10, 44).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curation import models
from curation.errors import ModelError

if TYPE_CHECKING:
    import torch

LESS_EPSILON = 1e-8  # inside the root, in the authors' code
_FILES = ("adapter_config.json", "adapter_model.safetensors", "optimizer.json", "optimizer.safetensors")
_OF_THE_MACHINE = ("base_model_name_or_path", "revision", "peft_version")  # in adapter_config.json, no part of a key


@dataclass(frozen=True)
class Checkpoint:
    """One epoch's end of a warmup.

    Attributes
    ----------
    folder : Path
        Holds the adapter in PEFT's format, `optimizer.safetensors` and `optimizer.json`.
    step : int
        Optimizer steps taken.
    beta1, beta2, epsilon : float
        Adam's, from its saved state.
    learning_rate : float
        Mean over the epoch.
    """

    folder: Path
    step: int
    beta1: float
    beta2: float
    epsilon: float
    learning_rate: float

    @classmethod
    def read(cls, folder: Path) -> Checkpoint:
        """Read a checkpoint's description; ModelError if a file is missing or lacks an entry."""
        for name in _FILES:
            if not (folder / name).is_file():
                raise ModelError(f"warmup checkpoint {folder.name} has no {name}; run the warmup again")
        try:
            state = json.loads((folder / "optimizer.json").read_text("utf-8"))
            beta1, beta2 = state["betas"]
            return cls(folder, state["step"], beta1, beta2, state["eps"], state["learning_rate_mean"])
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(
                f"optimizer.json of warmup checkpoint {folder.name} is damaged ({error}), expected step, betas, eps "
                "and learning_rate_mean; run the warmup again"
            ) from error

    def key(self) -> dict[str, Any]:
        """Content hashes of the weights and the optimizer, and the adapter's own options."""
        config = json.loads((self.folder / "adapter_config.json").read_text("utf-8"))
        adapter = {
            name: sorted(value) if isinstance(value, list) else value
            for name, value in config.items()
            if name not in _OF_THE_MACHINE
        }
        return {"adapter": adapter} | {name: models.file_hash(self.folder / name) for name in _FILES[1:]}

    def tensors(
        self, shapes: dict[str, torch.Size]
    ) -> tuple[dict[str, torch.Tensor], dict[str, dict[str, torch.Tensor]]]:
        """Return LoRA weights by parameter name, and by moment (exp_avg, exp_avg_sq) those of each parameter.

        Parameters
        ----------
        shapes : dict of str to torch.Size
            Name and shape of every LoRA parameter of the model.

        Raises
        ------
        ModelError
            If names or shapes differ from the model's.
        """
        weights = {_name_in_model(name): value for name, value in self._load("adapter_model.safetensors").items()}
        stored = self._load("optimizer.safetensors")
        self._require_same("adapter_model.safetensors", shapes, weights)
        moments: dict[str, dict[str, torch.Tensor]] = {"exp_avg": {}, "exp_avg_sq": {}}
        for name, value in stored.items():
            parameter, _, moment = name.rpartition("/")
            moments.setdefault(moment, {})[parameter] = value
        for moment, values in moments.items():
            self._require_same(f"optimizer.safetensors ({moment})", shapes, values)
        return weights, moments

    def swamped(self, formula: str) -> float:
        """Share of the LoRA parameters whose second moment is so small that ε exceeds it in the denominator."""
        below = total = 0
        for name, v in self._load("optimizer.safetensors").items():
            if name.endswith("/exp_avg_sq"):
                if formula == "less":
                    small = self.beta2 * v < LESS_EPSILON
                else:
                    small = (v / (1 - self.beta2**self.step)).sqrt() < self.epsilon
                below, total = below + int(small.sum()), total + v.numel()
        return below / max(1, total)

    def _load(self, name: str) -> dict[str, torch.Tensor]:
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            tensors: dict[str, torch.Tensor] = load_file(self.folder / name)
        except SafetensorError as error:
            raise ModelError(
                f"{name} of warmup checkpoint {self.folder.name} is damaged; run the warmup again"
            ) from error
        return tensors

    def _require_same(self, file: str, shapes: dict[str, torch.Size], found: dict[str, torch.Tensor]) -> None:
        where = f"{file} of warmup checkpoint {self.folder.name}"
        for kind, names in (("lacks", shapes.keys() - found.keys()), ("has an unknown", found.keys() - shapes.keys())):
            if names:
                raise ModelError(f"{where} {kind} parameter {min(names)}; run the warmup again on this base model")
        for name, shape in shapes.items():
            if found[name].shape != shape:
                raise ModelError(
                    f"{where} has {name} of shape {tuple(found[name].shape)}, the model {tuple(shape)}; "
                    "run the warmup again on this base model"
                )


class Direction:
    """Where Adam would step for one parameter, given an example's gradient.

    Parameters
    ----------
    m, v : float32 tensor of shape (n,)
        First and second moment.
    checkpoint : Checkpoint
        Betas, ε and step.
    formula : {"less", "adam"}
        The authors' code, or torch's own step; see `curation.representations.less`.
    """

    def __init__(self, m: torch.Tensor, v: torch.Tensor, checkpoint: Checkpoint, formula: str) -> None:
        first, second, epsilon = 1.0, 1.0, LESS_EPSILON
        if formula == "adam":
            step = checkpoint.step + 1
            first, second, epsilon = 1 - checkpoint.beta1**step, 1 - checkpoint.beta2**step, checkpoint.epsilon
        self._inside = formula == "less"  # whether ε stands inside the root
        self._epsilon = epsilon
        self._gradient = (1 - checkpoint.beta1) / first
        self._square = (1 - checkpoint.beta2) / second
        self._m = m * (checkpoint.beta1 / first)  # (n,)
        self._v = v * (checkpoint.beta2 / second) + (epsilon if self._inside else 0.0)  # (n,)

    def of(self, gradient: torch.Tensor) -> torch.Tensor:
        """Return the direction for each row of `gradient` (rows, n), which is overwritten."""
        scale = self._scale(gradient)
        return gradient.mul_(self._gradient).add_(self._m).mul_(scale)

    def parts(self, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the squared norm of the direction's momentum part and of its gradient part, (rows,) each."""
        scale = self._scale(gradient)
        return (self._m * scale).square().sum(1), (gradient * self._gradient * scale).square().sum(1)

    def _scale(self, gradient: torch.Tensor) -> torch.Tensor:
        """One over the denominator, (rows, n)."""
        import torch

        root = torch.addcmul(self._v, gradient, gradient, value=self._square)
        return root.rsqrt_() if self._inside else root.sqrt_().add_(self._epsilon).reciprocal_()


def _name_in_model(stored: str) -> str:
    """PEFT leaves the adapter's name out of its files: ``….lora_A.weight`` is ``….lora_A.default.weight``."""
    head, _, tail = stored.rpartition(".")
    return f"{head}.default.{tail}"
