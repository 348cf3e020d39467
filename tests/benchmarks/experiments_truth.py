"""The truth on real rows: what each representation's selection is worth to tiny-lm, and whether nearness predicts it.

Every arm is tuned and judged by the product's own code with the same options; each training and each judgement is kept
in the bench's workspace, so that a stopped run goes on where it stopped. A training that two tasks share (random picks,
the full pool) is done once.
"""

from __future__ import annotations

import dataclasses
import gzip
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median

import numpy as np

from curation import pipeline, quantiles
from curation.config import (
    BudgetConfig,
    EvaluationConfig,
    ExperimentConfig,
    ModelConfig,
    QuantileConfig,
    RepresentationConfig,
    SelectionConfig,
    TrainingConfig,
    WarmupConfig,
)
from curation.data.rows import Example
from curation.design import ZERO_SHOT, Inputs, arm_ids, arm_name
from curation.evaluation import METRICS, Evaluation, statistics
from curation.experiments import judge, tune
from curation.progress import Silent
from curation.representing import Represented
from tests.benchmarks.measure import SHARED, TINY, Bench, Figure

TASKS = ("gsm8k", "nat_inst_task835", "nat_inst_task1195", "humaneval", "bbh")
CHECKED = ("gsm8k", "nat_inst_task835")
METHODS = ("less", "embed", "rds", "lexical")
N_POOL, BUDGET = 8000, 500
SEEDS = {BUDGET: (0, 1, 2), 100: (0,), 2000: (0,)}
MODEL = ModelConfig(name=str(TINY), device="cpu", max_length=1024)
TRAINING = TrainingConfig(epochs=2.0, learning_rate=1e-3, batch_size=8, micro_batch_size=8)
LONG = dataclasses.replace(TRAINING, epochs=8.0)  # the smaller subset for as many steps as the larger one has
WARMUP = WarmupConfig(training=TrainingConfig(epochs=2.0, learning_rate=2e-4, lora_dropout=0.1, save_every_epoch=True))
LOSS = EvaluationConfig(metrics=("query_loss", "test_loss"))
MATCH = EvaluationConfig(metrics=("query_loss", "exact_match"), max_new_tokens=96)


@dataclass(frozen=True)
class Task:
    """One task's queries and tests on the common pool."""

    bench: Bench
    name: str
    pool: str

    @cached_property
    def inputs(self) -> Inputs:
        """What arms are compared on; nothing is selected yet."""
        ws, data = self.bench.ws, SHARED / "data"
        queries = self.bench.load(data / "queries" / f"{self.name}.jsonl", "query")
        file = data / "tests" / f"{self.name}.jsonl"
        if self.bench.quick:
            few = self.bench.cache / file.name
            few.write_text("\n".join(file.read_text("utf-8").split("\n")[:8]), "utf-8")
            file = few
        tests = self.bench.load(file, "test")
        return Inputs(MODEL, self.pool, queries, tests, tuple(ws.ids(self.pool)), ())

    @property
    def asked(self) -> EvaluationConfig:
        """What arms are judged by: bbh's tests hold a last sentence only, so that their loss says little."""
        return MATCH if self.name == "bbh" else LOSS

    def represented(self, method: str) -> Represented:
        """The pool and the queries as `method` sees them."""
        config = RepresentationConfig(name=method)
        return pipeline.represent(
            self.bench.ws, self.pool, self.inputs.queries, config, model=MODEL, warmup=WARMUP, draw_map=False
        )

    def ids(self, arm: str, size: int, seed: int) -> tuple[str, ...]:
        """The rows that an arm is tuned on."""
        if arm in METHODS:
            chosen = SelectionConfig(budget=BudgetConfig(examples=size))
            shown = self.represented(arm)
            return tuple(self.inputs.candidates[i] for i in pipeline.select(self.bench.ws, shown, chosen).indices)
        like = dataclasses.replace(self.inputs, selected=self.inputs.candidates[:size])
        return arm_ids(arm, like, seed)

    def judged(self, arm: str, size: int, seed: int, training: TrainingConfig = TRAINING) -> Evaluation:
        """Tune an arm with a seed, unless that was done, and judge it."""
        ws, told, title = self.bench.ws, Silent(), f"{self.name}, {arm} {size}, seed {seed}"
        print(title, file=sys.stderr, flush=True)
        ids = self.ids(arm, size, seed)
        made = tune(ws, self.inputs, ids, training, seed, title=title, progress=told) if ids else None
        return judge(ws, self.inputs, made, self.asked, title=title, progress=told)[1]

    def arms(self, methods: tuple[str, ...]) -> dict[str, list[Evaluation]]:
        """Judgements of zero-shot, random picks, the full pool and the selections, a list of seeds each."""
        full = len(self.inputs.candidates)
        found = {ZERO_SHOT: [self.judged(ZERO_SHOT, 0, 0)]}
        for arm in ("random", *methods):
            for size, seeds in _sizes(self.bench).items():
                found[arm_name(arm, size, 0)] = [self.judged(arm, size, seed) for seed in seeds]
        return found | {arm_name("full", full, 0): [self.judged("full", full, 0)]}


def truth(bench: Bench) -> tuple[list[Figure], list[str]]:
    """Every selection against random picks, the full pool and the base model, on five tasks."""
    tasks = list(_tasks(bench))
    if not bench.quick:
        for task in tasks:  # the most telling first: a run that is stopped leaves whole columns
            task.arms(METHODS[:1])
    words = [_setting(bench), "| task | arm | query loss | gain on zero-shot | test loss (bbh: exact match, %) "]
    words[-1] += "| gain on zero-shot | gain on random of its size |\n|---|---|---|---|---|---|---|"
    losses = {}
    for task in tasks:
        found = task.arms(METHODS[-1:] if bench.quick else METHODS)
        words[-1] += "\n" + "\n".join(_lines(task, found))
        losses[task.name] = {arm: statistics.summarise(judged) for arm, judged in found.items()}
    sizes, method = list(_sizes(bench)), METHODS[-1] if bench.quick else METHODS[0]
    made = "| task | rows | most are of | answers, characters | the queries' answers |\n|---|---|---|---:|---:|\n"
    made += "\n".join(_made_of(tasks, method, sizes))
    mine, large, most = (
        arm_name(*of, 0)
        for of in ((method, sizes[0]), ("random", sizes[-1]), ("full", len(tasks[0].inputs.candidates)))
    )
    wins = {other: sum(_beats(losses[t.name], t, mine, other) for t in tasks) for other in (large, most)}
    return [
        Figure(f"{mine} better than {large}", "tasks", wins[large], None, 4, "≥ 4 of 5"),
        Figure(f"{mine} as good as {most} or better", "tasks", wins[most], None, 3, "on most"),
    ], [*words, *_longer(tasks, method, sizes[0]), "What the picks are (medians of lengths):", made]


def check(bench: Bench) -> tuple[list[Figure], list[str]]:
    """Spearman's correlation of ten parts' places with query loss and test loss, for two representations."""
    size, bins = (4, 4) if bench.quick else (200, 10)
    lines = ["| task | representation | Spearman, query loss | Spearman, test loss |", "|---|---|---|---|"]
    figures = []
    config = ExperimentConfig(
        training=TRAINING, evaluation=LOSS, quantiles=QuantileConfig(bins=bins, examples=size, seeds=(0,))
    )
    for task in _tasks(bench, CHECKED):
        for method in METHODS[-1:] if bench.quick else METHODS[:2]:
            _, made = quantiles.check(bench.ws, task.represented(method), MODEL, task.inputs.tests, config)
            told = [made["spearman"][metric] for metric in LOSS.metrics]
            cells = [f"{one['mean']:.2f} [{one['low']:.2f}, {one['high']:.2f}]" for one in told]
            lines.append(f"| {task.name} | {method} | {' | '.join(cells)} |")
            figures.append(
                Figure(
                    f"quantile check, {task.name}, {method}, query loss", "Spearman", told[0]["mean"], None, 0, "> 0"
                )
            )
    return figures, [_setting(bench), f"{bins} parts, {size} examples of each, one seed.", "\n".join(lines)]


def _tasks(bench: Bench, names: tuple[str, ...] = TASKS) -> Iterator[Task]:
    pool = bench.load(_pool(bench), "pool")
    for name in names[:1] if bench.quick else names:
        yield Task(bench, name, pool)


def _pool(bench: Bench) -> Path:
    """A file of rows of the shared pool, drawn once and for all."""
    n = 40 if bench.quick else N_POOL
    path = bench.cache / f"pool-{n}.jsonl"
    if not path.is_file():
        with gzip.open(SHARED / "data" / "pool.jsonl.gz", "rt", encoding="utf-8", newline="\n") as file:
            rows = list(file)
        kept = np.sort(np.random.default_rng(0).choice(len(rows), n, replace=False))
        path.write_text("".join(rows[i] for i in kept), "utf-8", newline="\n")
    return path


def _sizes(bench: Bench) -> dict[int, tuple[int, ...]]:
    """Budget → seeds."""
    return {8: (0, 1), 12: (0,)} if bench.quick else SEEDS


def _setting(bench: Bench) -> str:
    n = 40 if bench.quick else N_POOL
    return (
        f"{n:,} rows of the shared pool, tiny-lm, LoRA of rank {TRAINING.lora_r}, {TRAINING.epochs:g} passes, batches "
        f"of {TRAINING.batch_size}, learning rate {TRAINING.learning_rate:g}, at most {MODEL.max_length:,} tokens a "
        f"row; LESS with {WARMUP.training.epochs:g} checkpoints on {WARMUP.share:.0%} of the pool; round robin. In "
        "brackets 95 % intervals: over seeds and examples where an arm has several seeds, else over examples alone."
    )


def _longer(tasks: list[Task], method: str, size: int) -> Iterator[str]:
    """Whether a larger set's gain is its rows or its steps: the smaller one, tuned for as many steps."""
    for task in tasks:
        if task.name in CHECKED:
            found = statistics.summarise([task.judged(method, size, 0, LONG)])
            told = ", ".join(f"{name.replace('_', ' ')} {_cell(name, one)}" for name, one in found.items())
            yield f"{task.name}, {method} {size:,} with {LONG.epochs:g} passes: {told}."


def _made_of(tasks: list[Task], method: str, sizes: list[int]) -> Iterator[str]:
    """What selections' picks are, a line of the table for each size, and the pool: says where a result comes from."""
    for task in tasks:
        queries = task.bench.ws.examples(task.inputs.queries)
        for n in sorted(sizes):
            picked = task.bench.ws.rows(task.pool, task.ids(method, n, 0))
            yield f"| {task.name} | {method} {n:,} | {_mix(picked)} | {_length(queries)} |"
    yield f"| all | the pool | {_mix(tasks[0].bench.ws.examples(tasks[0].pool))} | |"


def _mix(rows: list[Example]) -> str:
    sources = Counter(e.source or "unknown" for e in rows).most_common(3)
    return f"{', '.join(f'{source} {n:,}' for source, n in sources)} | {_length(rows)}"


def _length(rows: list[Example]) -> str:
    return f"{median(len(e.answer) for e in rows):g}"


def _beats(told: dict[str, dict[str, statistics.Interval]], task: Task, ours: str, other: str) -> bool:
    metric = task.asked.metrics[1]
    gain = told[ours][metric].mean - told[other][metric].mean
    return gain >= 0 if METRICS.load(metric).higher_is_better else gain <= 0


def _lines(task: Task, found: dict[str, list[Evaluation]]) -> Iterator[str]:
    """The task's arms, a line of the table each."""
    for arm, judged in found.items():
        told = statistics.summarise(judged)
        base = statistics.compare(judged, found[ZERO_SHOT])
        size = arm.partition("@")[2]
        like = found.get(f"random@{size}") if not arm.startswith("random") else None
        random = statistics.compare(judged, like) if like else None
        cells = [f"{arm.replace('@', ' ')}, {len(judged)} seed{'s' * (len(judged) > 1)}"]
        for metric in task.asked.metrics:
            cells += [_cell(metric, told[metric]), "" if arm == ZERO_SHOT else _gain(metric, base[metric])]
        cells.append(_gain(task.asked.metrics[1], random[task.asked.metrics[1]]) if random else "")
        yield f"| {task.name} | {' | '.join(cells)} |"


def _cell(metric: str, one: statistics.Interval, sign: float = 1.0) -> str:
    scale = sign * (100.0 if METRICS.load(metric).higher_is_better else 1.0)
    low, high = sorted((scale * one.low, scale * one.high))
    digits = 1 if abs(scale) == 100.0 else 3
    return f"{scale * one.mean:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def _gain(metric: str, one: statistics.Difference) -> str:
    """A difference turned so that more is better; told apart from nothing in bold."""
    told = _cell(metric, one, 1.0 if METRICS.load(metric).higher_is_better else -1.0)
    return f"**{told}**" if one.distinguishable else told
