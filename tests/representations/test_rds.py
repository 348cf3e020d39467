"""RDS+ weighs by position and ignores padding, on whichever side it stands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from curation import models, representations
from curation.config import ModelConfig
from curation.data.rows import Example, Message, RowError
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
    """A model whose last hidden layer is given."""

    def __init__(self, hidden: torch.Tensor) -> None:
        self.hidden, self.base_model = hidden, self

    def __call__(self, **_: object) -> Fixed:
        return self

    @property
    def last_hidden_state(self) -> torch.Tensor:
        return self.hidden


def test_weights_computed_by_hand() -> None:
    # three real tokens weigh 1/6, 2/6, 3/6: (6, 0)/6 + 2·(0, 6)/6 + 3·(0, 0)/6 = (1, 2), to unit length (1, 2)/√5
    junk = [999.0, -999.0]
    right = torch.tensor([[[6.0, 0.0], [0.0, 6.0], [0.0, 0.0], junk]])
    left = torch.tensor([[junk, [6.0, 0.0], [0.0, 6.0], [0.0, 0.0]]])
    expected = torch.tensor([[1.0, 2.0]]) / 5**0.5
    ids = torch.zeros((1, 4), dtype=torch.long)
    torch.testing.assert_close(pooled(Fixed(right), ids, torch.tensor([[1, 1, 1, 0]])), expected)
    torch.testing.assert_close(pooled(Fixed(left), ids, torch.tensor([[0, 1, 1, 1]])), expected)


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


def test_left_padding_equals_right_padding(rds: Rds) -> None:
    encoded = [rds.encoder.encode(row).input_ids for row in rows()]
    width = max(map(len, encoded)) + 3
    right = torch.tensor([ids + [0] * (width - len(ids)) for ids in encoded])
    left = torch.tensor([[0] * (width - len(ids)) + ids for ids in encoded])
    mask = torch.tensor([[1] * len(ids) + [0] * (width - len(ids)) for ids in encoded])
    torch.testing.assert_close(
        pooled(rds._model, right, mask), pooled(rds._model, left, mask.flip(1)), atol=1e-4, rtol=1e-4
    )


def test_key_follows_weights_and_options_but_not_batch_or_device(tiny_lm: Path) -> None:
    def key(**options: object) -> dict[str, object]:
        return representations.create("rds", model=str(tiny_lm), **options).key()

    assert key() == key(tokens_per_batch=7, device="cpu")
    assert key() != key(max_length=64)
    assert key() != key(dtype="bfloat16")
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
