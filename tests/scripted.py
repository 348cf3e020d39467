"""Training and judging by script, so that what surrounds them can be tested without a model's time."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from curation import evaluation
from curation.config import (
    BudgetConfig,
    DatasetConfig,
    EvaluationConfig,
    ExperimentConfig,
    ModelConfig,
    RepresentationConfig,
    RunConfig,
    SelectionConfig,
    TrainingConfig,
)
from curation.data.rows import Example
from curation.evaluation import Evaluation
from curation.training import DivergedError, TrainingResult


@dataclass
class Script:
    """A model that knows what it read: the larger the share of `word` in its rows, the better it does.

    Attributes
    ----------
    diverging : set of (int, int)
        Seed and number of rows with which training diverges.
    keeps : int
        Steps after which a diverging training's weights were good last; 0 keeps none.
    numberless : set of (int, int)
        Seed and number of rows after which a model's test losses are no numbers; (0, 0) is the untuned model.
    silent : set of int
        Numbers of rows after which a model writes nothing.
    dies_at : int
        Number of the training that is killed; 0 is none.
    tuned : list of (int, tuple of id)
        Seed and rows of each training, in order.
    queries : list of list of id
        What epochs were judged on.
    at_step : callable
        Called after the first step of each training with its number.
    knows : dict of str to float
        Model → share that it knows untuned.
    judged : list of (str, tuple of str)
        Model and metrics of each judgement, in order.
    """

    word: str = "add"
    diverging: set[tuple[int, int]] = field(default_factory=set)
    keeps: int = 0
    numberless: set[tuple[int, int]] = field(default_factory=set)
    silent: set[int] = field(default_factory=set)
    dies_at: int = 0
    tuned: list[tuple[int, tuple[str, ...]]] = field(default_factory=list)
    queries: list[list[str]] = field(default_factory=list)
    configs: list[TrainingConfig] = field(default_factory=list)
    at_step: Callable[[int], object] = lambda _training: None
    knows: dict[str, float] = field(default_factory=dict)
    judged: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)

    def fine_tune(
        self,
        _model: ModelConfig,
        rows: Sequence[Example],
        config: TrainingConfig,
        folder: Path,
        *,
        seed: int,
        queries: Sequence[Example] = (),
        progress: Any = None,
        stop: Callable[[], bool] = lambda: False,
        trackers: Sequence[str] = (),  # noqa: ARG002
        name: str = "",  # noqa: ARG002
    ) -> TrainingResult:
        """Write what a training writes; stopped, after the first of its two steps."""
        self.tuned.append((seed, tuple(e.id for e in rows)))
        self.queries.append([e.id for e in queries])
        self.configs.append(config)
        if len(self.tuned) == self.dies_at:
            raise KeyboardInterrupt
        progress.start("training", 2, "steps")
        diverged = DivergedError("training diverged at step 3 of 6: loss nan; lower the learning rate")
        if (diverges := (seed, len(rows)) in self.diverging) and not self.keeps:
            raise diverged
        share = sum(self.word in e.text for e in rows) / len(rows)
        self.at_step(len(self.tuned))
        progress.advance(1, loss=2.0)
        steps = 1 if stop() else 2
        for part in ("model", "tensorboard"):
            (folder / part).mkdir(exist_ok=True)
        (folder / "model" / "learned.json").write_text(json.dumps({"share": share, "n": len(rows), "seed": seed}))
        points = [{"step": s, "loss": 2.0 / s, "tokens": 7 * len(rows)} for s in range(1, steps + 1)]
        (folder / "log.jsonl").write_text("".join(json.dumps(p) + "\n" for p in points))
        result = TrainingResult(steps, steps, len(rows), 7 * len(rows), len(rows), 10, 1.0, 3.0, (0.5,) * steps, 0.9)
        if diverges:
            diverged.kept = dataclasses.replace(result, steps=self.keeps, stopped_of=6)
            raise diverged
        if steps == 1:
            return dataclasses.replace(result, stopped_of=2)
        (folder / "result.json").write_text(json.dumps(result.to_dict()))
        return result

    def evaluate(
        self,
        model: ModelConfig,
        adapter: Path | None,
        queries: Sequence[Example],
        tests: Sequence[Example],
        config: EvaluationConfig,
        progress: Any = None,  # noqa: ARG002
    ) -> Evaluation:
        """Score by what was learned: row i of n is right where the share exceeds i / n."""
        self.judged.append((model.name, config.metrics))
        learned = {"share": self.knows.get(model.name, 0.0), "n": 0, "seed": 0}
        learned = json.loads((adapter / "learned.json").read_text()) if adapter else learned
        rows = {"queries": list(queries), "tests": list(tests)}
        per_example: dict[str, list[float]] = {}
        ids: dict[str, list[str]] = {}
        for name in config.metrics:
            metric = evaluation.METRICS.load(name)
            of = rows[metric.role]
            places = [(i + 0.5) / len(of) for i in range(len(of))]
            share = learned["share"] + 0.01 * learned["seed"]
            per_example[name] = [float(p < share) if metric.higher_is_better else 2 + p / 9 - share for p in places]
            ids[name] = [e.id for e in of]
            if name == "test_loss" and (learned["seed"], learned["n"]) in self.numberless:
                per_example[name][3] = float("nan")
        answers = ["" if learned["n"] in self.silent else "words" for _ in tests]
        means = {name: sum(values) / len(values) for name, values in per_example.items()}
        return Evaluation(per_example, ids, means, answers, [e.id for e in tests], seconds=2.0)


KINDS = ("add the numbers {0} and {1}", "spell the word number {0}", "name a colour like {0}", "count to {0}")


def write(path: Path, lines: list[dict[str, Any]]) -> DatasetConfig:
    """Write rows as JSON lines."""
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return DatasetConfig(path=str(path))


def make_run(folder: Path, model: Path, *, spread: bool = False) -> RunConfig:
    """Return a run on 40 rows of four kinds, of which the query asks for the first; budget 8, 20 tests.

    With `spread` rows are of many lengths, so that a budget in tokens holds other numbers of them.
    """
    words = [" and" * (i % 7 * 3 if spread else 0) for i in range(40)]
    pool = [
        {"prompt": KINDS[i % 4].format(i, i + 1) + words[i], "response": f"answer {i}", "id": f"p{i}"}
        for i in range(40)
    ]
    tests = [{"prompt": f"add the numbers {i} and {i + 7}", "response": str(2 * i + 7)} for i in range(500, 520)]
    return RunConfig(
        pool=write(folder / "pool.jsonl", pool),
        queries=write(folder / "queries.jsonl", [{"prompt": "add the numbers 900 and 901", "response": "1801"}]),
        tests=write(folder / "tests.jsonl", tests),
        model=ModelConfig(name=str(model), max_length=64, device="cpu"),
        representation=RepresentationConfig(name="lexical"),
        selection=SelectionConfig(budget=BudgetConfig(examples=8)),
        experiment=ExperimentConfig(
            arms=("zero_shot", "random", "selected"),
            seeds=(0, 1, 2),
            evaluation=EvaluationConfig(metrics=("query_loss", "test_loss", "exact_match")),
        ),
    )


def design(run: RunConfig, **changes: Any) -> RunConfig:
    """Return the run with another experiment."""
    assert run.experiment is not None
    return dataclasses.replace(run, experiment=dataclasses.replace(run.experiment, **changes))
