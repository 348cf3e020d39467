"""Fine-tuning with LoRA or of every weight, and LESS's warmup, which is the same training with its state kept.

The loop is TRL's SFTTrainer with PEFT (`trainer`); here is what surrounds it: which rows are learned, what a
folder holds, how a killed run goes on. The same inputs and seed give the same bytes on the same machine, killed in
between or not.

A folder holds ``model/`` (adapter or full model in the standard format), ``log.jsonl`` (a line a step),
``tensorboard/`` (see `events`), ``result.json``, with `save_every_epoch` ``checkpoint-<k>/`` for LESS (Xia et al. 2024,
section 4.1), and, until it is done, ``resume/`` with the trainer's own state, which is read with weights_only, and
``best/``, the weights of the best epoch, or without competing epochs of the last one, to go back to from a NaN.

Left out: several GPUs, packing (it would let rows see each other), gradient checkpointing.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from curation import models
from curation.config import ModelConfig, TrainingConfig, WarmupConfig
from curation.data.chat import Encoded, Encoder
from curation.data.rows import Example, RowError
from curation.errors import TrainingError
from curation.progress import Progress, Silent
from curation.training.events import FOLDER

VERSION = 1  # of the algorithm: part of an artefact's key
PATIENCE = 2  # epochs without a lower loss after which `early_stopping` ends a training
WATCHED = 64  # queries whose loss is measured where it is only shown


@dataclass(frozen=True)
class TrainingResult:
    """What a training did; the model itself lies in the folder's ``model/``.

    Attributes
    ----------
    steps : int
        Optimizer steps; with `early_stopping` those until it ended.
    epochs : float
        Passes over the rows.
    n_examples : int
        Rows that were learned from.
    tokens, learned_tokens : int
        Tokens of one pass, and those of them with a loss.
    trainable_parameters : int
        Weights that were trained.
    loss : float
        Mean loss of the last epoch's steps, nats a token.
    seconds : float
        Time taken; of a resumed run, with that of the attempts before up to the checkpoint that it went on from.
    query_losses : tuple of float
        Query loss after each epoch; without `early_stopping` on the first `WATCHED` queries.
    query_loss_before : float or None
        The same before the first step.
    best_epoch : int or None
        Epoch whose weights were kept, with `early_stopping`; else the last one was.
    stopped_of : int or None
        Optimizer steps that were planned, where it was stopped by hand.
    rejected : tuple of (id, reason)
        Rows that could not be learned from.
    """

    steps: int
    epochs: float
    n_examples: int
    tokens: int
    learned_tokens: int
    trainable_parameters: int
    loss: float
    seconds: float
    query_losses: tuple[float, ...] = ()
    query_loss_before: float | None = None
    best_epoch: int | None = None
    stopped_of: int | None = None
    rejected: tuple[tuple[str, str], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return dataclasses.asdict(self) | {
            "query_losses": list(self.query_losses),
            "rejected": [list(pair) for pair in self.rejected],
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Build from what `to_dict` gave."""
        return cls(
            **data
            | {
                "query_losses": tuple(data["query_losses"]),
                "rejected": tuple((row_id, reason) for row_id, reason in data["rejected"]),
            }
        )


class DivergedError(TrainingError):
    """The loss or its gradient is no number any more.

    Attributes
    ----------
    kept : TrainingResult or None
        What the training had done where its weights were good last, which are then in the folder's ``model/``.
    artefact : Path or None
        The artefact that holds them.
    """

    kept: TrainingResult | None = None
    artefact: Path | None = None


def fine_tune(
    model: ModelConfig,
    examples: Sequence[Example],
    config: TrainingConfig,
    folder: Path,
    *,
    seed: int,
    queries: Sequence[Example] = (),
    progress: Progress | None = None,
    stop: Callable[[], bool] = lambda: False,
    trackers: Sequence[str] = (),
    name: str = "",
) -> TrainingResult:
    """Fine-tune `model` on the answers of `examples`; go on from the last checkpoint if `folder` holds one.

    Parameters
    ----------
    model : ModelConfig
        The base model.
    examples : sequence of Example
        The subset; rows without a learnable answer token are listed in the result.
    config : TrainingConfig
        How. The loss of an optimizer step is the mean over its answer tokens.
    folder : Path
        Where everything goes. A folder that already holds this very training is returned as it is.
    seed : int
        Seed of LoRA's start, of dropout and of the batches.
    queries : sequence of Example
        Their loss is told before the first step and after each epoch. With `early_stopping` the epoch of the lowest
        is kept, and training ends once `PATIENCE` epochs in a row brought no lower one; never give it rows that judge
        arms. Without it they change nothing of what is trained.
    progress : Progress, optional
        Told of each step with its loss, learning rate and tokens a second.
    stop : callable
        Asked after each step whether to end there. What was learned so far (with `early_stopping` the best whole
        epoch) is then in ``model/`` and told by the result, but the folder holds no ``result.json``: the next call
        goes on from that step.
    trackers : sequence of str
        Services of transformers' `report_to` that are told of each step; with their own login.
    name : str
        What the training is called there.

    Returns
    -------
    TrainingResult

    Raises
    ------
    DivergedError
        If the loss or gradient is not finite. Weights of before that are known to be good are then in ``model/``: the
        last epoch's (with `early_stopping` the best one's; of every weight only with it), or those saved last.
    TrainingError
        If no row can be learned from, memory runs out, or options do not fit.
    ModelError
        If the model can't be loaded.
    """
    from curation.training.trainer import quiet, train

    progress = progress or Silent()
    encoder = Encoder(models.load_tokenizer(model), models.context_length(model))
    rows, rejected = _encode(encoder, examples)
    if not rows:
        reason = rejected[0][1] if rejected else "none was given"
        raise TrainingError(f"none of {len(examples)} examples can be learned from (first: {reason}); choose others")
    judged = _encode(encoder, queries if config.early_stopping else queries[:WATCHED])[0]
    if config.early_stopping and not judged:
        raise TrainingError("early_stopping judges epochs by query loss but no query can be used; give a query set")
    identity = _identity(model, config, seed, rows, judged if config.early_stopping else [])
    _prepare(folder, identity)
    if (folder / "result.json").is_file():
        return TrainingResult.from_dict(json.loads((folder / "result.json").read_text("utf-8")))
    progress.log(f"{len(rows)} examples, {len(rejected)} rejected; answers found by {encoder.method}")
    try:
        with quiet(models.device(model)):
            trained = train(
                model,
                config,
                seed,
                rows,
                judged,
                encoder,
                folder,
                progress,
                stop,
                {"report_to": list(trackers) or "none", "run_name": name or None},
            )
    except DivergedError as diverged:
        if diverged.kept is not None:
            diverged.kept = dataclasses.replace(diverged.kept, rejected=rejected)
        raise
    result = dataclasses.replace(trained, rejected=rejected)
    if result.stopped_of is not None:
        return result
    _write_json(folder / "result.json", result.to_dict())
    for name in ("resume", "best"):
        shutil.rmtree(folder / name, ignore_errors=True)
    (folder / "query_losses.json").unlink(missing_ok=True)
    return result


def warmup(
    model: ModelConfig,
    examples: Sequence[Example],
    config: WarmupConfig,
    folder: Path,
    progress: Progress | None = None,
) -> TrainingResult:
    """Train LESS's warmup on a random share of the pool, keeping LoRA and Adam's state of each epoch.

    Writes ``checkpoint-<k>/`` with ``adapter_config.json``, ``adapter_model.safetensors``, ``optimizer.safetensors``
    (``<parameter name>/exp_avg`` and ``/exp_avg_sq``) and ``optimizer.json`` (step, betas, eps, learning_rate_mean),
    and ``warmup.json``.

    Parameters
    ----------
    model, examples, folder, progress
        As for `fine_tune`; `examples` is the whole pool.
    config : WarmupConfig
        The share, the seed and the training.

    Raises
    ------
    TrainingError
        As `fine_tune`, and if the training is not LoRA: LESS's gradients are those of LoRA.
    """
    if config.training.method != "lora":
        raise TrainingError(f"the warmup's method is {config.training.method!r}, expected 'lora': LESS needs adapters")
    sample = np.random.default_rng(config.seed).permutation(len(examples))[
        : max(1, round(config.share * len(examples)))
    ]
    chosen = [examples[i] for i in sorted(sample)]
    training = dataclasses.replace(config.training, save_every_epoch=True)
    result = fine_tune(model, chosen, training, folder, seed=config.seed, progress=progress)
    about = {"model": model.name, "seed": config.seed, "n_examples": result.n_examples, "steps": result.steps}
    _write_json(folder / "warmup.json", about)
    return result


def _encode(encoder: Encoder, examples: Sequence[Example]) -> tuple[list[Encoded], tuple[tuple[str, str], ...]]:
    rows, rejected = [], []
    for example in examples:
        try:
            rows.append(encoder.encode(example))
        except RowError as error:
            rejected.append((example.id, error.reason))
    return rows, tuple(rejected)


def _identity(
    model: ModelConfig, config: TrainingConfig, seed: int, rows: Sequence[Encoded], judged: Sequence[Encoded]
) -> str:
    """Hash of all that the trained weights depend on."""
    digest = hashlib.sha256(models.fingerprint(model.name, model.revision).encode())
    digest.update(json.dumps([VERSION, model.to_dict(), config.to_dict(), seed, len(rows)]).encode())
    if judged:
        digest.update(str(PATIENCE).encode())
    for row in (*rows, *judged):
        digest.update(np.array(row.input_ids, np.int64).tobytes())
        digest.update(np.array(row.labels, np.int64).tobytes())
    return digest.hexdigest()


def _prepare(folder: Path, identity: str) -> None:
    """Keep what this very training left in `folder`; clear what another one did."""
    mark = folder / "training.json"
    if mark.is_file() and json.loads(mark.read_text("utf-8")).get("identity") == identity:
        return
    for name in ("resume", "best", "model", FOLDER, *(path.name for path in folder.glob("checkpoint-*"))):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in ("log.jsonl", "result.json", "query_losses.json"):
        (folder / name).unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(mark, {"identity": identity})


def _write_json(path: Path, data: dict[str, Any]) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(data, indent=2) + "\n", "utf-8")
    part.rename(path)
