"""What an experiment compares: which arms, at which sizes, each tuned on which rows for how many steps.

An arm's name is what it is of: ``zero_shot``, ``random``, ``off_task``, ``selected``, ``full``, or the name of a
further selection, subset file or model; behind an ``@`` stands the budget that was asked for it where that is not the
selection's own: examples as a number, tokens with a ``t``. For every budget at which a selection or file is tuned there
is one random arm, however many rows each selector found room for.

Off-task rows are drawn from the half of the pool that is farther from the queries: what they gain is form, not the
task. Not the very farthest, which are often no sentences at all.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from curation.config import ARMS, BudgetConfig, ExperimentConfig, ModelConfig, TrainingConfig
from curation.errors import SelectionError

ZERO_SHOT = "zero_shot"


@dataclass(frozen=True)
class Inputs:
    """What an experiment compares on: the base model, what may be picked, what was picked, what judges.

    Attributes
    ----------
    model : ModelConfig
        The base model.
    pool, queries, tests : str
        Keys of the data sets; no tests is None.
    candidates : tuple of id
        What any arm may draw from: rows without features are left out of every arm alike.
    selected : tuple of id
        The selection under test, in order of pick.
    others : mapping of arm to tuple of id
        Further selections and subsets, and the selections at further sizes, under their arms' names.
    off_task : tuple of id
        Candidates that the off-task arm draws from.
    dev, left_out : tuple of id
        Test rows that judge epochs, and all that judge no arm.
    """

    model: ModelConfig
    pool: str
    queries: str
    tests: str | None
    candidates: tuple[str, ...]
    selected: tuple[str, ...]
    others: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    off_task: tuple[str, ...] = ()
    dev: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def arm_name(base: str, size: int | str, main: int | str) -> str:
    """Return the name of an arm of a size (see `size_of`), where that of the selection under test is `main`."""
    return base if size == main else f"{base}@{size}"


def untuned(config: ExperimentConfig) -> tuple[str, ...]:
    """Return the arms that are not tuned: the base model as it is, and further models."""
    return ZERO_SHOT, *config.models


def size_of(budget: BudgetConfig) -> str:
    """Return a budget as it stands in an arm's name."""
    return f"{budget.tokens}t" if budget.examples is None else str(budget.examples)


def base_of(arm: str) -> str:
    """Return what an arm is of, its size left out."""
    return arm.partition("@")[0]


def further(
    config: ExperimentConfig, main: BudgetConfig, n_selected: int, own: Mapping[str, BudgetConfig]
) -> dict[str, tuple[str, BudgetConfig]]:
    """Return arm → what it is of and its budget, of the further selections, files and sizes of a design.

    Parameters
    ----------
    config : ExperimentConfig
        The design.
    main : BudgetConfig
        Budget of the selection under test.
    n_selected : int
        Its examples.
    own : mapping of str to BudgetConfig
        Budgets of the saved selections among the arms; of the subset files as many examples as they name rows.
    """
    found: dict[str, tuple[str, BudgetConfig]] = {}

    def add(name: str, budget: BudgetConfig, beside: BudgetConfig = main) -> None:
        found[arm_name(name, size_of(budget), size_of(beside))] = name, budget

    sizes = [BudgetConfig(examples=n) for n in config.budgets]
    budgets = {"selected": main} if "selected" in config.arms else {}
    for name, asked in config.selections.items():
        given = BudgetConfig.from_dict(asked["budget"]) if asked.get("budget") else main
        budgets[name] = own.get(name, given)
        add(name, budgets[name])
    for name in budgets:
        for size in sizes:
            if size != main or name != "selected":
                add(name, size)
    for name in config.subsets:
        n = own[name].examples or 0
        for size in (own[name], *(s for s in sizes if (s.examples or 0) < n)):
            add(name, size, BudgetConfig(examples=n_selected))
    return found


def further_sizes(
    config: ExperimentConfig, main: BudgetConfig, n_selected: int, own: Mapping[str, tuple[BudgetConfig, int]]
) -> dict[str, int]:
    """Return arm → examples of those arms, as `arm_sizes` takes them, before anything is selected.

    They are named as they will be; of a budget in tokens the examples are as many as its share of the selection's.

    Parameters
    ----------
    config, main, n_selected
        As for `further`.
    own : mapping of str to (BudgetConfig, int)
        Budgets and examples of the saved selections and subset files among the arms.
    """
    found = {}
    for arm, (name, budget) in further(config, main, n_selected, {k: b for k, (b, _) in own.items()}).items():
        share = (budget.tokens or 0) / main.tokens if main.tokens else 1.0
        known = own[name][1] if name in own and own[name][0] == budget else round(share * n_selected)
        found[arm] = known if budget.examples is None else budget.examples
    return found


def arm_sizes(
    config: ExperimentConfig, n_selected: int, n_candidates: int, others: Mapping[str, int]
) -> dict[str, int]:
    """Return arm → number of its examples, in the order in which arms are tuned.

    Parameters
    ----------
    config : ExperimentConfig
        The design.
    n_selected, n_candidates : int
        Examples of the selection under test, and of the pool that have features.
    others : mapping of arm to int
        Sizes of the arms that `Inputs.others` holds.
    """
    given = {"selected": n_selected} if "selected" in config.arms else {}
    given |= dict(others)
    drawn = {"": n_selected}
    for arm, n in others.items():
        drawn.setdefault(arm.partition("@")[2], n)
    found = {
        ZERO_SHOT: dict.fromkeys(untuned(config), 0),
        "random": {arm_name("random", size, ""): n for size, n in sorted(drawn.items(), key=lambda drawn: drawn[1])},
        "off_task": {"off_task": n_selected},
        "selected": {},
        "full": {"full": n_candidates},
    }
    if ZERO_SHOT not in config.arms:
        del found[ZERO_SHOT][ZERO_SHOT]
    first = [found[kind] for kind in ARMS[:-2] if kind in (ZERO_SHOT, *config.arms)]
    last = [found["full"]] if "full" in config.arms else []
    return {arm: n for arms in (*first, given, *last) for arm, n in arms.items()}


def steps(training: TrainingConfig, n_examples: int) -> int:
    """Return the optimizer steps of a training on `n_examples` usable rows."""
    if not n_examples:
        return 0
    return training.max_steps or round(training.epochs * math.ceil(n_examples / training.batch_size))


def training_of(arm: str, config: ExperimentConfig, n_selected: int) -> TrainingConfig:
    """Return how an arm is tuned; with equal steps, for as many as the selection under test takes."""
    training = config.full_training if arm == "full" and config.full_training else config.training
    if config.equal == "steps":
        return dataclasses.replace(training, max_steps=steps(config.training, n_selected))
    return training


def arm_ids(arm: str, inputs: Inputs, seed: int, tokens: Mapping[str, int] | None = None) -> tuple[str, ...]:
    """Return the ids that `arm` is tuned on; random and off-task arms draw anew for each seed.

    Parameters
    ----------
    arm : str
        Its name.
    inputs : Inputs
        What there is to draw from.
    seed : int
        Of the draw.
    tokens : mapping of id to int, optional
        Length of each candidate: drawn arms then take as many tokens as the selection of their size has, not as many
        rows; a row that no longer fits is passed over.

    Raises
    ------
    SelectionError
        If there are fewer rows to draw from than are to be drawn.
    """
    base, _, size = arm.partition("@")
    if base == "selected" and not size:
        return inputs.selected
    if arm in inputs.others:
        return inputs.others[arm]
    if base not in ("random", "off_task"):
        return inputs.candidates if arm == "full" else ()
    source = inputs.candidates if base == "random" else inputs.off_task
    like = _like(inputs, size)
    n = len(like)
    if n > len(source):
        raise SelectionError(
            f"the arm {base.replace('_', '-')} is to draw {n:,} rows and there are only {len(source):,}; "
            "lower the budget or leave the arm out"
        )
    rng = np.random.default_rng(seed)
    if tokens is None:
        return tuple(source[i] for i in rng.choice(len(source), size=n, replace=False))
    return _fitting(source, rng.permutation(len(source)).tolist(), sum(tokens[i] for i in like), tokens)


def _like(inputs: Inputs, size: str) -> tuple[str, ...]:
    """Rows of the first selection of that size, of which drawn arms have as many, or as many tokens."""
    return next(ids for arm, ids in {"": inputs.selected, **inputs.others}.items() if arm.partition("@")[2] == size)


def _fitting(source: Sequence[str], order: list[int], budget: int, tokens: Mapping[str, int]) -> tuple[str, ...]:
    taken, left, least = [], budget, min(tokens[i] for i in source)
    for place in order:
        if left < least:
            break
        if tokens[source[place]] <= left:
            taken.append(source[place])
            left -= tokens[source[place]]
    return tuple(taken)
