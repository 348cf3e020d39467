"""A few steps of a warmup, to tell what all of it would cost and to leave a checkpoint that LESS can be tried on."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from curation import models
from curation.config import ModelConfig, TrainingConfig, WarmupConfig
from curation.data.chat import Encoder
from curation.data.rows import Example, RowError
from curation.errors import TrainingError
from curation.memory import Peak
from curation.progress import Silent
from curation.training import fine_tune
from curation.training.plan import BatchPlan
from curation.training.recorder import CHECKPOINT_SECONDS, RESUME_KEPT

STEPS = 4  # the first of which is not counted
_RESUME_COPIES = 3  # of the tuned weights in a checkpoint to resume from: themselves and Adam's two moments
STEP_SECONDS = 2.0  # aimed at; a step's batch is made smaller where it would take longer
_EFFICIENCY = 0.3  # of a step against a bare matrix product; decides the size of the trial's batch only


@dataclass(frozen=True)
class Trial:
    """What a whole warmup would take, as a few steps tell.

    Attributes
    ----------
    seconds : float
        Of all steps, and of loading and saving.
    checkpoints : int
        One an epoch.
    memory, gpu_memory : int
        Most bytes held at once.
    disk : int
        Bytes that its folder takes.
    while_tuning : int
        Bytes that it takes besides until it is done: checkpoints to resume from, the best epoch's weights.
    """

    seconds: float
    checkpoints: int
    memory: int
    gpu_memory: int
    disk: int
    while_tuning: int


def try_warmup(
    model: ModelConfig, examples: Sequence[Example], config: WarmupConfig, folder: Path, *, n_rows: int
) -> Trial:
    """Train a few steps, leave their checkpoint in ``folder/checkpoint-1``, and foretell the whole.

    Parameters
    ----------
    model, config
        As for `curation.training.warmup`.
    examples : sequence of Example
        A random sample of the rows that the warmup would learn.
    folder : Path
        Where the trial's files go.
    n_rows : int
        How many rows the warmup would learn.

    Raises
    ------
    TrainingError, ModelError
        As `curation.training.fine_tune`.
    """
    training = dataclasses.replace(config.training, save_every_epoch=True)
    return try_training(model, examples, training, folder, seed=config.seed).whole(training, n_rows)


@dataclass(frozen=True)
class Tried:
    """What a few steps took, from which trainings of any length are foretold.

    Attributes
    ----------
    lengths : tuple of int
        Tokens of the rows of the sample.
    micro_batch_size, seed : int
        As they were tried.
    start : float
        Seconds to load, prepare and save.
    rate : float
        Seconds a padded token.
    weights, memory_began, memory, gpu_memory : int
        Bytes: of the model, held before the trial, most held in it.
    checkpoint, saved : int
        Bytes of an epoch's checkpoint, and of the trained model.
    """

    lengths: tuple[int, ...]
    micro_batch_size: int
    seed: int
    start: float
    rate: float
    weights: int
    memory_began: int
    memory: int
    gpu_memory: int
    checkpoint: int
    saved: int

    def whole(self, config: TrainingConfig, n_rows: int) -> Trial:
        """Foretell a training on `n_rows` rows like those of the sample."""
        total, checkpoints = _steps(config, n_rows)
        of_a_row = sum(_padded(self.lengths, config, self.seed)) / len(self.lengths)
        padded = of_a_row * min(config.batch_size, n_rows) * total
        scale = min(config.micro_batch_size, n_rows) / self.micro_batch_size
        seconds = self.start + self.rate * padded
        resumable = min(RESUME_KEPT + 1, int(seconds / CHECKPOINT_SECONDS))  # one more while it is written
        return Trial(
            seconds=seconds,
            checkpoints=checkpoints,
            memory=_scaled(self.memory, self.memory_began + self.weights, scale),
            gpu_memory=_scaled(self.gpu_memory, self.weights, scale),
            disk=self.checkpoint * checkpoints * config.save_every_epoch + self.saved,
            while_tuning=self.saved * (_RESUME_COPIES * resumable + config.early_stopping),
        )


def try_training(
    model: ModelConfig, examples: Sequence[Example], config: TrainingConfig, folder: Path, *, seed: int
) -> Tried:
    """Train a few steps in `folder` on a random sample of the rows that a training would learn.

    Raises
    ------
    TrainingError, ModelError
        As `curation.training.fine_tune`.
    """
    rows, lengths = _usable(model, examples)
    if not rows:
        raise TrainingError(f"none of {len(examples)} examples can be learned from; choose another pool")
    mean = sum(lengths) / len(lengths)
    batch = max(1, min(config.batch_size, int(STEP_SECONDS * _tokens_per_second(model) / mean)))
    training = dataclasses.replace(
        config,
        batch_size=batch,
        micro_batch_size=min(batch, config.micro_batch_size),
        epochs=1.0,
        max_steps=0,
        early_stopping=False,
    )
    n = batch * STEPS
    clock = _Clock()
    began = time.monotonic()
    with Peak() as peak:
        fine_tune(model, rows[:n], training, folder, seed=seed, progress=clock)
    took = time.monotonic() - began
    steps = [after - before for before, after in zip(clock.times, clock.times[1:], strict=False)]
    tokens = _padded(lengths[:n], training, seed)
    first = 1 if len(steps) > 1 else 0
    sizes = {path.name: _size(path) for path in folder.iterdir() if path.is_dir()}
    return Tried(
        lengths=tuple(lengths),
        micro_batch_size=training.micro_batch_size,
        seed=seed,
        start=took - sum(steps[first:]),
        rate=sum(steps[first:]) / sum(tokens[first:]),
        weights=models.memory_needed(model).needed,
        memory_began=peak.began,
        memory=peak.host,
        gpu_memory=peak.gpu,
        checkpoint=sizes.get("checkpoint-1", 0),
        saved=sizes["model"],
    )


class _Clock(Silent):
    """Notes when the training began and when each step was done."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def start(self, stage: str, total: int, unit: str = "examples") -> None:  # noqa: ARG002
        """Note."""
        self.times = [time.monotonic()]

    def advance(self, n: int = 1, **metrics: float) -> None:  # noqa: ARG002
        """Note."""
        self.times.append(time.monotonic())


def _usable(model: ModelConfig, examples: Sequence[Example]) -> tuple[list[Example], list[int]]:
    """Rows that can be learned from, and their lengths in tokens."""
    encoder = Encoder(models.load_tokenizer(model), models.context_length(model))
    rows, lengths = [], []
    for example in examples:
        try:
            lengths.append(len(encoder.encode(example).input_ids))
        except RowError:
            continue
        rows.append(example)
    return rows, lengths


def _tokens_per_second(model: ModelConfig) -> float:
    """About how many tokens a training step does in a second, by the speed of a matrix product."""
    import torch

    where = models.device(model)
    n = 4096 if where == "cuda" else 1024
    x = torch.ones((n, n), dtype=models.torch_dtype(model), device=where)
    seconds = []
    for _ in range(3):
        began = time.monotonic()
        (x @ x)[0, 0].item()
        seconds.append(time.monotonic() - began)
    return _EFFICIENCY * 2 * n**3 / min(seconds) / (6 * models.parameter_count(model))


def _steps(config: TrainingConfig, n_rows: int) -> tuple[int, int]:
    """Optimizer steps of a training, and epochs begun."""
    an_epoch = math.ceil(n_rows / min(config.batch_size, n_rows))
    total = config.max_steps or max(1, round(config.epochs * an_epoch))
    return total, math.ceil(total / an_epoch)


def _padded(lengths: Sequence[int], config: TrainingConfig, seed: int) -> list[int]:
    """Padded tokens of each optimizer step of the first epoch."""
    plan = BatchPlan(lengths, batch_size=config.batch_size, micro_batch_size=config.micro_batch_size, seed=seed)
    size, padded = plan.micro_batch_size, []
    for rows in plan.steps(0):
        passes = [rows[start : start + size] for start in range(0, len(rows), size)]
        padded.append(sum(len(one) * max(lengths[i] for i in one) for one in passes))
    return padded


def _scaled(peak: int, base: int, scale: float) -> int:
    """What would be held with batches `scale` times as large: `base` stays."""
    return round(base + (peak - base) * scale) if peak > base else peak


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
