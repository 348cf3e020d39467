"""The next round: what a tuned arm still gets wrong on the dev split becomes further queries for the next selection.

Only rows that were set aside are looked at, never rows that judge arms: a query taken from those would make the next
round look better than it is. Wrong is a value below 1 of the main metric, where that is a share; of a loss, the quarter
of the rows that have the highest.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from curation.config import ExperimentConfig, TrainingConfig
from curation.design import Inputs
from curation.errors import EvaluationError
from curation.experiments import arm_key, judge, measurable, trainings
from curation.findings import main_metric
from curation.held_out import hold_out
from curation.progress import Progress, Silent
from curation.wording import is_loss
from curation.workspace import Workspace

if TYPE_CHECKING:
    from curation.data.rows import Example


def failures(
    ws: Workspace, inputs: Inputs, config: ExperimentConfig, arm: str = "selected", progress: Progress | None = None
) -> list[Example]:
    """Return the rows of the dev split that an arm's first seed gets wrong, in the test set's order.

    Raises
    ------
    EvaluationError
        If there is no dev split, or the arm is not one of the experiment.
    WorkspaceError
        If the arm is not tuned yet.
    """
    progress = progress or Silent()
    inputs, _ = hold_out(ws, inputs, config, progress)
    if not inputs.dev or inputs.tests is None:
        raise EvaluationError(
            "further queries come from the dev split and there is none; set dev_share, to 0.3 say, and start again"
        )
    first = dataclasses.replace(config, seeds=config.seeds[:1])
    tuned = {name: arm_key(inputs, *rest) for name, rest in _tuned_on(ws, inputs, first).items()}
    if arm not in tuned:
        raise EvaluationError(f"the experiment has no tuned arm {arm!r}, expected one of: {', '.join(tuned) or 'none'}")
    dev = set(inputs.dev)
    only = dataclasses.replace(inputs, left_out=tuple(i for i in ws.ids(inputs.tests) if i not in dev))
    metric = main_metric({"metrics": measurable(config.evaluation, inputs.tests)})
    asked = dataclasses.replace(config.evaluation, metrics=(metric,))
    title = f"{arm}, dev split"
    _, judged = judge(ws, only, ws.artefact("arm", tuned[arm]), asked, title=title, progress=progress)
    values = dict(zip(judged.ids[metric], judged.per_example[metric], strict=True))
    wrong = {row for row, value in values.items() if value < 1.0}
    if is_loss(metric):
        wrong = set(sorted(values, key=lambda row: -values[row])[: (len(values) + 3) // 4])
    return ws.rows(inputs.tests, [i for i in inputs.dev if i in wrong])


def _tuned_on(
    ws: Workspace, inputs: Inputs, config: ExperimentConfig
) -> dict[str, tuple[tuple[str, ...], TrainingConfig, int]]:
    """Arm → ids, options and seed of its only training."""
    return {arm: (ids, training, seed) for arm, seed, ids, training in trainings(ws, inputs, config) if ids}


def queries_jsonl(queries: Sequence[Example], proposed: Sequence[Example]) -> str:
    """Return the present queries and those proposed as JSON lines; `source` says which of the latter are new."""
    lines = []
    for example, source in [*((e, e.source) for e in queries), *((e, "dev split, answered wrong") for e in proposed)]:
        messages = [{"role": m.role, "content": m.content} for m in example.messages]
        row = {"messages": messages, "group": example.group, "source": source, "licence": example.licence}
        lines.append(json.dumps({**json.loads(example.extra), **row}, ensure_ascii=False) + "\n")
    return "".join(lines)
