"""Any task of EleutherAI's lm-evaluation-harness as a metric (extra `harness`): by name, or a YAML file of one's own.

The harness brings its own rows, prompts and measures; the tuned model is judged in it as it is in memory, and each
row's value is kept, so that arms are compared row by row as by any other metric. Of a task with several measures or
filters the first counts, unless one is named. Only measures with a value between 0 and 1 for each row can be paired, so
those that exist for a whole corpus alone (BLEU, perplexity) are refused.

The rows of hub tasks are downloaded by the harness. A YAML file may run Python that lies beside it: name only files
that you trust. Left out: several tasks weighed other than by their rows, and few-shot numbers other than a task's own.
"""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from curation.config import Options, option
from curation.errors import EvaluationError
from curation.evaluation.base import Metric, Role

if TYPE_CHECKING:
    from curation.evaluation.judge import Judge

_FILES = (".yaml", ".yml")


@dataclass(frozen=True, kw_only=True)
class HarnessConfig(Options):
    """Which tasks of the harness, and how they are run."""

    tasks: tuple[str, ...] = option((), "Tasks by their name in the harness, or paths of YAML files.")
    measure: str = option("", "Which of a task's measures, such as acc_norm; empty means its first.")
    limit: int = option(0, "Most rows of each task; 0 means all.", low=0)
    chat_template: bool = option(False, "Write prompts in the model's chat form, not as plain text.")


class Harness(Metric):
    """Mean over the rows of lm-evaluation-harness tasks; higher is better."""

    Config = HarnessConfig
    role: ClassVar[Role] = "tasks"
    higher_is_better = True
    lowest, highest = 0.0, 1.0

    def prepare(self) -> None:
        """Raise EvaluationError if the harness is not installed, no task is named, or a task's file is missing."""
        if importlib.util.find_spec("lm_eval") is None:
            raise EvaluationError(
                "harness tasks need the extra `harness`, which is not installed; run: pip install "
                "'winnow-curation[harness]', or leave the metric out"
            )
        if not self.config.tasks:
            raise EvaluationError(
                "the metric harness names no task; give `tasks`, such as arc_easy or the path of a YAML file, or leave "
                "the metric out"
            )
        for task in self._files():
            if not Path(task).is_file():
                raise EvaluationError(f"the harness task {task} is no file; correct its path, or give a task's name")

    def fingerprint(self) -> str:
        """Hash of the YAML files that are named, whose text decides what is measured."""
        if not (files := self._files()):
            return ""
        digest = hashlib.sha256()
        for task in files:
            digest.update(Path(task).read_bytes() if Path(task).is_file() else b"")
        return digest.hexdigest()[:32]

    def measure(self, judge: Judge) -> list[float | None]:
        """Return each row's value, task after task."""
        return [value for _, value in self.measured(judge)]

    def measured(self, judge: Judge) -> list[tuple[str, float]]:
        """Return ``task:row`` and the value of every row of every task."""
        judge.progress.start("harness tasks", 0, "rows")
        samples = self._run(judge)
        found = []
        for task in sorted(samples):
            first = samples[task][0]
            name = self.config.measure or first["metrics"][0]
            kept = [row for row in samples[task] if row["filter"] == first["filter"]]
            for row in sorted(kept, key=lambda row: row["doc_id"]):
                found.append((f"{task}:{row['doc_id']}", _value(row, name, task)))
        return found

    def _files(self) -> list[str]:
        return [task for task in self.config.tasks if task.endswith(_FILES)]

    def _run(self, judge: Judge) -> dict[str, list[dict[str, Any]]]:
        """Return the rows of each task as the harness logs them."""
        from lm_eval.evaluator import simple_evaluate
        from lm_eval.models.huggingface import HFLM
        from lm_eval.tasks import TaskManager

        own = len(self._files()) == len(self.config.tasks)
        try:
            told = simple_evaluate(
                HFLM(pretrained=judge.model, tokenizer=judge.tokenizer, batch_size=judge.config.batch_size),
                tasks=list(self.config.tasks),
                task_manager=TaskManager(include_defaults=not own),  # reading its thousands of files takes a while
                limit=self.config.limit or None,
                apply_chat_template=self.config.chat_template,
                bootstrap_iters=0,
                log_samples=True,
            )
        except Exception as error:  # the harness raises whatever a task's code or its data set's loader does
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            raise EvaluationError(
                f"the harness can't run {', '.join(self.config.tasks)} ({reason}); check the task's name, and that its "
                "rows can be downloaded or are on this machine"
            ) from error
        samples: dict[str, list[dict[str, Any]]] = {k: v for k, v in (told or {}).get("samples", {}).items() if v}
        if not samples:
            raise EvaluationError(f"the harness has no row for {', '.join(self.config.tasks)}; check the task's split")
        return samples


def _value(row: dict[str, Any], name: str, task: str) -> float:
    if name not in row["metrics"]:
        raise EvaluationError(f"the harness task {task} has no measure {name!r}; it has: {', '.join(row['metrics'])}")
    try:
        value = float(row[name])
    except (TypeError, ValueError):
        value = -1.0
    if not 0.0 <= value <= 1.0:
        raise EvaluationError(
            f"the harness task {task} has no value between 0 and 1 for each row in {name} (got {str(row[name])[:40]}), "
            "so arms can't be compared row by row; name another measure of it"
        )
    return value
