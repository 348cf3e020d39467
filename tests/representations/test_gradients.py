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
    """Two linear layers in a row; `twice` runs the first again, `flat` forgets which row a token is of."""

    def __init__(self, twice: bool = False, flat: bool = False) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(5, 4), nn.Linear(4, 3, bias=False)
        self.twice, self.flat = twice, flat

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = torch.tanh(self.first(x.flatten(0, 1) if self.flat else x))
        if self.twice:
            hidden = hidden + self.first(x)
        return torch.as_tensor(self.second(hidden))


def with_lora(**broken: bool) -> Any:
    """The net with adapters that are no longer at their start, where B is zero."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    config = LoraConfig(r=2, lora_alpha=6, target_modules=["first", "second"], lora_dropout=0.5)
    net: Any = get_peft_model(Net(**broken), config).eval()  # type: ignore[arg-type]
    for name, parameter in net.named_parameters():
        if "lora_" in name:
            nn.init.normal_(parameter)
    return net


def gradients(net: Any, x: torch.Tensor, *, fold: bool = False) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}
    layers = adapted_layers(net)
    for layer in layers if fold else ():
        layer.fold()
    with per_example(layers, len(x), lambda name, gradient: found.update({name: gradient.clone()})):
        net(x).square().sum().backward()
    return found


@pytest.mark.parametrize("fold", [False, True])
def test_equals_autograd_row_by_row(fold: bool) -> None:
    net, x = with_lora(), torch.randn(6, 7, 5)
    parameters = {name: p.requires_grad_() for name, p in sorted(net.named_parameters()) if "lora_" in name}
    assert len(parameters) == 4
    wanted = [
        torch.autograd.grad(net(x[row : row + 1]).square().sum(), [*parameters.values()]) for row in range(len(x))
    ]
    got = gradients(net, x, fold=fold)
    assert all(p.grad is None for p in net.parameters())
    assert sorted(got) == ["base_model.model.first", "base_model.model.second"]
    for row, expected in enumerate(wanted):
        own = torch.cat([got[name][row] for name in sorted(got)])
        torch.testing.assert_close(own, torch.cat([g.flatten() for g in expected]), rtol=1e-4, atol=1e-4)


def test_fold_follows_the_adapter_from_the_same_weights() -> None:
    net, x = with_lora(), torch.randn(2, 3, 5)
    layers = adapted_layers(net)
    before = [layer.layer.get_base_layer().weight.clone() for layer in layers]
    with torch.no_grad():
        for _ in range(3):  # checkpoint after checkpoint
            for layer in layers:
                for weight in layer.weights.values():
                    weight.normal_()
                layer.fold()
        got = net(x)
        for layer, own in zip(layers, before, strict=True):
            layer.layer.get_base_layer().weight.copy_(own)
            layer.layer.enable_adapters(True)
        torch.testing.assert_close(got, net(x))


def test_hooks_are_gone_afterwards() -> None:
    net = with_lora()
    gradients(net, torch.randn(2, 3, 5))
    assert not any(module._forward_hooks for module in net.modules())


@pytest.mark.parametrize("broken", [{"twice": True}, {"flat": True}])
def test_rows_that_are_not_apart_are_refused(broken: dict[str, bool]) -> None:
    with pytest.raises(ModelError, match=r"layer base_model.model.first does not run once for every row"):
        gradients(with_lora(**broken), torch.randn(2, 3, 5))


def test_layer_that_gets_no_gradient_is_refused() -> None:
    net = with_lora()
    layers = adapted_layers(net)
    with pytest.raises(ModelError, match=r"second does not run"), per_example(layers, 2, lambda *_: None):
        net.base_model.model.first(torch.randn(2, 3, 5)).sum().backward()


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
