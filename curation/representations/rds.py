"""RDS+ (Ivison et al. 2025, arXiv 2503.01807): position-weighted mean of the base model's last hidden layer.

The conversation is chat-formatted; the real token t = 1…T weighs t / Σt, padding weighs nothing (pooling that ignores
the attention mask is right only for single rows); the mean is scaled to unit length. The paper's round-robin selection
is a selector here, so any other can be used with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from curation import losses, models
from curation.data.rows import Example
from curation.models import LanguageModelOptions
from curation.representations.language_model import LanguageModelRepresentation
from curation.representations.projection import unit

if TYPE_CHECKING:
    import torch


class Rds(LanguageModelRepresentation):
    """Average the base model's last hidden layer, later tokens weighing more (RDS+)."""

    name = "rds"

    class Config(LanguageModelOptions):
        """The base model's options."""

    @cached_property
    def _model(self) -> Any:
        return models.load_causal_lm(self.config.model_config)

    def compute(self, examples: Sequence[Example], role: str) -> Any:  # noqa: ARG002
        """Return float32 (rows, 1, hidden size), unit length."""
        rows = [self.encoder.encode(example) for example in examples]
        batch = losses.padded(rows, self.encoder.tokenizer.pad_token_id, self._model.device)
        return pooled(self._model, batch["input_ids"], batch["attention_mask"]).unsqueeze(1).cpu().numpy()


def pooled(model: Any, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
    """Return the position-weighted mean of the last hidden layer, float32 (rows, hidden size), unit length.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        A causal LM; its output layer is not computed.
    input_ids, attention_mask : int tensor of shape (rows, columns)
        Padded on the right, or on the left where the model's positions are relative.
    """
    import torch

    count = attention_mask.cumsum(1)  # t of each real token, (rows, columns)
    with torch.no_grad():
        hidden = model.base_model(
            input_ids=input_ids, attention_mask=attention_mask, use_cache=False
        ).last_hidden_state  # (rows, columns, hidden size)
    weight = (count * attention_mask).float()
    return unit(torch.einsum("bt,bth->bh", weight / weight.sum(1, keepdim=True), hidden.float()))
