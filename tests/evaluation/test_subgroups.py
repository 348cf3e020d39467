"""Subgroups are what the same rows alone would give, corrected for their number, with a warning where they are few."""

from __future__ import annotations

import json

import numpy as np
import pytest

from curation.data.rows import Example, Message
from curation.evaluation import Evaluation
from curation.evaluation.statistics import compare, summarise
from curation.evaluation.subgroups import labels, subgroups


def row(i: int, length: int = 1, **fields: str | None) -> Example:
    messages = (Message("user", "x" * (length - 1)), Message("assistant", "y"))
    extra = json.dumps({"task": fields.pop("task", None)})
    return Example(str(i), messages, extra=extra, **fields)  # type: ignore[arg-type]


def evaluation(values: np.ndarray, first: int = 0) -> Evaluation:
    ids = [str(first + i) for i in range(len(values))]
    return Evaluation({"test_loss": list(values)}, {"test_loss": ids}, {"test_loss": float(values.mean())})


def test_labels() -> None:
    rows = [row(0, source="gsm8k", group="sums"), row(1, task="words"), row(2)]
    assert labels(rows, "source") == {"0": "gsm8k", "1": "not given", "2": "not given"}
    assert labels(rows, "task") == {"0": "sums", "1": "words", "2": "not given"}


def test_length_comes_in_thirds_and_equal_lengths_stay_together() -> None:
    found = labels([row(i, length) for i, length in enumerate([5, 1, 3, 4, 2, 6000])], "length")
    assert list(found.values()) == [
        "long (over 4)",
        "short (up to 2 characters)",
        "middle (up to 4)",
        "middle (up to 4)",
        "short (up to 2 characters)",
        "long (over 4)",
    ]
    assert set(labels([row(i, 7) for i in range(5)], "length").values()) == {"short (up to 7 characters)"}
    assert labels([], "length") == {}


def test_a_subgroup_is_what_its_rows_alone_give() -> None:
    rng = np.random.default_rng(0)
    arm, base = [rng.standard_normal(80) for _ in range(3)], [rng.standard_normal(80)]
    names = {str(i): "left" if i < 60 else "right" for i in range(80)}
    found = subgroups([evaluation(v) for v in arm], [evaluation(v) for v in base], names)
    assert list(found) == ["left", "right"]
    alone, other = [evaluation(v[60:], 60) for v in arm], [evaluation(v[60:], 60) for v in base]
    assert found["right"].metrics == summarise(alone)
    assert found["right"].n_examples == 20
    single = compare(alone, other)["test_loss"]
    shown = found["right"].differences["test_loss"]
    assert (shown.mean, shown.low, shown.high) == (single.mean, single.low, single.high)
    assert shown.comparisons == 2 and shown.p >= single.p
    assert found["left"].warning == ""
    assert found["right"].warning == "only 20 rows, too few to tell much"


def test_a_gain_in_one_subgroup_is_found_where_it_is() -> None:
    rng = np.random.default_rng(1)
    base = rng.standard_normal(120)
    arm = base + 0.1 * rng.standard_normal(120) - np.where(np.arange(120) < 40, 0.5, 0.0)
    names = {str(i): "abc"[i // 40] for i in range(120)}
    found = subgroups([evaluation(arm)], [evaluation(base)], names)
    assert {name: one.differences["test_loss"].better for name, one in found.items()} == {
        "a": True, "b": None, "c": None,
    }  # fmt: skip


def test_rows_without_a_label_and_labels_without_rows_are_left_out() -> None:
    found = subgroups([evaluation(np.ones(3))], [evaluation(np.zeros(3))], {"0": "one", "9": "none judged"})
    assert {name: one.n_examples for name, one in found.items()} == {"one": 1}
    assert found["one"].warning == "only 1 row, too few to tell much"
    assert found["one"].metrics["test_loss"].to_dict()["low"] == pytest.approx(0.0)  # a loss is never below
