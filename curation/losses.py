"""Answer loss of single examples, in batches: what evaluation reports and what early stopping judges by.

The loss of an example is the mean cross entropy (nats) over its learned tokens, computed in float32. A batch's own
`.loss` would be a mean over the batch's tokens, which weighs long answers more: it is never used here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from curation.data.chat import IGNORED, Encoded

if TYPE_CHECKING:
    import torch

TOKENS_PER_BATCH = 16_384  # bounds the logits' memory where rows are long


def batches(lengths: Sequence[int], batch_size: int, *, tokens: int = TOKENS_PER_BATCH) -> Iterator[list[int]]:
    """Yield indices in batches of similar length: at most `batch_size` rows and `tokens` padded tokens, or one row.

    Longest first, so that a lack of memory shows at once.
    """
    batch: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if batch and (len(batch) == batch_size or (len(batch) + 1) * lengths[batch[0]] > tokens):
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def padded(rows: Sequence[Encoded], pad_id: int, device: Any) -> dict[str, torch.Tensor]:
    """Pad on the right: input_ids, attention_mask and labels (-100 where nothing is learned), each (n_rows, length)."""
    import torch

    length = max(len(row.input_ids) for row in rows)

    def stack(values: list[list[int]], fill: int) -> torch.Tensor:
        return torch.tensor([v + [fill] * (length - len(v)) for v in values], device=device)

    return {
        "input_ids": stack([row.input_ids for row in rows], pad_id),
        "attention_mask": stack([[1] * len(row.input_ids) for row in rows], 0),
        "labels": stack([row.labels for row in rows], IGNORED),
    }


def token_losses(model: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """Cross entropy (n_rows, n_columns) in nats, zero where nothing is learned; only columns with an answer are kept.

    Logits are computed for those columns alone, where the model can: prompts cost no vocabulary-wide products. Padding
    stands on the right, where no real token of a causal model can see it, so no mask is given: attention then runs
    without one, which is faster.
    """
    import torch

    targets = inputs["labels"][:, 1:]  # (n_rows, length - 1): position t predicts token t + 1
    columns = (targets != IGNORED).any(0).nonzero().squeeze(1)  # (n_columns,)
    forward = {"input_ids": inputs["input_ids"], "use_cache": False}
    if _selects_columns(model):
        logits = model(**forward, logits_to_keep=columns).logits
    else:
        logits = model(**forward).logits[:, columns]
    losses = torch.nn.functional.cross_entropy(
        logits.float().flatten(0, 1), targets[:, columns].flatten(), ignore_index=IGNORED, reduction="none"
    )
    return losses.view(len(targets), -1)


def _selects_columns(model: Any) -> bool:
    import inspect

    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    return "logits_to_keep" in inspect.signature(base.forward).parameters


def answer_losses(
    model: Any, rows: Sequence[Encoded], *, pad_id: int, batch_size: int, done: Callable[[int], None] = lambda _n: None
) -> list[float]:
    """Return each row's mean loss over its learned tokens, in nats, whatever the batch it fell into.

    Parameters
    ----------
    model : torch.nn.Module
        A causal LM; it is put into evaluation mode (no dropout) and back.
    rows : sequence of Encoded
        Each with at least one learned token, as `Encoder.encode` guarantees.
    pad_id : int
        Token that fills short rows; it is masked, so its value does not matter.
    batch_size : int
        Most rows a forward pass.
    done : callable
        Told the number of rows after each batch; may raise to cancel.
    """
    import torch

    training = model.training
    model.eval()
    values = [0.0] * len(rows)
    with torch.no_grad():  # not inference_mode: its tensors, cached by a model, could not be trained on later
        for batch in batches([len(row.input_ids) for row in rows], batch_size):
            inputs = padded([rows[i] for i in batch], pad_id, model.device)
            losses = token_losses(model, inputs).double().sum(1)  # (n_rows,)
            counts = (inputs["labels"][:, 1:] != IGNORED).sum(1)
            for i, value in zip(batch, (losses / counts).tolist(), strict=True):
                values[i] = value
            done(len(batch))
    model.train(training)
    return values
