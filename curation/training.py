"""Fine-tuning with LoRA or of every weight, and LESS's warmup, which is the same training with its state kept.

The loop is TRL's SFTTrainer with PEFT (`curation.trainer`); here is what surrounds it: which rows are learned, what a
folder holds, how a killed run goes on. The same inputs and seed give the same bytes on the same machine, killed in
between or not.

A folder holds ``model/`` (adapter or full model in the standard format), ``log.jsonl`` (a line a step),
``result.json``, with `save_every_epoch` ``checkpoint-<k>/`` for LESS (Xia et al. 2024, section 4.1), and, until it is
done, ``resume/`` with the trainer's own state, which is read with weights_only.

Left out: several GPUs, quantised bases, packing (it would let rows see each other), gradient checkpointing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import shutil
import time
import warnings
from collections.abc import Iterator, Sequence
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

VERSION = 1  # of the algorithm: part of an artefact's key


@dataclass(frozen=True)
class TrainingResult:
    """What a training did; the model itself lies in the folder's ``model/``.

    Attributes
    ----------
    steps : int
        Optimizer steps.
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
        Time taken; of a resumed run, since it was resumed.
    query_losses : tuple of float
        Query loss after each epoch, with `early_stopping`.
    best_epoch : int or None
        Epoch whose weights were kept, with `early_stopping`; else the last one was.
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
    best_epoch: int | None = None
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


def fine_tune(
    model: ModelConfig,
    examples: Sequence[Example],
    config: TrainingConfig,
    folder: Path,
    *,
    seed: int,
    queries: Sequence[Example] = (),
    progress: Progress | None = None,
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
        With `early_stopping`: the epoch with the lowest loss on these is kept. Never give it test rows.
    progress : Progress, optional
        Told of each step with its loss, learning rate and tokens a second.

    Returns
    -------
    TrainingResult

    Raises
    ------
    TrainingError
        If no row can be learned from, the loss or gradient is not finite, memory runs out, or options do not fit.
    ModelError
        If the model can't be loaded.
    """
    progress = progress or Silent()
    encoder = Encoder(models.load_tokenizer(model), models.context_length(model))
    rows, rejected = _encode(encoder, examples)
    if not rows:
        reason = rejected[0][1] if rejected else "none was given"
        raise TrainingError(f"none of {len(examples)} examples can be learned from (first: {reason}); choose others")
    judged = _encode(encoder, queries)[0] if config.early_stopping else []
    if config.early_stopping and not judged:
        raise TrainingError("early_stopping judges epochs by query loss but no query can be used; give a query set")
    identity = _identity(model, config, seed, rows, judged)
    _prepare(folder, identity)
    if (folder / "result.json").is_file():
        return TrainingResult.from_dict(json.loads((folder / "result.json").read_text("utf-8")))
    progress.log(f"{len(rows)} examples, {len(rejected)} rejected; answers found by {encoder.method}")
    with _quiet(models.device(model)):
        trained = _train(model, config, seed, rows, judged, encoder, folder, progress)
    result = dataclasses.replace(trained, rejected=rejected)
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
    for row in (*rows, *judged):
        digest.update(np.array(row.input_ids, np.int64).tobytes())
        digest.update(np.array(row.labels, np.int64).tobytes())
    return digest.hexdigest()


def _prepare(folder: Path, identity: str) -> None:
    """Keep what this very training left in `folder`; clear what another one did."""
    mark = folder / "training.json"
    if mark.is_file() and json.loads(mark.read_text("utf-8")).get("identity") == identity:
        return
    for name in ("resume", "best", "model", *(path.name for path in folder.glob("checkpoint-*"))):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in ("log.jsonl", "result.json", "query_losses.json"):
        (folder / name).unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(mark, {"identity": identity})


def _write_json(path: Path, data: dict[str, Any]) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(data, indent=2) + "\n", "utf-8")
    part.rename(path)


def _train(
    model: ModelConfig,
    config: TrainingConfig,
    seed: int,
    rows: Sequence[Encoded],
    judged: Sequence[Encoded],
    encoder: Encoder,
    folder: Path,
    progress: Progress,
) -> TrainingResult:
    import torch

    from curation.trainer import BatchPlan, Recorder, last_checkpoint, save_weights

    started = time.monotonic()
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
        plan=plan, folder=folder, config=config, total=total, queries=judged, pad_id=pad_id, progress=progress
    )
    trainer = _trainer(model, config, seed, rows, encoder.tokenizer, folder, total, plan, recorder)
    checkpoint = last_checkpoint(folder / "resume")
    done = int(checkpoint.name.partition("-")[2]) if checkpoint else 0
    recorder.restore(done)
    progress.start("training", total, "steps")
    if done:
        progress.log(f"going on after step {done} of {total}")
        progress.advance(done)
    try:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    except torch.OutOfMemoryError as error:
        raise TrainingError(
            f"out of memory with {config.micro_batch_size} examples a forward pass; lower micro_batch_size or "
            "max_length (the result stays the same with a smaller micro_batch_size)"
        ) from error
    best = None
    if judged:
        best = min(recorder.query_losses, key=lambda epoch: (recorder.query_losses[epoch], epoch))
    _save_model(folder, None if best is None else folder / "best", trainer.model, encoder.tokenizer, save_weights)
    last_epoch = [entry["loss"] for entry in recorder.history][-plan.steps_per_epoch :]
    return TrainingResult(
        steps=total,
        epochs=total / plan.steps_per_epoch,
        n_examples=len(rows),
        tokens=sum(len(row.input_ids) for row in rows),
        learned_tokens=sum(sum(row.labels_mask) for row in rows),
        trainable_parameters=sum(p.numel() for p in trainer.model.parameters() if p.requires_grad),
        loss=float(np.mean(last_epoch)),
        seconds=time.monotonic() - started,
        query_losses=tuple(recorder.query_losses[epoch] for epoch in sorted(recorder.query_losses)),
        best_epoch=best,
    )


def _save_model(folder: Path, best: Path | None, model: Any, tokenizer: Any, save_weights: Any) -> None:
    """Write ``model/``: the best epoch's weights where epochs were judged, else the last; plus a tokenizer."""
    part = folder / "model.part"
    shutil.rmtree(part, ignore_errors=True)
    if best is not None:
        shutil.copytree(best, part)
    else:
        save_weights(model, part)
    if not hasattr(model, "peft_config"):
        tokenizer.save_pretrained(part)
    shutil.rmtree(folder / "model", ignore_errors=True)
    part.rename(folder / "model")


def _trainer(
    model: ModelConfig,
    config: TrainingConfig,
    seed: int,
    rows: Sequence[Encoded],
    tokenizer: Any,
    folder: Path,
    total: int,
    plan: Any,
    recorder: Any,
) -> Any:
    from datasets import Dataset
    from transformers.trainer_callback import PrinterCallback
    from trl import SFTConfig

    from curation.trainer import AnswerTrainer

    network = models.load_causal_lm(model)
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
        save_total_limit=2,
        logging_steps=1,
        logging_nan_inf_filter=False,
        report_to="none",
        disable_tqdm=True,
    )
    arguments._n_gpu = min(arguments.n_gpu, 1)  # one device a job: the library would spread over every GPU it sees
    adapter = _adapter(config, network) if config.method == "lora" else None
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
    trainer.remove_callback(PrinterCallback)
    return trainer


def _adapter(config: TrainingConfig, network: Any) -> Any:
    from peft import LoraConfig

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
def _quiet(device: str) -> Iterator[None]:
    """Silence the libraries and, on a GPU, ask for reproducible kernels; both as before afterwards."""
    import torch
    from transformers.utils import logging

    verbosity, deterministic = logging.get_verbosity(), torch.are_deterministic_algorithms_enabled()
    logging.set_verbosity_error()
    if device == "cuda":
        torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # TRL's own use of names that transformers renames
            yield
    finally:
        logging.set_verbosity(verbosity)
        torch.use_deterministic_algorithms(deterministic)
