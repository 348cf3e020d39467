"""TRL's SFTTrainer, fed with rows that are tokenised already and stripped to what a small run needs.

What differs from TRL as it comes, and why:

- Batches are drawn by `BatchPlan`, a pure function of (seed, epoch), so that a resumed run sees the very same ones.
- On a CPU the loss is computed from the answers' logits alone; TRL's fused head there scores every position of every
  row, padding included, which makes a tiny model's step a third slower. On a GPU TRL's own head is used.
- Checkpoints for resuming hold no pickled arguments, no tokenizer and no model card.

The rest (optimizer, schedule, clipping, accumulation, mixed precision, resuming) is the library's.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from peft import LoraConfig
from torch.utils.data import DataLoader
from transformers import TrainerCallback
from transformers.trainer_callback import PrinterCallback
from transformers.utils import logging
from trl import SFTConfig, SFTTrainer

from curation import models
from curation.config import ModelConfig, TrainingConfig
from curation.data.chat import Encoded, Encoder
from curation.errors import TrainingError
from curation.losses import token_losses
from curation.progress import Progress
from curation.training import DivergedError, TrainingResult
from curation.training.checkpoints import last_checkpoint, led_to, save_model, save_weights
from curation.training.plan import BatchPlan
from curation.training.recorder import RESUME_KEPT, Recorder


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

    def _send_telemetry(self) -> None:
        """Send nothing: TRL would tell the hub that somebody trains."""

    def create_model_card(self, *_args: Any, **_options: Any) -> None:
        """Write no card into every checkpoint."""


def train(
    model: ModelConfig,
    config: TrainingConfig,
    seed: int,
    rows: Sequence[Encoded],
    judged: Sequence[Encoded],
    encoder: Encoder,
    folder: Path,
    progress: Progress,
    stop: Callable[[], bool],
    reporting: dict[str, Any],
) -> TrainingResult:
    """Train, from the last checkpoint in `folder` if there is one, and write its ``model/``."""
    plan = BatchPlan(
        [len(row.input_ids) for row in rows],
        batch_size=config.batch_size,
        micro_batch_size=config.micro_batch_size,
        seed=seed,
    )
    total = config.max_steps or round(config.epochs * plan.steps_per_epoch)
    if total < 1:
        raise TrainingError(f"{config.epochs} epochs of {len(rows)} examples make no step; raise epochs or max_steps")
    if config.method == "full":
        models.require_memory(model, "full")
    pad_id = encoder.tokenizer.pad_token_id
    recorder = Recorder(
        plan=plan,
        folder=folder,
        config=config,
        total=total,
        queries=judged,
        pad_id=pad_id,
        progress=progress,
        stop=stop,
    )
    trainer = make_trainer(model, config, seed, rows, encoder.tokenizer, folder, total, plan, recorder, reporting)
    checkpoint = last_checkpoint(folder / "resume")
    done, seconds = led_to(checkpoint)
    recorder.restore(done, seconds)
    progress.start("training", total, "steps")
    if done:
        progress.log(f"going on after step {done} of {total}")
        progress.advance(done)
    try:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    except DivergedError as diverged:
        if (good := recorder.last_good()) is not None:
            save_model(folder, good[1], trainer.model, encoder.tokenizer)
            diverged.kept = _result(recorder, trainer.model, rows, good[0], stopped=True)
        raise
    except torch.OutOfMemoryError as error:
        raise TrainingError(
            f"out of memory with {config.micro_batch_size} examples a forward pass; lower micro_batch_size or "
            "max_length (the result stays the same with a smaller micro_batch_size)"
        ) from error
    finally:
        recorder.events.close()
    save_model(folder, None if recorder.best is None else folder / "best", trainer.model, encoder.tokenizer)
    return _result(recorder, trainer.model, rows, len(recorder.history), stopped=recorder.stopped)


def _result(recorder: Recorder, network: Any, rows: Sequence[Encoded], steps: int, *, stopped: bool) -> TrainingResult:
    """What the training had done after `steps` steps."""
    losses, of_epoch = recorder.query_losses, recorder.plan.steps_per_epoch
    return TrainingResult(
        steps=steps,
        epochs=steps / of_epoch,
        n_examples=len(rows),
        tokens=sum(len(row.input_ids) for row in rows),
        learned_tokens=sum(sum(row.labels_mask) for row in rows),
        trainable_parameters=sum(p.numel() for p in network.parameters() if p.requires_grad),
        loss=float(np.mean([entry["loss"] for entry in recorder.history[:steps]][-of_epoch:])),
        seconds=recorder.seconds,
        query_losses=tuple(losses[k] for k in sorted(losses) if k and min(k * of_epoch, recorder.total) <= steps),
        query_loss_before=losses.get(0),
        best_epoch=recorder.best,
        stopped_of=recorder.total if stopped else None,
    )


def make_trainer(
    model: ModelConfig,
    config: TrainingConfig,
    seed: int,
    rows: Sequence[Encoded],
    tokenizer: Any,
    folder: Path,
    total: int,
    plan: BatchPlan,
    recorder: TrainerCallback,
    reporting: dict[str, Any],
) -> Any:
    network: Any = models.load_causal_lm(model)
    cached = network.config.use_cache
    arguments = SFTConfig(
        output_dir=str(folder / "resume"),
        seed=seed,
        use_cpu=models.device(model) == "cpu",
        per_device_train_batch_size=plan.micro_batch_size,
        gradient_accumulation_steps=plan.accumulation,
        max_steps=total,
        learning_rate=config.learning_rate,
        lr_scheduler_type=config.schedule,
        # Whole steps, rounded down: the first warmup step has rate 0, which a run of 20 steps can't spare.
        warmup_steps=int(config.warmup_ratio * total),
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        bf16=config.bf16,
        gradient_checkpointing=False,
        packing=False,
        max_length=None,  # the encoder cut the rows
        dataset_kwargs={"skip_prepare_dataset": True},
        eval_strategy="no",
        save_strategy="no",  # the recorder says when
        save_total_limit=RESUME_KEPT,
        logging_steps=1,
        logging_nan_inf_filter=False,
        **reporting,
        log_level="error",
        disable_tqdm=True,
    )
    arguments._n_gpu = min(arguments.n_gpu, 1)  # one device a job: the library would spread over every GPU it sees
    adapter = _adapter(config, network) if config.method == "lora" else None
    if adapter is None and model.dtype == "4-bit":
        raise TrainingError("weights in 4 bits can't be tuned themselves; choose method lora, or dtype bfloat16")
    if adapter is None:
        network.requires_grad_(True)
    trainer = AnswerTrainer(
        model=network,
        args=arguments,
        train_dataset=Dataset.from_dict(
            {"input_ids": [row.input_ids for row in rows], "labels": [row.labels for row in rows]}
        ),
        processing_class=tokenizer,
        peft_config=adapter,
        callbacks=[recorder],
    )
    trainer.plan = plan
    network.config.use_cache = cached  # the trainer turns it off, and a saved model would generate slowly
    trainer.remove_callback(PrinterCallback)
    return trainer


def _adapter(config: TrainingConfig, network: Any) -> Any:
    names = {name.rpartition(".")[2] for name, module in network.named_modules() if hasattr(module, "weight")}
    missing = [target for target in config.lora_targets if target.rpartition(".")[2] not in names]
    if missing:
        raise TrainingError(
            f"the model has no layer {missing[0]!r} for LoRA, expected some of: {', '.join(sorted(names))}; "
            "correct lora_targets or leave it empty"
        )
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=config.lora_r,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules=list(config.lora_targets) or "all-linear",
    )


@contextlib.contextmanager
def quiet(device: str) -> Iterator[None]:
    """Silence the libraries and, on a GPU, ask for reproducible kernels; both as before afterwards."""
    verbosity, deterministic = logging.get_verbosity(), torch.are_deterministic_algorithms_enabled()
    logging.set_verbosity_error()
    if device == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS sums in varying order
        torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # TRL's own use of names that transformers renames
            yield
    finally:
        logging.set_verbosity(verbosity)
        torch.use_deterministic_algorithms(deterministic)
