"""Whether LESS's warmup was long enough, and what to do where its features can't be trusted.

LoRA's B starts at zero. With G = ∂L/∂W the gradient of A is BᵀG and that of B is GAᵀ, so while B is small against A,
LESS sees next to nothing through A: half of its weights are blind. What tells is ‖B‖ / ‖A‖: where G favours no
direction, its square is the energy of A's gradient over that of B's. Left out: which layers lag behind.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from curation.errors import ModelError

B_TO_A = 0.05  # below it A has less than 0.25 % of the gradient's energy
EPSILON_SHARE = 0.5
MOMENTUM_SHARE = 0.9


def measure(checkpoints: Sequence[Path]) -> dict[str, list[float]]:
    """Return, by checkpoint, ``b_to_a``: ‖B‖ / ‖A‖ over all LoRA layers, and ``steps``: optimizer steps so far.

    Parameters
    ----------
    checkpoints : sequence of Path
        Folders as `curation.training.warmup` writes them, in order.

    Raises
    ------
    ModelError
        If a checkpoint's weights can't be read or hold no LoRA layers.
    """
    return {
        "b_to_a": [_b_to_a(folder) for folder in checkpoints],
        "steps": [float(json.loads((folder / "optimizer.json").read_text("utf-8"))["step"]) for folder in checkpoints],
    }


def _b_to_a(folder: Path) -> float:
    from safetensors import SafetensorError, safe_open

    squares = {"lora_A": 0.0, "lora_B": 0.0}
    try:
        with safe_open(folder / "adapter_model.safetensors", framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 (it is no dict)
                for half in squares:
                    if f".{half}." in name:
                        squares[half] += float(file.get_tensor(name).float().square().sum())
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"adapter_model.safetensors of warmup checkpoint {folder.name} can't be read ({error}); "
            "run the warmup again"
        ) from error
    if not squares["lora_A"]:
        raise ModelError(f"warmup checkpoint {folder.name} has no LoRA layers; train the warmup with method lora")
    return float((squares["lora_B"] / squares["lora_A"]) ** 0.5)


def warnings(report: Mapping[str, Any]) -> list[str]:
    """Return, in plain words, what makes LESS features doubtful and what to do about it; empty if nothing does.

    Parameters
    ----------
    report : mapping
        What `Less.report` returned, with what `measure` returns in it; what is missing is not judged. The last
        checkpoint, the most trained, is what counts.
    """
    told = []
    b_to_a, steps = _last(report, "b_to_a"), _last(report, "steps")
    if b_to_a is not None and b_to_a < B_TO_A:
        after = f" of {steps:,.0f} steps" if steps is not None else ""
        told.append(
            f"The warmup{after} was too short: the half of the LoRA weights that starts at zero has grown to only "
            f"{_percent(b_to_a)} of the other half, through which LESS therefore sees next to nothing. Raise the "
            "warmup's epochs, its share of the pool or its learning rate, and compute again."
        )
    swamped = _last(report, "epsilon_share")
    if swamped is not None and swamped >= EPSILON_SHARE:
        formula = report.get("formula", "less")
        told.append(
            f"For {_percent(swamped)} of the LoRA weights the gradients are so small that ε, the constant which keeps "
            "Adam from dividing by zero, outweighs them: those weights are compared unscaled, not as Adam would step. "
            + (
                "Choose the formula adam in LESS's options, whose ε is far smaller, and compare the picks."
                if formula == "less"
                else "A longer warmup with a higher learning rate may raise them; read the picks with care."
            )
        )
    momentum = _last(report, "momentum_share")
    if momentum is not None and momentum >= MOMENTUM_SHARE:
        told.append(
            f"On average {_percent(momentum)} of a pool row's direction is what the warmup was doing anyway, the same "
            "for every row, so rows differ little. Train the warmup longer, until its loss is level, and compute again."
        )
    return told


def _last(report: Mapping[str, Any], name: str) -> float | None:
    values = report.get(name)
    return float(values[-1]) if values else None


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"
