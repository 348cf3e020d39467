"""What the selection card says of an experiment: its effect, its arms and how they were compared, what it cost.

Each function reads a report's `Records` and returns one section, as the plain blocks of `curation.card`; one without
blocks is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from curation import findings, result_tables, wording
from curation.card import Block, Facts, Figure, Section, Table, Text

if TYPE_CHECKING:
    import pandas as pd

    from curation.config import ExperimentConfig, TrainingConfig
    from curation.report import Records

_WORDS = frozenset({"Arm", "Against", "Metric", "Verdict", "Subgroup", "Caution"})  # columns that hold no numbers


def effect(records: Records) -> Section:
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


def results(records: Records) -> Section:
    """Every arm and metric with its interval, the differences, and the budget curve."""
    result = records.result
    if result is None:
        return Section("Results", [])
    from curation import figures_results

    metric = findings.main_metric(result)
    label = findings.metric_label(metric)
    arms = result_tables.arms_table(result).drop(columns=["Tokens a pass", "Time"])  # what it cost has them
    told = "Every arm and metric: mean, and in brackets the 95 % interval."
    if any(findings.is_loss(m) for m in result["metrics"]):
        told += " Of a loss, lower is better."
    blocks: list[Block] = [Text(told), tabular(arms)]
    differences = result_tables.differences_table(result)
    if not differences.empty:
        shown = differences[differences["Metric"] == label].drop(columns="Metric")
        told = f"Differences in {label[:1].lower() + label[1:]}, paired by example. {_corrected(result)}"
        blocks += [Text(told.strip()), tabular(shown)]
        if others := [findings.metric_label(m) for m in result["metrics"] if m != metric]:
            rest = differences[differences["Metric"] != label]
            blocks += [Text(f"The same in {' and '.join(others).lower()}."), tabular(rest)]
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
    named = ", ".join(f"{n} with {wording.arm_words(other.removeprefix('versus_'))}" for other, n in counts.items())
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


def subgroups(records: Records) -> Section:
    """Whether the gain is there for every kind of test row."""
    result, found = records.result, records.summary.get("subgroups")
    if result is None or not found:
        return Section("Where it gains", [])
    blocks: list[Block] = []
    label = findings.metric_label(findings.main_metric(result))
    for by, frame in found.items():
        blocks += [Text(f"{label} by {by.lower()}."), tabular(frame)]
    said = "Verdicts are corrected for the number of subgroups of a kind (Holm)."
    return Section("Where it gains", [*blocks, Text(said, "small")])


def preferences(records: Records) -> Section:
    """Whose answers people and judges preferred."""
    blocks: list[Block] = []
    for told in records.summary.get("preferences") or ():
        blocks += [Text(told.finding.sentence), *(Text(text, "small") for text in told.details)]
    return Section("Whose answers are preferred", blocks)


def design(records: Records) -> Section:
    """Which arms, on what, how often, how tuned, how judged: enough to argue with."""
    result, design = records.result, records.config.experiment
    if result is None or design is None:
        return Section("The experiment", [])
    from curation import figures_results

    trained = findings.tuned_arms(result)
    sizes = sorted({result["arms"][arm]["n_examples"] for arm in trained if arm != "full"})
    runs = sum(len(result["evaluations"][arm]) for arm in trained)
    seeds = ", ".join(map(str, result["seeds"]))
    pairs = [
        ("Base model", _model(result["model"])),
        ("Arms", "; ".join(_arm(records, result, arm) for arm in findings.arms_of(result))),
        ("Budgets", ", ".join(f"{n:,}" for n in sizes) + " examples" if sizes else ""),
        ("Seeds", f"{seeds} ({runs} trainings)"),
        ("Tuned by", tuned_by(design.training)),
        ("Full pool tuned by", tuned_by(design.full_training) if design.full_training and "full" in trained else ""),
        ("What is equal", findings.fairness(result)),
        ("Judged by", ", ".join(findings.metric_label(m) for m in result["metrics"])),
        ("Judged on", _judged_on(result)),
        ("Dev split", f"{result['n_dev']:,} test rows set aside; they judge no arm" if result.get("n_dev") else ""),
        ("Test rows found in the queries or the pool", _overlap(result)),
        ("Answers", _answers(design) if _wrote(result) else ""),
    ]
    blocks: list[Block] = [Facts([(name, value) for name, value in pairs if value])]
    if any(result["curves"].values()):
        caption = "Training loss: steps faintly, their running mean over them."
        blocks.append(Figure(figures_results.losses(result["curves"]), caption))
    return Section("The experiment", blocks)


def _arm(records: Records, result: Mapping[str, Any], arm: str) -> str:
    """An arm by name, and how its rows were found."""
    design = records.config.experiment
    base = arm.partition("@")[0]
    how = {
        "zero_shot": "the model untuned",
        "random": "rows drawn anew for each seed",
        "off_task": "rows drawn from the half of the pool farther from the queries",
        "full": "every row that could be picked",
    }.get(base, "")
    if arm in result.get("models", {}):
        how = f"another model, untuned: {_model(result['models'][arm])}"
    elif design is not None and base in design.selections:
        asked = design.selections[base]
        how = "a saved selection" if "saved" in asked else in_brackets(asked).strip(" ()")
    elif design is not None and base in design.subsets:
        how = f"the rows of {design.subsets[base]}"
    return wording.arm_label(arm) + (f" ({how})" if how else "")


def tuned_by(training: TrainingConfig) -> str:
    """Say how a model is tuned."""
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
    from curation.evaluation import METRICS

    roles = {METRICS.load(m).role for m in result["metrics"]}
    told = [f"{result['n_test']:,} test rows" if result["n_test"] else "no test rows"] if "tests" in roles else []
    told += [f"{result['n_query']:,} queries"] if "queries" in roles else []
    told += ["the tasks of lm-evaluation-harness"] if "tasks" in roles else []
    return ", ".join(told)


def _overlap(result: Mapping[str, Any]) -> str:
    found = result.get("overlap") or {}
    if not found:
        return ""
    n = found["either"]
    if not n:
        return "none"
    return f"{n:,}, left out" if found["excluded"] else f"{n:,}, judged on all the same"


def _wrote(result: Mapping[str, Any]) -> bool:
    """Whether arms wrote answers; a result of old does not tell, but did unless it was judged by losses alone."""
    told: Mapping[str, tuple[int, int]] | None = result.get("unanswered")
    return any(n for _, n in told.values()) if told else not all(map(findings.is_loss, result["metrics"]))


def _answers(design: ExperimentConfig) -> str:
    judging = design.evaluation
    told = f"written greedily, at most {judging.max_new_tokens:,} tokens"
    options = {name: value for name, value in judging.options.items() if value}
    return told + "".join(f"; {findings.metric_label(name)}{in_brackets(value)}" for name, value in options.items())


def cost(records: Records) -> Section:
    """What each arm took, and what a point cost."""
    result = records.result
    if result is None:
        return Section("What it cost", [])
    from curation import spending

    blocks: list[Block] = [tabular(spending.table(result))]
    blocks += [Text(said) for said in (spending.of_a_point(result), spending.against_full(result)) if said]
    return Section("What it cost", [Text("One seed of each arm, tuning and judging, as measured."), *blocks])


def in_brackets(options: Mapping[str, Any]) -> str:
    """Return options with their values, behind what they are of; empty without any."""
    return " (" + ", ".join(f"{k} = {v}" for k, v in options.items()) + ")" if options else ""


def tabular(frame: pd.DataFrame) -> Table:
    """Return a frame of text as a table."""
    rows = [tuple(map(str, row)) for row in frame.itertuples(index=False)]
    return Table(list(frame.columns), rows, frozenset(frame.columns) - _WORDS)
