"""What a training writes: weights in the standard format, Adam's state by parameter name, and which files are whole.

Everything is written beside its place and renamed; nothing is pickled.
"""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

COMPLETE = "complete"  # holds the seconds taken; written last into a resume checkpoint, one without it is torn
_RESUMING = ("*.pt", "*.pth", "trainer_state.json", COMPLETE)  # what a resume checkpoint holds beside weights


def save_weights(model: Any, folder: Path) -> None:
    """Save the adapter, or the full model, in the standard format; the same weights give the same bytes."""
    options = {"save_embedding_layers": False} if hasattr(model, "peft_config") else {}  # "auto" would ask the hub
    model.save_pretrained(folder, **options)
    described = folder / "adapter_config.json"
    if described.is_file():  # sets of names come out in the process's own hash order
        config = json.loads(described.read_text("utf-8"))
        config = {k: sorted(v) if isinstance(v, list) and k != "layers_pattern" else v for k, v in config.items()}
        described.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", "utf-8")
        (folder / "README.md").unlink(missing_ok=True)


def last_checkpoint(folder: Path, most: float = math.inf) -> Path | None:
    """Return the newest whole checkpoint in `folder`, of at most `most` steps; torn ones are removed."""
    found = []
    for path in folder.glob("checkpoint-*"):
        if (path / COMPLETE).is_file():
            found.append(path)
        else:
            shutil.rmtree(path)
    return max((path for path in found if _steps(path) <= most), key=_steps, default=None)


def _steps(checkpoint: Path) -> int:
    return int(checkpoint.name.partition("-")[2])


def complete(checkpoint: Path, seconds: float) -> None:
    """Mark a resume checkpoint whole, with the seconds that led to it."""
    (checkpoint / COMPLETE).write_text(str(seconds), "utf-8")


def led_to(checkpoint: Path | None) -> tuple[int, float]:
    """Return the steps and the seconds that led to a whole checkpoint; zeros without one."""
    if checkpoint is None:
        return 0, 0.0
    return _steps(checkpoint), float((checkpoint / COMPLETE).read_text("utf-8") or 0)


def save_optimizer(model: Any, optimizer: Any, folder: Path, learning_rate_mean: float) -> None:
    """Save Adam's moments as ``<parameter name>/exp_avg`` and ``/exp_avg_sq``, and its scalars as JSON.

    LESS's own code reads them by position, which mixes parameters up when the order differs (LESS issues 4, 10, 44).
    """
    state, tensors, steps = optimizer.state, {}, set()
    for name, parameter in model.named_parameters():
        if parameter in state:
            for moment in ("exp_avg", "exp_avg_sq"):
                tensors[f"{name}/{moment}"] = state[parameter][moment].detach().float().cpu().contiguous()
            steps.add(int(state[parameter]["step"]))
    (step,) = steps  # every parameter has taken every step
    group = optimizer.param_groups[0]
    save_file(tensors, folder / "optimizer.safetensors")
    scalars = {"step": step, "betas": list(group["betas"]), "eps": group["eps"]}
    scalars["learning_rate_mean"] = learning_rate_mean
    (folder / "optimizer.json").write_text(json.dumps(scalars, indent=2) + "\n", "utf-8")


def save_model(folder: Path, source: Path | None, model: Any, tokenizer: Any) -> None:
    """Write ``model/``: the weights that lie in `source`, else the model's present ones; plus a tokenizer."""
    part = folder / "model.part"
    shutil.rmtree(part, ignore_errors=True)
    if source is not None:
        shutil.copytree(source, part, ignore=shutil.ignore_patterns(*_RESUMING))
    else:
        save_weights(model, part)
    if not hasattr(model, "peft_config"):
        tokenizer.save_pretrained(part)
    shutil.rmtree(folder / "model", ignore_errors=True)
    part.rename(folder / "model")
