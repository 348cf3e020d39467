"""Per-example gradients equal autograd's, row by row; layers where rows can't be told apart are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from curation import models
from curation.config import ModelConfig
from curation.errors import ModelError
from curation.representations.gradients import adapted_layers, per_example


class Net(nn.Module):
    """Two adapted layers in a row; `twice` runs the first again, `flat` forgets which row a token is of."""

    def __init__(self, twice: bool = False, flat: bool = False) -> None:
        super().__init__()
        self.lora_a, self.lora_b = nn.Linear(5, 4, bias=False), nn.Linear(4, 3, bias=False)
        self.twice, self.flat = twice, flat

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = torch.tanh(self.lora_a(x.flatten(0, 1) if self.flat else x))
        if self.twice:
            hidden = hidden + self.lora_a(x)
        return torch.as_tensor(self.lora_b(hidden))


def gradients(net: Net, x: torch.Tensor) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}
    with per_example(adapted_layers(net), len(x), lambda name, gradient: found.update({name: gradient.clone()})):
        net(x).square().sum().backward()
    return found


def test_equals_autograd_row_by_row() -> None:
    torch.manual_seed(0)
    net, x = Net(), torch.randn(6, 7, 5)
    got = gradients(net, x)
    assert all(p.grad is None for p in net.parameters())
    for row in range(6):
        net.requires_grad_()
        wanted = torch.autograd.grad(net(x[row : row + 1]).square().sum(), [net.lora_a.weight, net.lora_b.weight])
        for name, gradient in zip(("lora_a.weight", "lora_b.weight"), wanted, strict=True):
            torch.testing.assert_close(got[name][row], gradient.flatten())


def test_hooks_are_gone_afterwards() -> None:
    net = Net()
    gradients(net, torch.randn(2, 3, 5))
    assert not net.lora_a._forward_hooks and not net.lora_b._forward_hooks


@pytest.mark.parametrize("broken", [{"twice": True}, {"flat": True}])
def test_rows_that_are_not_apart_are_refused(broken: dict[str, bool]) -> None:
    with pytest.raises(ModelError, match=r"layer lora_a\.weight does not run once for every row"):
        gradients(Net(**broken), torch.randn(2, 3, 5))


def test_layer_that_gets_no_gradient_is_refused() -> None:
    net = Net()
    layers = adapted_layers(net)
    with pytest.raises(ModelError, match=r"layer lora_b\.weight does not run"), per_example(layers, 2, lambda *_: None):
        net.lora_a(torch.randn(2, 3, 5)).sum().backward()


def test_adapters_that_are_no_plain_lora_are_refused(tiny_lm: Path) -> None:
    from peft import LoraConfig, get_peft_model

    def adapted(**options: Any) -> Any:
        model = models.load_causal_lm(ModelConfig(name=str(tiny_lm), device="cpu"))
        return get_peft_model(model, LoraConfig(r=2, **options))

    with pytest.raises(ModelError, match="not the weight of a linear layer"):
        adapted_layers(adapted(target_modules=["q_proj"], use_dora=True))
    with pytest.raises(ModelError, match="not the weight of a linear layer"):
        adapted_layers(adapted(target_modules=["embed_tokens"]))
    with pytest.raises(ModelError, match="has no LoRA weights"):
        adapted_layers(models.load_causal_lm(ModelConfig(name=str(tiny_lm), device="cpu")))
