"""Perplexity of the learned answers under the base model: exp of the mean loss over answer tokens, given the prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from curation import losses, models
from curation.data.chat import Encoded, Encoder
from curation.data.rows import Example, RowError
from curation.model_options import LanguageModelOptions
from curation.progress import Progress, Silent
from curation.scorers.base import Scorer

_BATCH_SIZE = 64  # rows; `losses` bounds the tokens


class Perplexity(Scorer):
    """Measure how surprised the base model is by the answers: exp of the mean loss over answer tokens."""

    name = "perplexity"
    unit = "perplexity of the answer"
    needs_base_model = True

    class Config(LanguageModelOptions):
        """The base model's options."""

    config: Config

    def key(self) -> dict[str, Any]:
        """Weights' and tokenizer's hash, chat format and number types."""
        return {
            "name": self.name,
            "version": self.VERSION,
            "weights": models.fingerprint(self.config.model, self.config.revision),
            "encoder": self._encoder().key,
            "dtype": self.config.dtype,
            "computes_in": self.config.computes_in,
        }

    def score(self, examples: Sequence[Example], progress: Progress | None = None) -> npt.NDArray[np.float64]:
        """Return the perplexities, (n,); NaN where no answer token is left after cutting."""
        progress = progress or Silent()
        encoder = self._encoder()
        rows: dict[int, Encoded] = {}
        for i, example in enumerate(examples):
            try:
                rows[i] = encoder.encode(example)
            except RowError as error:
                progress.log(f"row {example.id} has no perplexity: {error.reason}")
        progress.start(self.name, len(rows))
        scores = np.full(len(examples), np.nan)
        if rows:
            model = models.load_causal_lm(self.config.model_config)
            pad_id = encoder.tokenizer.pad_token_id
            with self.config.autocasting():
                found = losses.answer_losses(
                    model, list(rows.values()), pad_id=pad_id, batch_size=_BATCH_SIZE, done=progress.advance
                )
            scores[list(rows)] = np.exp(found)
        return scores

    def _encoder(self) -> Encoder:
        model = self.config.model_config
        return Encoder(models.load_tokenizer(model), models.context_length(model))
