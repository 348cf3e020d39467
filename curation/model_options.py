"""The options that every method has which reads the base model."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from curation import models
from curation.config import DTYPE_HELP, DTYPES, REQUIRED, ModelConfig, Options, option


@dataclass(frozen=True, kw_only=True)
class LanguageModelOptions(Options):
    """Options of a method that reads the base model, named as in `ModelConfig`, and how much it is fed at once."""

    model: str = option(REQUIRED, "Base model: a folder in the standard format, or a hub id.")
    revision: str = option("", "Revision of a hub model; empty means its newest.")
    dtype: str = option("float32", DTYPE_HELP, choices=DTYPES)
    device: str = option("auto", "Where it runs; auto takes a GPU if there is one.", choices=("auto", "cpu", "cuda"))
    max_length: int = option(2048, "Longest conversation in tokens; longer ones are cut at the end.", low=8)
    trust_remote_code: bool = option(False, "Run Python code that comes with the model: only if you trust its author.")
    autocast: str = option(
        "auto",
        "Compute float32 weights in bfloat16: faster and a little coarser; auto does where this machine gains from it.",
        choices=("auto", "off", "on"),
    )
    tokens_per_batch: int = option(
        0,
        "Most padded tokens computed at once; 0 means 1,024 on a CPU, whose caches they then fit, 8,192 on a GPU.",
        low=0,
    )

    @property
    def computes_in(self) -> str:
        """Number type of the matrix products: that of the weights, or bfloat16 where `autocast` says so."""
        gains = self.autocast == "on" or (
            self.autocast == "auto" and models.gains_from_bfloat16(models.device(self.model_config))
        )
        return "bfloat16" if self.dtype == "4-bit" or (self.dtype == "float32" and gains) else self.dtype

    def autocasting(self) -> AbstractContextManager[Any]:
        """While open, a forward pass computes in `computes_in`; leave it before the backward pass."""
        import torch

        if self.dtype != "float32" or self.computes_in == "float32":
            return nullcontext()
        return torch.autocast(models.device(self.model_config), getattr(torch, self.computes_in))

    @property
    def model_config(self) -> ModelConfig:
        """The same options as `models` takes them."""
        return ModelConfig(
            name=self.model,
            revision=self.revision,
            dtype=self.dtype,
            device=self.device,
            max_length=self.max_length,
            trust_remote_code=self.trust_remote_code,
        )
