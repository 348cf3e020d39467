"""A sentence-transformers model over the whole conversation with role tags, unit length (TIS's EMBED uses gtr-t5-base).

Embedders read few tokens (all-MiniLM 256): a longer text is cut into chunks at word boundaries, the chunks' unit
vectors are averaged and scaled to unit length again; `report` says for what share of the rows that was needed. Rows
are batched by tokens like those of any representation, so that hardly anything is padded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from curation import embedders, models
from curation.config import ModelConfig, Options, option
from curation.data.rows import Example
from curation.representations.base import Representation, storage_option


class Embed(Representation):
    """Embed the whole conversation with a sentence-transformers model."""

    name = "embed"

    @dataclass(frozen=True, kw_only=True)
    class Config(Options):
        """The embedder."""

        embedder: str = option(
            embedders.MINILM, "A sentence-transformers model: a folder, a hub id, or all-MiniLM-L6-v2."
        )
        embedder_revision: str = option("", "Revision of a hub embedder; empty means its newest.")
        query_prompt: str = option("", "Instruction put before each query, where the embedder wants one.")
        device: str = option(
            "auto", "Where it runs; auto takes a GPU if there is one.", choices=("auto", "cpu", "cuda")
        )
        tokens_per_batch: int = option(
            0,
            "Most padded tokens embedded at once; 0 means 1,024 on a CPU, whose caches they then fit, 16,384 on a GPU.",
            low=0,
        )
        storage: str = storage_option()

    config: Config

    def __init__(self, config: Options) -> None:
        super().__init__(config)
        self._rows = {"pool": 0, "query": 0}
        self._chunked = {"pool": 0, "query": 0}

    @cached_property
    def _model(self) -> Any:
        return embedders.load(self.config.embedder, self.config.embedder_revision, where=self.config.device)

    def key(self) -> dict[str, Any]:
        """Return the embedder's hash and the query prompt; device and batch size change nothing beyond rounding."""
        return {
            "name": self.name,
            "version": self.VERSION,
            "weights": models.fingerprint(str(embedders.locate(self.config.embedder, self.config.embedder_revision))),
            "query_prompt": self.config.query_prompt,
        }

    @property
    def device(self) -> str:
        """Where it runs: ``"cpu"`` or ``"cuda"``."""
        return models.device(ModelConfig(name=self.config.embedder, device=self.config.device))

    @property
    def batch_tokens(self) -> int:
        """Most padded tokens a batch; a longer row makes a batch of its own."""
        return self.config.tokens_per_batch or (16_384 if self.device == "cuda" else 1024)

    def length(self, example: Example, role: str) -> int:
        """Tokens of the text, the query prompt included."""
        prompt = self.config.query_prompt if role == "query" else ""
        return len(self._model.tokenizer(prompt + example.text, verbose=False).input_ids)

    def compute(self, examples: Sequence[Example], role: str) -> Any:
        """Return float32 (rows, 1, dimensions), unit length."""
        prompt = self.config.query_prompt if role == "query" else ""
        chunks = [list(self._chunks(example.text, prompt)) for example in examples]
        vectors = self._model.encode(
            [prompt + chunk for row in chunks for chunk in row],
            # A batch of short rows is encoded at once; the chunks of a long row as many at once as the bound allows.
            batch_size=max(len(examples), self.batch_tokens // self._model.max_seq_length),
            normalize_embeddings=True,
            convert_to_numpy=True,
            show_progress_bar=False,
        ).astype(np.float32)  # (chunks, dimensions)
        ends = np.cumsum([0, *(len(row) for row in chunks)])
        mean = np.stack([vectors[start:end].mean(axis=0) for start, end in pairwise(ends)])
        self._rows[role] += len(chunks)
        self._chunked[role] += sum(len(row) > 1 for row in chunks)
        return (mean / np.linalg.norm(mean, axis=1, keepdims=True))[:, None, :]

    def report(self) -> dict[str, Any]:
        """Return the share of rows computed here that were longer than the embedder reads, by role."""
        shares = {role: self._chunked[role] / n for role, n in self._rows.items() if n}
        return {"max_tokens": int(self._model.max_seq_length), "chunked_share": shares} if shares else {}

    def _chunks(self, text: str, prompt: str) -> Iterator[str]:
        """Yield consecutive pieces of the text that the embedder reads whole."""
        tokenizer = self._model.tokenizer
        special = tokenizer.num_special_tokens_to_add()
        room = self._model.max_seq_length - special - len(tokenizer(prompt, add_special_tokens=False).input_ids)
        encoding = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        offsets, words = encoding.offset_mapping, encoding.word_ids()
        start = 0
        while len(offsets) - start > max(room, 1):
            end = start + max(room, 1)
            while end > start and words[end] == words[end - 1]:
                end -= 1
            if end == start:  # one word longer than the embedder reads: cut it
                end = start + max(room, 1)
            yield text[offsets[start][0] : offsets[end][0]]
            start = end
        yield text[offsets[start][0] :] if start else text
