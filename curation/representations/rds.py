"""RDS+ (Ivison et al. 2025, arXiv 2503.01807): position-weighted mean of the base model's last hidden layer.

The conversation is chat-formatted; the real token t = 1…T weighs t / Σt, padding weighs nothing (pooling that ignores
the attention mask is right only for single rows); the mean is scaled to unit length. The paper's round-robin selection
is a selector here, so any other can be used with it.

Options beyond the paper: a plain mean or the last token in place of the weighted mean, and other or several layers
(middle ones often serve better: Skean et al. 2025, arXiv 2502.02013). Each layer is pooled to unit length and all are
put side by side, so that the similarity is the mean of the layers' cosines. Layers are taken as the model hands them
out: the last one with the final norm, the others without. Left out: skipping the computation above the highest layer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from curation import losses, models
from curation.config import Options, option
from curation.data.rows import Example
from curation.errors import ConfigError, ModelError
from curation.model_options import LanguageModelOptions
from curation.representations.base import storage_option
from curation.representations.language_model import LanguageModelRepresentation
from curation.representations.projection import unit

if TYPE_CHECKING:
    import torch

LAST = (-1,)


class Rds(LanguageModelRepresentation):
    """Average the base model's last hidden layer, later tokens weighing more (RDS+)."""

    name = "rds"

    @dataclass(frozen=True, kw_only=True)
    class Config(LanguageModelOptions):
        """The base model's options, and what of its hidden layers is kept."""

        layers: tuple[int, ...] = option(
            LAST, "Hidden layers counted from the end: -1 is the last, as in RDS+; several are put together.", high=-1
        )
        pooling: str = option(
            "weighted",
            "How a layer's tokens become one vector: a mean in which later ones weigh more (RDS+), a plain mean, "
            "or the last token.",
            choices=("weighted", "mean", "last"),
        )
        storage: str = storage_option()

    config: Config

    def __init__(self, config: Options) -> None:
        super().__init__(config)
        layers = self.config.layers
        if not layers or len(set(layers)) < len(layers):
            raise ConfigError(f"layers of rds are {list(layers)}, expected at least one, and each once; [-1] is RDS+")

    def key(self) -> dict[str, Any]:
        """Return the base's key, and layers and pooling where they are not RDS+'s."""
        key = super().key()
        if self.config.layers != LAST:
            key["layers"] = list(self.config.layers)
        if self.config.pooling != "weighted":
            key["pooling"] = self.config.pooling
        return key

    @cached_property
    def _model(self) -> Any:
        return models.load_causal_lm(self.config.model_config)

    def compute(self, examples: Sequence[Example], role: str) -> Any:  # noqa: ARG002
        """Return float32 (rows, 1, layers · hidden size), unit length."""
        rows = [self.encode(example) for example in examples]
        batch = losses.padded(rows, self.encoder.tokenizer.pad_token_id, self._model.device)
        with self.config.autocasting():
            features = pooled(
                self._model,
                batch["input_ids"],
                batch["attention_mask"],
                layers=self.config.layers,
                pooling=self.config.pooling,
            )
        return features.unsqueeze(1).cpu().numpy()


def pooled(
    model: Any,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    *,
    layers: Sequence[int] = LAST,
    pooling: str = "weighted",
) -> torch.Tensor:
    """Return the pooled hidden layers, float32 (rows, layers · hidden size), unit length.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        A causal LM; its output layer is not computed.
    input_ids, attention_mask : int tensor of shape (rows, columns)
        Padded on the right, or on the left where the model's positions are relative.
    layers : sequence of int
        Counted from the end, -1 is the last; only that one is kept in memory if no other is asked for.
    pooling : {"weighted", "mean", "last"}
        Token t of T weighs t / Σt, or 1 / T, or the last one weighs all.

    Raises
    ------
    ModelError
        If the model has fewer layers.
    """
    import torch

    several = tuple(layers) != LAST
    right = bool(attention_mask[:, 0].all())  # then no real token of a causal model sees padding, and no mask is needed
    visible = None if right else attention_mask
    with torch.no_grad():
        output = model.base_model(
            input_ids=input_ids, attention_mask=visible, use_cache=False, output_hidden_states=several
        )
    hidden = output.hidden_states if several else (output.last_hidden_state,)  # (rows, columns, hidden size) each
    if min(layers) < -len(hidden):
        raise ModelError(
            f"rds asks for layer {min(layers)}, but the model has {len(hidden)} of them, embeddings included; "
            f"choose layers from {-len(hidden)} to -1"
        )
    count = attention_mask.cumsum(1) * attention_mask  # t of each real token, 0 for padding: (rows, columns)
    weight = {"weighted": count, "mean": attention_mask, "last": count == count.amax(1, keepdim=True)}[pooling].float()
    weight = weight / weight.sum(1, keepdim=True)
    with torch.autocast(weight.device.type, enabled=False):  # pooled in float32 whatever the model computes in
        parts = [unit(torch.einsum("bt,bth->bh", weight, hidden[i].float())) for i in layers]  # (rows, hidden size)
    return torch.cat(parts, dim=1) / math.sqrt(len(parts))
