"""The selection card: what was chosen, from what, how, by whom overruled, with what effect.

`of_project`, `named` and `of_run` gather the `Records`; `html`, `markdown` and `dataset_card` write them down. The
sections are made in `curation.report_sections` and rendered by `curation.card`. The same records give the same bytes:
nothing is read from the clock.
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from curation import answers, card, report_sections
from curation.config import ModelConfig, RunConfig, TrainingConfig
from curation.errors import WorkspaceError
from curation.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

    from curation.comparison import Saved
    from curation.results import ExperimentRecord
    from curation.tables import OverrideEntry
    from curation.views import View

_SNIPPET = 280
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_LICENCES = (  # those that the hub knows by these ids
    *("apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "gpl-3.0", "lgpl-3.0", "mpl-2.0", "unlicense", "odc-by"),
    *("cc0-1.0", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0"),
    *("cc-by-nd-4.0", "cc-by-nc-nd-4.0", "odbl", "pddl", "openrail", "llama2", "llama3", "gemma"),
)


@dataclass(frozen=True, eq=False)
class Records:
    """All that a card says of a selection, and that an export holds.

    Attributes
    ----------
    title : str
        The card's title.
    config : RunConfig
        The run that makes the selection again, and its experiment.
    subset : DataFrame
        The picks, as `pipeline.subset_table` gives them; columns ``text`` and ``source`` are shown if they are there.
    summary : mapping
        As `View.summary`: ``distance``, ``random_distance``, ``uncovered``, ``redundancy``, ``composition``; optionally
        ``n_pool``, ``pool_composition``, ``n_queries``, ``n_tests``, ``decided`` (id → text of rows decided by hand),
        ``lengths`` (median answer of queries and tests), ``quantiles`` (a quantile check), ``preferences`` (as
        `curation.preferences` has them) and ``subgroups`` (kind → table). What is missing is left out.
    result : mapping or None
        An experiment's result.
    licences : mapping of str to int
        Licence → picks.
    pool : str
        Key of the pool, for an export.
    log : sequence of OverrideEntry
        The project's decisions by hand.
    """

    title: str
    config: RunConfig
    subset: pd.DataFrame
    summary: Mapping[str, Any]
    result: Mapping[str, Any] | None
    licences: Mapping[str, int]
    pool: str = ""
    log: Sequence[OverrideEntry] = ()


def html(records: Records) -> str:
    """Return the card as one HTML file that opens offline."""
    return card.card(report_sections.sections(records), records.title)


def markdown(records: Records) -> str:
    """Return the card as Markdown."""
    return card.markdown_card(report_sections.sections(records), records.title)


def dataset_card(records: Records) -> str:
    """Return the card as the README of a data set on the hub: Markdown behind the hub's own fields, in YAML."""
    n = len(records.subset)
    fields = {
        "pretty_name": "".join(c for c in records.title if c.isprintable()),
        "license": _hub_licence(records.licences),
        "task_categories": ["text-generation"],
        "size_categories": [next((name for most, name in _SIZES if n < most), "1M<n<10M")],
        "tags": ["winnow", "data-selection", "instruction-tuning"],
        "configs": [{"config_name": "default", "data_files": "subset.parquet"}],
    }
    lines = [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in fields.items()]  # JSON is YAML too
    return "\n".join(["---", *lines, "---", "", markdown(records)])


def _hub_licence(licences: Mapping[str, int]) -> str | list[str]:
    """Ids by which the hub knows the licences; other where it does not know one, unknown where none is stated."""
    named = sorted({name.strip().lower().replace(" ", "-") for name in licences})
    if not set(named) - {"not-stated"}:
        return "unknown"
    return named if set(named) <= set(_LICENCES) else "other"


# -------------------------------------------------------------------------------------------------------- gathering


def of_run(ws: Workspace, made: Mapping[str, Any], config: RunConfig, title: str) -> Records:
    """Return the records of what `pipeline.run` made."""
    from curation.comparison import Saved
    from curation.pipeline import read_represented

    shown = read_represented(ws.artefact("representation", made["representation"]))
    saved = Saved(title, config.selection, shown, made["subset"])
    return _records(ws, saved, config, title, made["result"], made["experiment"])


def of_project(
    ws: Workspace, project_id: str, chosen: View | Saved, experiment: ExperimentRecord | None = None
) -> Records:
    """Return the records of a project's present or saved selection, with an experiment on it: else the newest."""
    from curation import comparison
    from curation.views import View

    saved = comparison.as_saved(ws, chosen) if isinstance(chosen, View) else chosen
    experiment = experiment or experiment_on(ws, project_id, saved)
    result = experiment.result if experiment else None
    config = RunConfig.from_dict(comparison.run_config(ws, project_id, saved, result["tests"] if result else None))
    if experiment and result:
        model = ModelConfig.from_dict(result["model"])
        config = dataclasses.replace(config, experiment=experiment.config, model=model)
    names = dict.fromkeys([saved.name, experiment.name] if experiment else [saved.name])
    title = f"{ws.project(project_id).name}: {', '.join(names)}"
    key = experiment.key if experiment else None
    return _records(ws, saved, config, title, result, key, ws.override_log(project_id))


def tuned_on(ws: Workspace, project_id: str, record: ExperimentRecord) -> Saved | None:
    """Return the selection that an experiment judged; None if its picks are neither saved nor the present ones."""
    from curation import comparison, jobs, workbench

    if record.experiment.job_id:
        config = json.loads(jobs.job(ws, record.experiment.job_id).config)
        return comparison.open_artefact(ws, config["selection"], record.name)
    shown = bool(workbench.represented(ws, project_id))
    present = [comparison.as_saved(ws, workbench.view(ws, project_id))] if shown else []
    saved = (comparison.open_saved(ws, s) for s in ws.selections(project_id))
    found = next((s for s in (*present, *saved) if _is_of(record, s)), None)
    return dataclasses.replace(found, name=record.name) if found else None


def experiment_on(ws: Workspace, project_id: str, chosen: Saved) -> ExperimentRecord | None:
    """Return the newest finished experiment that tuned on the very picks of a selection; None if there is none."""
    from curation import results

    found = (r for r in results.experiments(ws, project_id) if r.result and "selected" in r.result["arms"])
    return next((r for r in found if _is_of(r, chosen)), None)


def _is_of(record: ExperimentRecord, chosen: Saved) -> bool:
    return (record.result or {}).get("selected") == list(chosen.ids)


def named(ws: Workspace, project_id: str, *, selection: str = "", experiment: str = "") -> Records:
    """Return the records of what is named of a project.

    Parameters
    ----------
    selection : str
        Name of a saved selection; its newest version is taken. Empty: what the experiment tuned on, else the present
        selection.
    experiment : str
        Name or key of a finished experiment; of several with a name the newest. Empty: the newest on the selection.

    Raises
    ------
    WorkspaceError
        If there is no project, selection or experiment of that name, or the experiment tuned on other picks.
    """
    from curation import comparison, results, workbench

    project = ws.project(project_id).id
    record = chosen = None
    if experiment:
        finished = [r for r in results.experiments(ws, project) if r.result]
        record = next((r for r in finished if experiment in (r.name, r.key)), None)
        if record is None:
            known = ", ".join(r.name for r in finished) or "none"
            raise WorkspaceError(f"project {project} has no finished experiment {experiment!r}; it has: {known}")
    if selection:
        saved = [s for s in ws.selections(project) if s.name == selection]
        if not saved:
            known = ", ".join(dict.fromkeys(s.name for s in ws.selections(project))) or "none"
            raise WorkspaceError(f"project {project} has no saved selection {selection!r}; it has: {known}")
        chosen = comparison.open_saved(ws, saved[0])
        if record and not _is_of(record, chosen):
            raise WorkspaceError(
                f"the experiment {experiment!r} tuned on other picks than {chosen.name}; name one of them"
            )
    elif record and (chosen := tuned_on(ws, project, record)) is None:
        raise WorkspaceError(
            f"the picks that {experiment!r} tuned on are neither saved nor the present ones; name another experiment"
        )
    return of_project(ws, project, chosen or workbench.view(ws, project), record)


def _records(
    ws: Workspace,
    saved: Saved,
    config: RunConfig,
    title: str,
    result: Mapping[str, Any] | None,
    experiment: str | None,
    log: Sequence[OverrideEntry] = (),
) -> Records:
    """Add to a selection what its rows, its representation and its result tell."""
    from curation import diagnostics, preferences, quantiles

    pool = saved.represented.record["pool"]
    position = {row_id: place for place, row_id in enumerate(ws.ids(pool))}
    chosen = saved.selection
    decided = [i for i in dict.fromkeys((*chosen.pinned, *chosen.banned, *chosen.notes)) if i in position]
    rows = {e.id: e for e in ws.rows(pool, [*saved.ids, *decided])}
    picked = [rows[i] for i in saved.ids]
    sources = [source or "unknown" for source in ws.column(pool, "source")]
    subset = saved.table.assign(text=[_snippet(e.text) for e in picked], source=[e.source or "unknown" for e in picked])
    similarity = saved.represented.similarity
    summary = {
        **diagnostics.summary(
            similarity,
            [position[i] for i in saved.ids],
            groups=saved.represented.twins,
            seen=saved.represented.seen,
        ),
        "composition": dict(Counter(subset["source"]).most_common()),
        "pool_composition": dict(Counter(sources).most_common()),
        "n_pool": len(sources),
        "n_queries": similarity.shape[0],
        "n_tests": ws.count(result["tests"]) if result and result["tests"] else None,
        "decided": {i: _snippet(rows[i].text) for i in decided},
        "lengths": answers.answer_lengths(ws, result) if result else None,
        "quantiles": quantiles.newest(
            ws,
            saved.represented.key,
            ModelConfig.from_dict(result["model"]),
            result["tests"],
            TrainingConfig.from_dict(result["config"]["training"]),
        )
        if result
        else None,
        "preferences": preferences.preferences(ws, experiment, result) if experiment and result else None,
        "subgroups": _subgroups(ws, result) if result else None,
    }
    licences = dict(Counter(e.licence or "not stated" for e in picked))
    return Records(title, config, subset, summary, result, licences, pool, log)


def _subgroups(ws: Workspace, result: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """What the selection gains on random picks, or on zero-shot, in each kind of subgroup that the test rows have."""
    from curation import breakdown, findings

    arms, metric = findings.arms_of(result), findings.main_metric(result)
    baseline = next((arm for arm in ("random", "zero_shot") if arm in arms), "")
    if "selected" not in arms or not baseline or metric not in breakdown.metrics(result):
        return {}
    return {
        breakdown.BY[by]: breakdown.table(
            breakdown.breakdown(ws, result, "selected", baseline, by), metric, "selected", baseline
        )
        for by in breakdown.kinds(ws, result)
    }


def _snippet(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SNIPPET else line[: _SNIPPET - 1] + "…"
