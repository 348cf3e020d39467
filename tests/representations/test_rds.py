"""RDS+ weighs by position and ignores padding, on whichever side it stands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from curation import models, representations
from curation.config import ModelConfig
from curation.data.rows import Example, Message, RowError
from curation.errors import ConfigError, ModelError
from curation.representations.rds import Rds, pooled


def rows() -> list[Example]:
    pairs = [
        ("Add 2 and 3.", "5"),
        ("Tell me about the sea, at some length.", "The sea is wide and blue."),
        ("Hi", "Ho"),
    ]
    return [Example(f"row{i}", (Message("user", a), Message("assistant", b))) for i, (a, b) in enumerate(pairs)]


@pytest.fixture(scope="module")
def rds(tiny_lm: Path) -> Rds:
    made = representations.create("rds", model=str(tiny_lm), device="cpu")
    assert isinstance(made, Rds)
    return made


class Fixed:
    """A model whose hidden layers are given; it hands out all of them only where it is told to."""

    def __init__(self, *hidden: torch.Tensor) -> None:
        self.hidden, self.base_model = hidden, self

    def __call__(self, output_hidden_states: bool, **_: object) -> Fixed:
        self.hidden_states = self.hidden if output_hidden_states else None
        return self

    @property
    def last_hidden_state(self) -> torch.Tensor:
        return self.hidden[-1]


JUNK = [999.0, -999.0]
PADDINGS = [([JUNK], []), ([], [JUNK]), ([JUNK], [JUNK, JUNK])]


@pytest.mark.parametrize(("left", "right"), PADDINGS)
@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        # three real tokens weigh 1/6, 2/6, 3/6: (6, 0)/6 + 2·(0, 6)/6 + 3·(0, 2)/6 = (1, 3)
        ("weighted", [1.0, 3.0]),
        ("mean", [6.0, 8.0]),
        ("last", [0.0, 2.0]),
    ],
)
def test_weights_computed_by_hand(left: list[Any], right: list[Any], pooling: str, expected: list[float]) -> None:
    hidden = torch.tensor([[*left, [6.0, 0.0], [0.0, 6.0], [0.0, 2.0], *right]])
    mask = torch.tensor([[0] * len(left) + [1] * 3 + [0] * len(right)])
    wanted = torch.tensor([expected])
    got = pooled(Fixed(hidden), torch.zeros_like(mask), mask, pooling=pooling)
    torch.testing.assert_close(got, wanted / wanted.norm())


def test_rows_of_a_batch_have_their_own_weights() -> None:
    hidden = torch.tensor([[[3.0, 0.0], [0.0, 3.0]], [[5.0, 5.0], JUNK]])
    got = pooled(Fixed(hidden), torch.zeros(2, 2), torch.tensor([[1, 1], [1, 0]]))
    torch.testing.assert_close(got, torch.tensor([[1.0, 2.0], [1.0, 1.0]]) / torch.tensor([[5.0], [2.0]]).sqrt())


def test_similarity_of_several_layers_is_the_mean_of_their_cosines() -> None:
    torch.manual_seed(0)
    layers = [torch.randn(2, 3, 4) * scale for scale in (1, 1, 100)]  # the embeddings, two layers
    mask, ids = torch.ones(2, 3, dtype=torch.long), torch.zeros(2, 3)
    got = pooled(Fixed(*layers), ids, mask, layers=(-1, -3))
    assert got.shape == (2, 8)
    alone = [pooled(Fixed(layer), ids, mask) for layer in (layers[2], layers[0])]
    cosines = [float(one[0] @ one[1]) for one in alone]
    assert float(got[0] @ got[1]) == pytest.approx(sum(cosines) / 2, abs=1e-6)
    assert abs(cosines[0] - cosines[1]) > 0.1


def test_a_layer_that_the_model_does_not_have_is_refused(rds: Rds) -> None:
    ids = torch.ones(1, 2, dtype=torch.long)
    with pytest.raises(ModelError, match=r"layer -9, but the model has 7 of them, .* choose layers from -7 to -1"):
        pooled(rds._model, ids, ids, layers=(-1, -9))


@pytest.mark.parametrize("layers", [(), (-1, -1)])
def test_layers_are_named_once(layers: tuple[int, ...], tiny_lm: Path) -> None:
    with pytest.raises(ConfigError, match="expected at least one, and each once"):
        representations.create("rds", model=str(tiny_lm), layers=layers)


def test_layers_are_counted_from_the_end(tiny_lm: Path, rds: Rds) -> None:
    method = representations.create("rds", model=str(tiny_lm), device="cpu", layers=(-2,), pooling="last")
    got = method.compute(rows(), "pool")
    for row, feature in zip(rows(), got[:, 0], strict=True):
        ids = torch.tensor([rds.encoder.encode(row).input_ids])
        with torch.no_grad():
            hidden = rds._model(input_ids=ids, output_hidden_states=True).hidden_states[5][0, -1].numpy()
        np.testing.assert_allclose(feature, hidden / np.linalg.norm(hidden), atol=1e-5)


def test_equals_the_sum_over_tokens_of_one_row_at_a_time(rds: Rds, tiny_lm: Path) -> None:
    model = models.load_causal_lm(ModelConfig(name=str(tiny_lm), device="cpu"))
    got = rds.compute(rows(), "pool")
    assert got.shape == (3, 1, 256)
    assert got.dtype == np.float32
    for row, feature in zip(rows(), got[:, 0], strict=True):
        ids = torch.tensor([rds.encoder.encode(row).input_ids])
        with torch.no_grad():
            hidden = model(input_ids=ids, output_hidden_states=True).hidden_states[-1][0].double().numpy()
        total = sum((t + 1) * hidden[t] for t in range(len(hidden)))
        np.testing.assert_allclose(feature, total / np.linalg.norm(total), atol=1e-5)


@pytest.mark.parametrize("pooling", ["weighted", "mean", "last"])
def test_left_padding_equals_right_padding(rds: Rds, pooling: str) -> None:
    encoded = [rds.encoder.encode(row).input_ids for row in rows()]
    width = max(map(len, encoded)) + 3
    right = torch.tensor([ids + [0] * (width - len(ids)) for ids in encoded])
    left = torch.tensor([[0] * (width - len(ids)) + ids for ids in encoded])
    mask = torch.tensor([[1] * len(ids) + [0] * (width - len(ids)) for ids in encoded])
    one, other = (
        pooled(rds._model, ids, seen, layers=(-1, -3), pooling=pooling)
        for ids, seen in ((right, mask), (left, mask.flip(1)))
    )
    torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_key_follows_weights_and_options_but_not_batch_or_device(tiny_lm: Path) -> None:
    def key(**options: object) -> dict[str, object]:
        return representations.create("rds", model=str(tiny_lm), **options).key()

    assert key() == key(tokens_per_batch=7, device="cpu")
    assert key() != key(max_length=64)
    assert key() != key(dtype="bfloat16")
    keys = [key(), key(layers=(-2,)), key(layers=(-1, -2)), key(layers=(-2, -1)), key(pooling="mean")]
    assert len({str(made) for made in keys}) == len(keys)
    assert not {"layers", "pooling"} & key().keys()  # features computed before there were these options stay valid
    assert str(tiny_lm) not in str(key())


def test_row_whose_answer_is_cut_off_is_rejected_by_id(tiny_lm: Path) -> None:
    short = representations.create("rds", model=str(tiny_lm), max_length=16)
    long = Example("long", (Message("user", "word " * 40), Message("assistant", "yes")))
    plan = short.plan([rows()[2], long], "pool")
    assert plan.shards == (((0,),),)
    assert plan.rejected[0][0] == "long"
    assert "raise max_length" in plan.rejected[0][1]
    with pytest.raises(RowError):
        short.compute([long], "pool")
