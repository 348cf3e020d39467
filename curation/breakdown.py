"""An arm and its baseline by subgroup of the test rows: which subgroups there are, and the numbers as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from curation import answers
from curation.evaluation import METRICS
from curation.evaluation.subgroups import UNLABELLED, Subgroup, labels, subgroups
from curation.wording import arm_label, arm_words, difference, interval
from curation.workspace import Workspace

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

BY = {"source": "Source", "task": "Task", "length": "Length"}
WORDS = {True: "better", False: "worse", None: "not distinguishable"}


def kinds(ws: Workspace, result: Mapping[str, Any]) -> list[str]:
    """Return by what the test rows fall into two subgroups or more; keys of `BY`."""
    tests = result.get("tests")
    return [by for by in BY if tests and len(set(_labels(ws.root, tests, by).values()) - {UNLABELLED}) > 1]


def metrics(result: Mapping[str, Any], arms: Sequence[str] = ()) -> list[str]:
    """Return the metrics that judge test rows, the ones that can be broken down, in all of some arms."""
    told = [result["arms"][arm]["metrics"] for arm in arms]
    return [m for m in result["metrics"] if METRICS.load(m).role == "tests" and all(m in one for one in told)]


@lru_cache(maxsize=12)
def _labels(root: Path, tests: str, by: Any) -> dict[str, str]:
    return labels(Workspace(root).examples(tests), by)


def breakdown(ws: Workspace, result: Mapping[str, Any], arm: str, baseline: str, by: str) -> dict[str, Subgroup]:
    """Return an arm and its difference from a baseline in each subgroup of the rows that judge.

    Lengths stand in their order, other subgroups the largest first.

    Raises
    ------
    EvaluationError
        If the arms were judged on other rows.
    """
    left_out = set(result.get("left_out", ()))
    names = {row: name for row, name in _labels(ws.root, result["tests"], by).items() if row not in left_out}
    found = subgroups(answers.evaluations(ws, result, arm), answers.evaluations(ws, result, baseline), names)
    if by == "length":
        order = ("short", "middle", "long")
        return dict(sorted(found.items(), key=lambda item: order.index(item[0].split()[0])))
    return found


def table(found: Mapping[str, Subgroup], metric: str, arm: str, baseline: str) -> pd.DataFrame:
    """Return subgroups × an arm's value and its difference from the baseline, as text, with what to be wary of."""
    import pandas as pd

    rows = [
        {
            "Subgroup": name,
            "Rows": one.metrics[metric].n_examples,
            arm_label(arm): interval(metric, one.metrics[metric].to_dict()),
            f"Against {arm_words(baseline)}": difference(metric, one.differences[metric].to_dict()),
            "Verdict": WORDS[one.differences[metric].better],
            "Caution": one.warning,
        }
        for name, one in found.items()
        if metric in one.metrics
    ]
    return pd.DataFrame(rows)
