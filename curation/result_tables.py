"""An experiment's result as tables of text: its arms, and how they differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from curation.judged import arms_of, main_metric
from curation.verdicts import verdict
from curation.wording import arm_label, arm_words, difference, in_order, interval, metric_label

if TYPE_CHECKING:
    import pandas as pd


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
    """Return each arm's differences from random, the selection and zero-shot as text; the main metric first."""
    import pandas as pd

    words = {"better": "better", "worse": "worse", "same": "not distinguishable"}
    first = main_metric(result)
    rows = []
    for metric in sorted(result["metrics"], key=lambda m: m != first):
        for arm in sorted(in_order(result["differences"]), key=lambda a: ("selected", "full", "random", a).index(a)):
            for other, told in sorted(result["differences"][arm].get(metric, {}).items()):
                name = arm_words(other.removeprefix("versus_"))
                row = {"Arm": arm_label(arm), "Against": name, "Metric": metric_label(metric)}
                rows.append(
                    row | {"Difference (95 % interval)": difference(metric, told), "Verdict": words[verdict(told)]}
                )
    return pd.DataFrame(rows, columns=["Arm", "Against", "Metric", "Difference (95 % interval)", "Verdict"])
