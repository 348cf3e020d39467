"""Per-example gradients of LoRA's matrices, many examples a backward pass.

For y = (W + s B A) x the gradients of one example are ∂B = s Σ_t ∂y_t (A x_t)ᵀ and ∂A = s Σ_t (Bᵀ ∂y_t) x_tᵀ, where ∂y
is the loss's gradient at the layer's output: inputs are kept on the way forward, output gradients on the way back, and
thin products a row give every example's own gradient of the *sum* of the examples' losses. No weight has a gradient:
autograd starts at the first adapted layer. LoRA's own path need not be walked, so `Adapted.fold` may add s B A to W.
Left out: adapters that are not plain LoRA on a linear layer (DoRA, adapted embeddings, biases), which are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from curation.errors import ModelError

if TYPE_CHECKING:
    import torch
    from torch import nn


class Adapted:
    """One linear layer with LoRA.

    Parameters
    ----------
    name : str
        The layer's name in the model.
    layer : peft.tuners.lora.Linear
        The layer.
    adapter : str
        The adapter's name.
    """

    def __init__(self, name: str, layer: Any, adapter: str) -> None:
        self.name, self.layer = name, layer
        self._adapter, self._own = adapter, layer.get_base_layer().weight

    @property
    def weights(self) -> dict[str, nn.Parameter]:
        """A of shape (r, in) and B of shape (out, r), by their names in the model."""
        pair = {"A": self.layer.lora_A, "B": self.layer.lora_B}
        return {f"{self.name}.lora_{m}.{self._adapter}.weight": pair[m][self._adapter].weight for m in pair}

    @property
    def size(self) -> int:
        """Numbers in A and B together."""
        return sum(weight.numel() for weight in self.weights.values())

    def gradient(self, x: torch.Tensor, dy: torch.Tensor) -> torch.Tensor:
        """Return each row's ∂A and ∂B end to end, float32 (n_rows, size).

        Parameters
        ----------
        x, dy : tensors of shape (n_rows, columns, in) and (n_rows, columns, out)
            What went in, and the loss's gradient at what came out.
        """
        import torch

        a, b = (weight.float() * self.layer.scaling[self._adapter] for weight in self.weights.values())
        x, dy = x.float(), dy.float()
        of_a, of_b = (dy @ b).transpose(1, 2) @ x, dy.transpose(1, 2) @ (x @ a.T)  # each a sum over columns
        return torch.cat([of_a.flatten(1), of_b.flatten(1)], 1)

    def fold(self) -> None:
        """Let the layer multiply by W + s B A at once, as A and B are now.

        Only where W is float32: narrower types would round most of B A away.
        """
        import torch

        base, change = self.layer.get_base_layer(), self.layer.get_delta_weight(self._adapter)
        base.weight = torch.nn.Parameter(self._own + change, requires_grad=False)  # W itself may be tied to another
        self.layer.enable_adapters(False)


def adapted_layers(model: nn.Module) -> list[Adapted]:
    """Return the layers with LoRA in the order of their weights' names; everything is frozen.

    Raises
    ------
    ModelError
        If the adapter holds anything but plain LoRA on linear layers.
    """
    names: dict[str, str] = {}  # of layers, to their adapters'
    for name, parameter in sorted(model.named_parameters()):
        parameter.requires_grad_(False)
        if "lora_" not in name:
            continue
        layer, _, rest = name.partition(".lora_")
        if not _is_plain(model, layer, rest):
            raise ModelError(
                f"the warmup adapts {name}, which is not the weight of a linear layer; LESS features need plain LoRA "
                "on linear layers, so train the warmup without DoRA, biases or adapted embeddings"
            )
        names[layer] = rest.split(".")[1]
    if not names:
        raise ModelError("the warmup's adapter has no LoRA weights; train the warmup with method lora")
    return [Adapted(name, model.get_submodule(name), adapter) for name, adapter in names.items()]


def _is_plain(model: nn.Module, layer: str, rest: str) -> bool:
    from peft.tuners.lora import Linear, LoraLayer
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    module: Any = model.get_submodule(layer)
    matrix, _, kind = rest.partition(".")
    return (
        isinstance(module, LoraLayer)
        and (isinstance(module, Linear) or type(module).__module__.startswith("peft.tuners.lora.bnb"))
        and not module.lora_variant
        and isinstance(module.get_base_layer(), nn.Linear | Conv1D)
        and matrix in ("A", "B")
        and kind.endswith(".weight")
    )


@contextmanager
def per_example(layers: Sequence[Adapted], n_rows: int, use: Callable[[str, torch.Tensor], None]) -> Iterator[None]:
    """While open, the one backward pass calls `use(name, gradient)` for each layer.

    The gradient is that of A and B end to end, float32 (n_rows, size), one row an example, and may be overwritten. It
    is handed over as soon as it is known, so that only one layer's gradients exist at a time.

    Raises
    ------
    ModelError
        If a layer does not run exactly once, or runs on rows that are no longer apart, as the experts of
        a mixture do: then its input does not tell which gradient is whose.
    """
    seen: set[str] = set()
    done: set[str] = set()

    def hook(adapted: Adapted) -> Any:
        def after_forward(_layer: nn.Module, inputs: tuple[torch.Tensor, ...], output: Any) -> None:
            x = inputs[0].detach()  # (n_rows, columns, in)
            if x.ndim != 3 or len(x) != n_rows or adapted.name in seen:
                raise ModelError(_not_apart(adapted.name))
            seen.add(adapted.name)
            if not output.requires_grad:  # nothing below has an adapter: autograd begins here
                output.requires_grad_()

            def after_backward(dy: torch.Tensor) -> None:  # (n_rows, columns, out)
                done.add(adapted.name)
                use(adapted.name, adapted.gradient(x, dy))

            output.register_hook(after_backward)

        return after_forward

    handles = [adapted.layer.register_forward_hook(hook(adapted)) for adapted in layers]
    try:
        yield
        if missing := [adapted.name for adapted in layers if adapted.name not in done]:
            raise ModelError(_not_apart(missing[0]))
    finally:
        for handle in handles:
            handle.remove()


def _not_apart(name: str) -> str:
    return (
        f"layer {name} does not run once for every row, so LESS can't tell the rows' gradients apart; "
        "train the warmup with lora_targets that name attention layers only"
    )
