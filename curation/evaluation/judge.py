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
    seed : int
        Of answers that are drawn.

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
        seed: int = 0,
    ) -> None:
        self.rows, self.config, self.progress = rows, config, progress
        self.rejected: dict[str, str] = {}
        self._encoder = Encoder(models.load_tokenizer(model), models.context_length(model))
        self._positions = models.context_length(dataclasses.replace(model, max_length=_ANY_LENGTH))
        self._model = _load(model, adapter)
        self._losses: dict[str, list[float | None]] = {}
        self._samples: dict[tuple[Role, int, float], list[list[str] | None]] = {}
        self._seed = seed

    @property
    def model(self) -> Any:
        """The loaded model."""
        return self._model

    @property
    def tokenizer(self) -> Any:
        """Its tokenizer."""
        return self._encoder.tokenizer

    def losses(self, role: Role) -> list[float | None]:
        """Mean loss over the answer tokens of each row, in nats; None for a rejected one."""
        if role not in self._losses:
            self._losses[role] = self.losses_of(self.rows[role], role)
        return self._losses[role]

    def losses_of(self, rows: Sequence[Example], title: str) -> list[float | None]:
        """Mean loss over the answer tokens of each of `rows`, in nats; None for a rejected one."""
        encoded = self._each(rows, self._encoder.encode)
        self.progress.start(f"loss on {title}", len(encoded))
        found = answer_losses(
            self._model,
            list(encoded.values()),
            pad_id=self._encoder.tokenizer.pad_token_id,
            batch_size=self.config.batch_size,
            done=self.progress.advance,
        )
        values = dict(zip(encoded, found, strict=True))
        return [values.get(i) for i in range(len(rows))]

    def answers(self, role: Role) -> list[str | None]:
        """Greedy answer to each row's prompt, special tokens removed; None for a rejected one."""
        return [None if texts is None else texts[0] for texts in self.samples(role, 1, 0.0)]

    def samples(self, role: Role, n: int, temperature: float) -> list[list[str] | None]:
        """`n` answers to each row's prompt, drawn at `temperature` (0: greedy); None for a rejected row."""
        if (role, n, temperature) not in self._samples:
            prompts = self._each(self.rows[role], self._prompt)
            self.progress.start(f"answers to {role}", len(prompts))
            found = self._generate(list(prompts.values()), n, temperature)
            values = dict(zip(prompts, found, strict=True))
            self._samples[role, n, temperature] = [values.get(i) for i in range(len(self.rows[role]))]
        return self._samples[role, n, temperature]

    def answered(self) -> dict[str, str]:
        """Return id → answer of the test rows that a metric had answered: the greedy one, else the first drawn."""
        greedy_first = sorted(self._samples, key=lambda key: key[2])
        found = self._samples[greedy_first[0]] if greedy_first else []
        return {row.id: texts[0] for row, texts in zip(self.rows["tests"], found, strict=False) if texts is not None}

    def _each(self, rows: Sequence[Example], encode: Any) -> dict[int, Any]:
        """Row number → what `encode` makes of it; the others are rejected with their reason."""
        encoded = {}
        for i, example in enumerate(rows):
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

    def _generate(self, prompts: Sequence[list[int]], n: int, temperature: float) -> list[list[str]]:
        """`n` answers to each tokenised prompt, in their order; drawn ones from a seed of their own."""
        import torch
        from transformers import GenerationConfig

        tokenizer, model, before = self.tokenizer, self._model, self._model.generation_config
        own = before.eos_token_id
        stops = {*self._encoder.stop_ids, *(own if isinstance(own, list) else [own] if own is not None else [])}
        model.generation_config = GenerationConfig(
            do_sample=temperature > 0,
            num_beams=1,
            num_return_sequences=n,
            **({"temperature": temperature, "top_k": 0, "top_p": 1.0} if temperature > 0 else {}),
            max_new_tokens=self.config.max_new_tokens,
            eos_token_id=sorted(stops),
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=tokenizer.bos_token_id,
        )
        answers: list[list[str]] = [[] for _ in prompts]
        for batch in batches([len(p) for p in prompts], max(1, self.config.batch_size // n)):
            length = max(len(prompts[i]) for i in batch)
            fill = [length - len(prompts[i]) for i in batch]
            ids = [[tokenizer.pad_token_id] * gap + prompts[i] for gap, i in zip(fill, batch, strict=True)]
            mask = [[0] * gap + [1] * (length - gap) for gap in fill]
            with torch.inference_mode(), torch.random.fork_rng():
                torch.manual_seed(self._seed + batch[0])  # drawn answers are the same in every run
                out = model.generate(
                    input_ids=torch.tensor(ids, device=model.device),
                    attention_mask=torch.tensor(mask, device=model.device),
                )
            for at, new in enumerate(out[:, length:].tolist()):
                end = next((t for t, token in enumerate(new) if token in stops), len(new))
                answers[batch[at // n]].append(tokenizer.decode(new[:end], skip_special_tokens=True))
            self.progress.advance(len(batch))
        model.generation_config = before
        return answers


def _load(model: ModelConfig, adapter: Path | None) -> Any:
    """Load the model with its adapter merged in (float32: exact to rounding, twice as fast), or the tuned model."""
    if adapter is not None and (adapter / "config.json").is_file():
        return models.load_causal_lm(dataclasses.replace(model, name=str(adapter), revision=""))
    loaded: Any = models.load_causal_lm(model, adapter)
    return loaded.merge_and_unload() if adapter is not None and model.dtype == "float32" else loaded
