"""What an experiment says in plain words: its headline and warnings; its tables are in `curation.result_tables`.

Numbers come from the result of `curation.experiments`, sentences are made here, so that the Evaluate page, the report
and `winnow demo` tell the same. The advice is the field's, with its source: TIS is "targeted instruction selection"
(arXiv 2602.14696), LESS arXiv 2402.04333. Text from rows never enters a
sentence; names of arms do, so that whoever draws one escapes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curation.accounts import failures
from curation.verdicts import Finding, compared, name_of, tuned, turned, verdict
from curation.wording import (
    ARMS,
    arm_label,
    difference,
    in_order,
    interval,
    is_loss,
    metric_label,
    shown,
)

__all__ = [
    "ADVICE",
    "ARMS",
    "Finding",
    "arm_label",
    "arms_of",
    "difference",
    "fairness",
    "findings",
    "interval",
    "is_loss",
    "main_metric",
    "metric_label",
    "shown",
    "warnings",
]

FEW_TESTS = 100
LENGTH_RATIO = 2.0

TIS = "TIS, arXiv 2602.14696"
ADVICE = (
    (
        "Distance to the query set predicts the loss on those very queries, far less the test loss or the task "
        "metric: mean Spearman correlation over ten pairs of pool and base model, query loss / test loss / task "
        "metric: LESS 0.89 / 0.40 / 0.30, RDS+ 0.20 / −0.07 / 0.17, EMBED 0.19 / −0.12 / 0.27.",
        f"{TIS}, computed from its published plot data",
    ),
    (
        "By task, LESS's distance predicted test loss with 0.95 on TyDiQA and 0.90 on Codex, but 0.22 on MMLU-Pro, "
        "0.09 on BBH and −0.17 on GSM8K.",
        TIS,
    ),
    (
        "Tuning on 500 examples often hurts modern base models, whatever picks them: SmolLM3-3B −1.0 (random) to −6.5 "
        "points, Qwen3-4B −1.2 to −9.4 points against zero-shot.",
        TIS,
    ),
    (
        "The gain over zero-shot on Llama-2-7B, Tulu v2, at 500 / 2,500 / 10,000 examples: random 0.5 / 3.0 / 4.2 "
        "points, LESS with round_robin 2.1 / 5.1 / 6.0. No selector wins everywhere, and the gap narrows as the budget "
        "grows.",
        TIS,
    ),
)


# ---------------------------------------------------------------------------------------------------------- numbers


def arms_of(result: Mapping[str, Any]) -> list[str]:
    """Return a result's arms in the order in which they are shown: untuned, random, selected, full pool."""
    return in_order(result["arms"])


def main_metric(result: Mapping[str, Any]) -> str:
    """Return the metric that the headline is about: the task's own if there is one, else the test or query loss."""
    metrics: list[str] = result["metrics"]
    ranked = [m for m in metrics if not is_loss(m)] + [m for m in ("test_loss", "query_loss") if m in metrics]
    return (ranked or metrics)[0]


# -------------------------------------------------------------------------------------------------------- sentences


def findings(result: Mapping[str, Any]) -> list[Finding]:
    """Return what the result says on its main metric.

    The selection, or else the arm nearest to one, is told of against random, then against zero-shot; every other arm
    then, against the selection where the two were compared.

    Returns
    -------
    list of Finding
        At least one; the first is the headline.
    """
    metric = main_metric(result)
    shown = _one_of_each(result)
    if not shown:
        value = interval(metric, result["arms"]["zero_shot"]["metrics"][metric])
        return [Finding("same", f"The untuned model has {name_of(metric)} {value}; no arm was tuned.")]
    lead, *others = shown
    told = _against_random(result, lead) + _against_zero_shot(result, lead)
    for arm in others:
        told += _against_selected(result, arm) if lead == "selected" else _against_zero_shot(result, arm)
    told += _mere_form(result)
    return told or [Finding("same", f"{arm_label(a)}: {name_of(metric)} {_reached(result, a)}.") for a in shown]


def _one_of_each(result: Mapping[str, Any]) -> list[str]:
    """Return an arm of each kind that was tuned, at its own size or else its largest; the headline's first."""
    kinds: dict[str, str] = {}
    for arm in arms_of(result):  # its own size comes first, then the smallest
        base = arm.partition("@")[0]
        if result["arms"][arm]["n_examples"] and "@" in kinds.get(base, "@"):
            kinds[base] = arm
    given = [base for base in kinds if base not in ARMS]
    return [kinds[base] for base in ("selected", *given, "full", "random", "off_task") if base in kinds]


def _told(result: Mapping[str, Any], arm: str, other: str) -> Mapping[str, Any] | None:
    """Return an arm's difference from another in the main metric; None where they were not compared."""
    told: Mapping[str, Any] | None
    told = result["differences"].get(arm, {}).get(main_metric(result), {}).get(f"versus_{other}")
    return told


def _reached(result: Mapping[str, Any], arm: str) -> str:
    metric = main_metric(result)
    return interval(metric, result["arms"][arm]["metrics"][metric])


def fairness(result: Mapping[str, Any]) -> str:
    """Say what all arms have alike, and what judged their epochs."""
    design = result["config"]
    words = {
        "passes": "Every arm makes as many passes over its own rows; larger arms take more optimizer steps.",
        "steps": "Every arm takes as many optimizer steps; larger arms see each row less often.",
        "tokens": "Random and off-task arms have as many tokens as the selection of their size, not as many rows.",
    }
    equal = design.get("equal", "passes")
    told = words["steps" if equal == "passes" and design["training"].get("max_steps") else equal]
    if design["full_training"]:
        told += " The full pool is tuned by options of its own."
    if design["training"]["early_stopping"]:
        told += f" The best epoch of each training is kept, by the loss on {_judges_epochs(result)}."
    return told


def _judges_epochs(result: Mapping[str, Any]) -> str:
    """Name the rows whose loss chose the epochs, and say which say they have in judging arms."""
    from curation.evaluation import METRICS

    if n := result.get("n_dev"):
        return f"{n:,} test rows set aside, which judge no arm"
    if names := [name_of(m) for m in result["metrics"] if METRICS.load(m).role == "queries"]:
        return f"the query set, which judges arms too: their {' and '.join(names)} looks somewhat too good"
    return "the query set, which judges no arm"


def _against_random(result: Mapping[str, Any], arm: str) -> list[Finding]:
    told = _told(result, arm, "random")
    if told is None or arm == "full":  # which is no match for the few that random draws
        return []
    alike = "random ones of as many tokens" if result["config"].get("equal") == "tokens" else "as many random ones"
    return [compared(main_metric(result), _rows(result, arm), alike, told)]


def _against_zero_shot(result: Mapping[str, Any], arm: str) -> list[Finding]:
    told = _told(result, arm, "zero_shot")
    who = {"selected": "the selection", "random": "random examples", "full": "the full pool"}
    return [] if told is None else [tuned(main_metric(result), who.get(arm, _rows(result, arm)), told)]


def _against_selected(result: Mapping[str, Any], arm: str) -> list[Finding]:
    """Tell how the selection does against another arm; what is of another size is held against random instead."""
    told, who = _told(result, arm, "selected"), _rows(result, "selected")
    if arm == "full":
        share = result["arms"]["selected"]["n_examples"] / max(1, result["arms"]["full"]["n_examples"])
        who = f"{who}, {100 * share:.1f} % of the pool,"
        if told is None:  # a result of old
            said = f"{who} and all of it, which reached {_reached(result, arm)}, were not compared when this was stored"
            return [Finding("same", f"{said[0].upper()}{said[1:]}: start the experiment again to see.")]
    if told is not None:
        return [compared(main_metric(result), who, _rows(result, arm), turned(told))]
    return _against_random(result, arm) if arm not in ARMS else []


def _mere_form(result: Mapping[str, Any]) -> list[Finding]:
    """Tell how much of the selection's gain is form: what rows that are off the task gain as well."""
    off, own = (_told(result, arm, "zero_shot") for arm in ("off_task", "selected"))
    if off is None or own is None:
        return []
    metric, how = main_metric(result), verdict(off)
    none = ", which is not distinguishable from none" if how == "same" else ""
    said = (
        f"How much of the gain is mere form: off-task examples moved {name_of(metric)} by {difference(metric, off)}"
        f"{none}, the selection by {difference(metric, own)}."
    )
    return [Finding(how, said)]


def _rows(result: Mapping[str, Any], arm: str) -> str:
    """Name the examples of an arm as they stand within a sentence."""
    n, base = f"{result['arms'][arm]['n_examples']:,}", arm.partition("@")[0]
    known = {
        "random": f"{n} random examples",
        "off_task": f"{n} off-task examples",
        "selected": f"the selected {n} examples",
        "full": f"the full pool of {n} examples",
    }
    return known.get(base, f"the {n} examples of {base}")


def warnings(result: Mapping[str, Any], lengths: tuple[float, float] | None = None) -> list[str]:
    """Return what keeps the result from meaning more than it does.

    Parameters
    ----------
    result : mapping
        As `curation.experiments.experiment` returns it.
    lengths : (float, float), optional
        Median length in characters of the query set's and of the test set's answers.
    """
    told = _about_tests(result) + _about_arms(result)
    tuned = [a for a in arms_of(result) if a != "zero_shot"]
    if tuned and len(result["seeds"]) == 1:
        told.append(
            "One seed only: the intervals show the spread over test examples, not that between trainings; "
            "tune three seeds or more."
        )
    if lengths and min(lengths) > 0 and max(lengths) / min(lengths) > LENGTH_RATIO:
        told.append(
            f"Query answers have about {lengths[0]:,.0f} characters, test answers about {lengths[1]:,.0f}: losses on "
            "the two measure different things, so judge by the task metric."
        )
    metrics = result["metrics"]
    if "query_loss" in metrics and "selected" in tuned and _loss_without_metric(result):
        told.append(
            "The selection lowered the query loss but not the task metric. Distance to the queries predicts query loss "
            f"well and the metric poorly (LESS 0.89 against 0.30; {TIS})."
        )
    lost = [a for a in tuned if _lost(result, a)]
    if lost:
        names = ", ".join(arm_label(a).lower() for a in lost)
        told.append(
            f"Tuning lost against zero-shot in {name_of(main_metric(result))} ({names}). On modern base models that is "
            f"common with few examples (SmolLM3-3B −1.0 to −6.5 points, Qwen3-4B −1.2 to −9.4 at 500 examples; {TIS}). "
            "Try a lower learning rate, fewer passes or a larger budget, or keep the untuned model."
        )
    return told


def _about_tests(result: Mapping[str, Any]) -> list[str]:
    """What is wrong with the rows that judge."""
    told = []
    n_test, overlap = result["n_test"], result.get("overlap") or {}
    if not n_test:
        told.append("There is no test set, so only the queries themselves judge; load one on the Data page.")
    elif n_test == 1:
        told.append("There is one test example: it says next to nothing of others; load more of them.")
    elif n_test < FEW_TESTS:
        told.append(f"Only {n_test} test examples: intervals are wide; {FEW_TESTS} or more tell smaller differences.")
    told += _partly_judged(result)
    if n := overlap.get("either", 0):
        where = [
            f"{overlap[k]:,} in the {words}" for k, words in (("queries", "query set"), ("pool", "pool")) if overlap[k]
        ]
        done = (
            "They were left out."
            if overlap["excluded"]
            else ("Answers to them may be known by heart, so the results look too good; exclude them and start again.")
        )
        told.append(
            f"{n:,} of the test set's prompts {'stands' if n == 1 else 'stand'} elsewhere too ({', '.join(where)}). "
            f"{done}"
        )
    return told


def _partly_judged(result: Mapping[str, Any]) -> list[str]:
    """Metrics of the test rows that judged some of them only."""
    from curation.evaluation import METRICS

    told, (arm, *_) = [], arms_of(result)
    for metric in (m for m in result["metrics"] if METRICS.load(m).role == "tests"):
        n = result["arms"][arm]["metrics"][metric]["n_examples"]
        if n < result["n_test"]:
            told.append(
                f"{metric_label(metric)} judged {n:,} of {result['n_test']:,} test examples; the others lack a field "
                "that it needs, or are too long for the model: add what is missing, or choose another metric."
            )
    return told


def _about_arms(result: Mapping[str, Any]) -> list[str]:
    """Arms that could not be trained or judged with some seed, or that answer nothing."""
    told = failures(result)
    for arm, stopped in result.get("stopped", {}).items():
        for seed, (steps, planned) in stopped.items():
            told.append(
                f"The training of the arm {arm_label(arm)} with seed {seed} was stopped by hand after step {steps:,} "
                f"of {planned:,} and is judged as it stood then: it saw less than it was to, so compare it with care."
            )
    for arm in result.get("left_out_arms", ()):
        told.append(f"While it ran, the arm {arm_label(arm)} was left out; it can be added on the Train page.")
    for arm, (empty, n) in result.get("unanswered", {}).items():
        if n and 2 * empty >= n:
            told.append(
                f"The arm {arm_label(arm)} wrote nothing to {empty:,} of {n:,} test prompts, so its score says that it "
                "ends at once, not what it knows; look at the answers, at the model's chat form and its end mark, or "
                "lower the learning rate."
            )
    return told


def _lost(result: Mapping[str, Any], arm: str) -> bool:
    metric = main_metric(result)
    told = result["differences"].get(arm, {}).get(metric, {}).get("versus_zero_shot")
    return told is not None and verdict(told) == "worse"


def _loss_without_metric(result: Mapping[str, Any]) -> bool:
    against = result["differences"].get("selected", {})
    metric = main_metric(result)
    if is_loss(metric) or not {"query_loss", metric} <= against.keys():
        return False
    other = "versus_random" if "versus_random" in against[metric] else "versus_zero_shot"
    if other not in against[metric]:
        return False
    verdicts = {m: verdict(against[m][other]) for m in ("query_loss", metric)}
    return verdicts["query_loss"] == "better" and verdicts[metric] != "better"
