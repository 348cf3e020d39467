"""What the selection card says, section by section, as the plain blocks of `curation.card`; of experiments, see
`curation.report_results`.

Each function reads a report's `Records` and returns one section; one without blocks is left out. Text from data is
escaped by the renderer, whatever it is.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING

from curation import findings, report_results
from curation.card import Block, Code, Facts, Figure, Section, Table, Text
from curation.report_results import in_brackets, tuned_by

if TYPE_CHECKING:
    from curation.config import DatasetConfig, FirstStageConfig
    from curation.report import Records

_PICKS = 25


def sections(records: Records) -> list[Section]:
    """Return the card's sections, the effect first."""
    made = [
        report_results.effect(records),
        report_results.results(records),
        report_results.subgroups(records),
        report_results.preferences(records),
        report_results.design(records),
        report_results.cost(records),
        _origin(records),
        _closeness(records),
        _nearness(records),
        _make_up(records),
        _by_hand(records),
        _first_picks(records),
        Section("How to read this", [Text(f"{text} ({source})", "small") for text, source in findings.ADVICE]),
        _again(records),
    ]
    return [section for section in made if section.blocks]


def _origin(records: Records) -> Section:
    config, summary = records.config, records.summary
    selection, representation, budget = config.selection, config.representation, config.selection.budget
    asked = f"{budget.examples:,} examples" if budget.examples is not None else f"{budget.tokens:,} tokens"
    pairs = [("Picked", f"{len(records.subset):,} examples, budget {asked}")]
    for data, label, count in (
        (config.pool, "Pool", "n_pool"),
        (config.queries, "Query set", "n_queries"),
        (config.tests, "Test set", "n_tests"),
    ):
        if data is not None:
            pairs.append((label, _dataset(data, summary.get(count))))
    pairs.append(("Representation", representation.name + in_brackets(representation.options)))
    if representation.first_stage is not None:
        pairs.append(("First stage", _first_stage(representation.first_stage)))
    if representation.name == "less":
        share = f"{100 * config.warmup.share:g} % of the pool"
        pairs.append(("Warmup", f"{share}, seed {config.warmup.seed}: {tuned_by(config.warmup.training)}"))
    pairs.append(("Selector", selection.selector + in_brackets(selection.options)))
    if selection.quotas:
        pairs.append(("At most of a source", in_brackets(selection.quotas).strip(" ()")))
    if selection.minimum_similarity is not None:
        pairs.append(("Least similarity to the nearest query", f"{selection.minimum_similarity:g}"))
    if selection.minimum_score is not None:
        pairs.append(("Least score", f"{selection.minimum_score:g} ({selection.scorer})"))
    if selection.feedback:
        pairs.append(("Feedback", f"pins ask for more of their kind, bans for less ({selection.feedback_weight:g})"))
    if config.model is not None:
        pairs.append(("Base model", config.model.name))
    pairs.append(("Seed of the selection", str(selection.seed)))
    return Section("What was chosen, from what", [Facts(pairs)])


def _dataset(data: DatasetConfig, n_rows: int | None) -> str:
    """Rows, name and hash; where the file lies is in the config."""
    count = f"{n_rows:,} rows, " if n_rows else ""
    digest = f", SHA-256 {data.sha256[:16]}…" if data.sha256 else ""
    return f"{count}{data.path if data.hub else PurePath(data.path).name}{digest}"


def _first_stage(stage: FirstStageConfig) -> str:
    return f"{stage.name} keeps the nearest {100 * stage.keep:g} % (seed {stage.seed}, {stage.audit:,} rows audited)"


def _closeness(records: Records) -> Section:
    pairs, summary = [], records.summary
    if summary.get("distance") is not None:
        beside = f", random {summary['random_distance']:.3f}" if summary.get("random_distance") is not None else ""
        pairs.append(("Distance to the query set", f"{summary['distance']:.3f}{beside} (lower is nearer)"))
    if summary.get("uncovered") is not None:
        pairs.append(("Queries that no pick comes near", f"{len(summary['uncovered']):,}"))
    if summary.get("redundancy") is not None:
        pairs.append(("Redundancy: picks with a near-duplicate among them", f"{100 * summary['redundancy']:.1f} %"))
    return Section("How near it is to the task", [Facts(pairs)] if pairs else [])


def _nearness(records: Records) -> Section:
    check = records.summary.get("quantiles")
    if not check:
        return Section("Does nearness predict anything here?", [])
    from curation import advice, figures_results

    blocks: list[Block] = [Text(advice.checked(check)[0])]
    for metric in check["metrics"]:
        caption = f"{findings.metric_label(metric)} after tuning on each part of the pool, the nearest part first."
        blocks.append(Figure(figures_results.quantiles(check, metric), caption))
    return Section("Does nearness predict anything here?", blocks)


def _make_up(records: Records) -> Section:
    blocks: list[Block] = []
    picked: Mapping[str, int] = records.summary.get("composition") or {}
    if len(picked) > 1:
        from curation import figures_results

        figure = figures_results.composition(picked, records.summary.get("pool_composition"))
        blocks.append(Figure(figure, "Share of each source among the picks and in the pool."))
    for title, counts in (("Source", picked), ("Licence", records.licences)):
        if counts:
            ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
            rows = [(name, f"{n:,}") for name, n in ranked]
            blocks.append(Table((title, "Picks"), rows, frozenset({"Picks"})))
    return Section("What it is made of", blocks)


def _by_hand(records: Records) -> Section:
    selection = records.config.selection
    pinned, banned, notes = selection.pinned, selection.banned, selection.notes
    if not (pinned or banned or notes):
        return Section("Overruled by hand", [Text("Nothing was pinned, banned or noted.")])
    acts = [*((i, "pin") for i in pinned), *((i, "ban") for i in banned), *((i, "note") for i in notes)]
    last = {(entry.row_id, entry.action): entry.author for entry in records.log}
    by = {act: last.get(act) or "not named" for act in acts}
    blocks: list[Block] = [Text(f"{len(pinned):,} pinned, {len(banned):,} banned, {len(notes):,} noted.")]
    who = sorted(Counter(by.values()).items(), key=lambda pair: (-pair[1], pair[0]))
    blocks.append(Text("Decided by " + ", ".join(f"{name} ({n:,})" for name, n in who) + "."))
    texts = records.summary.get("decided") or {}
    state = {**dict.fromkeys(notes, "noted"), **dict.fromkeys(banned, "banned"), **dict.fromkeys(pinned, "pinned")}
    decided: dict[str, list[str]] = {}
    for (row, _), author in by.items():
        decided.setdefault(row, []).append(author)
    rows = [
        (state[i], str(notes.get(i, "")), ", ".join(dict.fromkeys(names)), texts.get(i, ""), i[:12])
        for i, names in decided.items()
    ]
    blocks.append(Table(("Decision", "Note", "By", "Text", "Row"), rows[:_PICKS]))
    if len(rows) > _PICKS:
        blocks.append(Text(f"The first {_PICKS} of {len(rows):,} decisions; all are in overrides.jsonl.", "small"))
    return Section("Overruled by hand", blocks)


def _first_picks(records: Records) -> Section:
    subset = records.subset
    if subset.empty:
        return Section("First picks", [Text("Nothing was picked.")])
    shown = subset.head(_PICKS)
    table: dict[str, Sequence[str]] = {"Rank": [str(r) for r in shown["rank"]]}
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


def _again(records: Records) -> Section:
    config = records.config.to_dict()
    blocks: list[Block] = [Text("Save this as run.json and run: winnow run run.json")]
    selections = records.config.experiment.selections if records.config.experiment else {}
    if saved := [name for name, asked in selections.items() if "saved" in asked]:
        said = f"The arms {', '.join(saved)} are selections saved in this workspace, so they replay in it alone."
        blocks.append(Text(said, "small"))
    return Section("Make it again", [*blocks, Code(json.dumps(config, ensure_ascii=False, indent=1))])
