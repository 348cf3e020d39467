"""Designs of an experiment that answer one question each, to start from.

The survey (Zhang et al., data selection for LLM instruction tuning) tells two kinds of comparison apart: the inner one
has the same model tuned on the selection, on a random subset of its size and on the whole pool; the external one sets
the tuned model beside other models on public benchmarks, by lm-evaluation-harness. To set the method beside other
methods is a design of its own here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from curation.config import EvaluationConfig, ExperimentConfig
from curation.errors import EvaluationError

SEEDS = (0, 1, 2)
#: Selectors that are set beside the one under test, at its budget.
OTHERS = {"Doubly greedy": "doubly_greedy", "KNN KDE": "knn_kde"}
SHARES = (0.25, 0.5, 2.0, 4.0)  # sizes worth trying, of the selection's own

#: Key → title, and the question that it answers.
PRESETS = {
    "quick": ("Quick look", "Does tuning on the selection move anything? One seed, against random and no tuning."),
    "inner": ("Inner comparison", "Is the selection worth it? Against random of its size and the full pool, 3 seeds."),
    "external": (
        "External comparison",
        "Is it better than other models as they are? Judges those that you name untuned, on the same rows and by "
        "harness tasks where the harness is installed and tasks are named, 3 seeds.",
    ),
    "selectors": (
        "Other selectors",
        "Does another method do better? Other selectors at the same budget and your saved selections, 3 seeds.",
    ),
    "budgets": ("Budget curve", "How many examples are enough? A quarter to four times the budget, beside random."),
    "form": ("Form or task", "How much of the gain is mere form? Beside rows that are far from the task, 3 seeds."),
}


def preset(
    name: str, current: ExperimentConfig, *, selector: str, n_selected: int, n_candidates: int, saved: Mapping[str, str]
) -> ExperimentConfig:
    """Return the design that answers a preset's question; how arms are tuned and judged stays as it is.

    Only the external comparison adds a metric: harness tasks, where the extra is installed and tasks are named.

    Parameters
    ----------
    name : str
        A key of `PRESETS`.
    current : ExperimentConfig
        What it starts from.
    selector : str
        Selector of the selection under test.
    n_selected, n_candidates : int
        Its examples, and those that could be picked.
    saved : mapping of str to str
        Name → key of the saved selections that could be arms.
    """
    plain = dataclasses.replace(
        current,
        arms=("zero_shot", "random", "selected"),
        selections={},
        subsets={},
        models={},
        budgets=(),
        equal="passes",
    )
    if name == "quick":
        return dataclasses.replace(plain, seeds=SEEDS[:1])
    plain = dataclasses.replace(plain, seeds=SEEDS)
    if name == "inner":
        return dataclasses.replace(plain, arms=(*plain.arms, "full"))
    if name == "external":
        return dataclasses.replace(plain, models=current.models, evaluation=_with_harness(current.evaluation))
    if name == "form":
        return dataclasses.replace(plain, arms=("zero_shot", "random", "off_task", "selected"))
    if name == "budgets":
        sizes = sorted({max(1, round(share * n_selected)) for share in SHARES} - {n_selected})
        return dataclasses.replace(plain, budgets=tuple(n for n in sizes if n <= n_candidates))
    others = {title: {"selector": key} for title, key in OTHERS.items() if key != selector}
    return dataclasses.replace(plain, selections=others | {title: {"saved": key} for title, key in saved.items()})


def _with_harness(judging: EvaluationConfig) -> EvaluationConfig:
    """The same metrics and harness tasks, if those can be run."""
    from curation.evaluation import METRICS

    try:
        METRICS.create("harness", **judging.options.get("harness", {})).prepare()
    except EvaluationError:
        return judging
    return dataclasses.replace(judging, metrics=tuple(dict.fromkeys([*judging.metrics, "harness"])))
