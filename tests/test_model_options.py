"""What a base-model method computes in: the weights' type, or bfloat16 where that is asked for or gains."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from curation import models
from curation.model_options import LanguageModelOptions


@pytest.mark.parametrize(
    ("autocast", "dtype", "gains", "expected"),
    [
        ("auto", "float32", False, "float32"),
        ("auto", "float32", True, "bfloat16"),
        ("off", "float32", True, "float32"),
        ("on", "float32", False, "bfloat16"),
        ("auto", "float16", True, "float16"),
        ("on", "bfloat16", True, "bfloat16"),
    ],
)
def test_number_type_of_the_products(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autocast: str, dtype: str, gains: bool, expected: str
) -> None:
    monkeypatch.setattr(models, "gains_from_bfloat16", lambda _where: gains)
    options = LanguageModelOptions(model=str(tmp_path), device="cpu", dtype=dtype, autocast=autocast)
    assert options.computes_in == expected
    layer = torch.nn.Linear(4, 4, dtype=getattr(torch, dtype))
    with options.autocasting():
        assert layer(torch.ones(1, 4, dtype=getattr(torch, dtype))).dtype == getattr(torch, expected)


@pytest.mark.parametrize("flag", ["avx512_bf16", "amx_bf16", "bf16"])
def test_a_processor_gains_by_instructions_of_its_own(monkeypatch: pytest.MonkeyPatch, flag: str) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_f": True, flag: False})
    assert not models.gains_from_bfloat16("cpu")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_f": True, flag: True})
    assert models.gains_from_bfloat16("cpu")
