"""An arm by subgroup of the test rows: which subgroups there are, in which order, and the numbers as a table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from curation import breakdown, figures_subgroups, pipeline
from curation.config import DatasetConfig
from curation.evaluation import Evaluation

if TYPE_CHECKING:
    from curation.workspace import Workspace


@pytest.fixture
def result(workspace: Workspace, tmp_path: Path) -> dict[str, Any]:
    """80 rows of the sources even (50) and odd (30); the selection is right on all even ones, random on none."""
    rows = [
        {"prompt": f"{'long ' * (i // 27)}p{i}", "response": "a", "source": "even" if i < 50 else "odd"}
        for i in range(80)
    ]
    path = tmp_path / "tests.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    tests = pipeline.load(workspace, DatasetConfig(path=str(path)), "test")
    ids = workspace.ids(tests)
    for key, values in (("a", [0.0] * 80), ("b", [float(i < 50) for i in range(80)])):
        judged = Evaluation({"exact_match": values}, {"exact_match": ids}, {})
        with workspace.build("evaluation", key * 32, {}) as part:
            (part / "evaluation.json").write_text(json.dumps(judged.to_dict()))
    return {"evaluations": {"random": {"0": "a" * 32}, "selected": {"0": "b" * 32}}, "tests": tests}


def test_rows_are_broken_down_by_what_parts_them(workspace: Workspace, result: dict[str, Any]) -> None:
    assert breakdown.kinds(workspace, result) == ["source", "length"]  # no task is named
    assert breakdown.kinds(workspace, {"tests": None}) == []


def test_each_subgroup_is_judged_for_itself(workspace: Workspace, result: dict[str, Any]) -> None:
    found = breakdown.breakdown(workspace, result, "selected", "random", "source")
    assert list(found) == ["even", "odd"] and [one.n_examples for one in found.values()] == [50, 30]
    assert [one.differences["exact_match"].mean for one in found.values()] == [1.0, 0.0]
    table = breakdown.table(found, "exact_match", "selected", "random")
    assert table["Rows"].tolist() == [50, 30] and table["Verdict"].tolist() == ["better", "not distinguishable"]
    assert list(table)[2:4] == ["Selected", "Against random"] and table["Caution"].tolist() == ["", ""]


def test_rows_that_judge_nothing_are_in_no_subgroup_and_few_are_warned_of(
    workspace: Workspace, result: dict[str, Any]
) -> None:
    out = workspace.ids(result["tests"])[50:75]
    found = breakdown.breakdown(workspace, {**result, "left_out": out}, "selected", "random", "source")
    assert [one.n_examples for one in found.values()] == [50, 5]
    table = breakdown.table(found, "exact_match", "selected", "random")
    assert table["Caution"].tolist() == ["", "only 5 rows, too few to tell much"]
    figure = figures_subgroups.subgroups(found, "exact_match", ("selected", "random"))
    assert [trace.marker.opacity for trace in figure.data if trace.mode == "markers"] == [1.0, 0.4]


def test_lengths_stand_in_their_order(workspace: Workspace, result: dict[str, Any]) -> None:
    found = breakdown.breakdown(workspace, result, "selected", "random", "length")
    assert [name.split()[0] for name in found] == ["short", "middle", "long"]


def test_the_figure_draws_each_difference(workspace: Workspace, result: dict[str, Any]) -> None:
    found = breakdown.breakdown(workspace, result, "selected", "random", "source")
    figure = figures_subgroups.subgroups(found, "exact_match", ("selected", "random"))
    assert list(figure.layout.yaxis.ticktext) == ["even · 50", "odd · 30"]
    assert [tuple(trace.x) for trace in figure.data if trace.mode == "markers"] == [(100.0,), (0.0,)]
    assert figure.layout.xaxis.title.text == "Exact match, Selected minus random, points"
