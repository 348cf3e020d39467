"""What happens beside the training loop: progress, the log, checkpoints, judging epochs, stopping at a NaN."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from transformers import TrainerCallback

from curation.config import TrainingConfig
from curation.data.chat import Encoded
from curation.losses import answer_losses
from curation.progress import Progress
from curation.training import PATIENCE, DivergedError
from curation.training.checkpoints import complete, last_checkpoint, led_to, save_optimizer, save_weights
from curation.training.events import Events
from curation.training.plan import BatchPlan

CHECKPOINT_SECONDS = 30.0  # a killed run loses at most about this much work
RESUME_KEPT = 2  # checkpoints to resume from, the older for the case that the newer is torn


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
        Rows whose loss is measured before the first step and after each epoch; may be empty.
    pad_id : int
        Padding token.
    progress : Progress
        Told of every step.
    stop : callable
        Asked after each step whether the training is to end there, with what it has learned.
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
        stop: Callable[[], bool],
    ) -> None:
        self.plan, self.folder, self.config, self.total = plan, folder, config, total
        self.queries, self.pad_id, self.progress = queries, pad_id, progress
        self.history: list[dict[str, Any]] = []
        self.query_losses: dict[int, float] = {}  # epochs done → loss; 0 is before the first step
        self.stop, self.stopped = stop, False
        self.sound = total  # steps after which the weights are known to give a finite loss, once it has diverged
        self.events = Events(folder)
        self._started = self._saved = self._stepped = time.monotonic()

    @property
    def log_path(self) -> Path:
        """One JSON object a step."""
        return self.folder / "log.jsonl"

    @property
    def seconds(self) -> float:
        """Time taken, with that of earlier attempts up to the checkpoint that this one went on from."""
        return time.monotonic() - self._started

    def restore(self, step: int, seconds: float) -> None:
        """Take up the log as it was after `step` steps and `seconds`, dropping what a killed run wrote later."""
        self._started -= seconds
        if self.log_path.is_file() and step:
            whole = self.log_path.read_text("utf-8").split("\n")[:-1]
            self.history = [json.loads(line) for line in whole][:step]
        self.log_path.write_text("".join(json.dumps(entry) + "\n" for entry in self.history), "utf-8")
        judged = self.folder / "query_losses.json"
        if judged.is_file():
            self.query_losses = {int(k): v for k, v in json.loads(judged.read_text("utf-8")).items()}
            self.query_losses = {k: v for k, v in self.query_losses.items() if k * self.plan.steps_per_epoch <= step}

    @property
    def best(self) -> int | None:
        """The epoch of lowest query loss, where epochs compete and one has ended."""
        ended = self._judged() if self.config.early_stopping else []
        return min(ended, key=lambda k: (self.query_losses[k], k), default=None)

    def _judged(self) -> list[int]:
        """Epochs that ended with a finite query loss."""
        return [k for k, loss in self.query_losses.items() if k and math.isfinite(loss)]

    def last_good(self) -> tuple[int, Path] | None:
        """Return the weights to go back to once it has diverged, behind the steps that led to them; None without any.

        Good is the best epoch where epochs compete; else what was judged or saved last, if a finite loss followed.
        """
        epoch = self.best if self.config.early_stopping else max(self._judged(), default=None)
        found = [] if epoch is None else [(epoch * self.plan.steps_per_epoch, self.folder / "best")]
        found = [one for one in found if one[1].is_dir()]
        saved = last_checkpoint(self.folder / "resume", self.sound)
        if saved is not None and not (found and self.config.early_stopping):
            found.append((led_to(saved)[0], saved))
        return max(found, default=None)

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any, **_: Any) -> None:  # noqa: ARG002
        """Begin the event files, and measure where the queries' loss starts from."""
        self.events.start(state.global_step)
        if self.queries and 0 not in self.query_losses:
            self._judge(0, model)

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
            self.sound = step - 1 if math.isfinite(loss) else step - 2  # a loss is of the weights before its step
            raise DivergedError(
                f"training diverged at step {step} of {self.total}: loss {loss}, gradient norm {norm}, learning rate "
                f"{logs['learning_rate']:.3g}; lower the learning rate (it is {self.config.learning_rate:g}) and start "
                "again"
            )
        tokens = self.plan.tokens(step - 1)
        entry = {"step": step, "epoch": round(state.epoch, 4), "loss": loss, "learning_rate": logs["learning_rate"]}
        entry |= {"grad_norm": norm, "tokens": tokens}
        self.history.append(entry)
        with self.log_path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
        now = time.monotonic()
        rate, self._stepped = tokens / max(now - self._stepped, 1e-9), now
        told = {"loss": loss, "learning_rate": logs["learning_rate"], "tokens_per_second": rate}
        self.events.tell(step, grad_norm=norm, **told)
        self.progress.advance(1, **told)
        # An epoch's end is saved once its own files are written (on_epoch_end); the run's end needs no resume file.
        ends = step % self.plan.steps_per_epoch == 0 or step >= self.total
        if step < self.total and self.stop():
            self.stopped = control.should_training_stop = True
        control.should_save = not ends and (self.stopped or now - self._saved >= CHECKPOINT_SECONDS)

    def on_epoch_end(self, args: Any, state: Any, control: Any, model: Any, optimizer: Any, **_: Any) -> None:  # noqa: ARG002
        """Write LESS's checkpoint, judge the epoch, and save for resuming if it is time."""
        if self.stopped and state.global_step % self.plan.steps_per_epoch:
            return  # in mid-epoch: it competes with no whole one, and may go on later
        epoch = math.ceil(state.global_step / self.plan.steps_per_epoch)
        if self.config.save_every_epoch:
            self._write(f"checkpoint-{epoch}", model, optimizer)
        if self.queries:
            self._judge(epoch, model)
        if (best := self.best) is not None and epoch - best >= PATIENCE:
            control.should_training_stop, self.stopped = True, False  # it ends here by itself
        due = time.monotonic() - self._saved >= CHECKPOINT_SECONDS
        # A run that ends here needs no resume file; going on from one, it would not know that it was to end.
        ends = state.global_step >= self.total or control.should_training_stop
        control.should_save = self.stopped or (due and not ends)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        """Mark the checkpoint whole, with the time that it took to get there."""
        complete(Path(args.output_dir) / f"checkpoint-{state.global_step}", self.seconds)
        self._saved = self._stepped = time.monotonic()

    def _judge(self, epoch: int, model: Any) -> None:
        losses = answer_losses(model, self.queries, pad_id=self.pad_id, batch_size=self.config.micro_batch_size)
        loss = self.query_losses[epoch] = sum(losses) / len(losses)
        # An adapter is small: the last epoch's is kept to go back to. Every weight is kept only where epochs compete.
        small = self.config.method == "lora" and not self.config.early_stopping
        if self.best == epoch or (small and math.isfinite(loss) and 0 < epoch * self.plan.steps_per_epoch < self.total):
            self._write("best", model)
        part = self.folder / "query_losses.json.part"
        part.write_text(json.dumps(self.query_losses), "utf-8")
        part.rename(self.folder / "query_losses.json")
        self.events.tell(min(epoch * self.plan.steps_per_epoch, self.total), query_loss=loss)
        self.progress.advance(0, query_loss=loss)
        self.progress.log(f"{f'epoch {epoch}' if epoch else 'before the first step'}: query loss {loss:.4f}")
        self._stepped = time.monotonic()

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
