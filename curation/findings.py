"""What an experiment says in plain words: its headline and warnings; its tables are in `curation.result_tables`.

Numbers come from the result of `curation.experiments`, sentences are made here, so that the Evaluate page, the report
and `winnow demo` tell the same. The advice is the field's, with its source: TIS is "targeted instruction selection"
(arXiv 2602.14696), LESS arXiv 2402.04333. Text from rows never enters a
sentence; names of arms do, so that whoever draws one escapes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curation.cautions import LENGTH_RATIO, TIS, warnings
from curation.judged import arms_of, judged_arms, main_metric, tuned_arms
from curation.verdicts import Finding, compared, name_of, tuned, turned, verdict
from curation.wording import (
    ARMS,
    arm_label,
    difference,
    interval,
    is_loss,
    listed,
    metric_label,
    one_of_each,
    shown,
)

__all__ = [
    "ADVICE",
    "ARMS",
    "LENGTH_RATIO",
    "Finding",
    "arm_label",
    "arms_of",
    "difference",
    "fairness",
    "findings",
    "interval",
    "is_loss",
    "judged_arms",
    "listed",
    "main_metric",
    "metric_label",
    "one_of_each",
    "shown",
    "tuned_arms",
    "warnings",
]

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
    told += _mere_form(result) + _against_models(result)
    return told or [Finding("same", f"{arm_label(a)}: {name_of(metric)} {_reached(result, a)}.") for a in shown]


def _one_of_each(result: Mapping[str, Any]) -> list[str]:
    """Return an arm of each kind that was tuned, at its own size or else its largest; the headline's first."""
    kinds: dict[str, str] = {}
    for arm in tuned_arms(result):  # its own size comes first, then the smallest
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


def _against_models(result: Mapping[str, Any]) -> list[Finding]:
    """Tell how the model tuned on the selection does against further models as they are."""
    metric = main_metric(result)
    told = ((name, _told(result, "selected", name)) for name in result.get("models", ()))
    return [
        compared(metric, "the model tuned on the selection", f"{name} as it is", one)
        for name, one in told
        if one is not None
    ]


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
