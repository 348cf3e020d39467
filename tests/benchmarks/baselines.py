"""What the engine is measured against and checked by, in plain code: two baselines, the ceiling, LESS by the book.

`bare` is a batch-1 ``.backward()`` loop that only collects the LoRA gradients: no direction, no projection.
`published` is the procedure of LESS's own code (princeton-nlp/LESS, ``collect_grad_reps.py``, with trak's
``BasicProjector``): one row at a time, Adam's direction over all parameters, stacks of 16 rows times a dense
Rademacher matrix that is drawn anew, 128 columns at a time, for every stack. Departs from it in what would only slow
it down or spoil it: float32 throughout (there the stacks are float16), no key-value cache, nothing written to disk.
`ceiling` is the least that any method has to compute: forward and backward of full batches without padding.

Nothing here shares code with `curation.representations`, but for the hash that names a sketch's buckets and signs.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch.nn.functional import cross_entropy

from curation.data.chat import Encoded
from curation.representations.projection import hashed


def lora(model: Any) -> dict[str, torch.nn.Parameter]:
    """LoRA parameters by name, sorted, the only ones with a gradient."""
    found = {}
    for name, parameter in sorted(model.named_parameters()):
        parameter.requires_grad_("lora_" in name)
        if "lora_" in name:
            found[name] = parameter
    return found


def bare(model: Any, rows: Sequence[Encoded]) -> Iterator[torch.Tensor]:
    """Yield each row's LoRA gradients of its mean answer loss, flattened in order of name, (P,)."""
    parameters = list(lora(model).values())
    for row in rows:
        ids, labels = (torch.tensor([values], device=model.device) for values in (row.input_ids, row.labels))
        model(input_ids=ids, labels=labels, use_cache=False).loss.backward()
        yield torch.cat([parameter.grad.flatten() for parameter in parameters])  # type: ignore[union-attr]
        for parameter in parameters:
            parameter.grad = None


@dataclass(frozen=True)
class Adam:
    """A warmup checkpoint's moments, (P,) each in the order of `bare`, and its scalars."""

    m: torch.Tensor
    v: torch.Tensor
    beta1: float
    beta2: float
    epsilon: float
    step: int

    @classmethod
    def read(cls, folder: Path, model: Any) -> Adam:
        """Read the checkpoint in `folder`, matched to the model's LoRA parameters by name."""
        state, about = load_file(folder / "optimizer.safetensors"), json.loads((folder / "optimizer.json").read_text())
        first = next(model.parameters())
        m, v = (
            torch.cat([state[f"{name}/{moment}"].flatten() for name in lora(model)]).to(first.device, first.dtype)
            for moment in ("exp_avg", "exp_avg_sq")
        )
        return cls(m, v, *about["betas"], about["eps"], about["step"])

    def direction(self, g: torch.Tensor, formula: str = "less") -> torch.Tensor:
        """Where Adam steps with gradient `g`, (…, P), as `curation.representations.less` defines both formulas."""
        m, v = self.beta1 * self.m + (1 - self.beta1) * g, self.beta2 * self.v + (1 - self.beta2) * g**2
        if formula == "less":
            return m / torch.sqrt(v + 1e-8)
        step = self.step + 1
        return (m / (1 - self.beta1**step)) / (torch.sqrt(v / (1 - self.beta2**step)) + self.epsilon)


def published(model: Any, rows: Sequence[Encoded], adam: Adam, d: int, stack: int = 16) -> Iterator[torch.Tensor]:
    """Yield the pool features of each stack of rows, not yet of unit length, (stack, d)."""
    for start in range(0, len(rows), stack):
        directions = torch.stack([adam.direction(g) for g in bare(model, rows[start : start + stack])])
        yield rademacher(directions, d)


def rademacher(directions: torch.Tensor, d: int, seed: int = 0, block: int = 128) -> torch.Tensor:
    """Project (rows, P) to (rows, d) by a dense matrix of ±1, drawn `block` columns at a time."""
    projected = torch.empty(len(directions), d)
    matrix = torch.empty(directions.shape[1], min(block, d))
    generator = torch.Generator()
    for start in range(0, d, block):
        columns = min(block, d - start)
        matrix.bernoulli_(0.5, generator=generator.manual_seed(seed + start)).mul_(2).sub_(1)
        projected[:, start : start + columns] = directions @ matrix[:, :columns]
    return projected


def sketched(directions: torch.Tensor, d: int, seed: int = 0) -> torch.Tensor:
    """CountSketch by its definition: coefficient i adds ± itself to one of d buckets, both drawn by its hash."""
    bits = hashed(np.arange(directions.shape[1], dtype=np.uint64), seed)
    bucket = torch.from_numpy((((bits >> np.uint64(33)) * np.uint64(d)) >> np.uint64(31)).astype(np.int64))
    sign = torch.from_numpy(np.where(bits & np.uint64(1), 1.0, -1.0)).to(directions.dtype)
    return directions.new_zeros(len(directions), d).index_add_(1, bucket, directions * sign)


def unit(vectors: torch.Tensor) -> torch.Tensor:
    """Scale the last dimension to length 1."""
    return vectors / vectors.norm(dim=-1, keepdim=True)


@contextlib.contextmanager
def ceiling(model: Any) -> Iterator[Any]:
    """Yield ``step(rows, length, answer)``: forward and backward of one full batch of random tokens, no padding.

    It includes the base model and the adapters' own forward and backward to activations, from the loss down to the
    first adapter; logits and loss at the answers' positions only. It leaves out every weight's gradient (the adapters'
    summed ones too), tokenising, directions and projection.
    """
    handles = [
        layer.register_forward_hook(lambda _layer, _inputs, out: None if out.requires_grad else out.requires_grad_())
        for name, layer in model.named_modules()
        if "lora_A." in name
    ]
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    generator = torch.Generator().manual_seed(0)

    def step(rows: int, length: int, answer: int) -> None:
        ids = torch.randint(model.config.vocab_size, (rows, length), generator=generator).to(model.device)
        columns = torch.arange(length - answer - 1, length - 1, device=model.device)
        logits = model(input_ids=ids, use_cache=False, logits_to_keep=columns).logits
        cross_entropy(logits.float().flatten(0, 1), ids[:, columns + 1].flatten(), reduction="sum").backward()

    try:
        yield step
    finally:
        for handle in handles:
            handle.remove()
