"""What representations that read the base model share: its tokenizer and chat format, its key."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from curation import models
from curation.data.chat import Encoder
from curation.data.rows import Example
from curation.model_options import LanguageModelOptions
from curation.representations.base import Representation


class LanguageModelRepresentation(Representation):
    """Base of representations computed by the base model on the chat-formatted conversation."""

    needs_base_model = True
    config: LanguageModelOptions

    @cached_property
    def encoder(self) -> Encoder:
        """Chat format and answer mask; cuts at what the model's positions allow."""
        model = self.config.model_config
        return Encoder(models.load_tokenizer(model), models.context_length(model))

    @property
    def device(self) -> str:
        """Where the model runs."""
        return models.device(self.config.model_config)

    @property
    def batch_tokens(self) -> int:
        """Most padded tokens a batch; a longer row makes a batch of its own."""
        return self.config.tokens_per_batch or (8192 if self.device == "cuda" else 1024)

    def key(self) -> dict[str, Any]:
        """Return weights' and tokenizer's hash, chat format, length and number types.

        Device and batch size change nothing beyond rounding.
        """
        return {
            "name": self.name,
            "version": self.VERSION,
            "weights": models.fingerprint(self.config.model, self.config.revision),
            "encoder": self.encoder.key,
            "dtype": self.config.dtype,
            "computes_in": self.config.computes_in,
        }

    def length(self, example: Example, role: str) -> int:  # noqa: ARG002
        """Tokens of the conversation; RowError if no answer token is left after cutting."""
        return len(self.encoder.encode(example).input_ids)
