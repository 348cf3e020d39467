"""Stages composed into the loop: load → represent → select → tune → judge, each kept by its content key.

What `winnow`, the jobs and the pages call. Every function takes the workspace and a config, makes what is not there
yet, and returns a small record of what is. The same config gives the same keys, so nothing is computed twice and an
interrupted call goes on where it stopped. Fine-tuning and judging of arms is in `experiments`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from curation import subset_files
from curation.config import (
    BudgetConfig,
    DatasetConfig,
    ExperimentConfig,
    ModelConfig,
    RunConfig,
    SelectionConfig,
)
from curation.design import Inputs, further
from curation.errors import ConfigError, DataError, SelectionError
from curation.progress import Progress, Silent
from curation.representing import Represented, read_represented, represent, tokens
from curation.selecting import problem, select, selected
from curation.workspace import Workspace, content_key

if TYPE_CHECKING:
    import pandas as pd

    from curation.data.validation import Report
    from curation.selectors import Subset

__all__ = [
    "Represented",
    "load",
    "next_queries",
    "problem",
    "read_represented",
    "represent",
    "run",
    "select",
    "selected",
    "settle",
    "subset_table",
    "tokens",
]


# ------------------------------------------------------------------------------------------------------------ data


def load(
    ws: Workspace,
    config: DatasetConfig,
    role: str,
    *,
    project_id: str | None = None,
    name: str = "",
    progress: Progress | None = None,
) -> str:
    """Read, map and validate a data set into the workspace; return its key.

    The same bytes with the same mapping are read once. With `project_id` the data set becomes the project's active
    one in `role` ("pool", "query" or "test").

    Raises
    ------
    DataError
        If the file can't be read, its hash is not the one asked for, or no row is usable.
    """
    from curation.data import validation

    digest = source_hash(config)
    if config.sha256 and digest != config.sha256:
        raise DataError(
            f"{config.path} has SHA-256 {digest[:12]}…, the config expects {config.sha256[:12]}…; "
            "give the file that the config was made with, or empty its sha256"
        )
    settings = {k: v for k, v in config.to_dict().items() if k not in ("path", "sha256")}
    key = content_key("dataset", source=digest, settings=settings, version=validation.VERSION)

    def make(part: Path) -> None:
        report = validation.load(config, part, progress or Silent(), role=role)
        (part / "report.json").write_text(json.dumps(report.to_dict(), ensure_ascii=False))

    ws.produce("dataset", key, make, config.to_dict())
    if project_id is not None:
        pinned = dataclasses.replace(config, sha256=digest)
        report, title = report_of(ws, key), name or Path(config.path).name
        ws.add_dataset(project_id, role, title, key, report.accepted, report.rejected, pinned.to_dict())
    return key


def source_hash(config: DatasetConfig) -> str:
    """SHA-256 of a file's bytes; for a hub data set, of its id, subset, split and resolved revision."""
    from curation.data import readers

    if config.hub:
        revision = readers.hub_revision(config)
        return hashlib.sha256(json.dumps([config.path, config.subset, config.split, revision]).encode()).hexdigest()
    return readers.file_sha256(Path(config.path))


def report_of(ws: Workspace, dataset_key: str) -> Report:
    """Return what was read, accepted and rejected when the data set was loaded."""
    from curation.data.validation import Report

    folder = ws.artefact("dataset", dataset_key)
    return Report.from_dict(json.loads((folder / "report.json").read_text()))


# ------------------------------------------------------------------------------------------------------- selection


def subset_table(ws: Workspace, represented: Represented, config: SelectionConfig, subset: Subset) -> pd.DataFrame:
    """Return one line a pick in order: rank, id, similarity, query, reason, override, note."""
    import pandas as pd

    ids, query_ids = ws.ids(represented.record["pool"]), ws.ids(represented.record["queries"])
    picked = np.asarray(subset.indices)
    best = np.asarray(represented.similarity[:, picked])  # (n_queries, n_picked)
    nearest = best.argmax(axis=0) if picked.size else np.zeros(0, dtype=np.int64)
    asked = (subset.query >= 0) & (subset.query < len(query_ids))  # feedback makes queries of pinned rows too
    by = np.where(asked, subset.query, nearest)
    pinned = set(config.pinned)
    names = [ids[i] for i in picked]
    return pd.DataFrame(
        {
            "rank": np.arange(1, picked.size + 1),
            "id": names,
            "similarity": best[by, np.arange(picked.size)].astype(np.float64),
            "query_id": [query_ids[q] for q in by],
            "reason": list(subset.reasons),
            "override": ["pinned" if n in pinned else "" for n in names],
            "note": [str(config.notes.get(n, "")) for n in names],
        }
    )


# ------------------------------------------------------------------------------------------------------- whole runs


def run(
    ws: Workspace, config: RunConfig, progress: Progress | None = None, *, project_id: str | None = None
) -> dict[str, Any]:
    """Do everything that `config` asks for, reusing what is there.

    Returns
    -------
    dict
        ``pool``, ``queries``, ``tests`` (data set keys), ``representation`` (key), ``subset`` (table of picks as
        records), ``experiment`` (key or None), ``result`` (the experiment's result or None), ``quantiles`` (the
        quantile check or None).
    """
    from curation import quantiles
    from curation.experiments import experiment

    progress = progress or Silent()
    pool = load(ws, config.pool, "pool", project_id=project_id, progress=progress)
    queries = load(ws, config.queries, "query", project_id=project_id, progress=progress)
    tests = load(ws, config.tests, "test", project_id=project_id, progress=progress) if config.tests else None
    represented = represent(
        ws,
        pool,
        queries,
        config.representation,
        model=config.model,
        warmup=config.warmup,
        draw_map=project_id is not None,
        progress=progress,
    )
    subset = select(ws, represented, config.selection)
    made: dict[str, Any] = {
        "pool": pool,
        "queries": queries,
        "tests": tests,
        "representation": represented.key,
        "subset": subset_table(ws, represented, config.selection, subset),
        "experiment": None,
        "result": None,
        "quantiles": None,
    }
    if config.experiment is not None:
        if config.model is None:
            raise ConfigError("an experiment needs a base model; give `model` or leave `experiment` out")
        inputs = experiment_inputs(
            ws, represented, tuple(made["subset"]["id"]), config.model, tests, config.experiment, config.selection
        )
        made["experiment"], made["result"] = experiment(ws, inputs, config.experiment, progress)
        if config.experiment.quantiles is not None:
            _, made["quantiles"] = quantiles.check(ws, represented, config.model, tests, config.experiment, progress)
    return made


def next_queries(ws: Workspace, config: RunConfig, progress: Progress | None = None) -> tuple[str, int]:
    """Return the query set of the next round as JSON lines, and how many of its rows are new (see `curation.rounds`).

    Raises
    ------
    ConfigError
        If `config` has no experiment.
    EvaluationError
        If its experiment has no dev split, or does not tune the selection.
    """
    from curation import rounds

    if config.experiment is None or config.model is None:
        raise ConfigError("further queries come from a tuned model; give `model` and `experiment` with a dev_share")
    made = run(ws, config, progress)
    represented = read_represented(ws.artefact("representation", made["representation"]))
    ids = tuple(made["subset"]["id"])
    inputs = experiment_inputs(ws, represented, ids, config.model, made["tests"], config.experiment, config.selection)
    found = rounds.failures(ws, inputs, config.experiment, progress=progress)
    return rounds.to_jsonl(ws.examples(made["queries"]), found), len(found)


def settle(config: RunConfig) -> RunConfig:
    """Return the config with the hashes of its files in it, so that a replay on other files is refused."""
    pinned = {
        name: dataclasses.replace(data, sha256=data.sha256 or source_hash(data))
        for name in ("pool", "queries", "tests")
        if (data := getattr(config, name)) is not None
    }
    return dataclasses.replace(config, **pinned)


def experiment_inputs(
    ws: Workspace,
    represented: Represented,
    selected: tuple[str, ...],
    model: ModelConfig,
    tests: str | None,
    config: ExperimentConfig,
    selection: SelectionConfig,
) -> Inputs:
    """Return what an experiment on a selection compares on; every arm draws from rows that have features.

    Parameters
    ----------
    represented, selected, selection
        The selection under test: what it saw, the ids that it picked, and how; the latter picks at further sizes.
    model : ModelConfig
        The base model.
    tests : str or None
        Key of the test set.
    config : ExperimentConfig
        The design, whose further selections are made and whose files are read here.

    Raises
    ------
    DataError
        If a subset file can't be read, or names rows that the pool lacks.
    SelectionError
        If a further selection can't be made, or is of another pool.
    """
    pool, unusable = represented.record["pool"], represented.unusable
    candidates = tuple(i for i in ws.ids(pool) if i not in unusable)
    inputs = Inputs(model, pool, represented.record["queries"], tests, candidates, selected)
    others = _other_arms(ws, represented, selected, config, selection)
    off_task = _off_task(ws, represented, {*unusable, *selected}) if "off_task" in config.arms else ()
    return dataclasses.replace(inputs, others=others, off_task=off_task)


def _other_arms(
    ws: Workspace,
    represented: Represented,
    selected: tuple[str, ...],
    config: ExperimentConfig,
    selection: SelectionConfig,
) -> dict[str, tuple[str, ...]]:
    """Further selections and subset files, and all selections at the further sizes: arm → ids."""
    pool = represented.record["pool"]
    named = {"selected": (represented, selection)}
    named |= {name: _further(ws, represented, name, asked, selection) for name, asked in config.selections.items()}
    files = {name: subset_files.read(ws, Path(path), pool) for name, path in config.subsets.items()}
    own = {name: chosen.budget for name, (_, chosen) in named.items()}
    own |= {name: BudgetConfig(examples=len(ids)) for name, ids in files.items()}
    made = {}
    for arm, (name, budget) in further(config, selection.budget, len(selected), own).items():
        if name in files:
            made[arm] = files[name][: budget.examples]
        else:
            shown, chosen = named[name]
            made[arm] = _ids(ws, shown, dataclasses.replace(chosen, budget=budget))
    return made


def _further(
    ws: Workspace, represented: Represented, name: str, asked: dict[str, Any], selection: SelectionConfig
) -> tuple[Represented, SelectionConfig]:
    """A further selection: a saved one, or the one under test with other options."""
    if "saved" not in asked:
        return represented, SelectionConfig.from_dict({**selection.to_dict(), **asked}, where=f"selection {name!r}")
    from curation.comparison import open_artefact

    saved = open_artefact(ws, str(asked["saved"]), name)
    if saved.represented.record["pool"] != represented.record["pool"]:
        raise SelectionError(f"the saved selection {name!r} is of another pool than the one under test; leave it out")
    return saved.represented, saved.selection


def _ids(ws: Workspace, represented: Represented, config: SelectionConfig) -> tuple[str, ...]:
    ids = ws.ids(represented.record["pool"])
    return tuple(ids[i] for i in select(ws, represented, config).indices)


def _off_task(ws: Workspace, represented: Represented, out: set[str]) -> tuple[str, ...]:
    """The half of the rows not in `out` that is farther from the queries."""
    kept = [(place, i) for place, i in enumerate(ws.ids(represented.record["pool"])) if i not in out]
    if not kept:
        return ()
    nearest = np.asarray(represented.similarity).max(axis=0)[[place for place, _ in kept]]
    order = np.argsort(nearest, kind="stable")[: (len(kept) + 1) // 2]
    return tuple(kept[i][1] for i in np.sort(order))
