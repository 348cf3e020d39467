"""Models load from safetensors only, are told apart by content, and every refusal says what to do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from curation import embedders, models
from curation.config import ModelConfig
from curation.errors import ModelError


@pytest.fixture
def copy(tiny_lm: Path, tmp_path: Path) -> Path:
    """A writable copy of the tiny model."""
    folder = tmp_path / "model"
    shutil.copytree(tiny_lm, folder, copy_function=shutil.copyfile)
    folder.chmod(0o755)
    return folder


def test_tiny_lm_loads_and_predicts(tiny_lm: Path) -> None:
    config = ModelConfig(name=str(tiny_lm), device="cpu")
    model, tokenizer = models.load_causal_lm(config), models.load_tokenizer(config)
    assert not model.training
    assert next(model.parameters()).dtype == torch.float32
    ids = torch.tensor([tokenizer("Two plus two is", add_special_tokens=False)["input_ids"]])
    with torch.no_grad():
        assert model(input_ids=ids).logits.shape == (1, ids.shape[1], 4096)


def test_parameter_count_and_context(tiny_lm: Path) -> None:
    config = ModelConfig(name=str(tiny_lm), device="cpu", max_length=4096)
    assert models.parameter_count(config) == 5_868_800
    assert models.context_length(config) == 2048
    assert models.context_length(ModelConfig(name=str(tiny_lm), max_length=64)) == 64


def test_fingerprint_follows_content_not_path(tiny_lm: Path, copy: Path) -> None:
    before = models.fingerprint(str(tiny_lm))
    assert models.fingerprint(str(copy)) == before
    (copy / "README.md").write_text("words")
    assert models.fingerprint(str(copy)) == before
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "rms_norm_eps": 1e-5}))
    assert models.fingerprint(str(copy)) != before


def test_missing_folder_is_refused() -> None:
    with pytest.raises(ModelError, match="no model folder at /nowhere/at/all"):
        models.locate("/nowhere/at/all")


def test_unreachable_hub_model_is_refused() -> None:
    with pytest.raises(ModelError, match="winnow-nobody/nothing is not on this machine and the hub"):
        models.locate("winnow-nobody/nothing")


def test_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"has no config\.json"):
        models.locate(str(tmp_path))


def test_pickled_weights_are_refused(copy: Path) -> None:
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"pytorch_model\.bin but no safetensors file; pickled weights"):
        models.load_causal_lm(ModelConfig(name=str(copy), device="cpu"))


def test_cut_off_weights_are_refused(copy: Path) -> None:
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(ModelError, match=r"model\.safetensors of model is damaged or cut off"):
        models.load_causal_lm(ModelConfig(name=str(copy), device="cpu"))


def test_embedder_is_no_causal_lm() -> None:
    name = str(embedders.locate("all-MiniLM-L6-v2"))
    with pytest.raises(ModelError, match="lacks weights of a causal language model"):
        models.load_causal_lm(ModelConfig(name=name, device="cpu"))


def test_remote_code_is_refused_unless_ticked(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.Own", "AutoModelForCausalLM": "own.OwnModel"}}
    (copy / "config.json").write_text(json.dumps(config))
    (copy / "own.py").write_text("raise SystemExit('this ran')")
    with pytest.raises(ModelError, match="tick trust_remote_code only if you trust its author"):
        models.load_causal_lm(ModelConfig(name=str(copy), device="cpu"))


def test_too_large_a_model_is_refused_with_the_sum(tiny_lm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "memory_available", lambda _: 10_000_000)
    with pytest.raises(ModelError, match=r"6 M weights × 4 bytes \(float32\)\) but 0\.0 GB are free"):
        models.load_causal_lm(ModelConfig(name=str(tiny_lm), device="cpu"))


def test_memory_of_full_training_holds_adam(tiny_lm: Path) -> None:
    config = ModelConfig(name=str(tiny_lm), device="cpu")
    assert models.memory_needed(config, "full").needed == 5_868_800 * 16
    assert models.memory_needed(config, "lora", adapter_parameters=10).needed == 5_868_800 * 4 + 160


def test_four_bits_predict_nearly_the_same_in_a_fraction_of_the_memory(tiny_lm: Path) -> None:
    plain, small = (
        models.load_causal_lm(ModelConfig(name=str(tiny_lm), device="cpu", dtype=dtype))
        for dtype in ("float32", "4-bit")
    )
    ids = torch.arange(5, 105)[None]
    with torch.no_grad():
        wanted, got = (model(ids).logits.float().flatten() for model in (plain, small))
    assert 0.98 < torch.nn.functional.cosine_similarity(wanted, got, 0) < 1 - 1e-4
    layers = [model.get_submodule("model.layers.0.mlp.up_proj").weight for model in (plain, small)]
    assert layers[1].nbytes * 8 == layers[0].nbytes


def test_four_bits_without_the_extra_are_refused(tiny_lm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ModelError, match=r"pip install 'winnow-curation\[cuda\]'"):
        models.load_causal_lm(ModelConfig(name=str(tiny_lm), device="cpu", dtype="4-bit"))


def test_folder_without_adapter_is_refused(tiny_lm: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is no LoRA adapter"):
        models.load_causal_lm(ModelConfig(name=str(tiny_lm), device="cpu"), adapter=tmp_path)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_cuda_without_gpu_is_refused(tiny_lm: Path) -> None:
    with pytest.raises(ModelError, match="torch sees no GPU"):
        models.device(ModelConfig(name=str(tiny_lm), device="cuda"))
