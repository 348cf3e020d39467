"""How fast arms are tuned and judged, each beside the plain script that does the same, and that it is the same.

What stands against ours is written as the libraries' own manuals would have it: TRL's SFTTrainer with a LoraConfig, one
call of `generate` a prompt, one forward pass an example.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, TrainerCallback
from transformers.trainer_callback import PrinterCallback
from trl import SFTConfig, SFTTrainer

from curation import forecast, models, pipeline
from curation.config import EvaluationConfig, ModelConfig, TrainingConfig
from curation.data.chat import Encoded, Encoder
from curation.data.rows import Example, RowError
from curation.demo import project, recipe
from curation.demo.skills import TARGETS
from curation.evaluation.judge import Judge
from curation.experiments import experiment
from curation.progress import Silent
from curation.training import fine_tune
from curation.training.plan import BatchPlan
from curation.workspace import Workspace
from tests.benchmarks.measure import SHARED, TINY, Bench, Figure, seconds

MODEL = ModelConfig(name=str(TINY), device="cpu", max_length=512)
TRAINING = TrainingConfig(epochs=1.0, learning_rate=2e-4, batch_size=8, micro_batch_size=8, warmup_ratio=0.0)
MINUTES = 6
SPREAD = 0.3  # of the foretold time, as the app states it


class _Clock(Silent):
    """Notes when each step was done."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def advance(self, n: int = 1, **metrics: float) -> None:  # noqa: ARG002
        """Note."""
        self.times.append(time.perf_counter())


class _Stopwatch(TrainerCallback):  # type: ignore[misc]  # transformers is skipped by mypy
    """The same for a bare script."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Note."""
        self.times.append(time.perf_counter())


def training(bench: Bench) -> tuple[list[Figure], list[str]]:
    """Tokens a second of LoRA on real rows, from the end of the first step on; the same rows in the same batches."""
    n, repeats = (32, 1) if bench.quick else (480, 3)
    encoder = Encoder(models.load_tokenizer(MODEL), models.context_length(MODEL))
    examples, rows = [], []
    for example in bench.ws.some(bench.pool(), range(2 * n)):
        with contextlib.suppress(RowError):  # its answer is behind the longest length
            rows.append(encoder.encode(example))
            examples.append(example)
    examples, rows = examples[:n], rows[:n]
    lengths = [len(row.input_ids) for row in rows]
    plan = BatchPlan(lengths, batch_size=TRAINING.batch_size, micro_batch_size=TRAINING.batch_size, seed=0)
    order = [i for batch in plan.steps(0) for i in batch.tolist()]
    tokens = sum(plan.tokens(step) for step in range(1, plan.steps_per_epoch))
    folder = bench.cache / "training"
    losses: dict[str, list[float]] = {}
    best = dict.fromkeys(("ours", "bare"), float("inf"))
    for _ in range(repeats):
        for side in best:
            shutil.rmtree(folder, ignore_errors=True)
            if side == "ours":
                took, losses[side] = _ours(examples, folder)
            else:
                took, losses[side] = _bare([rows[i] for i in order], encoder.tokenizer, folder)
            best[side] = min(best[side], took)
    apart = max(abs(a - b) for a, b in zip(losses["ours"], losses["bare"], strict=True))
    words = [
        f"{n} rows of the shared pool, tiny-lm, LoRA of rank {TRAINING.lora_r} on every linear layer, batches of "
        f"{TRAINING.batch_size}, {plan.steps_per_epoch} steps, best of {repeats}; loading and saving are not counted."
    ]
    rates = {side: tokens / took for side, took in best.items()}
    return [
        Figure("training: most that a step's loss is off", "nats", apart, None, 1e-4, "≤ 1e-4", higher=False),
        Figure.times("training, tokens", "tokens/s", rates["ours"], rates["bare"], 0.97, "a bare TRL script"),
    ], words


def _ours(examples: Sequence[Example], folder: Path) -> tuple[float, list[float]]:
    clock = _Clock()
    fine_tune(MODEL, examples, TRAINING, folder, seed=0, progress=clock)
    lines = (folder / "log.jsonl").read_text().splitlines()
    return clock.times[-1] - clock.times[0], _losses(lines)


def _losses(lines: Sequence[str]) -> list[float]:
    return [point["loss"] for point in map(json.loads, lines) if "loss" in point]


def _bare(rows: Sequence[Encoded], tokenizer: Any, folder: Path) -> tuple[float, list[float]]:
    """SFTTrainer as its manual has it, on rows that are tokenised and stand in the order of their batches."""
    watch = _Stopwatch()
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(TINY, dtype=torch.float32),
        args=SFTConfig(
            output_dir=str(folder),
            seed=0,
            use_cpu=True,
            num_train_epochs=1,
            per_device_train_batch_size=TRAINING.batch_size,
            learning_rate=TRAINING.learning_rate,
            lr_scheduler_type=TRAINING.schedule,
            weight_decay=0.0,
            max_grad_norm=TRAINING.max_grad_norm,
            train_sampling_strategy="sequential",
            gradient_checkpointing=False,
            bf16=False,
            max_length=None,
            dataset_kwargs={"skip_prepare_dataset": True},
            save_strategy="no",
            logging_steps=1,
            report_to="none",
            disable_tqdm=True,
            log_level="error",
        ),
        train_dataset=Dataset.from_dict(
            {"input_ids": [row.input_ids for row in rows], "labels": [row.labels for row in rows]}
        ),
        processing_class=tokenizer,
        peft_config=LoraConfig(
            task_type="CAUSAL_LM",
            r=TRAINING.lora_r,
            lora_alpha=TRAINING.lora_alpha,
            lora_dropout=TRAINING.lora_dropout,
            target_modules="all-linear",
        ),
        callbacks=[watch],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    told = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return watch.times[-1] - watch.times[0], told


def generation(bench: Bench) -> tuple[list[Figure], list[str]]:
    """Greedy answers to gsm8k's test prompts in batches, against one call of `generate` a prompt."""
    n, new = (6, 8) if bench.quick else (64, 64)
    tests = bench.ws.examples(bench.load(SHARED / "data" / "tests" / "gsm8k.jsonl", "test"))[:n]
    config = EvaluationConfig(max_new_tokens=new, batch_size=32)
    found: dict[str, list[str]] = {}
    network = models.load_causal_lm(MODEL)
    encoder = Encoder(models.load_tokenizer(MODEL), models.context_length(MODEL))

    def batched() -> None:
        judge = Judge(MODEL, None, {"queries": [], "tests": tests}, config, Silent())
        found["ours"] = [str(answer) for answer in judge.answers("tests")]

    def single() -> None:
        found["plain"] = [_answer(network, encoder, example, new) for example in tests]

    took = seconds({"ours": batched, "plain": single}, 1 if bench.quick else 3)
    same = sum(a == b for a, b in zip(found["ours"], found["plain"], strict=True)) / n
    words = [
        f"{n} prompts, at most {new} new tokens, tiny-lm in float32, batches of {config.batch_size}. Ours loads the "
        "model each time, the plain script has it loaded."
    ]
    return [
        Figure("generation: answers that are the same one at a time", "share", same, None, 1.0, "all"),
        Figure.times("generation, prompts", "prompts/s", n / took["ours"], n / took["plain"], 5.0, "one at a time"),
    ], words


def _answer(network: Any, encoder: Encoder, example: Example, new: int) -> str:
    """One greedy answer, as transformers' manual has it."""
    prompt = torch.tensor([encoder.prompt(example)])
    with torch.inference_mode():
        out = network.generate(
            input_ids=prompt,
            attention_mask=torch.ones_like(prompt),
            do_sample=False,
            max_new_tokens=new,
            eos_token_id=sorted(encoder.stop_ids),
            pad_token_id=encoder.tokenizer.pad_token_id,
        )
    text: str = encoder.tokenizer.decode(out[0, prompt.shape[1] :], skip_special_tokens=True)
    return text


def losses(bench: Bench) -> tuple[list[Figure], list[str]]:
    """Query and test losses of four tasks, in batches, against one plain forward pass an example."""
    most, n_rows = 0.0, 0
    network = models.load_causal_lm(MODEL).eval()
    encoder = Encoder(models.load_tokenizer(MODEL), models.context_length(MODEL))
    tasks = ("gsm8k", "humaneval", "nat_inst_task835", "nat_inst_task1195")[: 1 if bench.quick else None]
    for task in tasks:
        rows = {"queries": bench.queries(task)}
        rows["tests"] = bench.ws.examples(bench.load(SHARED / "data" / "tests" / f"{task}.jsonl", "test"))
        rows = {role: found[: 8 if bench.quick else 200] for role, found in rows.items()}
        judge = Judge(MODEL, None, rows, EvaluationConfig(batch_size=32), Silent())
        for role in ("queries", "tests"):
            for example, ours in zip(rows[role], judge.losses(role), strict=True):  # type: ignore[arg-type]
                if ours is not None:
                    most, n_rows = max(most, abs(ours - _plain_loss(network, encoder.encode(example)))), n_rows + 1
    words = [f"{n_rows:,} rows of {', '.join(tasks)}, tiny-lm in float32, batches of 32 by length."]
    return [Figure("losses: most that one is off a plain one", "nats", most, None, 1e-5, "≤ 1e-5", higher=False)], words


def _plain_loss(network: Any, row: Encoded) -> float:
    """Mean cross entropy over one row's learned tokens, from the logits of all of it."""
    with torch.no_grad():
        logits = network(input_ids=torch.tensor([row.input_ids])).logits[0, :-1].float()
    return float(torch.nn.functional.cross_entropy(logits, torch.tensor(row.labels[1:]), ignore_index=-100))


def demo(bench: Bench) -> tuple[list[Figure], list[str]]:
    """Minutes of the demo's experiment on its first target: its arms and seeds, tuned and judged from nothing."""
    home = bench.cache / "demo"
    shutil.rmtree(home, ignore_errors=True)
    ws = Workspace(home / "workspace")
    target = next(iter(TARGETS))
    config = project.config(project.draw(ws, 0), target, 1 if bench.quick else project.SEEDS)
    shipped = home / "shipped"
    shipped.mkdir()
    (shipped / "representation").symlink_to(project.ASSETS / "demo" / "representation")
    ws.import_bundle(shipped)  # no result and no judgement: those are what is timed
    keys = [pipeline.load(ws, data, "") for data in (config.pool, config.queries, config.tests) if data is not None]
    made = (pipeline.read_represented(ws.artefact("representation", a.key)) for a in ws.artefacts("representation"))
    shown = next(one for one in made if [one.record["pool"], one.record["queries"]] == keys[:2])
    design = config.experiment
    assert design is not None
    if bench.quick:
        short = dataclasses.replace(recipe.TRAINING, max_steps=2)
        design = dataclasses.replace(design, training=short, full_training=short)
    ids = ws.ids(keys[0])
    picked = tuple(ids[i] for i in pipeline.select(ws, shown, config.selection).indices)
    inputs = pipeline.experiment_inputs(ws, shown, picked, recipe.MODEL, keys[2], design, config.selection)
    foretold = forecast.estimate(ws, inputs, design)
    began = time.perf_counter()
    _, result = experiment(ws, inputs, design)
    minutes = (time.perf_counter() - began) / 60
    told = ", ".join(
        f"{arm} {100 * row['metrics']['exact_match']['mean']:.1f} % ({row['seconds']:.0f} s)"
        for arm, row in result["arms"].items()
    )
    words = [
        f"Target {target}, {len(design.arms) - 1} tuned arms with {len(design.seeds)} seeds each, the untuned model, "
        f"{result['n_test']} tests. Exact match, and the time of each arm: {told}.",
        f"Foretold: {foretold.low / 60:.1f} to {foretold.high / 60:.1f} minutes, {foretold.memory / 1e9:.2f} GB of "
        f"memory, {foretold.disk / 1e6:.0f} MB of disk; taken: {minutes:.1f} minutes, "
        f"{max(row.get('memory', 0) for row in result['arms'].values()) / 1e9:.2f} GB, "
        f"{sum(row.get('disk', 0) for row in result['arms'].values()) / 1e6:.0f} MB.",
    ]
    off = abs(foretold.seconds / (60 * minutes) - 1)
    return [
        Figure("demo experiment", "minutes", minutes, None, MINUTES, f"≤ {MINUTES}", higher=False),
        Figure("its time as foretold", "share off", off, None, SPREAD, f"within its own {SPREAD:.0%}", higher=False),
    ], words
