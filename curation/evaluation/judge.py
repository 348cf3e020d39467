"""The model under test: its losses and greedy answers, computed once and shared by the metrics.

Answers are generated in batches of similar prompt length, padded on the left so that every row's last prompt token
stands at the end; each stops at its own end token. In float32 a batch gives what single rows give. The model's own
generation defaults (sampling, repetition penalty) are set aside: plain greedy decoding is what is compared.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from curation import models
from curation.config import EvaluationConfig, ModelConfig
from curation.data.chat import Encoder
from curation.data.rows import Example, RowError
from curation.evaluation.base import Role
from curation.losses import answer_losses, batches
from curation.progress import Progress

_ANY_LENGTH = 1 << 40


class Judge:
    """A loaded model and the rows it is judged on.

    Parameters
    ----------
    model : ModelConfig
        The base model.
    adapter : Path or None
        A LoRA adapter, the folder of a fully tuned model, or None.
    rows : mapping of role to sequence of Example
        ``"queries"`` and ``"tests"``.
    config : EvaluationConfig
        Longest answer and rows at once.
    progress : Progress
        Told of each batch.

    Attributes
    ----------
    rejected : dict of id to reason
        Rows that could not be judged by some metric.
    """

    def __init__(
        self,
        model: ModelConfig,
        adapter: Path | None,
        rows: Mapping[str, Sequence[Example]],
        config: EvaluationConfig,
        progress: Progress,
    ) -> None:
        self.rows, self.config, self.progress = rows, config, progress
        self.rejected: dict[str, str] = {}
        self._encoder = Encoder(models.load_tokenizer(model), models.context_length(model))
        self._positions = models.context_length(dataclasses.replace(model, max_length=_ANY_LENGTH))
        self._model = _load(model, adapter)
        self._losses: dict[str, list[float | None]] = {}
        self._answers: dict[str, list[str | None]] = {}

    def losses(self, role: Role) -> list[float | None]:
        """Mean loss over the answer tokens of each row, in nats; None for a rejected one."""
        if role not in self._losses:
            encoded = self._each(role, self._encoder.encode)
            self.progress.start(f"loss on {role}", len(encoded))
            found = answer_losses(
                self._model,
                list(encoded.values()),
                pad_id=self._encoder.tokenizer.pad_token_id,
                batch_size=self.config.batch_size,
                done=self.progress.advance,
            )
            values = dict(zip(encoded, found, strict=True))
            self._losses[role] = [values.get(i) for i in range(len(self.rows[role]))]
        return self._losses[role]

    def answers(self, role: Role) -> list[str | None]:
        """Greedy answer to each row's prompt, special tokens removed; None for a rejected one."""
        if role not in self._answers:
            prompts = self._each(role, self._prompt)
            self.progress.start(f"answers to {role}", len(prompts))
            found = self._generate(list(prompts.values()))
            values = dict(zip(prompts, found, strict=True))
            self._answers[role] = [values.get(i) for i in range(len(self.rows[role]))]
        return self._answers[role]

    def answered(self) -> dict[str, str]:
        """Return id → answer of the test rows that a metric had answered."""
        answers = self._answers.get("tests", [])
        return {row.id: text for row, text in zip(self.rows["tests"], answers, strict=False) if text is not None}

    def _each(self, role: Role, encode: Any) -> dict[int, Any]:
        """Row number → what `encode` makes of it; the others are rejected with their reason."""
        encoded = {}
        for i, example in enumerate(self.rows[role]):
            try:
                encoded[i] = encode(example)
            except RowError as error:
                self.rejected[example.id] = error.reason
        return encoded

    def _prompt(self, example: Example) -> list[int]:
        ids = self._encoder.prompt(example)
        if len(ids) + self.config.max_new_tokens > self._positions:
            raise RowError(
                f"its prompt of {len(ids):,} tokens and {self.config.max_new_tokens:,} new ones exceed the model's "
                f"{self._positions:,} positions; lower max_new_tokens or leave the row out",
                example.id[:12],
            )
        return ids

    def _generate(self, prompts: Sequence[list[int]]) -> list[str]:
        """Greedy answers to tokenised prompts, in their order."""
        import torch
        from transformers import GenerationConfig

        tokenizer, model = self._encoder.tokenizer, self._model
        own = model.generation_config.eos_token_id
        stops = {*self._encoder.stop_ids, *(own if isinstance(own, list) else [own] if own is not None else [])}
        model.generation_config = GenerationConfig(
            do_sample=False,
            num_beams=1,
            max_new_tokens=self.config.max_new_tokens,
            eos_token_id=sorted(stops),
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=tokenizer.bos_token_id,
        )
        answers = [""] * len(prompts)
        for batch in batches([len(p) for p in prompts], self.config.batch_size):
            length = max(len(prompts[i]) for i in batch)
            fill = [length - len(prompts[i]) for i in batch]
            ids = [[tokenizer.pad_token_id] * n + prompts[i] for n, i in zip(fill, batch, strict=True)]
            mask = [[0] * n + [1] * (length - n) for n in fill]
            with torch.inference_mode():
                out = model.generate(
                    input_ids=torch.tensor(ids, device=model.device),
                    attention_mask=torch.tensor(mask, device=model.device),
                )
            for i, new in zip(batch, out[:, length:].tolist(), strict=True):
                end = next((t for t, token in enumerate(new) if token in stops), len(new))
                answers[i] = tokenizer.decode(new[:end], skip_special_tokens=True)
            self.progress.advance(len(batch))
        return answers


def _load(model: ModelConfig, adapter: Path | None) -> Any:
    """Load the model with its adapter merged in (float32: exact to rounding, twice as fast), or the tuned model."""
    if adapter is not None and (adapter / "config.json").is_file():
        return models.load_causal_lm(dataclasses.replace(model, name=str(adapter), revision=""))
    loaded: Any = models.load_causal_lm(model, adapter)
    return loaded.merge_and_unload() if adapter is not None and model.dtype == "float32" else loaded
