"""What jobs do: one function a kind of job, and `start`, by which the pages and the command line queue them.

A job's config holds keys and options only, all settled when it is started, so that a resume a day later does the same
work whatever the project's settings say by then.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from curation import arms, comparison, external, jobs, pipeline, scoring, workbench
from curation.config import (
    DatasetConfig,
    ExperimentConfig,
    ModelConfig,
    RepresentationConfig,
    RunConfig,
    SelectionConfig,
    WarmupConfig,
)
from curation.design import Inputs
from curation.errors import ConfigError, EvaluationError, JobError, WorkspaceError
from curation.progress import Progress
from curation.workspace import Workspace

if TYPE_CHECKING:
    from curation.tables import Job

ROLES = {"pool": "pool", "query": "query set", "test": "test set"}


def start(ws: Workspace, project_id: str, kind: str, config: dict[str, Any], title: str = "") -> str:
    """Queue a job for a project and return its id; what can be refused is refused here, before anything waits.

    Parameters
    ----------
    kind : str
        ``load``: `config` has ``data`` (DatasetConfig), ``role`` and ``name``. ``check``: ``role``, whose active data
        set is tagged. ``represent``: ``representation``, and optionally ``model`` and ``warmup``, which else come from
        the project's settings. ``estimate``: as ``represent``, whose cost it foretells. ``experiment``:
        ``experiment`` (ExperimentConfig), optionally ``selection`` (SelectionConfig, or ``{"saved": key}``) and
        ``name``. ``forecast``: as ``experiment``, whose cost it foretells. ``quantiles``: ``experiment``, for the
        representation that is shown. ``score``: ``scorer``, by which the pool's rows are scored. ``proposal``: ``of``,
        an experiment's job, and ``arm``, whose failures on the dev split are looked for. ``merge``: ``arm`` (key of a
        tuned model) and ``model``, its base. ``judge``:
        ``experiment`` (key of a finished one), ``first`` and ``second`` (runs), ``judge`` (JudgeConfig) and optionally
        ``limit``.

    Raises
    ------
    JobError
        If the kind is unknown.
    CurationError
        If the config is not valid, or the project lacks what the job needs.
    """
    if kind not in _SETTLED:
        raise JobError(f"unknown kind of job {kind!r}; expected one of: {', '.join(_SETTLED)}")
    settled = _SETTLED[kind](ws, project_id, config)
    job_id = jobs.submit(ws, kind, settled, project_id, title or kind)
    if kind == "experiment":
        name = str(config.get("name") or title or f"Experiment {len(ws.experiments(project_id)) + 1}")
        ws.add_experiment(project_id, name, job_id=job_id, config=settled["experiment"])
    return job_id


def newest(ws: Workspace, project_id: str, kind: str, config: dict[str, Any]) -> Job | None:
    """Return the newest of a project's jobs that does exactly what `start` would start now, or None."""
    if kind not in _SETTLED:
        raise JobError(f"unknown kind of job {kind!r}; expected one of: {', '.join(_SETTLED)}")
    settled = _SETTLED[kind](ws, project_id, config)
    same = [job for job in jobs.jobs(ws, project_id) if job.kind == kind and json.loads(job.config) == settled]
    return max(same, key=lambda job: job.created, default=None)


# ------------------------------------------------------------------------------------------- settled before starting


def _settle_load(_: Workspace, project_id: str, config: dict[str, Any]) -> dict[str, Any]:
    role = config.get("role")
    if role not in ROLES:
        raise ConfigError(f"a data set is loaded as {role!r}, expected one of: {', '.join(ROLES)}")
    data = DatasetConfig.from_dict(config["data"])
    return {"project": project_id, "data": data.to_dict(), "role": role, "name": config.get("name", "")}


def _settle_check(ws: Workspace, project_id: str, config: dict[str, Any]) -> dict[str, Any]:
    role = config.get("role")
    if role not in ROLES:
        raise ConfigError(f"a data set is checked as {role!r}, expected one of: {', '.join(ROLES)}")
    others = {name: ws.dataset(project_id, r) for r, name in (("query", "queries"), ("test", "tests")) if r != role}
    return {
        "dataset": _active(ws, project_id, role)[role],
        "against": {name: row.key for name, row in others.items() if row is not None},
    }


def _settle_represent(ws: Workspace, project_id: str, config: dict[str, Any]) -> dict[str, Any]:
    chosen = workbench.settings(ws, project_id)
    model = config.get("model") or (chosen.model.to_dict() if chosen.model else None)
    return {
        "project": project_id,
        **_active(ws, project_id, "pool", "query"),
        "representation": RepresentationConfig.from_dict(config["representation"]).to_dict(),
        "model": ModelConfig.from_dict(model).to_dict() if model else None,
        "warmup": WarmupConfig.from_dict(config.get("warmup") or chosen.warmup.to_dict()).to_dict(),
    }


def _settle_score(ws: Workspace, project_id: str, config: dict[str, Any]) -> dict[str, Any]:
    chosen = workbench.settings(ws, project_id)
    if chosen.model is None:
        raise ConfigError("scores are found with a base model; choose one on the Represent page")
    return {**_active(ws, project_id, "pool"), "scorer": config["scorer"], "model": chosen.model.to_dict()}


def _settle_experiment(ws: Workspace, project_id: str, config: dict[str, Any]) -> dict[str, Any]:
    chosen = workbench.settings(ws, project_id)
    if chosen.model is None:
        raise ConfigError("an experiment needs a base model; choose one on the Represent page")
    selection = config.get("selection") or chosen.selection.to_dict()
    if "saved" in selection:
        key = str(selection["saved"])
    else:
        view = workbench.view(ws, project_id, selection=SelectionConfig.from_dict(selection))
        key = comparison.store_selection(ws, view)
    tests, asked = ws.dataset(project_id, "test"), ExperimentConfig.from_dict(config["experiment"])
    external.refuse_missing(asked, chosen.model)
    return {
        "project": project_id,
        "selection": key,
        "tests": tests.key if tests else None,
        "model": chosen.model.to_dict(),
        "experiment": asked.to_dict(),
    }


def _settle_quantiles(ws: Workspace, project_id: str, config: dict[str, Any]) -> dict[str, Any]:
    chosen = workbench.settings(ws, project_id)
    if chosen.model is None:
        raise ConfigError("a quantile check needs a base model; choose one on the Represent page")
    tests = ws.dataset(project_id, "test")
    return {
        "representation": workbench.view(ws, project_id).represented.key,
        "tests": tests.key if tests else None,
        "model": chosen.model.to_dict(),
        "experiment": ExperimentConfig.from_dict(config["experiment"]).to_dict(),
    }


def _settle_proposal(ws: Workspace, project_id: str, config: dict[str, Any]) -> dict[str, Any]:
    found = jobs.job(ws, str(config["of"]))
    settled: dict[str, Any] = json.loads(found.config)
    if (found.kind, found.project_id) != ("experiment", project_id):
        raise JobError(f"job {found.id} is no experiment of this project; choose one of its experiments")
    if not settled["experiment"]["dev_share"]:
        raise EvaluationError("the experiment has no dev split to look for failures in; set dev_share and start again")
    return {**settled, "of": found.id, "arm": str(config["arm"])}


def _settle_merge(ws: Workspace, _: str, config: dict[str, Any]) -> dict[str, Any]:
    ws.artefact("arm", config["arm"])
    return {"arm": config["arm"], "model": ModelConfig.from_dict(config["model"]).to_dict()}


def _settle_judge(ws: Workspace, _: str, config: dict[str, Any]) -> dict[str, Any]:
    from curation.evaluation.endpoint import JudgeConfig

    ws.artefact("experiment", config["experiment"])
    asked = {name: config[name] for name in ("experiment", "first", "second")}
    return asked | {"judge": JudgeConfig.from_dict(config["judge"]).to_dict(), "limit": int(config.get("limit", 0))}


_SETTLED: dict[str, Callable[[Workspace, str, dict[str, Any]], dict[str, Any]]] = {
    "load": _settle_load,
    "check": _settle_check,
    "represent": _settle_represent,
    "estimate": _settle_represent,
    "score": _settle_score,
    "experiment": _settle_experiment,
    "forecast": _settle_experiment,
    "quantiles": _settle_quantiles,
    "proposal": _settle_proposal,
    "merge": _settle_merge,
    "judge": _settle_judge,
}


def _active(ws: Workspace, project_id: str, *roles: str) -> dict[str, str]:
    found = {}
    for role in roles:
        row = ws.dataset(project_id, role)
        if row is None:
            raise WorkspaceError(f"the project has no {ROLES[role]} yet; load one on the Data page")
        found[role] = row.key
    return found


# ----------------------------------------------------------------------------------------------- done by the process


def _load(ws: Workspace, config: dict[str, Any], progress: Progress) -> dict[str, Any]:
    data = DatasetConfig.from_dict(config["data"])
    key = pipeline.load(ws, data, config["role"], project_id=config["project"], name=config["name"], progress=progress)
    return {"dataset": key}


def _check(ws: Workspace, config: dict[str, Any], progress: Progress) -> dict[str, Any]:
    from curation.data import quality

    against = {name: ws.artefact("dataset", key) for name, key in config["against"].items()}
    return {"tags": quality.check(ws.artefact("dataset", config["dataset"]), progress, against=against)}


def _represent(ws: Workspace, config: dict[str, Any], progress: Progress) -> dict[str, Any]:
    shown = pipeline.represent(
        ws,
        config["pool"],
        config["query"],
        RepresentationConfig.from_dict(config["representation"]),
        model=ModelConfig.from_dict(config["model"]) if config["model"] else None,
        warmup=WarmupConfig.from_dict(config["warmup"]),
        progress=progress,
    )
    workbench.change(ws, config["project"], active=shown.key)
    return {"representation": shown.key}


def _estimate(ws: Workspace, config: dict[str, Any], progress: Progress) -> dict[str, Any]:
    from curation import cost

    told = cost.estimate(
        ws,
        config["pool"],
        config["query"],
        RepresentationConfig.from_dict(config["representation"]),
        model=ModelConfig.from_dict(config["model"]) if config["model"] else None,
        warmup=WarmupConfig.from_dict(config["warmup"]),
        progress=progress,
    )
    return told.to_dict()


def _score(ws: Workspace, config: dict[str, Any], progress: Progress) -> dict[str, Any]:
    scoring.scores(ws, config["pool"], config["scorer"], ModelConfig.from_dict(config["model"]), progress)
    return {}


def _compared(ws: Workspace, config: dict[str, Any]) -> tuple[Inputs, ExperimentConfig]:
    """What an experiment's job compares on, and how."""
    saved = comparison.open_artefact(ws, config["selection"])
    design, model = ExperimentConfig.from_dict(config["experiment"]), ModelConfig.from_dict(config["model"])
    inputs = pipeline.experiment_inputs(
        ws, saved.represented, saved.ids, model, config["tests"], design, saved.selection
    )
    return inputs, design


def _experiment(ws: Workspace, config: dict[str, Any], progress: Progress) -> dict[str, Any]:
    from curation.experiments import experiment
    from curation.orders import Orders

    inputs, design = _compared(ws, config)
    here = jobs.folder(ws, config["job"])
    (here / "course.json").write_text(json.dumps(arms.course_of(design, inputs)))
    key, _ = experiment(ws, inputs, design, progress, Orders(here))
    return {"experiment": key}


def _forecast(ws: Workspace, config: dict[str, Any], progress: Progress) -> dict[str, Any]:
    from curation import forecast

    return forecast.estimate(ws, *_compared(ws, config), progress).to_dict()


def _proposal(ws: Workspace, config: dict[str, Any], progress: Progress) -> dict[str, Any]:
    from curation import rounds
    from curation.orders import Orders

    orders = Orders(jobs.folder(ws, config["of"]))
    return {"proposal": rounds.propose(ws, *_compared(ws, config), config["arm"], progress, orders)}


def _quantiles(ws: Workspace, config: dict[str, Any], progress: Progress) -> dict[str, Any]:
    from curation import quantiles

    shown = pipeline.read_represented(ws.artefact("representation", config["representation"]))
    model, design = ModelConfig.from_dict(config["model"]), ExperimentConfig.from_dict(config["experiment"])
    key, _ = quantiles.check(ws, shown, model, config["tests"], design, progress)
    return {"quantiles": key}


def _merge(ws: Workspace, config: dict[str, Any], progress: Progress) -> dict[str, Any]:
    from curation import merging

    return {"folder": str(merging.merge(ws, config["arm"], ModelConfig.from_dict(config["model"]), progress))}


def _judge(ws: Workspace, config: dict[str, Any], progress: Progress) -> dict[str, Any]:
    from curation import judging
    from curation.evaluation.endpoint import JudgeConfig

    asked = (config["experiment"], config["first"], config["second"], JudgeConfig.from_dict(config["judge"]))
    key, _ = judging.judge(ws, *asked, config["limit"], progress)
    return {"winning_rate": key}


def _run(ws: Workspace, config: dict[str, Any], progress: Progress) -> dict[str, Any]:
    made = pipeline.run(ws, RunConfig.from_dict({k: v for k, v in config.items() if k != "job"}), progress)
    return {name: made[name] for name in ("pool", "queries", "tests", "representation", "experiment")}


#: What a task gets beside its config: ``job``, the id of its job.
TASKS: dict[str, Callable[[Workspace, dict[str, Any], Progress], dict[str, Any]]] = {
    "load": _load,
    "check": _check,
    "represent": _represent,
    "estimate": _estimate,
    "score": _score,
    "experiment": _experiment,
    "forecast": _forecast,
    "quantiles": _quantiles,
    "proposal": _proposal,
    "merge": _merge,
    "judge": _judge,
    "run": _run,
}
