"""TRL's SFTTrainer, fed with rows that are tokenised already and stripped to what a small run needs.

What differs from TRL as it comes, and why:

- Batches are drawn by `BatchPlan`, a pure function of (seed, epoch), so that a resumed run sees the very same ones.
- On a CPU the loss is computed from the answers' logits alone; TRL's fused head there scores every position of every
  row, padding included, which for a tiny model costs more than the model itself. On a GPU TRL's own head is used.
- Checkpoints for resuming hold no pickled arguments, no tokenizer and no model card.

The rest (optimizer, schedule, clipping, accumulation, mixed precision, resuming) is the library's.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import save_file
from torch.utils.data import DataLoader
from transformers import TrainerCallback
from trl import SFTTrainer

from curation.config import TrainingConfig
from curation.data.chat import Encoded
from curation.errors import TrainingError
from curation.losses import answer_losses, token_losses
from curation.progress import Progress

CHECKPOINT_SECONDS = 30.0  # a killed run loses at most about this much work
COMPLETE = "complete"  # written last into a resume checkpoint: one without it is a torn write
WINDOW = 8  # optimizer steps whose rows are sorted by length together


class BatchPlan:
    """Which rows make each batch of each epoch; read by the loader as its batch sampler.

    Each epoch is a fresh shuffle. Within windows of `WINDOW` steps rows are sorted by length and cut into batches,
    whose order is shuffled again: little padding, and every row once an epoch. The last, short batch is a random one.

    Parameters
    ----------
    lengths : sequence of int
        Tokens of each row.
    batch_size, micro_batch_size : int
        Rows an optimizer step, and rows a forward pass.
    seed : int
        Seed of all shuffles.
    """

    def __init__(self, lengths: Sequence[int], *, batch_size: int, micro_batch_size: int, seed: int) -> None:
        self.lengths = np.asarray(lengths)
        self.batch_size = min(batch_size, len(lengths))
        self.micro_batch_size = min(micro_batch_size, self.batch_size)
        self.seed = seed
        self.epoch = 0
        self._counted: tuple[int, list[int]] = (-1, [])

    @property
    def accumulation(self) -> int:
        """Forward passes a full optimizer step."""
        return math.ceil(self.batch_size / self.micro_batch_size)

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps a pass over the rows."""
        return math.ceil(len(self.lengths) / self.batch_size)

    def steps(self, epoch: int) -> list[np.ndarray]:
        """Return the rows of each optimizer step of `epoch`, longest row first."""
        rng = np.random.default_rng([self.seed, epoch])
        order = rng.permutation(len(self.lengths))
        full = len(order) - len(order) % self.batch_size
        steps: list[np.ndarray] = []
        for start in range(0, full, WINDOW * self.batch_size):
            window = order[start : min(start + WINDOW * self.batch_size, full)]
            window = window[np.argsort(-self.lengths[window], kind="stable")]
            steps += np.split(window, len(window) // self.batch_size)
        steps = [steps[i] for i in rng.permutation(len(steps))]
        rest = order[full:]
        return [*steps, rest[np.argsort(-self.lengths[rest], kind="stable")]] if len(rest) else steps

    def tokens(self, step: int) -> int:
        """Tokens of optimizer step number `step` of the whole run, padding excluded."""
        epoch, within = divmod(step, self.steps_per_epoch)
        if self._counted[0] != epoch:
            self._counted = (epoch, [int(self.lengths[rows].sum()) for rows in self.steps(epoch)])
        return self._counted[1][within]

    def __len__(self) -> int:
        rest = len(self.lengths) % self.batch_size
        return len(self.lengths) // self.batch_size * self.accumulation + math.ceil(rest / self.micro_batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        for rows in self.steps(self.epoch):
            for start in range(0, len(rows), self.micro_batch_size):
                yield rows[start : start + self.micro_batch_size].tolist()


class AnswerTrainer(SFTTrainer):  # type: ignore[misc]  # trl carries no types
    """SFTTrainer on the batches of a `BatchPlan`, with the loss on answer tokens only."""

    plan: BatchPlan

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Load the plan's batches in this process."""
        return DataLoader(self.train_dataset, batch_sampler=self.plan, collate_fn=self.data_collator)

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Sum of the answer tokens' losses over the number of answer tokens in the optimizer step."""
        if return_outputs or inputs["input_ids"].device.type != "cpu":
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        losses = token_losses(model, inputs)
        learned = (inputs["labels"][:, 1:] != -100).sum() if num_items_in_batch is None else num_items_in_batch
        return losses.sum() / learned

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:  # noqa: ARG002
        """Count nothing: the count is not used and walks over every module each step."""
        return 0

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Weights only: no tokenizer, and no arguments, which the library would pickle."""
        save_weights(self.model, Path(output_dir or self.args.output_dir))

    def create_model_card(self, *_args: Any, **_options: Any) -> None:
        """Write no card into every checkpoint."""


def save_weights(model: Any, folder: Path) -> None:
    """Save the adapter, or the full model, in the standard format; the same weights give the same bytes."""
    options = {"save_embedding_layers": False} if hasattr(model, "peft_config") else {}  # "auto" would ask the hub
    model.save_pretrained(folder, **options)
    described = folder / "adapter_config.json"
    if described.is_file():  # sets of names come out in the process's own hash order
        config = json.loads(described.read_text("utf-8"))
        config = {k: sorted(v) if isinstance(v, list) and k != "layers_pattern" else v for k, v in config.items()}
        described.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", "utf-8")
        (folder / "README.md").unlink(missing_ok=True)


def last_checkpoint(folder: Path) -> Path | None:
    """Return the newest whole checkpoint in `folder`; torn ones are removed."""
    found = []
    for path in folder.glob("checkpoint-*"):
        if (path / COMPLETE).is_file():
            found.append(path)
        else:
            shutil.rmtree(path)
    return max(found, key=lambda path: int(path.name.partition("-")[2]), default=None)


class Recorder(TrainerCallback):  # type: ignore[misc]  # transformers is skipped by mypy
    """Tells progress, writes the log, keeps checkpoints, judges epochs on the queries and stops at a NaN.

    Parameters
    ----------
    plan : BatchPlan
        The run's batches.
    folder : Path
        Where the log, LESS's checkpoints and the best epoch's weights go.
    config : TrainingConfig
        The run's options.
    total : int
        Optimizer steps of the run.
    queries : sequence of Encoded
        Rows that epochs are judged on; may be empty.
    pad_id : int
        Padding token.
    progress : Progress
        Told of every step.
    """

    def __init__(
        self,
        *,
        plan: BatchPlan,
        folder: Path,
        config: TrainingConfig,
        total: int,
        queries: Sequence[Encoded],
        pad_id: int,
        progress: Progress,
    ) -> None:
        self.plan, self.folder, self.config, self.total = plan, folder, config, total
        self.queries, self.pad_id, self.progress = queries, pad_id, progress
        self.history: list[dict[str, Any]] = []
        self.query_losses: dict[int, float] = {}
        self._saved = self._stepped = time.monotonic()

    @property
    def log_path(self) -> Path:
        """One JSON object a step."""
        return self.folder / "log.jsonl"

    def restore(self, step: int) -> None:
        """Take up the log as it was after `step` steps, dropping what a killed run wrote later."""
        if self.log_path.is_file() and step:
            whole = self.log_path.read_text("utf-8").split("\n")[:-1]
            self.history = [json.loads(line) for line in whole][:step]
        self.log_path.write_text("".join(json.dumps(entry) + "\n" for entry in self.history), "utf-8")
        judged = self.folder / "query_losses.json"
        if judged.is_file():
            self.query_losses = {int(k): v for k, v in json.loads(judged.read_text("utf-8")).items()}
            self.query_losses = {k: v for k, v in self.query_losses.items() if k * self.plan.steps_per_epoch <= step}

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        """Point the plan at this epoch; from the step count, which a resumed run knows too."""
        self.plan.epoch = state.global_step // self.plan.steps_per_epoch
        self._stepped = time.monotonic()

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **_: Any) -> None:  # noqa: ARG002
        """Log one step, before anything is saved of it."""
        if "loss" not in logs:  # the library's summary at the end
            return
        step, loss, norm = state.global_step, logs["loss"], logs["grad_norm"]
        state.log_history.clear()  # kept in log.jsonl, once
        if not (math.isfinite(loss) and math.isfinite(norm)):
            kept = last_checkpoint(self.folder / "resume")
            raise TrainingError(
                f"training diverged at step {step} of {self.total}: loss {loss}, gradient norm {norm}, learning rate "
                f"{logs['learning_rate']:.3g}; lower the learning rate (it is {self.config.learning_rate:g}) and start "
                f"again; the last good checkpoint is {kept.name if kept else 'the untouched base model'}"
            )
        tokens = self.plan.tokens(step - 1)
        entry = {"step": step, "epoch": round(state.epoch, 4), "loss": loss, "learning_rate": logs["learning_rate"]}
        entry |= {"grad_norm": norm, "tokens": tokens}
        self.history.append(entry)
        with self.log_path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
        now = time.monotonic()
        rate, self._stepped = tokens / max(now - self._stepped, 1e-9), now
        self.progress.advance(1, loss=loss, learning_rate=logs["learning_rate"], tokens_per_second=rate)
        # An epoch's end is saved once its own files are written (on_epoch_end); the run's end needs no resume file.
        ends = step % self.plan.steps_per_epoch == 0 or step >= self.total
        control.should_save = not ends and now - self._saved >= CHECKPOINT_SECONDS

    def on_epoch_end(self, args: Any, state: Any, control: Any, model: Any, optimizer: Any, **_: Any) -> None:  # noqa: ARG002
        """Write LESS's checkpoint, judge the epoch, and save for resuming if it is time."""
        epoch = math.ceil(state.global_step / self.plan.steps_per_epoch)
        if self.config.save_every_epoch:
            self._write(f"checkpoint-{epoch}", model, optimizer)
        if self.queries:
            self._judge(epoch, model)
        due = time.monotonic() - self._saved >= CHECKPOINT_SECONDS
        control.should_save = due and state.global_step < self.total

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        """Mark the checkpoint whole."""
        (Path(args.output_dir) / f"checkpoint-{state.global_step}" / COMPLETE).touch()
        self._saved = self._stepped = time.monotonic()

    def _judge(self, epoch: int, model: Any) -> None:
        losses = answer_losses(model, self.queries, pad_id=self.pad_id, batch_size=self.config.micro_batch_size)
        loss = sum(losses) / len(losses)
        if loss < min((v for k, v in self.query_losses.items() if k != epoch), default=math.inf):
            self._write("best", model)
        self.query_losses[epoch] = loss
        part = self.folder / "query_losses.json.part"
        part.write_text(json.dumps(self.query_losses), "utf-8")
        part.rename(self.folder / "query_losses.json")
        self.progress.log(f"epoch {epoch}: query loss {loss:.4f}")

    def _write(self, name: str, model: Any, optimizer: Any = None) -> None:
        """Write weights, and Adam's state by parameter name, beside and rename."""
        part, whole = self.folder / f"{name}.part", self.folder / name
        shutil.rmtree(part, ignore_errors=True)
        save_weights(model, part)
        if optimizer is not None:
            save_optimizer(model, optimizer, part, self._mean_learning_rate())
        shutil.rmtree(whole, ignore_errors=True)
        part.rename(whole)

    def _mean_learning_rate(self) -> float:
        """Mean over the steps of the epoch that just ended: LESS's weight of its checkpoint."""
        start = (len(self.history) - 1) // self.plan.steps_per_epoch * self.plan.steps_per_epoch
        return float(np.mean([entry["learning_rate"] for entry in self.history[start:]]))


def save_optimizer(model: Any, optimizer: Any, folder: Path, learning_rate_mean: float) -> None:
    """Save Adam's moments as ``<parameter name>/exp_avg`` and ``/exp_avg_sq``, and its scalars as JSON.

    LESS's own code reads them by position, which mixes parameters up when the order differs (LESS issues 4, 10, 44).
    """
    state, tensors, steps = optimizer.state, {}, set()
    for name, parameter in model.named_parameters():
        if parameter in state:
            for moment in ("exp_avg", "exp_avg_sq"):
                tensors[f"{name}/{moment}"] = state[parameter][moment].detach().float().cpu().contiguous()
            steps.add(int(state[parameter]["step"]))
    (step,) = steps  # every parameter has taken every step
    group = optimizer.param_groups[0]
    save_file(tensors, folder / "optimizer.safetensors")
    scalars = {"step": step, "betas": list(group["betas"]), "eps": group["eps"]}
    scalars["learning_rate_mean"] = learning_rate_mean
    (folder / "optimizer.json").write_text(json.dumps(scalars, indent=2) + "\n", "utf-8")
