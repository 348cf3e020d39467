"""LESS's similarity and its odd rows against the definition: plain autograd, one row at a time, in float64."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from curation import models, representations, similarity
from curation.config import ModelConfig
from curation.data.rows import Example, Message
from curation.errors import ModelError
from curation.features_store import FeatureStore
from curation.representations import Features
from tests.benchmarks import baselines

D = 1024


def less(tiny_lm: Path, warmup: Path, **options: Any) -> Any:
    return representations.create("less", model=str(tiny_lm), warmup=str(warmup), device="cpu", d=D, **options)


def by_the_book(tiny_lm: Path, folder: Path, encoded: list[Any], formula: str | None) -> torch.Tensor:
    """Features at one checkpoint, float64 (rows, D); without a formula those of queries."""
    model: Any = models.load_causal_lm(ModelConfig(name=str(tiny_lm), device="cpu"), adapter=folder).double()
    vectors = torch.stack(list(baselines.bare(model, encoded)))
    if formula:
        vectors = baselines.Adam.read(folder, model).direction(vectors, formula)
    return baselines.unit(baselines.sketched(vectors, D))


@pytest.mark.parametrize("formula", ["less", "adam"])
def test_similarity_weighs_checkpoints_by_learning_rate(
    tiny_lm: Path, warmup: Path, rows: list[Example], formula: str
) -> None:
    method = less(tiny_lm, warmup, formula=formula)
    queries, pool = rows[:2], rows[2:]
    made = [
        Features(method.compute(part, role), method.weights, tuple(row.id for row in part))
        for part, role in ((queries, "query"), (pool, "pool"))
    ]
    encoded = [[method.encoder.encode(row) for row in part] for part in (queries, pool)]
    rates, parts = [], []
    for folder in sorted(warmup.iterdir()):
        rates.append(json.loads((folder / "optimizer.json").read_text())["learning_rate_mean"])
        parts.append(
            by_the_book(tiny_lm, folder, encoded[0], None) @ by_the_book(tiny_lm, folder, encoded[1], formula).T
        )
    assert len(parts) == 2 and abs(parts[0] - parts[1]).max() > 0.01
    wanted = sum(rate * part for rate, part in zip(rates, parts, strict=True)) / sum(rates)
    np.testing.assert_allclose(similarity.compute(*made), wanted, atol=2e-5)


def answered(name: str, answer: str, **options: Any) -> Example:
    return Example(name, (Message("user", "What is it?"), Message("assistant", answer, **options)))


def test_answers_of_one_token_or_none_are_features_like_others(tiny_lm: Path, warmup: Path) -> None:
    whole = less(tiny_lm, warmup)
    n = whole.length(answered("long", "the sea is wide"), "pool")
    first = n - sum(whole.encoder.encode(answered("long", "the sea is wide")).labels_mask)
    for method, examples, learned in (
        (
            whole,
            [answered("empty", ""), answered("short", "5"), answered("long", "the sea is wide")],
            {1, 2, n - first},
        ),
        (less(tiny_lm, warmup, max_length=first + 1), [answered("cut", "the sea is wide")], {1}),
    ):
        encoded = [method.encoder.encode(example) for example in examples]
        assert {sum(row.labels_mask) for row in encoded} == learned
        got = method.compute(examples, "pool")[:, 1]
        wanted = by_the_book(tiny_lm, warmup / "checkpoint-2", encoded, "less").numpy()
        np.testing.assert_allclose(got, wanted, atol=5e-5)


def test_row_of_which_nothing_is_learned_is_named(tiny_lm: Path, warmup: Path, tmp_path: Path) -> None:
    store = FeatureStore(tmp_path / "features", "pool")
    store.fill(less(tiny_lm, warmup), [answered("masked", "yes", train=False), answered("kept", "yes")])
    ((name, reason),) = store.rejected(["masked", "kept"])
    assert name == "masked"
    assert "no assistant turn is to be learned" in reason
    assert store.features(["kept"]).values.shape == (1, 2, D)


@pytest.mark.parametrize("role", ["pool", "query"])
def test_row_whose_loss_is_not_a_number_is_named_and_nothing_of_its_shard_is_kept(
    tiny_lm: Path, warmup: Path, rows: list[Example], tmp_path: Path, role: str
) -> None:
    method = less(tiny_lm, warmup)
    tokens = [set(method.encoder.encode(row).input_ids) for row in rows]
    bad = min(tokens[2] - set().union(*tokens[:2], *tokens[3:]))  # a token that no other row has

    def poison(_layer: Any, inputs: tuple[torch.Tensor], output: torch.Tensor) -> torch.Tensor:
        return output.masked_fill((inputs[0] == bad)[..., None], float("nan"))

    method._model.get_input_embeddings().register_forward_hook(poison)
    store = FeatureStore(tmp_path / "features", role)
    with pytest.raises(ModelError, match=f"the feature of row {rows[2].id} is not finite"):
        store.fill(method, rows)
    assert store.missing([row.id for row in rows]) == [row.id for row in rows]


def test_moments_of_renamed_parameters_are_refused(
    tiny_lm: Path, warmup: Path, rows: list[Example], tmp_path: Path
) -> None:
    copy = tmp_path / "warmup"
    shutil.copytree(warmup, copy)
    file = copy / "checkpoint-1" / "optimizer.safetensors"
    renamed = {name.replace("layers.0.", "layers.9."): value for name, value in load_file(file).items()}
    save_file(renamed, file)  # the same number, shapes and order as before: reading by position would not notice
    with pytest.raises(ModelError, match=r"of warmup checkpoint checkpoint-1 lacks parameter .*layers\.0\..*lora_A"):
        less(tiny_lm, copy).compute(rows[:1], "pool")
