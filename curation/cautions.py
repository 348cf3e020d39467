"""What keeps an experiment's result from meaning more than it does, in sentences that name the way out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curation.accounts import failures
from curation.judged import judged_arms, main_metric, tuned_arms
from curation.verdicts import name_of, verdict
from curation.wording import arm_label, arm_words, is_loss, metric_label

FEW_TESTS = 100
LENGTH_RATIO = 2.0
TIS = "TIS, arXiv 2602.14696"


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
    tuned = tuned_arms(result)
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
        names = ", ".join(arm_words(a) for a in lost)
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

    told = []
    for metric in (m for m in result["metrics"] if METRICS.load(m).role == "tests"):
        n = min(result["arms"][arm]["metrics"][metric]["n_examples"] for arm in judged_arms(result, metric))
        if n < result["n_test"]:
            told.append(
                f"{metric_label(metric)} judged {n:,} of {result['n_test']:,} test examples; the others lack a field "
                "that it needs, or are too long for the model: add what is missing, or choose another metric."
            )
    return told


def _about_arms(result: Mapping[str, Any]) -> list[str]:
    """Arms that could not be trained or judged with some seed, answer nothing, or have no losses to compare."""
    told = []
    if other := [arm for arm in result.get("without_losses", ()) if arm in result["arms"]]:
        told.append(
            f"{' and '.join(other)} {'cuts' if len(other) == 1 else 'cut'} answers into other tokens than the base "
            "model; a loss is a mean over a model's own tokens, so such losses can't be compared and are left out."
        )
    told += failures(result)
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
