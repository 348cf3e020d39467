"""What representations that read the base model share: its tokenizer and chat format, its key."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from curation import models
from curation.config import Options
from curation.data.chat import Encoded, Encoder
from curation.data.rows import Example
from curation.model_options import LanguageModelOptions
from curation.representations.base import Representation

_KEPT_TOKENS = 2**22  # encoded to plan the batches, and kept until their features are computed: some 150 MB


class LanguageModelRepresentation(Representation):
    """Base of representations computed by the base model on the chat-formatted conversation."""

    needs_base_model = True
    config: LanguageModelOptions

    def __init__(self, config: Options) -> None:
        super().__init__(config)
        self._kept: dict[str, Encoded] = {}
        self._room = _KEPT_TOKENS

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
        encoded = self.encoder.encode(example)
        n_tokens = len(encoded.input_ids)
        if n_tokens <= self._room and example.id not in self._kept:
            self._kept[example.id] = encoded
            self._room -= n_tokens
        return n_tokens

    def encode(self, example: Example) -> Encoded:
        """Encode an example, unless `length` just did."""
        encoded = self._kept.pop(example.id, None)
        if encoded is None:
            return self.encoder.encode(example)
        self._room += len(encoded.input_ids)
        return encoded
