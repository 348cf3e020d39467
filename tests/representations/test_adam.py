"""Directions equal torch's own Adam step and the authors' formula, also where second moments are tiny."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from curation.errors import ModelError
from curation.representations.adam import Checkpoint, Direction

BETAS, EPSILON = (0.9, 0.99), 1e-8


def checkpoint(step: int) -> Checkpoint:
    return Checkpoint(Path(), step, *BETAS, EPSILON, 1e-4)


@pytest.mark.parametrize("scale", [1.0, 1e-6])
def test_adam_is_the_step_that_torch_takes(scale: float) -> None:
    torch.manual_seed(0)
    weight = torch.zeros(20, requires_grad=True)
    optimizer = torch.optim.Adam([weight], lr=1.0, betas=BETAS, eps=EPSILON)
    for _ in range(3):
        weight.grad = torch.randn(20) * scale
        optimizer.step()
    state = {name: value.clone() for name, value in optimizer.state[weight].items()}
    before, gradient = weight.detach().clone(), torch.randn(20) * scale
    weight.grad = gradient.clone()
    optimizer.step()
    direction = Direction(state["exp_avg"], state["exp_avg_sq"], checkpoint(int(state["step"])), "adam")
    torch.testing.assert_close(direction.of(gradient[None])[0], before - weight.detach(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("scale", [1.0, 1e-6])
def test_less_has_epsilon_inside_the_root_and_no_correction(scale: float) -> None:
    m, v = torch.tensor([0.5, -2.0]) * scale, torch.tensor([4.0, 0.25]) * scale**2
    gradient = torch.tensor([[1.0, 3.0], [0.0, -1.0]]) * scale
    expected = [
        [
            (0.9 * float(m[j]) + 0.1 * float(g[j])) / (0.99 * float(v[j]) + 0.01 * float(g[j]) ** 2 + 1e-8) ** 0.5
            for j in (0, 1)
        ]
        for g in gradient
    ]
    got = Direction(m, v, checkpoint(3), "less").of(gradient.clone())
    torch.testing.assert_close(got, torch.tensor(expected), rtol=1e-5, atol=0.0)


def test_parts_are_the_norms_of_the_two_summands() -> None:
    direction = Direction(torch.ones(3), torch.ones(3), checkpoint(1), "less")
    momentum, gradient = direction.parts(torch.zeros(1, 3))
    assert float(momentum) == pytest.approx(3 * 0.81 / 0.99, rel=1e-5)
    assert float(gradient) == 0.0
    momentum, gradient = direction.parts(torch.ones(1, 3))
    assert float(momentum / gradient) == pytest.approx(81.0, rel=1e-5)


def test_damaged_description_is_refused(tmp_path: Path) -> None:
    for name in ("adapter_config.json", "adapter_model.safetensors", "optimizer.safetensors"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "optimizer.json").write_text(json.dumps({"step": 1, "betas": [0.9], "eps": 1}))
    with pytest.raises(ModelError, match=r"optimizer\.json of warmup checkpoint .* is damaged"):
        Checkpoint.read(tmp_path)


def test_damaged_moments_are_refused(tmp_path: Path) -> None:
    (tmp_path / "optimizer.safetensors").write_bytes(b"junk")
    with pytest.raises(ModelError, match=r"optimizer\.safetensors of warmup checkpoint .* is damaged"):
        Checkpoint(tmp_path, 1, 0.9, 0.99, 1e-8, 1.0).swamped("less")
