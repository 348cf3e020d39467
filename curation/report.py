"""The selection card: what was chosen, from what, how, by whom overruled, with what effect.

Made from plain records, so that `winnow demo` writes the same card as the Report page; rendered by `curation.card` as
one HTML file that opens offline, or as Markdown. The same records give the same bytes: nothing is read from the clock.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from curation import findings
from curation.card import Block, Code, Facts, Figure, Section, Table, Text, card, markdown_card
from curation.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

    from curation.comparison import Saved
    from curation.config import RunConfig
    from curation.results import ExperimentRecord
    from curation.tables import OverrideEntry
    from curation.views import View

__all__ = [
    "Section",
    "card",
    "html",
    "html_from",
    "markdown",
    "markdown_card",
    "markdown_from",
    "of_run",
    "sections_from",
]

_PICKS = 25
_SNIPPET = 280


def sections_from(
    config: Mapping[str, Any],
    subset: pd.DataFrame,
    summary: Mapping[str, Any],
    result: Mapping[str, Any] | None,
    licences: Mapping[str, int],
) -> list[Section]:
    """Return the card's sections from plain records.

    Parameters
    ----------
    config : mapping
        The run's config, as `RunConfig.to_dict` gives it.
    subset : DataFrame
        The picks, as `pipeline.subset_table` gives them; columns ``text`` and ``source`` are shown if they are there.
    summary : mapping
        As `View.summary`: ``distance``, ``random_distance``, ``uncovered``, ``redundancy``, ``composition``; optionally
        ``n_pool``, ``pool_composition``, ``n_queries``, ``decisions`` (dicts with action, row_id, text, author) and
        ``lengths`` (median answer of queries and tests) and ``quantiles`` (a quantile check). What is missing is left
        out.
    result : mapping or None
        An experiment's result.
    licences : mapping of str to int
        Licence → picks.
    """
    made = [
        _effect(result, summary),
        _origin(config, subset, summary),
        _closeness(summary),
        _nearness(summary),
        _make_up(summary, licences),
        _by_hand(config, subset, summary),
        _first_picks(subset),
        _training(result),
        _how_to_read(),
        Section(
            "Make it again",
            [
                Text("Save this as run.json and run: winnow run run.json"),
                Code(json.dumps(config, ensure_ascii=False, indent=1)),
            ],
        ),
    ]
    return [section for section in made if section.blocks]


def html_from(
    title: str,
    config: Mapping[str, Any],
    subset: pd.DataFrame,
    summary: Mapping[str, Any],
    result: Mapping[str, Any] | None,
    licences: Mapping[str, int],
) -> str:
    """Return the card as one HTML file; parameters as for `sections_from`."""
    return card(sections_from(config, subset, summary, result, licences), title)


def markdown_from(
    title: str,
    config: Mapping[str, Any],
    subset: pd.DataFrame,
    summary: Mapping[str, Any],
    result: Mapping[str, Any] | None,
    licences: Mapping[str, int],
) -> str:
    """Return the card as Markdown; parameters as for `sections_from`."""
    return markdown_card(sections_from(config, subset, summary, result, licences), title)


def html(ws: Workspace, project_id: str, chosen: View | Saved, record: ExperimentRecord | None = None) -> str:
    """Return the card of a project's present or saved selection as one HTML file."""
    return html_from(*_of_project(ws, project_id, chosen, record))


def markdown(ws: Workspace, project_id: str, chosen: View | Saved, record: ExperimentRecord | None = None) -> str:
    """Return the card of a project's present or saved selection as Markdown."""
    return markdown_from(*_of_project(ws, project_id, chosen, record))


def tuned_on(ws: Workspace, project_id: str, record: ExperimentRecord) -> Saved | None:
    """Return the selection that an experiment judged; None if its picks are neither saved nor the present ones."""
    from curation import comparison, jobs, workbench

    if record.experiment.job_id:
        config = json.loads(jobs.job(ws, record.experiment.job_id).config)
        return comparison.open_artefact(ws, config["selection"], record.name)
    wanted = (record.result or {}).get("selected")
    present = comparison.as_saved(ws, workbench.view(ws, project_id))
    if list(present.ids) == wanted:
        return present
    saved = (comparison.open_saved(ws, s) for s in ws.selections(project_id))
    return next((s for s in saved if list(s.ids) == wanted), None)


def of_run(ws: Workspace, made: Mapping[str, Any], config: RunConfig, title: str) -> str:
    """Return the card of what `pipeline.run` made, as one HTML file."""
    from curation.comparison import Saved
    from curation.pipeline import read_represented

    shown = read_represented(ws.artefact("representation", made["representation"]))
    saved = Saved(title, config.selection, shown, made["subset"])
    return html_from(title, config.to_dict(), *_gather(ws, saved, (), made["result"]))


def _of_project(
    ws: Workspace, project_id: str, chosen: View | Saved, record: ExperimentRecord | None
) -> tuple[str, dict[str, Any], pd.DataFrame, dict[str, Any], dict[str, Any] | None, dict[str, int]]:
    """Gather a project's records for `html_from`."""
    from curation import comparison
    from curation.views import View

    saved = comparison.as_saved(ws, chosen) if isinstance(chosen, View) else chosen
    config = comparison.run_config(ws, project_id, saved)
    gathered = _gather(ws, saved, ws.override_log(project_id), record.result if record else None)
    return f"{ws.project(project_id).name}: {record.name if record else saved.name}", config, *gathered


def _gather(
    ws: Workspace, saved: Saved, log: Sequence[OverrideEntry], result: dict[str, Any] | None
) -> tuple[pd.DataFrame, dict[str, Any], dict[str, Any] | None, dict[str, int]]:
    """Subset with text and source, summary, result and licences of a selection."""
    from curation import diagnostics, quantiles
    from curation.config import ModelConfig

    pool = saved.represented.record["pool"]
    position = {row_id: place for place, row_id in enumerate(ws.ids(pool))}
    rows = ws.rows(pool, list(saved.ids))
    sources = [source or "unknown" for source in ws.column(pool, "source")]
    subset = saved.table.assign(text=[_snippet(e.text) for e in rows], source=[e.source or "unknown" for e in rows])
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
        "decisions": [{k: getattr(e, k) for k in ("action", "row_id", "text", "author")} for e in log],
        "lengths": findings.answer_lengths(ws, result) if result else None,
        "quantiles": quantiles.newest(ws, saved.represented.key, ModelConfig.from_dict(result["model"]))
        if result
        else None,
    }
    return subset, summary, result, dict(Counter(e.licence or "not stated" for e in rows))


# --------------------------------------------------------------------------------------------------------- sections


def _effect(result: Mapping[str, Any] | None, summary: Mapping[str, Any]) -> Section:
    if result is None:
        return Section("", [Text("Nothing was tuned on this selection yet, so its effect is not known.", "warning")])
    from curation import figures_results

    told = findings.findings(result)
    blocks: list[Block] = [Text(told[0].sentence, "lead"), *(Text(f.sentence) for f in told[1:])]
    metric = findings.main_metric(result)
    caption = f"{findings.metric_label(metric)}: mean and 95 % interval of each arm"
    caption += ", a ring for each seed." if len(result["seeds"]) > 1 else "."
    blocks.append(Figure(figures_results.arms(result), caption))
    differences = findings.differences_table(result)
    differences = differences[differences["Metric"] == findings.metric_label(metric)]
    for frame in (findings.arms_table(result), differences):
        blocks.append(_frame(frame, right=frozenset(frame.columns) - {"Arm", "Against", "Metric", "Verdict"}))
    if paid := findings.cost(result):
        blocks.append(Text(paid))
    if result.get("knees"):
        words = "a ring marks the budget from which on no larger one is told to be better"
        blocks.append(Figure(figures_results.budgets(result), f"{findings.metric_label(metric)} by budget; {words}."))
    blocks += [Text(warning, "warning") for warning in findings.warnings(result, summary.get("lengths"))]
    return Section("", blocks)


def _origin(config: Mapping[str, Any], subset: pd.DataFrame, summary: Mapping[str, Any]) -> Section:
    selection, budget = config["selection"], config["selection"]["budget"]
    asked = f"{budget['examples']:,} examples" if budget["examples"] is not None else f"{budget['tokens']:,} tokens"
    pairs = [("Picked", f"{len(subset):,} examples, budget {asked}")]
    for name, label, count in (
        ("pool", "Pool", "n_pool"),
        ("queries", "Query set", "n_queries"),
        ("tests", "Test set", ""),
    ):
        if config.get(name):
            pairs.append((label, _dataset(config[name], summary.get(count))))
    representation = config["representation"]
    pairs.append(("Representation", representation["name"] + _options(representation["options"])))
    pairs.append(("Selector", selection["selector"] + _options(selection["options"])))
    if config.get("model"):
        pairs.append(("Base model", config["model"]["name"]))
    pairs.append(("Seed of the selection", str(selection["seed"])))
    return Section("What was chosen, from what", [Facts(pairs)])


def _dataset(data: Mapping[str, Any], n_rows: int | None) -> str:
    count = f"{n_rows:,} rows, " if n_rows else ""
    digest = f", SHA-256 {data['sha256'][:16]}…" if data.get("sha256") else ""
    return f"{count}{data['path']}{digest}"


def _options(options: Mapping[str, Any]) -> str:
    return " (" + ", ".join(f"{k} = {v}" for k, v in options.items()) + ")" if options else ""


def _closeness(summary: Mapping[str, Any]) -> Section:
    pairs = []
    if summary.get("distance") is not None:
        beside = f", random {summary['random_distance']:.3f}" if summary.get("random_distance") is not None else ""
        pairs.append(("Distance to the query set", f"{summary['distance']:.3f}{beside} (lower is nearer)"))
    if summary.get("uncovered") is not None:
        pairs.append(("Queries that no pick comes near", f"{len(summary['uncovered']):,}"))
    if summary.get("redundancy") is not None:
        pairs.append(("Redundancy: picks with a near-duplicate among them", f"{100 * summary['redundancy']:.1f} %"))
    return Section("How near it is to the task", [Facts(pairs)] if pairs else [])


def _nearness(summary: Mapping[str, Any]) -> Section:
    check = summary.get("quantiles")
    if not check:
        return Section("Does nearness predict anything here?", [])
    from curation import advice, figures_results

    blocks: list[Block] = [Text(advice.checked(check)[0])]
    for metric in check["metrics"]:
        caption = f"{findings.metric_label(metric)} after tuning on each part of the pool, the nearest part first."
        blocks.append(Figure(figures_results.quantiles(check, metric), caption))
    return Section("Does nearness predict anything here?", blocks)


def _make_up(summary: Mapping[str, Any], licences: Mapping[str, int]) -> Section:
    blocks: list[Block] = []
    picked: Mapping[str, int] = summary.get("composition") or {}
    if len(picked) > 1:
        from curation import figures_results

        figure = figures_results.composition(picked, summary.get("pool_composition"))
        blocks.append(Figure(figure, "Share of each source among the picks and in the pool."))
    for title, counts in (("Source", picked), ("Licence", licences)):
        if counts:
            ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
            rows = [(name, f"{n:,}") for name, n in ranked]
            blocks.append(Table((title, "Picks"), rows, frozenset({"Picks"})))
    return Section("What it is made of", blocks)


def _by_hand(config: Mapping[str, Any], subset: pd.DataFrame, summary: Mapping[str, Any]) -> Section:
    selection = config["selection"]
    pinned, banned, notes = selection["pinned"], selection["banned"], selection["notes"]
    if not (pinned or banned or notes):
        return Section("Overruled by hand", [Text("Nothing was pinned, banned or noted.")])
    blocks: list[Block] = [Text(f"{len(pinned):,} pinned, {len(banned):,} banned, {len(notes):,} noted.")]
    authors = {d["row_id"]: d["author"] for d in summary.get("decisions") or ()}
    texts = dict(zip(subset["id"], subset["text"], strict=True)) if "text" in subset else {}
    decided = dict.fromkeys((*pinned, *banned, *notes))
    state = {**dict.fromkeys(banned, "banned"), **dict.fromkeys(pinned, "pinned")}
    rows = [
        (state.get(i, "noted"), str(notes.get(i, "")), authors.get(i, ""), texts.get(i, ""), i[:12]) for i in decided
    ]
    blocks.append(Table(("Decision", "Note", "By", "Text", "Row"), rows[:_PICKS]))
    if len(rows) > _PICKS:
        blocks.append(Text(f"The first {_PICKS} of {len(rows):,} decisions; all are in overrides.jsonl.", "small"))
    return Section("Overruled by hand", blocks)


def _first_picks(subset: pd.DataFrame) -> Section:
    if subset.empty:
        return Section("First picks", [Text("Nothing was picked.")])
    shown = subset.head(_PICKS)
    table = {"Rank": [str(r) for r in shown["rank"]]}
    if "text" in shown:
        table["Text"] = list(shown["text"])
    if "source" in shown:
        table["Source"] = list(shown["source"])
    table["Similarity"] = [f"{s:.3f}" for s in shown["similarity"]]
    table["Why"] = list(shown["reason"])
    rows = list(zip(*table.values(), strict=True))
    blocks: list[Block] = [Table(list(table), rows, frozenset({"Rank", "Similarity"}))]
    if len(subset) > _PICKS:
        blocks.append(Text(f"The first {_PICKS} of {len(subset):,}; all are in subset.jsonl.", "small"))
    return Section("First picks", blocks)


def _training(result: Mapping[str, Any] | None) -> Section:
    if not result or not any(result["curves"].values()):
        return Section("Training", [])
    from curation import figures_results, spending

    training = result["config"]["training"]
    how = "LoRA" if training["method"] == "lora" else "Every weight"
    passes = f"{training['max_steps']} steps" if training["max_steps"] else f"{training['epochs']:g} passes"
    seeds = ", ".join(map(str, result["seeds"]))
    facts = f"{how}, {passes}, learning rate {training['learning_rate']:g}, batches of {training['batch_size']}"
    facts += f"; seeds {seeds}."
    figure = Figure(
        figures_results.losses(result["curves"]), "Training loss: steps faintly, their running mean over them."
    )
    costs = spending.table(result)
    blocks: list[Block] = [Text(facts), Text(findings.fairness(result)), figure]
    blocks.append(_frame(costs, right=frozenset(costs.columns) - {"Arm"}))
    if against := spending.against_full(result):
        blocks.append(Text(against))
    return Section("Training", blocks)


def _how_to_read() -> Section:
    return Section("How to read this", [Text(f"{text} ({source})", "small") for text, source in findings.ADVICE])


def _frame(frame: pd.DataFrame, right: frozenset[str]) -> Table:
    return Table(list(frame.columns), [tuple(map(str, row)) for row in frame.itertuples(index=False)], right)


def _snippet(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SNIPPET else line[: _SNIPPET - 1] + "…"
