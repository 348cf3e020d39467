"""Experiments of a project as a page reads them: design, and result once there is one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from curation import jobs
from curation.config import ExperimentConfig
from curation.workspace import Workspace

if TYPE_CHECKING:
    from curation.tables import Experiment


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
