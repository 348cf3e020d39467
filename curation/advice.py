"""Which selector to use and why, from what was published and from what this project has seen; it may say: do not tune.

The figures are TIS's (targeted instruction selection, arXiv 2602.14696; gains over zero-shot in points of the task
metric, Llama-2-7B on Tulu v2; Spearman correlations from its published plot data). Every reason names its figure and
where it is from; nothing is weighed in secret: `advise` is a few comparisons, read from the top. Left out: any
prediction of a gain on the user's own task, which nobody can give before tuning.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from curation import findings

TIS = "Targeted instruction selection (TIS), arXiv 2602.14696"
TSDS = "TSDS, github.com/ZifanL/TSDS"
OWN = "This project's own figures"

BUDGETS = (500, 2_500, 10_000)
#: (representation, selector) → mean gain over zero-shot at `BUDGETS`, in points of the task metric.
GAINS = {
    ("less", "round_robin"): (2.1, 5.1, 6.0),
    ("less", "knn_uniform"): (2.2, 5.1, 6.9),
    ("less", "knn_kde"): (1.3, 4.8, 6.8),
    ("less", "uot"): (1.0, 5.0, 6.4),
    ("less", "doubly_greedy"): (1.3, 3.7, 5.8),
    ("embed", "round_robin"): (2.1, 2.8, 4.4),
    ("rds", "round_robin"): (1.4, 3.6, 5.2),
}
RANDOM = (0.5, 3.0, 4.2)
#: Representation → mean Spearman correlation of distance with query loss, test loss and task metric, over ten pairs of
#: pool and base model.
CORRELATION = {"less": (0.89, 0.40, 0.30), "rds": (0.20, -0.07, 0.17), "embed": (0.19, -0.12, 0.27)}
#: Part of a base model's name → what 500 examples did to it.
HURT = {
    "smollm3": "SmolLM3-3B lost 1.0 (random) to 6.5 points on 500 examples",
    "qwen3": "Qwen3-4B lost 1.2 (uot) to 9.4 points (RDS+) on 500 examples",
}
_NAMES = {"less": "LESS", "rds": "RDS+", "embed": "EMBED", "lexical": "lexical"}
_INSTRUCT = re.compile(r"instruct|(^|[-_./])(chat|it|sft|dpo|rlhf)($|[-_./])", re.IGNORECASE)
_FEW = 1_000  # examples up to which the published losses on modern bases, at 500, are taken to hold
_SMALL = 10_000  # rows of a pool below which TIS's own code refuses the neighbour selectors
_NO_NEARER = 0.01  # share of a random subset's distance that has to be gained
_TIE = 0.15  # points within which two published gains are taken as equal: the simpler selector is advised
_FEW_QUERIES = 10


@dataclass(frozen=True)
class Advice:
    """What to use, and whether to tune at all.

    Attributes
    ----------
    selector : str
        Registry name.
    sentence : str
        The advice in one sentence.
    reasons, caveats : list of str
        Sentences; each names its figure and its source.
    citations : list of str
        The sources.
    tune : bool
        False: what is known speaks against tuning on this selection.
    """

    selector: str
    sentence: str
    reasons: list[str]
    caveats: list[str]
    citations: list[str]
    tune: bool


def advise(
    *,
    n_pool: int,
    n_queries: int,
    budget: int,
    representation: str,
    model: str = "",
    nearest: tuple[float, float] | None = None,
    result: Mapping[str, Any] | None = None,
    lengths: tuple[float, float] | None = None,
    check: Mapping[str, Any] | None = None,
) -> Advice:
    """Advise on a selector, and on whether to tune.

    Parameters
    ----------
    n_pool, n_queries, budget : int
        Rows of the pool, queries, examples to be picked.
    representation : str
        Name of the representation at hand.
    model : str
        Folder or hub id of the base model; empty if none is chosen.
    nearest : (float, float), optional
        Mean distance of the queries to the nearest pick of the nearest possible subset, and of a random one of the same
        size.
    result : mapping, optional
        The project's last finished experiment, as `experiments.experiment` returns it.
    lengths : (float, float), optional
        Median length in characters of the queries' and of the test set's answers.
    check : mapping, optional
        The quantile check of this representation and model, as `quantiles.check` returns it.
    """
    against = _against_tuning(budget, model, nearest, result)
    selector, reasons = _selector(budget, representation)
    caveats = _caveats(n_pool, n_queries, representation, lengths)
    if check is not None:
        told, predicts = checked(check)
        (reasons if predicts else caveats).insert(0, told)
    if not against:
        caveats.insert(1, _hurts(model))
    name = selector.replace("_", " ")
    sentence = f"Pick with {name}." if not against else f"Do not tune on this: {against[0][0].lower()}{against[0][1:]}"
    own = [OWN] if nearest is not None or result is not None or check is not None else []
    told = " ".join([*against, *reasons, *caveats])
    cited = [source for source, mark in ((TIS, "TIS"), (TSDS, "TSDS")) if mark in told]
    return Advice(selector, sentence, [*against, *reasons], caveats, [*cited, *own], not against)


def _against_tuning(
    budget: int, model: str, nearest: tuple[float, float] | None, result: Mapping[str, Any] | None
) -> list[str]:
    """What speaks against tuning, the strongest first."""
    told = []
    if result is not None and (lost := _lost(result)):
        told.append(lost)
    if nearest is not None and nearest[0] > (1 - _NO_NEARER) * nearest[1]:
        told.append(
            f"Nothing in the pool is nearer to the queries than random rows are: the nearest possible subset has the "
            f"distance {nearest[0]:.3f}, a random one {nearest[1]:.3f} (measured here)."
        )
    if budget <= _FEW:
        hurt = next((words for part, words in HURT.items() if part in re.sub(r"[-_ ]", "", model.lower())), "")
        if hurt:
            told.append(f"A budget of {budget:,} is small for this base model: {hurt}, whatever picked them (TIS).")
        elif model and _INSTRUCT.search(model):
            told.append(
                f"The base model is tuned to follow instructions already, and {budget:,} examples rarely better such "
                f"a one: {'; '.join(HURT.values())} (TIS)."
            )
    return told


def _lost(result: Mapping[str, Any]) -> str:
    """Say that tuning on the selection lost against the untuned model; empty where it did not."""
    metric = findings.main_metric(result)
    told = result["differences"].get("selected", {}).get(metric, {}).get("versus_zero_shot")
    if told is None or told["better"] is not False:
        return ""
    return (
        f"This project's last experiment tuned on {result['arms']['selected']['n_examples']:,} selected examples and "
        f"lost against the untuned model: {findings.difference(metric, told)} in "
        f"{findings.metric_label(metric).lower()}."
    )


def checked(check: Mapping[str, Any]) -> tuple[str, bool]:
    """Return what a quantile check found, and whether nearness was told to predict the main metric."""
    spearman = check["spearman"]
    metric = findings.main_metric(check)
    told = ", ".join(
        f"{found['mean']:.2f} ({found['low']:.2f} to {found['high']:.2f}) with {findings.metric_label(name).lower()}"
        for name, found in spearman.items()
    ).replace("-", "−")
    label = findings.metric_label(metric).lower()
    verdict = {
        (True, True): f"so nearer rows teach more here, in {label}",
        (False, False): f"so nothing shows that nearer rows teach more here, in {label}",
        (False, True): f"so nearer rows teach less here, in {label}: try another representation",
    }[spearman[metric]["low"] > 0, spearman[metric]["low"] > 0 or spearman[metric]["high"] < 0]
    n_judged = sum("metrics" in part for part in check["parts"])
    others = f" (of {len(check['parts'])}: the others diverged)" if n_judged < len(check["parts"]) else ""
    differs = f" {check['differs']}" if check.get("differs") else ""
    return (
        f"Quantile check of {n_judged} parts{others} of this pool, {check['n_examples']:,} examples each, measured "
        f"here: Spearman correlation of nearness by {_NAMES.get(check['name'], check['name'])}, with 95 % intervals, "
        f"{told}; {verdict}.{differs}",
        spearman[metric]["low"] > 0,
    )


def _selector(budget: int, representation: str) -> tuple[str, list[str]]:
    """The selector that did best in print at the budget nearest to this one, and why."""
    at = min(range(len(BUDGETS)), key=lambda i: abs(math.log(max(1, budget) / BUDGETS[i])))
    known = {selector: gains[at] for (name, selector), gains in GAINS.items() if name == representation}
    title = _NAMES.get(representation, representation)
    where = f"at {BUDGETS[at]:,} examples, Llama-2-7B on Tulu v2 (TIS)"
    if not known:
        return "round_robin", [
            f"No figure is published for {title} features; round robin is the selector tried with every "
            f"representation: EMBED {GAINS['embed', 'round_robin'][at]:+.1f}, RDS+ "
            f"{GAINS['rds', 'round_robin'][at]:+.1f}, LESS {GAINS['less', 'round_robin'][at]:+.1f} points over the "
            f"untuned model, random {RANDOM[at]:+.1f}, {where}."
        ]
    best = max(known, key=lambda s: known[s])
    if known["round_robin"] >= known[best] - _TIE:
        best = "round_robin"
    told = ", ".join(f"{s.replace('_', ' ')} {gain:+.1f}" for s, gain in sorted(known.items(), key=lambda g: -g[1]))
    reasons = [f"With {title}, {told}, random {RANDOM[at]:+.1f} points over the untuned model {where}."]
    if best == "round_robin" and len(known) > 1:
        reasons.append(
            "Round robin is the simplest of those that do about as well: every pick has a query that took it."
        )
    if len(known) == 1:
        reasons.append(f"It is the only selector with published figures for {title} (TIS).")
    return best, reasons


def _hurts(model: str) -> str:
    kept = "" if model else " No base model is chosen yet."
    return (
        f"500 examples can hurt a modern base model: {'; '.join(HURT.values())} (TIS). Keep the untuned model as an "
        f"arm.{kept}"
    )


def _caveats(n_pool: int, n_queries: int, representation: str, lengths: tuple[float, float] | None) -> list[str]:
    told = [
        "No selector wins everywhere, and the gap to random picks narrows as the budget grows: LESS with round robin "
        "gains 1.6, 2.1 and 1.8 points over random at 500, 2,500 and 10,000 examples (TIS)."
    ]
    if representation in CORRELATION:
        query, test, metric = (f"{value:.2f}".replace("-", "−") for value in CORRELATION[representation])
        told.append(
            f"Nearness by {_NAMES[representation]} predicts the loss on the very queries far better than the task "
            f"metric: Spearman correlation {query} with query loss, {test} with test loss, {metric} with the metric "
            "(TIS, mean over ten pairs of pool and base model)."
        )
    else:
        told.append(
            f"How well nearness by {representation} predicts anything is not published; even for LESS the correlation "
            "is 0.89 with query loss, 0.40 with test loss and 0.30 with the task metric (TIS)."
        )
    if lengths and min(lengths) > 0 and max(lengths) / min(lengths) > findings.LENGTH_RATIO:
        told.append(
            f"Query answers have about {lengths[0]:,.0f} characters, test answers about {lengths[1]:,.0f}: nearness to "
            "the queries says little about such tests (TIS: −0.17 with test loss on GSM8K); judge by the task metric."
        )
    if n_pool < _SMALL:
        told.append(
            f"In a pool of {n_pool:,} rows the neighbour selectors (knn uniform, knn kde) may end at their limit of a "
            f"tenth of the pool before they settle (TSDS); the code of TIS refuses pools below {_SMALL:,}."
        )
    if n_queries < _FEW_QUERIES:
        told.append(
            f"Only {n_queries} queries stand for the whole task: look at the stability of the picks, measured here, "
            "before trusting them."
        )
    return told
