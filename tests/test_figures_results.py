"""Figures hold the result's numbers, and no tag from data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from curation import figures_results
from curation.figures import PALETTES


@pytest.fixture
def result() -> dict[str, Any]:
    return json.loads((Path(__file__).parent / "experiment_result.json").read_text())


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_arms_are_drawn_with_interval_mean_and_a_ring_a_seed(result: dict[str, Any], theme: str) -> None:
    figure = figures_results.arms(result, theme=theme)
    told = result["arms"]["selected"]["metrics"]["exact_match"]
    colour = PALETTES[theme].picked
    lines = [t for t in figure.data if t.mode == "lines" and t.line.color == colour]
    assert [list(t.x) for t in lines] == [[100 * told["low"], 100 * told["high"]]]
    rings = [t for t in figure.data if t.marker.symbol == "circle-open" and t.marker.color == colour]
    assert [list(t.x) for t in rings] == [[100 * v for v in told["per_seed"]]]
    assert len([t for t in figure.data if t.marker.symbol == "circle-open"]) == 3  # zero-shot has one seed only
    base = 100 * result["arms"]["zero_shot"]["metrics"]["exact_match"]["mean"]
    assert figure.layout.shapes[0].x0 == base
    assert list(figure.layout.yaxis.ticktext) == ["Zero-shot", "Random · 12", "Selected · 12", "Full pool · 60"]


def test_a_loss_is_drawn_in_nats(result: dict[str, Any]) -> None:
    figure = figures_results.arms(result, "test_loss")
    assert figure.layout.xaxis.title.text == "Test loss, nats a token (lower is better)"
    assert figure.layout.shapes[0].x0 == result["arms"]["zero_shot"]["metrics"]["test_loss"]["mean"]


def test_an_arm_without_interval_is_drawn_as_its_mean(result: dict[str, Any]) -> None:
    told = result["arms"]["selected"]["metrics"]["exact_match"]
    told["low"] = told["high"] = None
    figure = figures_results.arms(result)
    assert [100 * told["mean"]] * 2 in [list(t.x) for t in figure.data]


def test_losses_have_a_faint_and_a_smooth_line_a_seed_and_one_legend_entry_an_arm(result: dict[str, Any]) -> None:
    figure = figures_results.losses(result["curves"])
    assert len(figure.data) == 2 * 3 * 3
    assert [t.name for t in figure.data if t.showlegend] == ["Random", "Selected", "Full pool"]
    assert figure.layout.xaxis.type == "log"  # the full pool has five times the steps
    assert figures_results.losses({"random": result["curves"]["random"]}).layout.xaxis.type == "linear"
    for planned, kind in (((100, 100), "linear"), ((100, 500), "log")):  # whatever is done of them so far
        assert figures_results.losses(result["curves"], planned=planned).layout.xaxis.type == kind


def test_the_queries_loss_is_dashed_in_its_arms_colour(result: dict[str, Any]) -> None:
    of = result["curves"]["random"]
    watched = [{"seed": 0, "step": step, "query_loss": loss} for step, loss in ((0, 3.0), (6, 1.5))]
    figure = figures_results.losses({"random": [*of, *watched], "selected": result["curves"]["selected"]})
    dashed = next(t for t in figure.data if t.line.dash == "dash" and t.x[0] is not None)
    assert (list(dashed.x), list(dashed.y)) == ([0, 6], [3.0, 1.5])
    assert dashed.line.color == figure.data[1].line.color != figure.data[7].line.color
    assert [t.name for t in figure.data if t.showlegend is not False] == [
        *("Random", "Selected", "on its own rows", "on the queries")
    ]
    spread = figures_results.losses({**result["curves"], "random": [*of, *watched]})  # its axis has no 0
    assert next(t for t in spread.data if t.line.dash == "dash" and t.x[0] is not None).x[0] == 0.5
    long = [{"seed": 0, "step": s, "loss": 1.0} for s in range(1, 10_001)]
    assert len(figures_results.losses({"random": long}).data[1].x) == 400
    assert len(figures_results.losses({"random": watched}).data) == 3  # before the first step there is no other


def test_the_running_mean_is_corrected_for_its_start() -> None:
    points = [{"seed": 0, "step": s, "loss": 2.0} for s in (1, 2, 3)]
    smooth = figures_results.losses({"random": points}).data[1]
    assert list(smooth.y) == pytest.approx([2.0, 2.0, 2.0])


def test_no_losses_is_an_empty_figure() -> None:
    assert len(figures_results.losses({}).data) == 0


def test_composition_shows_shares_and_folds_small_sources() -> None:
    picked = {f"s{i:02}": 100 - i for i in range(20)}
    figure = figures_results.composition(picked, {"s00": 30, "other": 70})
    pool, selection = figure.data
    assert list(selection.y)[-1] == "all others" and len(selection.y) == 13
    assert sum(selection.x) == pytest.approx(100) and sum(pool.x) == pytest.approx(100)
    assert selection.y[0] == "s00" and pool.x[0] == pytest.approx(30)


def test_a_source_named_like_a_tag_is_escaped() -> None:
    figure = figures_results.composition({"<a href='x'>y</a>": 3})
    assert figure.data[0].y[0] == "&lt;a href='x'&gt;y&lt;/a&gt;"


def test_no_right_answer_at_all_still_has_an_axis(result: dict[str, Any]) -> None:
    for told in result["arms"].values():
        told["metrics"]["exact_match"] = {"mean": 0.0, "low": 0.0, "high": 0.0, "per_seed": [0.0]}
    low, high = figures_results.arms(result).layout.xaxis.range
    assert low < 0 < high
