"""A merged model answers as base and adapter do, needs neither, and is made once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from curation import merging, models, training
from curation.config import ModelConfig, TrainingConfig
from curation.data.rows import Example, Message, row_id
from curation.errors import TrainingError
from curation.workspace import Workspace


@pytest.fixture
def model(tiny_lm: Path) -> ModelConfig:
    return ModelConfig(name=str(tiny_lm), device="cpu", max_length=64)


def tuned(ws: Workspace, model: ModelConfig, method: str) -> str:
    messages = (Message("user", "Name a colour."), Message("assistant", "Blue."))
    config = TrainingConfig(method=method, max_steps=2, batch_size=1, learning_rate=1e-2, lora_r=4)
    with ws.build("arm", method) as part:
        training.fine_tune(model, [Example(row_id(messages), messages)], config, part, seed=0)
    return method


def test_the_merged_model_is_base_and_adapter_in_one_safetensors_folder(
    workspace: Workspace, model: ModelConfig
) -> None:
    arm = tuned(workspace, model, "lora")
    assert merging.whole_model(workspace, arm) is None
    folder = merging.merge(workspace, arm, model)
    assert {p.suffix for p in folder.iterdir() if "model" in p.name} == {".safetensors"}
    alone, beside = (
        models.load_causal_lm(replace(model, name=str(folder))),
        models.load_causal_lm(model, workspace.artefact("arm", arm) / "model"),
    )
    tokens = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        torch.testing.assert_close(alone(tokens).logits, beside(tokens).logits, rtol=1e-4, atol=1e-4)
        assert not torch.allclose(alone(tokens).logits, models.load_causal_lm(model)(tokens).logits, atol=1e-3)
    assert models.load_tokenizer(replace(model, name=str(folder))).chat_template
    assert merging.merge(workspace, arm, replace(model, name="no-such/model")) == folder  # made once


def test_a_model_tuned_in_every_weight_is_whole_already(workspace: Workspace, model: ModelConfig) -> None:
    arm = tuned(workspace, model, "full")
    assert merging.merge(workspace, arm, model) == workspace.artefact("arm", arm) / "model"


def test_a_base_in_four_bits_is_refused(workspace: Workspace, model: ModelConfig) -> None:
    arm = tuned(workspace, model, "lora")
    with pytest.raises(TrainingError, match="held in 4 bits, which can't take up an adapter exactly; choose dtype bfl"):
        merging.merge(workspace, arm, replace(model, dtype="4-bit"))
