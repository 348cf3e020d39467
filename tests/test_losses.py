"""A row's loss does not depend on the batch it is computed in."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from curation import losses, models
from curation.config import ModelConfig
from curation.data.chat import Encoded
from curation.losses import answer_losses, batches, padded, token_losses


@given(lengths=st.lists(st.integers(1, 60), max_size=80), batch_size=st.integers(1, 20), tokens=st.integers(1, 300))
def test_batches_hold_each_row_once_within_their_bounds(lengths: list[int], batch_size: int, tokens: int) -> None:
    found = list(batches(lengths, batch_size, tokens=tokens))
    assert sorted(i for batch in found for i in batch) == list(range(len(lengths)))
    for batch in found:
        assert len(batch) <= batch_size
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= tokens
    longest = [lengths[i] for batch in found for i in batch]
    assert longest == sorted(lengths, reverse=True)


@pytest.fixture(scope="module")
def rows() -> list[Encoded]:
    generator = torch.Generator().manual_seed(0)
    made = []
    for length in (5, 31, 12, 30, 2, 17, 9):
        ids = torch.randint(5, 4000, (length,), generator=generator).tolist()
        mask = [False, *(torch.rand(length - 1, generator=generator) < 0.4).tolist()]
        mask[-1] = True
        made.append(Encoded(ids, mask))
    made[3].labels_mask[1:20] = [True] * 19  # an answer in the middle, and one at the end
    return made


def test_batched_losses_equal_plain_ones(tiny_lm: Path, rows: list[Encoded]) -> None:
    model = models.load_causal_lm(ModelConfig(name=str(tiny_lm), device="cpu"))
    expected = []
    for row in rows:
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([row.input_ids])).logits[0, :-1]
        each = torch.nn.functional.cross_entropy(logits, torch.tensor(row.input_ids[1:]), reduction="none")
        expected.append(each[torch.tensor(row.labels_mask[1:])].mean().item())
    told: list[int] = []
    model.train()
    found = answer_losses(model, rows, pad_id=0, batch_size=3, done=told.append)
    assert found == pytest.approx(expected, rel=1e-5)
    assert model.training
    assert sum(told) == len(rows)
    assert answer_losses(model, rows, pad_id=7, batch_size=100) == pytest.approx(expected, rel=1e-5)


def test_a_model_that_can_not_choose_columns_gives_the_same(
    tiny_lm: Path, rows: list[Encoded], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = models.load_causal_lm(ModelConfig(name=str(tiny_lm), device="cpu"))
    inputs = padded(rows, 0, "cpu")
    with torch.no_grad():
        chosen = token_losses(model, inputs)
        monkeypatch.setattr(losses, "_selects_columns", lambda _model: False)
        torch.testing.assert_close(token_losses(model, inputs), chosen)
    assert chosen.shape[1] <= 30
