"""Experiments of a project as a page reads them: design, result, and the arms' answers side by side."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from curation import jobs
from curation.config import ExperimentConfig
from curation.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

    from curation.data.rows import Example
    from curation.tables import Experiment


RIGHT_OR_WRONG = ("exact_match", "numeric_match", "multiple_choice", "pass_at_k")  # the first that was judged counts


@dataclass(frozen=True, eq=False)
class ExperimentRecord:
    """An experiment of a project: its design, the job that makes it; its result and that one's key once there are."""

    experiment: Experiment
    config: ExperimentConfig
    result: dict[str, Any] | None
    key: str = ""

    @property
    def name(self) -> str:
        """Name given to it."""
        return self.experiment.name


def experiments(ws: Workspace, project_id: str) -> list[ExperimentRecord]:
    """Return a project's experiments, newest first."""
    found = []
    for row in ws.experiments(project_id):
        key = row.key or _result_of(ws, row.job_id)
        folder = ws.find("experiment", key) if key else None
        result = json.loads((folder / "result.json").read_text()) if folder else None
        found.append(ExperimentRecord(row, ExperimentConfig.from_dict(json.loads(row.config)), result, key))
    return found


def _result_of(ws: Workspace, job_id: str) -> str:
    """Key of the result that an experiment's job has made, or an empty text."""
    result: dict[str, Any] = json.loads(jobs.job(ws, job_id).result) if job_id else {}
    return str(result.get("experiment", ""))


def answers(ws: Workspace, record: ExperimentRecord, offset: int = 0, limit: int = 20) -> pd.DataFrame:
    """Return test prompts that judge, what was expected, and what each arm answered with its first seed.

    Returns
    -------
    DataFrame
        Columns ``prompt``, ``expected`` and, an arm each, its answer and ``<arm>: right`` (True, False or None).
    """
    import pandas as pd

    from curation.evaluation import Evaluation

    if record.result is None or not record.result["tests"]:
        return pd.DataFrame(columns=["prompt", "expected"])
    tests = record.result["tests"]
    left_out = set(record.result.get("left_out", ()))
    judged_rows = [place for place, row_id in enumerate(ws.ids(tests)) if row_id not in left_out]
    examples = ws.some(tests, judged_rows[offset : offset + limit])
    columns: dict[str, list[Any]] = {
        "prompt": ["\n".join(m.content for m in e.prompt if m.role == "user") for e in examples],
        "expected": [_expected(e) for e in examples],
    }
    for arm, keys in record.result["evaluations"].items():
        path = ws.artefact("evaluation", next(iter(keys.values()))) / "evaluation.json"
        judged = Evaluation.from_dict(json.loads(path.read_text()))
        given = dict(zip(judged.answer_ids, judged.answers, strict=True))
        metric = next((m for m in RIGHT_OR_WRONG if m in judged.ids), "")
        right = dict(zip(judged.ids.get(metric, ()), judged.per_example.get(metric, ()), strict=True))
        columns[arm] = [given.get(e.id, "") for e in examples]
        columns[f"{arm}: right"] = [right[e.id] == 1.0 if e.id in right else None for e in examples]
    return pd.DataFrame(columns)


def _expected(example: Example) -> str:
    references = example.field("references") or [example.answer]
    return str(example.field("answer") or references[0])
