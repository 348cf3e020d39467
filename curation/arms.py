"""Arms as people meet them: what each will cost, how its loss runs, and what it answered.

Numbers and tables from configs, job readings and stored results; the sentences on them are in `findings`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from curation import design, results
from curation.config import ExperimentConfig
from curation.wording import in_order
from curation.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

# ----------------------------------------------------------------------------------------------- before and meanwhile


@dataclass(frozen=True)
class ArmPlan:
    """What one arm will cost: examples, optimizer steps of one training, examples seen in it, number of trainings."""

    arm: str
    n_examples: int
    steps: int
    seen: int
    trainings: int


def plan(
    config: ExperimentConfig, n_selected: int, n_candidates: int, others: Mapping[str, int] | None = None
) -> list[ArmPlan]:
    """Return what each arm will cost, in the order in which arms are tuned.

    Parameters
    ----------
    config : ExperimentConfig
        Arms, seeds, training.
    n_selected, n_candidates : int
        Examples of the selection, and of the pool that have features.
    others : mapping of arm to int, optional
        Sizes of further arms, as `curation.design.arm_sizes` takes them.
    """
    told = []
    for arm, n in design.arm_sizes(config, n_selected, n_candidates, others or {}).items():
        training = design.training_of(arm, config, n_selected)
        n_steps = design.steps(training, n)
        seen = n_steps * min(training.batch_size, n)
        told.append(ArmPlan(arm, n, n_steps, seen, 0 if arm == "zero_shot" else len(config.seeds)))
    return told


_STAGE = re.compile(r"(.+), seed (\d+): training")


def live_curves(readings: Iterable[Mapping[str, Any]]) -> dict[str, list[dict[str, float]]]:
    """Return the loss curves of a running experiment, in the form of a result's ``curves``.

    Parameters
    ----------
    readings : iterable of mappings
        As `curation.jobs.metrics` returns them; what a resumed attempt did again replaces what was read before.
    """
    points: dict[tuple[str, int, int], float] = {}
    for r in readings:
        match = _STAGE.fullmatch(r["stage"])
        if match and r.get("loss") is not None:
            points[match[1], int(match[2]), r["done"]] = r["loss"]
    curves: dict[str, list[dict[str, float]]] = {}
    for (arm, seed, step), loss in sorted(points.items()):
        curves.setdefault(arm, []).append({"seed": seed, "step": step, "loss": loss})
    return {arm: curves[arm] for arm in in_order(curves)}


# ---------------------------------------------------------------------------------------------------------- answers

SHOWN = {
    "all": "All",
    "gained": "Selected right, random wrong",
    "lost": "Selected wrong, random right",
    "apart": "Arms disagree",
    "wrong": "Every arm wrong",
    "right": "Every arm right",
}


def count_answers(ws: Workspace, record: results.ExperimentRecord, show: str = "all") -> int:
    """Return how many test examples there are of a kind; `show` as for `answers`."""
    if record.result is None:
        return 0
    return record.result["n_test"] if show == "all" else len(_of_kind(ws, record, show))


def answers(
    ws: Workspace, record: results.ExperimentRecord, *, show: str = "all", offset: int = 0, limit: int = 5
) -> pd.DataFrame:
    """Return one page of test prompts with what each arm answered.

    Parameters
    ----------
    show : str
        Which ones; a key of `SHOWN`.
    offset, limit : int
        Which of those.

    Returns
    -------
    DataFrame
        As `results.answers`; the index is the place in the test set, from 0.
    """
    if show == "all":
        frame = results.answers(ws, record, offset, limit)
        return frame.set_index(frame.index + offset)
    return _of_kind(ws, record, show).iloc[offset : offset + limit]


def _of_kind(ws: Workspace, record: results.ExperimentRecord, show: str) -> pd.DataFrame:
    frame = results.answers(ws, record, 0, record.result["n_test"] if record.result else 0)
    columns = {str(c).removesuffix(": right"): c for c in frame if str(c).endswith(": right")}
    judged = frame[list(columns.values())].eq(True).set_axis(list(columns), axis=1)  # None is not right
    if judged.empty:
        return frame.iloc[:0]
    every, some = judged.all(axis=1), judged.any(axis=1)
    selected, random = (judged[arm] if arm in judged else every & ~every for arm in ("selected", "random"))
    return frame[
        {
            "gained": selected & ~random,
            "lost": random & ~selected,
            "apart": some & ~every,
            "wrong": ~some,
            "right": every,
        }[show]
    ]
