"""What an experiment says in plain words: its headline, tables and warnings.

Numbers come from the result of `curation.experiments`, sentences are made here, so that the Evaluate page, the report
and `winnow demo` tell the same. The advice is the field's, with its source: TIS is "targeted instruction selection"
(arXiv 2602.14696), LESS arXiv 2402.04333. Text from data never enters a sentence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from curation.wording import (
    ARMS,
    arm_label,
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
    "listed",
    "main_metric",
    "metric_label",
    "one_of_each",
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


@dataclass(frozen=True)
class Finding:
    """One sentence on a result; `verdict` is better, worse or same (not distinguishable)."""

    verdict: str
    sentence: str


def findings(result: Mapping[str, Any]) -> list[Finding]:
    """Return what the result says on its main metric: against random first, then against zero-shot, then the full pool.

    Returns
    -------
    list of Finding
        At least one; the first is the headline.
    """
    metric = main_metric(result)
    arms = result["arms"]
    told = []
    arm = next((a for a in ("selected", "random", "full") if a in arms), None)
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
    verdict = _verdict(told)
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
    verdict = _verdict(told)
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


def _despite(told: Mapping[str, Any]) -> str:
    """Say why a difference does not count though its own interval leaves zero out."""
    if told["low"] is None or told["high"] is None or told["low"] <= 0 <= told["high"]:
        return ""
    return (
        f"; alone it would count, but among {told['comparisons']} arms compared at once it may be chance: tune more "
        "seeds, or fewer arms"
    )


def _verdict(told: Mapping[str, Any]) -> str:
    return {True: "better", False: "worse", None: "same"}[told["better"]]


def _size(metric: str, told: Mapping[str, Any]) -> str:
    size = number(metric, abs(told["mean"]))
    return f"{size} nats of {_name(metric)}" if is_loss(metric) else f"{size} points {_name(metric)}"


def _span(metric: str, told: Mapping[str, Any]) -> str:
    """The interval of a difference's size, smaller end first."""
    low, high = told["low"], told["high"]
    return f"95 % interval {ends(metric, low, high) if told['mean'] > 0 else ends(metric, -high, -low)}"


def _name(metric: str) -> str:
    return metric_label(metric).lower()


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
            f"Tuning lost against zero-shot in {_name(main_metric(result))} ({names}). On modern base models that is "
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
    """Arms that could not be trained with some seed, or that answer nothing."""
    told = []
    for arm, seeds in result.get("failed", {}).items():
        left = "It is judged by its other seeds." if arm in result["arms"] else "It is not judged."
        numbers = ", ".join(seeds)
        told.append(
            f"The training of the arm {arm_label(arm)} diverged with seed{'s' if len(seeds) > 1 else ''} {numbers} and "
            f"was stopped; its last good weights are kept. {left} Lower the learning rate and start again."
        )
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
    return told is not None and _verdict(told) == "worse"


def _loss_without_metric(result: Mapping[str, Any]) -> bool:
    against = result["differences"].get("selected", {})
    metric = main_metric(result)
    if is_loss(metric) or not {"query_loss", metric} <= against.keys():
        return False
    other = "versus_random" if "versus_random" in against[metric] else "versus_zero_shot"
    if other not in against[metric]:
        return False
    verdicts = {m: _verdict(against[m][other]) for m in ("query_loss", metric)}
    return verdicts["query_loss"] == "better" and verdicts[metric] != "better"


# ----------------------------------------------------------------------------------------------------------- tables


def arms_table(result: Mapping[str, Any]) -> pd.DataFrame:
    """Return arms × metrics as text: mean with 95 % interval, and what each arm cost."""
    import pandas as pd

    rows = []
    for arm in arms_of(result):
        told = result["arms"][arm]
        row = {"Arm": arm_label(arm), "Examples": f"{told['n_examples']:,}" if told["n_examples"] else "none"}
        row |= {metric_label(m): interval(m, told["metrics"][m]) for m in result["metrics"]}
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
                name = arm_label(other.removeprefix("versus_")).lower()
                row = {"Arm": arm_label(arm), "Against": name, "Metric": metric_label(metric)}
                rows.append(
                    row | {"Difference (95 % interval)": difference(metric, told), "Verdict": words[_verdict(told)]}
                )
    return pd.DataFrame(rows, columns=["Arm", "Against", "Metric", "Difference (95 % interval)", "Verdict"])


def cost(result: Mapping[str, Any]) -> str:
    """Say what a point gained over zero-shot cost, in examples and seconds; empty where nothing was gained."""
    metric = main_metric(result)
    told = result["differences"].get("selected", {}).get(metric, {}).get("versus_zero_shot")
    if told is None or is_loss(metric) or _verdict(told) != "better":
        return ""
    points, arm = 100 * told["mean"], result["arms"]["selected"]
    runs = max(1, len(result["seeds"]))
    return (
        f"A point of {_name(metric)} gained cost {_amount(arm['n_examples'] / points)} examples and "
        f"{_amount(arm['seconds'] / runs / points)} s of tuning and judging."
    )


def _amount(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
