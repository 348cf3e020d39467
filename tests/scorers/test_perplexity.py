"""Perplexity equals exp of the mean log loss over the answer's tokens, computed one token at a time."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from curation import models, scorers
from curation.config import ModelConfig
from curation.data.chat import Encoder
from curation.data.rows import Example, Message


def test_equals_the_sum_over_answer_tokens(tiny_lm: Path) -> None:
    row = Example("a", (Message("user", "What is the sea?"), Message("assistant", "The sea is wide.")))
    config = ModelConfig(name=str(tiny_lm), device="cpu")
    model, encoder = models.load_causal_lm(config), Encoder(models.load_tokenizer(config), 64)
    encoded = encoder.encode(row)
    with torch.no_grad():
        log_p = torch.log_softmax(model(input_ids=torch.tensor([encoded.input_ids])).logits[0].double(), dim=-1)
    learned = [t for t in range(len(encoded.input_ids)) if encoded.labels_mask[t]]
    loss = -sum(float(log_p[t - 1, encoded.input_ids[t]]) for t in learned) / len(learned)
    got = scorers.create("perplexity", model=str(tiny_lm), device="cpu").score([row])
    assert got[0] == pytest.approx(math.exp(loss), rel=1e-4)


def test_row_whose_answer_is_cut_off_has_no_score(tiny_lm: Path) -> None:
    rows = [
        Example("long", (Message("user", "word " * 40), Message("assistant", "yes"))),
        Example("short", (Message("user", "Hi"), Message("assistant", "Ho"))),
    ]
    got = scorers.create("perplexity", model=str(tiny_lm), device="cpu", max_length=16).score(rows)
    assert np.isnan(got[0]) and np.isfinite(got[1])
