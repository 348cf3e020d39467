"""Per-example gradients of linear layers, many examples a backward pass.

For y = W x the gradient of one example is Σ_t (∂L/∂y_t) x_tᵀ: inputs are kept on the way forward, output gradients on
the way back, and one product a row gives every example's own gradient of the *sum* of the examples' losses. The
weights themselves are frozen: autograd starts at the first adapter and computes no gradient of any weight. Left out:
parameters that are no plain linear layer (DoRA, adapted embeddings, biases), which are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from curation.errors import ModelError

if TYPE_CHECKING:
    import torch
    from torch import nn


def adapted_layers(model: nn.Module) -> dict[str, nn.Linear]:
    """Return the linear layer of each LoRA weight by the weight's name, sorted; everything is frozen.

    Raises
    ------
    ModelError
        If the adapter holds a parameter that is not the weight of a plain linear layer.
    """
    from torch import nn

    layers: dict[str, nn.Linear] = {}
    for name, parameter in sorted(model.named_parameters()):
        parameter.requires_grad_(False)
        if "lora_" not in name:
            continue
        layer = model.get_submodule(name.rpartition(".")[0])
        if not isinstance(layer, nn.Linear) or not name.endswith(".weight"):
            raise ModelError(
                f"the warmup adapts {name}, which is not the weight of a linear layer; LESS features need plain LoRA "
                "on linear layers, so train the warmup without DoRA, biases or adapted embeddings"
            )
        layers[name] = layer
    if not layers:
        raise ModelError("the warmup's adapter has no LoRA weights; train the warmup with method lora")
    return layers


@contextmanager
def per_example(layers: dict[str, nn.Linear], n_rows: int, use: Callable[[str, torch.Tensor], None]) -> Iterator[None]:
    """While open, the one backward pass calls `use(name, gradient)` for each layer's weight.

    The gradient is float32 (n_rows, out · in), one row an example, and may be overwritten. It is handed over as soon
    as it is known, so that only one layer's gradients exist at a time.

    Raises
    ------
    ModelError
        If a layer does not run exactly once, or runs on rows that are no longer apart, as the experts of
        a mixture do: then its input does not tell which gradient is whose.
    """
    seen: set[str] = set()
    done: set[str] = set()

    def hook(name: str) -> Any:
        def after_forward(_layer: nn.Linear, inputs: tuple[torch.Tensor], output: Any) -> None:
            x = inputs[0].detach()  # (n_rows, columns, in)
            if x.ndim != 3 or len(x) != n_rows or name in seen:
                raise ModelError(_not_apart(name))
            seen.add(name)
            if not output.requires_grad:  # nothing below has an adapter: autograd begins here
                output.requires_grad_()

            def after_backward(dy: torch.Tensor) -> None:  # (n_rows, columns, out)
                gradient = dy.float().transpose(1, 2) @ x.float()  # sum over columns: (n_rows, out, in)
                done.add(name)
                use(name, gradient.flatten(1))

            output.register_hook(after_backward)

        return after_forward

    handles = [layer.register_forward_hook(hook(name)) for name, layer in layers.items()]
    try:
        yield
        if len(done) < len(layers):
            raise ModelError(_not_apart(min(layers.keys() - done)))
    finally:
        for handle in handles:
            handle.remove()


def _not_apart(name: str) -> str:
    return (
        f"layer {name} does not run once for every row, so LESS can't tell the rows' gradients apart; "
        "train the warmup with lora_targets that name attention layers only"
    )
