"""What the selection card says, section by section, as the plain blocks of `curation.card`.

Each function reads a report's `Records` and returns one section; one without blocks is left out. Text from data is
escaped by the renderer, whatever it is.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from curation import findings, wording
from curation.card import Block, Code, Facts, Figure, Section, Table, Text

if TYPE_CHECKING:
    import pandas as pd

    from curation.config import DatasetConfig, ExperimentConfig, FirstStageConfig, TrainingConfig
    from curation.report import Records

_PICKS = 25
_WORDS = frozenset({"Arm", "Against", "Metric", "Verdict"})  # columns of a result's tables that hold no numbers


def sections(records: Records) -> list[Section]:
    """Return the card's sections, the effect first."""
    made = [
        _effect(records),
        _results(records),
        _design(records),
        _cost(records),
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


# ------------------------------------------------------------------------------------------------------- the effect


def _effect(records: Records) -> Section:
    """The findings in words, the main metric of every arm, and what keeps them from meaning more."""
    result = records.result
    if result is None:
        return Section("", [Text("Nothing was tuned on this selection yet, so its effect is not known.", "warning")])
    from curation import figures_results

    told = findings.findings(result)
    metric = findings.main_metric(result)
    caption = f"{findings.metric_label(metric)}: mean and 95 % interval of each arm"
    caption += ", a ring for each seed." if len(result["seeds"]) > 1 else "."
    blocks: list[Block] = [
        Text(told[0].sentence, "lead"),
        *(Text(f.sentence) for f in told[1:]),
        Figure(figures_results.arms(result), caption),
    ]
    limits = findings.warnings(result, records.summary.get("lengths"))
    return Section("", [*blocks, *(Text(limit, "warning") for limit in limits)])


def _results(records: Records) -> Section:
    """Every arm and metric with its interval, the differences, and the budget curve."""
    result = records.result
    if result is None:
        return Section("Results", [])
    from curation import figures_results

    metric = findings.main_metric(result)
    label = findings.metric_label(metric)
    arms = findings.arms_table(result).drop(columns=["Tokens a pass", "Time"])  # what it cost has them
    blocks: list[Block] = [Text("Every arm and metric: mean, and in brackets the 95 % interval."), _frame(arms)]
    differences = findings.differences_table(result)
    if not differences.empty:
        shown = differences[differences["Metric"] == label].drop(columns="Metric")
        told = f"Differences in {label[:1].lower() + label[1:]}, paired by example. {_corrected(result)}"
        blocks += [Text(told.strip()), _frame(shown)]
        if others := [findings.metric_label(m) for m in result["metrics"] if m != metric]:
            rest = differences[differences["Metric"] != label]
            blocks += [Text(f"The same in {' and '.join(others).lower()}."), _frame(rest)]
    if result.get("knees"):
        words = "a ring marks the budget from which on no larger one is told to be better"
        blocks.append(Figure(figures_results.budgets(result), f"{label} by budget; {words}."))
        blocks += [Text(sentence) for sentence in _knees(result, metric)]
    return Section("Results", blocks)


def _corrected(result: Mapping[str, Any]) -> str:
    """Say for how many comparisons the verdicts are corrected; empty where there is one of each."""
    counts: dict[str, int] = {}
    for by_metric in result["differences"].values():
        for told in by_metric.values():
            for other, one in told.items():
                counts[other] = max(counts.get(other, 1), one.get("comparisons", 1))
    if max(counts.values(), default=1) == 1:
        return ""
    named = " and ".join(
        f"{n} with {wording.arm_label(other.removeprefix('versus_')).lower()}" for other, n in counts.items()
    )
    return (
        f"Each interval is of its own difference; verdicts are corrected for the number of comparisons shown ({named}; "
        "Holm), so that an arm may be not distinguishable though its own interval leaves zero out."
    )


def _knees(result: Mapping[str, Any], metric: str) -> list[str]:
    from curation.budgets import lines

    return [
        f"{wording.arm_label(line.base)}: no larger budget is told to be better than {line.knee:,} examples."
        if line.knee != line.points[-1].budget
        else f"{wording.arm_label(line.base)}: still gaining at {line.knee:,} examples, the largest budget tried."
        for line in lines(result, metric)
        if line.knee is not None
    ]


def _design(records: Records) -> Section:
    """Which arms, on what, how often, how tuned, how judged: enough to argue with."""
    result, design = records.result, records.config.experiment
    if result is None or design is None:
        return Section("The experiment", [])
    from curation import figures_results

    trained = [arm for arm in findings.arms_of(result) if arm != "zero_shot"]
    sizes = sorted({result["arms"][arm]["n_examples"] for arm in trained if arm != "full"})
    runs = sum(len(result["evaluations"][arm]) for arm in trained)
    seeds = ", ".join(map(str, result["seeds"]))
    pairs = [
        ("Base model", _model(result["model"])),
        ("Arms", "; ".join(_arm(records, arm) for arm in findings.arms_of(result))),
        ("Budgets", ", ".join(f"{n:,}" for n in sizes) + " examples" if sizes else ""),
        ("Seeds", f"{seeds} ({runs} trainings)"),
        ("Tuned by", _training(design.training)),
        ("Full pool tuned by", _training(design.full_training) if design.full_training and "full" in trained else ""),
        ("What is equal", findings.fairness(result)),
        ("Judged by", ", ".join(findings.metric_label(m) for m in result["metrics"])),
        ("Judged on", _judged_on(result)),
        ("Dev split", f"{result['n_dev']:,} test rows set aside; they judge no arm" if result.get("n_dev") else ""),
        ("Test rows found in the queries or the pool", _overlap(result)),
        ("Answers", _answers(design)),
    ]
    blocks: list[Block] = [Facts([(name, value) for name, value in pairs if value])]
    if any(result["curves"].values()):
        caption = "Training loss: steps faintly, their running mean over them."
        blocks.append(Figure(figures_results.losses(result["curves"]), caption))
    return Section("The experiment", blocks)


def _arm(records: Records, arm: str) -> str:
    """An arm by name, and how its rows were found."""
    design = records.config.experiment
    base = arm.partition("@")[0]
    how = {
        "zero_shot": "the model untuned",
        "random": "rows drawn anew for each seed",
        "off_task": "rows drawn from the half of the pool farther from the queries",
        "full": "every row that has features",
    }.get(base, "")
    if design is not None and base in design.selections:
        asked = design.selections[base]
        how = "a saved selection" if "saved" in asked else _options(asked).strip(" ()")
    elif design is not None and base in design.subsets:
        how = f"the rows of {design.subsets[base]}"
    return wording.arm_label(arm) + (f" ({how})" if how else "")


def _training(training: TrainingConfig) -> str:
    how = f"LoRA of rank {training.lora_r}" if training.method == "lora" else "every weight"
    passes = (
        f"{training.max_steps:,} steps"
        if training.max_steps
        else f"{training.epochs:g} pass{'es' * (training.epochs != 1)}"
    )
    told = f"{how}, {passes}, learning rate {training.learning_rate:g} ({training.schedule.replace('_', ' ')})"
    return f"{told}, batches of {training.batch_size}" + (", in bfloat16" if training.bf16 else "")


def _model(model: Mapping[str, Any]) -> str:
    named = (("revision", "revision"), ("dtype", "weights in"))
    further = [f"{words} {model[name]}" for name, words in named if model.get(name)]
    if model.get("max_length"):
        further.append(f"at most {model['max_length']:,} tokens a conversation")
    return ", ".join([str(model["name"]), *further])


def _judged_on(result: Mapping[str, Any]) -> str:
    tests = f"{result['n_test']:,} test rows, " if result["n_test"] else "no test rows, "
    return f"{tests}{result['n_query']:,} queries"


def _overlap(result: Mapping[str, Any]) -> str:
    found = result.get("overlap") or {}
    if not found:
        return ""
    n = found["either"]
    if not n:
        return "none"
    return f"{n:,}, left out" if found["excluded"] else f"{n:,}, judged on all the same"


def _answers(design: ExperimentConfig) -> str:
    judging = design.evaluation
    told = f"written greedily, at most {judging.max_new_tokens:,} tokens"
    options = {name: value for name, value in judging.options.items() if value}
    return told + "".join(f"; {findings.metric_label(name)}{_options(value)}" for name, value in options.items())


def _cost(records: Records) -> Section:
    """What each arm took, and what a point cost."""
    result = records.result
    if result is None:
        return Section("What it cost", [])
    from curation import spending

    blocks: list[Block] = [_frame(spending.table(result))]
    blocks += [Text(said) for said in (findings.cost(result), spending.against_full(result)) if said]
    return Section("What it cost", [Text("One seed of each arm, tuning and judging, as measured."), *blocks])


# ---------------------------------------------------------------------------------------------------- the selection


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
    pairs.append(("Representation", representation.name + _options(representation.options)))
    if representation.first_stage is not None:
        pairs.append(("First stage", _first_stage(representation.first_stage)))
    if representation.name == "less":
        share = f"{100 * config.warmup.share:g} % of the pool"
        pairs.append(("Warmup", f"{share}, seed {config.warmup.seed}: {_training(config.warmup.training)}"))
    pairs.append(("Selector", selection.selector + _options(selection.options)))
    if selection.quotas:
        pairs.append(("At most of a source", _options(selection.quotas).strip(" ()")))
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


def _options(options: Mapping[str, Any]) -> str:
    return " (" + ", ".join(f"{k} = {v}" for k, v in options.items()) + ")" if options else ""


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


def _frame(frame: pd.DataFrame) -> Table:
    rows = [tuple(map(str, row)) for row in frame.itertuples(index=False)]
    return Table(list(frame.columns), rows, frozenset(frame.columns) - _WORDS)
