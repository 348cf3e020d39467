"""LESS on every architecture, adapted where PEFT itself would: features equal autograd, row by row, in float64."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as PEFT_DEFAULTS

from curation import models, representations, training
from curation.config import ModelConfig, TrainingConfig, WarmupConfig
from curation.data.rows import Example, Message
from curation.features_store import FeatureStore
from tests.benchmarks import baselines

POSITIONS, D = 96, 2048
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
LLAMA = SMALL | {"intermediate_size": 48, "num_key_value_heads": 2}
CONFIGS: dict[str, dict[str, Any]] = {  # tied and untied output layers, grouped and plain heads, biases, Conv1D
    "llama": LLAMA | {"tie_word_embeddings": False},
    "qwen2": LLAMA | {"tie_word_embeddings": True},
    "qwen3": LLAMA | {"tie_word_embeddings": True, "head_dim": 16},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4},
    "gpt_neox": SMALL | {"intermediate_size": 48},
}
TIED = {"llama": False, "qwen2": True, "qwen3": True, "gpt2": True, "gpt_neox": False}


def make_model(kind: str, tokenizer: Any, folder: Path) -> Path:
    """A tiny random model of one architecture; as real ones of its family, GPT-2's has no padding token."""
    positions = {"n_positions" if kind == "gpt2" else "max_position_embeddings": POSITIONS}
    config = transformers.AutoConfig.for_model(
        kind, vocab_size=len(tokenizer), bos_token_id=1, eos_token_id=2, **positions, **CONFIGS[kind]
    )
    torch.manual_seed(0)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    if kind == "gpt2":
        tokenizer.pad_token = None
    tokenizer.save_pretrained(folder)
    return folder


@dataclasses.dataclass(frozen=True)
class Case:
    kind: str
    model: ModelConfig
    warmup: Path

    def less(self, **options: Any) -> Any:
        return representations.create(
            "less", model=self.model.name, warmup=str(self.warmup), device="cpu", d=D, **options
        )


@pytest.fixture(scope="module", params=[f"{kind}, {where}" for kind in CONFIGS for where in ("all-linear", "default")])
def case(request: pytest.FixtureRequest, rows: list[Example], tmp_path_factory: pytest.TempPathFactory) -> Case:
    """A model and its warmup, with LoRA on all linear layers or on those that PEFT takes for the architecture."""
    kind, _, where = request.param.partition(", ")
    folder = tmp_path_factory.mktemp(kind)
    tokenizer = models.load_tokenizer(ModelConfig(name=models.DEMO_MODEL))
    model = ModelConfig(name=str(make_model(kind, tokenizer, folder / "model")), device="cpu")
    targets = tuple(PEFT_DEFAULTS[kind]) if where == "default" else ()
    plan = TrainingConfig(epochs=3.0, batch_size=3, learning_rate=1e-2, lora_r=2, lora_targets=targets)
    training.warmup(model, rows, WarmupConfig(share=1.0, training=plan), folder / "warmup")
    return Case(kind, model, folder / "warmup")


def by_the_book(case: Case, encoded: list[Any], role: str, formula: str) -> np.ndarray:
    """Features at the last checkpoint, (rows, D)."""
    checkpoint = case.warmup / "checkpoint-3"
    model: Any = models.load_causal_lm(case.model, adapter=checkpoint).double()
    vectors = torch.stack(list(baselines.bare(model, encoded)))
    if role == "pool":
        vectors = baselines.Adam.read(checkpoint, model).direction(vectors, formula)
    return baselines.unit(baselines.sketched(vectors, D)).numpy()


@pytest.mark.parametrize(("role", "formula"), [("pool", "less"), ("pool", "adam"), ("query", "less")])
def test_features_of_a_batch_equal_autograd_row_by_row(
    case: Case, rows: list[Example], role: str, formula: str
) -> None:
    method = case.less(formula=formula)
    encoded = [method.encoder.encode(row) for row in rows]
    assert len({len(row.input_ids) for row in encoded}) > 3  # so that there is padding
    got = method.compute(rows, role)[:, -1]
    wanted = by_the_book(case, encoded, role, formula)
    np.testing.assert_allclose(got, wanted, atol=5e-5)
    assert (got * wanted).sum(1).min() > 0.99999
    assert abs(got @ got.T - np.eye(len(rows))).max() > 0.05  # rows that were all alike would prove nothing
    assert (got[0] @ got[1:].T).max() < 0.9999


def test_the_cases_are_what_they_say(case: Case) -> None:
    model: Any = models.load_causal_lm(case.model)
    tied = model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert model.config.model_type == case.kind
    assert tied == TIED[case.kind]
    tokenizer = models.load_tokenizer(case.model)
    assert (tokenizer.pad_token_id == tokenizer.eos_token_id) == (case.kind == "gpt2")
    adapted = {layer.name.rpartition(".")[2] for layer in case.less()._layers}
    assert set(PEFT_DEFAULTS[case.kind]) <= adapted
    assert not {"lm_head", "embed_out"} & adapted


def test_row_beyond_the_context_is_named_and_the_others_go_on(case: Case, rows: list[Example], tmp_path: Path) -> None:
    long = Example("long", (Message("user", "word " * POSITIONS), Message("assistant", "yes")))
    cut = Example("cut", (Message("user", "Hi"), Message("assistant", "yes " * POSITIONS)))
    store = FeatureStore(tmp_path / "features", "pool")
    store.fill(case.less(), [rows[0], long, cut])
    ((name, reason),) = store.rejected(["row0", "long", "cut"])
    assert name == "long"
    assert f"behind the longest length of {POSITIONS} tokens" in reason
    assert store.features(["row0", "cut"]).values.shape == (2, 3, D)
