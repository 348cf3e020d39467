"""LESS features equal the definition, computed by plain autograd one example at a time in float64."""

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
from curation.representations.less import Less
from curation.representations.projection import hashed

D, SEED = 4096, 3


def less(tiny_lm: Path, warmup: Path, **options: Any) -> Less:
    options = {"d": D, "seed": SEED, "device": "cpu", **options}
    made = representations.create("less", model=str(tiny_lm), warmup=str(warmup), **options)
    assert isinstance(made, Less)
    return made


def direction(tiny_lm: Path, folder: Path, encoder: Any, row: Example, role: str, formula: str) -> np.ndarray:
    """One row, one checkpoint: the definition before projection, in float64, by plain autograd."""
    model = models.load_causal_lm(ModelConfig(name=str(tiny_lm), device="cpu"), adapter=folder).double()
    lora = {name: p for name, p in sorted(model.named_parameters()) if "lora_" in name}
    for p in lora.values():
        p.requires_grad_()
    encoded = encoder.encode(row)
    log_p = torch.log_softmax(model(input_ids=torch.tensor([encoded.input_ids])).logits[0], dim=-1)
    learned = [t for t in range(1, len(encoded.input_ids)) if encoded.labels_mask[t]]
    loss = -sum(log_p[t - 1, encoded.input_ids[t]] for t in learned) / len(learned)
    g = torch.cat([grad.flatten() for grad in torch.autograd.grad(loss, list(lora.values()))])
    if role == "pool" and formula != "sgd":
        state = load_file(folder / "optimizer.safetensors")
        about = json.loads((folder / "optimizer.json").read_text())
        (b1, b2), t = about["betas"], about["step"] + 1
        m = b1 * torch.cat([state[f"{n}/exp_avg"].flatten() for n in lora]) + (1 - b1) * g
        v = b2 * torch.cat([state[f"{n}/exp_avg_sq"].flatten() for n in lora]) + (1 - b2) * g**2
        if formula == "less":
            g = m / torch.sqrt(v + 1e-8)
        else:
            g = (m / (1 - b1**t)) / (torch.sqrt(v / (1 - b2**t)) + about["eps"])
    return np.asarray(g)


def oracle(tiny_lm: Path, folder: Path, encoder: Any, row: Example, role: str, formula: str) -> np.ndarray:
    """The same after projection, by a loop over coefficients, and unit length."""
    g = direction(tiny_lm, folder, encoder, row, role, formula)
    bits = hashed(np.arange(len(g), dtype=np.uint64), SEED)
    feature = np.zeros(D)
    np.add.at(
        feature,
        ((bits >> np.uint64(33)) * np.uint64(D)) >> np.uint64(31),
        g * np.where(bits & np.uint64(1), 1, -1),
    )
    return feature / np.linalg.norm(feature)


@pytest.mark.parametrize(("role", "formula"), [("pool", "less"), ("pool", "adam"), ("pool", "sgd"), ("query", "less")])
def test_equals_plain_autograd_one_example_at_a_time(
    tiny_lm: Path, warmup: Path, rows: list[Example], role: str, formula: str
) -> None:
    method = less(tiny_lm, warmup, formula=formula)
    got = method.compute(rows, role)
    assert got.shape == (len(rows), 2, D)
    assert got.dtype == np.float32
    for i in (0, 1, 5):
        for c in (0, 1):
            expected = oracle(tiny_lm, warmup / f"checkpoint-{c + 1}", method.encoder, rows[i], role, formula)
            np.testing.assert_allclose(got[i, c], expected, atol=2e-5)
            assert got[i, c] @ expected > 0.99999


@pytest.mark.parametrize("formula", ["less", "sgd"])
def test_exact_similarity_is_that_of_the_unprojected_gradients(
    tiny_lm: Path, warmup: Path, rows: list[Example], formula: str
) -> None:
    queries, pool = rows[:2], rows[2:]
    method = less(tiny_lm, warmup, formula=formula, exact=True)
    method.prepare(queries)
    ids = [[row.id for row in part] for part in (queries, pool)]
    features = [
        similarity.Features(method.compute(part, role), method.weights, tuple(names))
        for part, role, names in zip((queries, pool), ("query", "pool"), ids, strict=True)
    ]
    assert features[1].values.shape == (4, 1, 2)
    expected = np.zeros((2, 4))
    for c, weight in ((1, 0.75), (2, 0.25)):
        folder = warmup / f"checkpoint-{c}"
        q, z = (
            np.stack([direction(tiny_lm, folder, method.encoder, row, role, formula) for row in part])
            for part, role in ((queries, "query"), (pool, "pool"))
        )
        expected += weight * (q @ z.T) / np.linalg.norm(q, axis=1)[:, None] / np.linalg.norm(z, axis=1)
    np.testing.assert_allclose(similarity.compute(*features), expected, atol=1e-5)


def test_exact_features_are_the_queries_own(tiny_lm: Path, warmup: Path, rows: list[Example]) -> None:
    method = less(tiny_lm, warmup, exact=True)
    method.prepare(rows[:2])
    key = method.key()
    assert "d" not in key
    assert method.storage == "float32"
    assert not method.rows_compare
    method.prepare(rows[1:3])
    assert method.key() != key


def test_queries_too_many_to_be_held_are_refused(
    tiny_lm: Path, warmup: Path, rows: list[Example], monkeypatch: pytest.MonkeyPatch
) -> None:
    method = less(tiny_lm, warmup, exact=True)
    method.prepare(rows)
    assert method._model is not None  # loaded while there is room
    monkeypatch.setattr(models, "memory_available", lambda _config: 10_000)
    with pytest.raises(ModelError, match=r"exact LESS holds 6 queries × 0\.\d M LoRA weights × 2 checkpoints"):
        method.compute(rows[:1], "pool")


def test_a_batch_that_does_not_fit_is_halved(
    tiny_lm: Path, warmup: Path, rows: list[Example], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = less(tiny_lm, warmup).compute(rows, "pool")
    method, sizes = less(tiny_lm, warmup), []

    def backward(self: Less, part: Any, use: Any, really: Any = Less._backward) -> None:
        sizes.append(len(part))
        really(self, part, use)
        if len(part) > 2:  # after features were added up: nothing of a failed attempt may remain
            raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Less, "_backward", backward)
    halved = method.compute(rows, "pool")
    assert sizes == [6, 3, 2, 2, 2, 2, 2, 2]
    np.testing.assert_allclose(halved, whole, atol=1e-5)
    assert all(len(shares) == 6 for shares in method._momentum.values())


def test_autocast_computes_in_bfloat16_and_says_so_in_the_key(tiny_lm: Path, warmup: Path, rows: list[Example]) -> None:
    plain, coarse = (less(tiny_lm, warmup, autocast=choice) for choice in ("off", "on"))
    assert (plain.key()["computes_in"], coarse.key()["computes_in"]) == ("float32", "bfloat16")
    cosine = (plain.compute(rows, "pool") * coarse.compute(rows, "pool")).sum(axis=2)
    assert 0.99 < cosine.min() < 0.999999


def test_base_in_four_bits_gives_its_own_gradients(tiny_lm: Path, warmup: Path, rows: list[Example]) -> None:
    method, whole = (less(tiny_lm, warmup, dtype=dtype) for dtype in ("4-bit", "float32"))
    assert (method.key()["dtype"], method.key()["computes_in"]) == ("4-bit", "bfloat16")
    got, folder = method.compute(rows[:3], "query"), warmup / "checkpoint-1"
    network: Any = models.load_causal_lm(method.config.model_config, adapter=folder)
    lora = {name: p.requires_grad_() for name, p in sorted(network.named_parameters()) if "lora_" in name}
    for i, row in enumerate(rows[:3]):
        encoded = method.encoder.encode(row)
        ids, labels = (torch.tensor([values]) for values in (encoded.input_ids, encoded.labels))
        loss = network(input_ids=ids, labels=labels, use_cache=False).loss
        g = torch.cat([grad.flatten() for grad in torch.autograd.grad(loss, [*lora.values()])]).float()
        bits = hashed(np.arange(len(g), dtype=np.uint64), SEED)
        wanted = np.zeros(D)
        sign = np.where(bits & np.uint64(1), 1, -1)
        np.add.at(wanted, ((bits >> np.uint64(33)) * np.uint64(D)) >> np.uint64(31), g.numpy() * sign)
        assert got[i, 0] @ wanted / np.linalg.norm(wanted) > 0.999
    assert (got * whole.compute(rows[:3], "query")).sum(axis=2).max() < 0.9999  # it is another model's


@pytest.mark.parametrize("role", ["pool", "query"])
def test_batched_equals_single(tiny_lm: Path, warmup: Path, rows: list[Example], role: str) -> None:
    method = less(tiny_lm, warmup)
    batched = method.compute(rows, role)
    single = np.concatenate([method.compute([row], role) for row in rows])
    assert (batched * single).sum(axis=2).min() > 0.99999
    again = method.compute(rows, role)
    np.testing.assert_array_equal(again, batched)


def test_weights_are_the_normalised_learning_rates(tiny_lm: Path, warmup: Path) -> None:
    np.testing.assert_allclose(less(tiny_lm, warmup).weights, [0.75, 0.25], atol=1e-7)


def test_the_base_model_and_the_checkpoints_are_left_as_they_were(
    tiny_lm: Path, warmup: Path, rows: list[Example]
) -> None:
    method = less(tiny_lm, warmup)
    first = method.compute(rows[:2], "pool")
    assert all(p.grad is None and not p.requires_grad for p in method._model.parameters())
    np.testing.assert_array_equal(method.compute(rows[:2], "pool"), first)


def test_row_whose_answer_is_cut_off_is_rejected_by_id(tiny_lm: Path, warmup: Path, rows: list[Example]) -> None:
    long = Example("long", (Message("user", "word " * 60), Message("assistant", "yes")))
    plan = less(tiny_lm, warmup, max_length=32).plan([long, rows[0]], "pool")
    assert plan.shards == (((1,),),)
    assert [row_id for row_id, _ in plan.rejected] == ["long"]
    assert "nothing would be learned" in plan.rejected[0][1]


def test_streamed_shards_equal_single_rows(
    tiny_lm: Path, warmup: Path, rows: list[Example], monkeypatch: pytest.MonkeyPatch
) -> None:
    from curation.representations import base

    monkeypatch.setattr(base, "SHARD_SIZE", 4)
    method, stored, told = less(tiny_lm, warmup, tokens_per_batch=60), {}, []

    class Sink:
        def has(self, shard: int) -> bool:  # noqa: ARG002
            return False

        def write(self, shard: int, ids: Any, values: Any) -> None:  # noqa: ARG002
            stored.update(zip(ids, values, strict=True))

    class Told:
        def start(self, stage: str, total: int, unit: str = "examples") -> None:
            told.append((stage, total, unit))

        def advance(self, n: int = 1, **_: float) -> None:
            told.append(n)

        def log(self, message: str) -> None: ...

    plan = method.plan(rows, "pool")
    assert len(plan.shards) == 2
    assert max(len(shard) for shard in plan.shards) > 1
    method.stream(rows, plan, Sink(), Told())
    assert told[0] == ("less: pool", 6, "examples")
    assert sum(told[1:]) == 6
    for row in rows:
        alone = method.compute([row], "pool")[0]
        assert (stored[row.id] * alone).sum(axis=1).min() > 0.99999


def test_report_tells_of_epsilon_and_momentum(tiny_lm: Path, warmup: Path, rows: list[Example]) -> None:
    method = less(tiny_lm, warmup)
    before = method.report()
    assert "momentum_share" not in before
    state = load_file(warmup / "checkpoint-1" / "optimizer.safetensors")
    v = torch.cat([value.flatten() for name, value in state.items() if name.endswith("exp_avg_sq")])
    assert before["epsilon_share"][0] == pytest.approx(float((0.95 * v < 1e-8).double().mean()))
    method.compute(rows, "pool")
    shares = method.report()["momentum_share"]
    assert len(shares) == 2
    assert all(0 < share < 1 for share in shares)


def test_key_holds_content_and_no_path(tiny_lm: Path, warmup: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere"
    shutil.copytree(warmup, copy)
    key = less(tiny_lm, warmup).key()
    assert less(tiny_lm, copy).key() == key
    assert str(warmup) not in json.dumps(key) and str(tiny_lm) not in json.dumps(key)
    assert less(tiny_lm, warmup, tokens_per_batch=9).key() == key
    for changed in ({"d": 64}, {"seed": 4}, {"formula": "adam"}, {"max_length": 64}):
        assert less(tiny_lm, warmup, **changed).key() != key
    state = load_file(copy / "checkpoint-2" / "optimizer.safetensors")
    save_file({name: value + 1 for name, value in state.items()}, copy / "checkpoint-2" / "optimizer.safetensors")
    assert less(tiny_lm, copy).key() != key


def damaged(warmup: Path, tmp_path: Path, change: Any) -> Path:
    copy = tmp_path / "warmup"
    shutil.copytree(warmup, copy)
    file = copy / "checkpoint-2" / "optimizer.safetensors"
    state = load_file(file)
    change(state)
    save_file(state, file)
    return copy


NAME = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda s: s.pop(f"{NAME}/exp_avg_sq"),
            r"optimizer.safetensors \(exp_avg_sq\) of warmup checkpoint checkpoint-2 lacks parameter .*q_proj",
        ),
        (lambda s: s.update({"other/exp_avg": torch.zeros(1)}), "has an unknown parameter other"),
        (lambda s: s.update({f"{NAME}/exp_avg": torch.zeros(2, 3)}), r"of shape \(2, 3\), the model \(2, 256\)"),
    ],
)
def test_moments_that_do_not_match_by_name_and_shape_are_refused(
    tiny_lm: Path, warmup: Path, rows: list[Example], tmp_path: Path, change: Any, message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        less(tiny_lm, damaged(warmup, tmp_path, change)).compute(rows[:1], "pool")


def test_incomplete_warmups_are_refused(tiny_lm: Path, warmup: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"has no checkpoint-1, checkpoint-2, …; run the warmup first"):
        less(tiny_lm, tmp_path).key()
    copy = tmp_path / "warmup"
    shutil.copytree(warmup, copy)
    (copy / "checkpoint-1" / "optimizer.json").write_text("{}")
    with pytest.raises(ModelError, match=r"optimizer\.json of warmup checkpoint checkpoint-1 is damaged"):
        less(tiny_lm, copy).key()
    (copy / "checkpoint-1" / "optimizer.safetensors").write_bytes(b"junk")
    (copy / "checkpoint-1" / "optimizer.json").unlink()
    with pytest.raises(ModelError, match=r"warmup checkpoint checkpoint-1 has no optimizer\.json"):
        less(tiny_lm, copy).key()
