"""Was the warmup long enough: what is measured in its checkpoints, and what is said of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from curation.errors import ModelError
from curation.representations.warmup_health import measure, warnings


def checkpoint(folder: Path, a: float, b: float, steps: int = 12) -> Path:
    folder.mkdir()
    tensors = {
        "base_model.model.layers.0.q_proj.lora_A.weight": torch.full((2, 8), a),
        "base_model.model.layers.0.q_proj.lora_B.weight": torch.full((8, 2), b),
    }
    save_file(tensors, folder / "adapter_model.safetensors")
    (folder / "optimizer.json").write_text(json.dumps({"step": steps}))
    return folder


def test_the_ratio_of_the_halves_is_measured_by_checkpoint(tmp_path: Path) -> None:
    folders = [checkpoint(tmp_path / "c1", 0.5, 0.0, 4), checkpoint(tmp_path / "c2", -0.5, 0.1, 8)]
    assert measure(folders) == {"b_to_a": [0.0, pytest.approx(0.2)], "steps": [4.0, 8.0]}


def test_a_real_warmup_moves_b(warmup: Path) -> None:
    told = measure([warmup / "checkpoint-1", warmup / "checkpoint-2"])
    assert 0 < told["b_to_a"][0] < told["b_to_a"][1] and told["steps"] == [4.0, 8.0]


def test_b_foretells_how_much_of_the_gradient_lies_in_a(warmup: Path) -> None:
    """The reason for the measure: the second moments, E[g²], split between A and B about as ‖B‖² and ‖A‖² do."""
    from safetensors.torch import load_file

    state = load_file(warmup / "checkpoint-1" / "optimizer.safetensors")
    energy = {half: sum(float(v.sum()) for k, v in state.items() if half in k and "_sq" in k) for half in "AB"}
    ratio = (energy["A"] / energy["B"]) ** 0.5
    b_to_a = measure([warmup / "checkpoint-1"])["b_to_a"][0]
    assert b_to_a / 10 < ratio < b_to_a * 10


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "c1", 0.5, 0.1)
    (folder / "adapter_model.safetensors").write_bytes(b"nonsense")
    with pytest.raises(ModelError, match="of warmup checkpoint c1 can't be read"):
        measure([folder])
    save_file({"x": torch.ones(1)}, folder / "adapter_model.safetensors")
    with pytest.raises(ModelError, match="c1 has no LoRA layers"):
        measure([folder])


def test_what_is_wrong_is_said_with_what_to_do() -> None:
    sound = {"b_to_a": [0.0, 0.4], "steps": [4, 8], "epsilon_share": [0.9, 0.1], "momentum_share": [0.3]}
    assert warnings(sound) == [] and warnings({}) == []  # the last checkpoint is what counts
    short = warnings(sound | {"b_to_a": [0.002], "steps": [12.0]})
    assert len(short) == 1 and "of 12 steps was too short" in short[0] and "0.2 % of the other half" in short[0]
    assert "Raise the warmup's epochs" in short[0]
    swamped = warnings(sound | {"epsilon_share": [0.83]})
    assert len(swamped) == 1 and "For 83 % of the LoRA weights" in swamped[0] and "formula adam" in swamped[0]
    assert "formula adam" not in warnings(sound | {"epsilon_share": [0.83], "formula": "adam"})[0]
    still = warnings(sound | {"momentum_share": [0.95]})
    assert len(still) == 1 and "95 % of a pool row's direction" in still[0]
