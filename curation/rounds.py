"""The next round: what a tuned arm still gets wrong on the dev split becomes further queries for the next selection.

Only rows that were set aside are looked at, never rows that judge arms: a query taken from those would make the next
round look better than it is. Wrong is a value below 1 of the main metric of test rows, where that is a share; of a
loss, the quarter of the rows that have the highest.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curation import query_sets, results
from curation.config import ExperimentConfig
from curation.data.rows import Example
from curation.design import Inputs, untuned
from curation.errors import DataError, EvaluationError
from curation.evaluation import METRICS
from curation.experiments import experiment, judge, measurable, trainings, tune
from curation.findings import main_metric
from curation.held_out import hold_out
from curation.orders import Orders, training_name
from curation.progress import Progress, Silent
from curation.results import ExperimentRecord
from curation.wording import is_loss
from curation.workspace import Workspace, content_key

VERSION = 2  # of what a proposal holds
WRONG = "dev split, answered wrong"  # the source of a query that was proposed
_ROUND = ", round "  # in the name of a query set, before its number


@dataclass(frozen=True)
class Failure:
    """A row of the dev split that an arm got wrong: what it answered (empty where a loss judged), and its value."""

    row: Example
    answer: str
    value: float


@dataclass(frozen=True)
class Proposal:
    """What an arm got wrong on the dev split of `n_dev` rows, by `metric`; `key` is the artefact's."""

    key: str
    arm: str
    metric: str
    n_dev: int
    queries: str
    failures: tuple[Failure, ...]


def failures(
    ws: Workspace,
    inputs: Inputs,
    config: ExperimentConfig,
    arm: str = "selected",
    progress: Progress | None = None,
    orders: Orders | None = None,
) -> list[Failure]:
    """Return what of the dev split an arm's first seed gets wrong by `dev_metric`, in the test set's order.

    `orders` are those that the experiment obeyed. A seed with which training diverged is passed over.

    Raises
    ------
    EvaluationError
        If there is no dev split, or the arm is not one of the experiment.
    """
    progress = progress or Silent()
    inputs, _ = hold_out(ws, inputs, config, progress)
    if not inputs.dev or inputs.tests is None:
        raise EvaluationError(
            "further queries come from the dev split and there is none; set dev_share, to 0.3 say, and start again"
        )
    _, result = experiment(ws, inputs, config, progress, orders)
    tuned = {name: seeds for name, seeds in result["evaluations"].items() if name not in untuned(config)}
    if arm not in tuned:
        raise EvaluationError(f"the experiment has no tuned arm {arm!r}, expected one of: {', '.join(tuned) or 'none'}")
    told = trainings(ws, inputs, config)
    seed, ids, training = next((s, rows, how) for name, s, rows, how in told if name == arm and str(s) in tuned[arm])
    dev = set(inputs.dev)
    only = dataclasses.replace(inputs, left_out=tuple(i for i in ws.ids(inputs.tests) if i not in dev))
    metric = dev_metric(measurable(config.evaluation, inputs.tests))
    asked = dataclasses.replace(config.evaluation, metrics=(metric,))
    title = training_name(arm, seed)
    made = tune(ws, inputs, ids, training, seed, title=title, progress=progress, orders=orders)
    _, judged = judge(ws, only, made, asked, title=f"{arm}, dev split", progress=progress)
    values = dict(zip(judged.ids[metric], judged.per_example[metric], strict=True))
    wrong = {row for row, value in values.items() if value < 1.0}
    if is_loss(metric):
        wrong = set(sorted(values, key=lambda row: -values[row])[: (len(values) + 3) // 4])
    answers = dict(zip(judged.answer_ids, judged.answers, strict=True)) if not is_loss(metric) else {}
    rows = ws.rows(inputs.tests, [i for i in inputs.dev if i in wrong])
    return [Failure(row, answers.get(row.id, ""), values[row.id]) for row in rows]


def dev_metric(metrics: Sequence[str]) -> str:
    """Return the metric that says which rows of the dev split are wrong: the main one of those that judge test rows."""
    return main_metric({"metrics": [m for m in metrics if METRICS.load(m).role == "tests"] or ["test_loss"]})


def to_jsonl(queries: Sequence[Example], proposed: Sequence[Failure]) -> str:
    """Return the present queries and those proposed as JSON lines; `source` says which of the latter are new."""
    return query_sets.to_jsonl([*queries, *(_as_query(failure.row) for failure in proposed)])


def _as_query(row: Example) -> Example:
    return dataclasses.replace(row, source=WRONG)


# ------------------------------------------------------------------------------------------------------ on the page


def propose(
    ws: Workspace,
    inputs: Inputs,
    config: ExperimentConfig,
    arm: str,
    progress: Progress | None = None,
    orders: Orders | None = None,
) -> str:
    """Keep what an arm of an experiment got wrong on the dev split as an artefact, and return its key.

    Raises
    ------
    EvaluationError
        As `failures`.
    """
    made, result = experiment(ws, inputs, config, progress, orders)
    key = _proposal_key(made, arm)

    def make(part: Path) -> None:
        told = {
            "arm": arm,
            "metric": dev_metric(result["metrics"]),
            "n_dev": result["n_dev"],
            "queries": result["queries"],
            "tests": result["tests"],
            "failures": [[f.row.id, f.answer, f.value] for f in failures(ws, inputs, config, arm, progress, orders)],
        }
        (part / "proposal.json").write_text(json.dumps(told, ensure_ascii=False))

    ws.produce("proposal", key, make, {"experiment": made, "arm": arm})
    return key


def proposal(ws: Workspace, experiment_key: str, arm: str) -> Proposal | None:
    """Return what an arm of an experiment got wrong on the dev split; None if it was not looked for yet."""
    for version in (VERSION, 1):
        key = _proposal_key(experiment_key, arm, version)
        folder = ws.find("proposal", key)
        told = json.loads((folder / "proposal.json").read_text()) if folder else None
        if told and METRICS.load(told["metric"]).role == "tests":  # else version 1 looked at the wrong rows or values
            break
    else:
        return None
    rows = ws.rows(told["tests"], [row for row, _, _ in told["failures"]])
    found = [Failure(row, answer, value) for row, (_, answer, value) in zip(rows, told["failures"], strict=True)]
    return Proposal(key, arm, told["metric"], told["n_dev"], told["queries"], tuple(found))


def _proposal_key(experiment_key: str, arm: str, version: int = VERSION) -> str:
    return content_key("proposal", version=version, experiment=experiment_key, arm=arm)


def begin(ws: Workspace, project_id: str, proposed: Proposal, ids: Collection[str]) -> str:
    """Give the project the next round's query set: that of the proposal's experiment, and the failures in `ids`.

    Returns
    -------
    str
        The new query set's key; it is linked to the one before, which is kept.

    Raises
    ------
    DataError
        If none is taken, or all of them are in the query set already.
    """
    rows = ws.examples(proposed.queries)
    known = {row.id for row in rows}
    taken = [_as_query(f.row) for f in proposed.failures if f.row.id in ids and f.row.id not in known]
    if not taken:
        raise DataError("no further query was taken, expected at least one that is not in the query set; tick some")
    number = len(_lineage(ws, project_id, proposed.queries)) + 1
    names = {d.key: d.name for d in ws.datasets(project_id) if d.role == "query"}
    base = names.get(proposed.queries, "queries").partition(_ROUND)[0]
    made = query_sets.store(ws, project_id, [*rows, *taken], f"{base}{_ROUND}{number}")
    link = {"project": project_id, "queries": made, "parent": proposed.queries, "proposal": proposed.key}

    def make(part: Path) -> None:
        (part / "round.json").write_text(json.dumps(link | {"added": [row.id for row in taken]}))

    ws.produce("round", content_key("round", **link), make, link | {"n_added": len(taken)})
    return made


@dataclass(frozen=True, eq=False)
class Round:
    """One round: its query set, how many of its queries are new, and its newest finished experiment.

    `comparable` is False where another test set, or other rows of it, judged than in the first round that was judged.
    """

    number: int
    queries: str
    n_queries: int
    n_added: int
    record: ExperimentRecord | None
    comparable: bool


def rounds(ws: Workspace, project_id: str) -> list[Round]:
    """Return the rounds that led to the project's present query set, the first one first; none without queries."""
    present = ws.dataset(project_id, "query")
    if present is None:
        return []
    finished = [r for r in results.experiments(ws, project_id) if r.result]
    told: list[Round] = []
    first: tuple[Any, Any] | None = None
    for number, (queries, n_added) in enumerate(_lineage(ws, project_id, present.key), 1):
        record = next((r for r in finished if r.result and r.result["queries"] == queries), None)
        judged = _judged_by(record.result) if record and record.result else None
        first = first or judged
        told.append(Round(number, queries, ws.count(queries), n_added, record, judged is not None and judged == first))
    return told


def shared_metric(told: Sequence[Round]) -> str | None:
    """Return the main one of the metrics that judged every comparable round alike; None where they share none.

    The loss on the queries is none of them: each round has other queries.
    """
    judged = [r.record.result["metrics"] for r in told if r.comparable and r.record and r.record.result]
    alike = [m for m in judged[0] if METRICS.load(m).role != "queries"] if judged else []
    shared = [m for m in alike if all(m in metrics for metrics in judged)]
    return main_metric({"metrics": shared}) if shared else None


def _judged_by(result: dict[str, Any]) -> tuple[Any, Any]:
    return result["tests"], tuple(result.get("left_out", ()))


def _lineage(ws: Workspace, project_id: str, queries: str) -> list[tuple[str, int]]:
    """Query sets from the first round to `queries`, each with how many rows it added."""
    links = {}
    for artefact in ws.artefacts("round"):
        link = json.loads(artefact.config)
        if link["project"] == project_id:
            links[link["queries"]] = link

    def back(key: str) -> Iterator[tuple[str, int]]:
        while (link := links.pop(key, None)) is not None:
            yield key, link["n_added"]
            key = link["parent"]
        yield key, 0

    return list(back(queries))[::-1]
