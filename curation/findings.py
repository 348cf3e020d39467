"""What an experiment says in plain words: its headline, tables and warnings.

Numbers come from the result of `curation.experiments`, sentences are made here, so that the Evaluate page, the report
and `winnow demo` tell the same. The advice is the field's, with its source: TIS is "targeted instruction selection"
(arXiv 2602.14696), LESS arXiv 2402.04333. Text from data never enters a sentence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from curation.cautions import LENGTH_RATIO, TIS, warnings
from curation.judged import arms_of, judged_arms, main_metric, tuned_arms, verdict_of
from curation.wording import (
    ARMS,
    arm_label,
    arm_words,
    difference,
    ends,
    in_order,
    interval,
    is_loss,
    listed,
    metric_label,
    number,
    one_of_each,
    shown,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "ADVICE",
    "ARMS",
    "LENGTH_RATIO",
    "Finding",
    "arm_label",
    "arms_of",
    "arms_table",
    "cost",
    "difference",
    "differences_table",
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


@dataclass(frozen=True)
class Finding:
    """One sentence on a result; `verdict` is better, worse or same (not distinguishable)."""

    verdict: str
    sentence: str


def findings(result: Mapping[str, Any]) -> list[Finding]:
    """Return what the result says on its main metric: against random, zero-shot, the full pool, then other models.

    Returns
    -------
    list of Finding
        At least one; the first is the headline.
    """
    metric = main_metric(result)
    arms = result["arms"]
    told = []
    arm = next((a for a in ("selected", "random", "full") if a in arms), None)
    if arm is None and "zero_shot" not in arms:
        arm = next((a for a in judged_arms(result, metric)), arms_of(result)[0])
    if arm is None:
        value = interval(metric, arms["zero_shot"]["metrics"][metric])
        return [Finding("same", f"The untuned model has {_name(metric)} {value}; no arm was tuned.")]
    against = result["differences"].get(arm, {}).get(metric, {})
    if arm == "selected" and "versus_random" in against:
        told.append(_against_random(metric, arms[arm]["n_examples"], against["versus_random"]))
    if "versus_zero_shot" in against:
        told.append(_against_zero_shot(metric, arm, against["versus_zero_shot"]))
    if arm == "selected" and "full" in arms:
        value, n = arms["full"]["metrics"][metric], arms["full"]["n_examples"]
        share = arms["selected"]["n_examples"] / max(1, n)
        told.append(
            Finding(
                "same",
                f"The full pool of {n:,} examples reached {interval(metric, value)}; "
                f"the selection is {100 * share:.1f} % of it.",
            )
        )
    if arm == "selected":
        told += [
            _against_model(metric, name, against[f"versus_{name}"])
            for name in result.get("models", ())
            if f"versus_{name}" in against
        ]
    return told or [
        Finding("same", f"{arm_label(arm)}: {_name(metric)} {interval(metric, arms[arm]['metrics'][metric])}.")
    ]


def fairness(result: Mapping[str, Any]) -> str:
    """Say what all arms have alike, and what judged their epochs."""
    design = result["config"]
    words = {
        "passes": "Every arm makes as many passes over its own rows; larger arms take more optimizer steps.",
        "steps": "Every arm takes as many optimizer steps; larger arms see each row less often.",
        "tokens": "Random and off-task arms have as many tokens as the selection of their size, not as many rows.",
    }
    told = words[design.get("equal", "passes")]
    if design["full_training"]:
        told += " The full pool is tuned by options of its own."
    if design["training"]["early_stopping"]:
        by = f"{result['n_dev']:,} test rows set aside" if result.get("n_dev") else "the query set"
        told += f" The best epoch is kept, by the loss on {by}; the rows that judge arms have no say in it."
    return told


def _against_random(metric: str, n: int, told: Mapping[str, Any]) -> Finding:
    verdict = verdict_of(told)
    size, span = _size(metric, told), _span(metric, told)
    if verdict == "better":
        return Finding(verdict, f"The selected {n:,} examples beat as many random ones by {size} ({span}).")
    if verdict == "worse":
        return Finding(verdict, f"The selected {n:,} examples did worse than as many random ones, by {size} ({span}).")
    return Finding(
        verdict,
        f"The selected {n:,} examples and as many random ones are not distinguishable in {_name(metric)}: "
        f"{difference(metric, told)}{_despite(told)}.",
    )


def _against_zero_shot(metric: str, arm: str, told: Mapping[str, Any]) -> Finding:
    verdict = verdict_of(told)
    who = {"selected": "the selection", "random": "random examples", "full": "the full pool"}.get(arm, arm_label(arm))
    size, span = _size(metric, told), _span(metric, told)
    if verdict == "better":
        return Finding(verdict, f"Tuning on {who} gained {size} over the untuned model ({span}).")
    if verdict == "worse":
        return Finding(verdict, f"Tuning lost: after tuning on {who} the model is {size} worse than untuned ({span}).")
    return Finding(
        verdict,
        f"Tuning on {who} is not distinguishable from the untuned model in {_name(metric)}: "
        f"{difference(metric, told)}{_despite(told)}.",
    )


def _against_model(metric: str, name: str, told: Mapping[str, Any]) -> Finding:
    verdict, size, span = verdict_of(told), _size(metric, told), _span(metric, told)
    if verdict == "same":
        return Finding(
            verdict,
            f"The model tuned on the selection and {name} as it is are not distinguishable in {_name(metric)}: "
            f"{difference(metric, told)}{_despite(told)}.",
        )
    return Finding(verdict, f"Tuned on the selection, the model is {size} {verdict} than {name} as it is ({span}).")


def _despite(told: Mapping[str, Any]) -> str:
    """Say why a difference does not count though its own interval leaves zero out."""
    if told["low"] is None or told["high"] is None or told["low"] <= 0 <= told["high"]:
        return ""
    return (
        f"; alone it would count, but among {told['comparisons']} arms compared at once it may be chance: tune more "
        "seeds, or fewer arms"
    )


def _size(metric: str, told: Mapping[str, Any]) -> str:
    size = number(metric, abs(told["mean"]))
    return f"{size} nats of {_name(metric)}" if is_loss(metric) else f"{size} points {_name(metric)}"


def _span(metric: str, told: Mapping[str, Any]) -> str:
    """The interval of a difference's size, smaller end first."""
    low, high = told["low"], told["high"]
    return f"95 % interval {ends(metric, low, high) if told['mean'] > 0 else ends(metric, -high, -low)}"


def _name(metric: str) -> str:
    return metric_label(metric).lower()


# ----------------------------------------------------------------------------------------------------------- tables


def arms_table(result: Mapping[str, Any]) -> pd.DataFrame:
    """Return arms × metrics as text: mean with 95 % interval, and what each arm cost."""
    import pandas as pd

    rows = []
    for arm in arms_of(result):
        told = result["arms"][arm]
        row = {"Arm": arm_label(arm), "Examples": f"{told['n_examples']:,}" if told["n_examples"] else "none"}
        row |= {
            metric_label(m): interval(m, told["metrics"][m]) if m in told["metrics"] else "–" for m in result["metrics"]
        }
        rows.append(row | {"Tokens a pass": f"{told['tokens']:,}", "Time": f"{told['seconds']:,.0f} s"})
    return pd.DataFrame(rows)


def differences_table(result: Mapping[str, Any]) -> pd.DataFrame:
    """Return each tuned arm's difference from random and zero-shot as text, with a verdict; the main metric first."""
    import pandas as pd

    words = {"better": "better", "worse": "worse", "same": "not distinguishable"}
    first = main_metric(result)
    rows = []
    for metric in sorted(result["metrics"], key=lambda m: m != first):
        for arm in sorted(in_order(result["differences"]), key=lambda a: ("selected", "full", "random", a).index(a)):
            for other, told in result["differences"][arm].get(metric, {}).items():
                name = arm_words(other.removeprefix("versus_"))
                row = {"Arm": arm_label(arm), "Against": name, "Metric": metric_label(metric)}
                rows.append(
                    row | {"Difference (95 % interval)": difference(metric, told), "Verdict": words[verdict_of(told)]}
                )
    return pd.DataFrame(rows, columns=["Arm", "Against", "Metric", "Difference (95 % interval)", "Verdict"])


def cost(result: Mapping[str, Any]) -> str:
    """Say what a point gained over zero-shot cost, in examples and seconds; empty where nothing was gained."""
    metric = main_metric(result)
    told = result["differences"].get("selected", {}).get(metric, {}).get("versus_zero_shot")
    if told is None or is_loss(metric) or verdict_of(told) != "better":
        return ""
    points, arm = 100 * told["mean"], result["arms"]["selected"]
    runs = max(1, len(result["seeds"]))
    return (
        f"A point of {_name(metric)} gained cost {_amount(arm['n_examples'] / points)} examples and "
        f"{_amount(arm['seconds'] / runs / points)} s of tuning and judging."
    )


def _amount(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
