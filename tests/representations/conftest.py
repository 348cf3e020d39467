"""A small real warmup on the tiny model: PEFT, a few AdamW steps, saved in the warmup's layout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from curation import losses, models
from curation.config import ModelConfig
from curation.data.chat import Encoder
from curation.data.rows import Example, Message

PAIRS = [
    ("Add 2 and 3.", "5"),
    ("Tell me about the sea.", "The sea is wide and blue, and full of fish."),
    ("What is the capital of France?", "Paris."),
    ("Write a long list of words about winter please.", "snow ice cold wind frost"),
    ("Hi", "Hello there!"),
    ("Multiply 4 by 6 and add one.", "4 times 6 is 24. The answer is 25."),
]


@pytest.fixture(scope="session")
def rows() -> list[Example]:
    """Six conversations of different lengths."""
    return [Example(f"row{i}", (Message("user", a), Message("assistant", b))) for i, (a, b) in enumerate(PAIRS)]


@pytest.fixture(scope="session")
def warmup(tiny_lm: Path, tmp_path_factory: pytest.TempPathFactory, rows: list[Example]) -> Path:
    """Two checkpoints of LoRA (rank 2, with dropout) on attention and MLP layers, Adam's betas not the usual ones."""
    from peft import LoraConfig, get_peft_model
    from safetensors.torch import save_file

    config = ModelConfig(name=str(tiny_lm), device="cpu")
    folder = tmp_path_factory.mktemp("warmup")
    torch.manual_seed(0)
    model = models.load_causal_lm(config)
    lora = LoraConfig(r=2, lora_alpha=8, lora_dropout=0.3, target_modules=["q_proj", "v_proj", "down_proj"])
    model = get_peft_model(model, lora).train()
    encoder = Encoder(models.load_tokenizer(config), 64)
    inputs = losses.padded([encoder.encode(row) for row in rows], 0, "cpu")
    optimizer = torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad], lr=5e-3, betas=(0.8, 0.95), eps=1e-6
    )
    for epoch, rate in ((1, 3e-4), (2, 1e-4)):
        for _ in range(4):
            model(**inputs).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        part = folder / f"checkpoint-{epoch}"
        model.save_pretrained(part)
        state = {
            f"{name}/{moment}": optimizer.state[p][moment].contiguous()
            for name, p in model.named_parameters()
            if p.requires_grad
            for moment in ("exp_avg", "exp_avg_sq")
        }
        save_file(state, part / "optimizer.safetensors")
        about = {"step": 4 * epoch, "betas": [0.8, 0.95], "eps": 1e-6, "learning_rate_mean": rate}
        (part / "optimizer.json").write_text(json.dumps(about))
    return folder
