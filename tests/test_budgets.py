"""Lines of metric against budget, and the knee: the smallest budget that no larger one is told to beat."""

from __future__ import annotations

import numpy as np

from curation import budgets, figures_results
from curation.evaluation import Evaluation

IDS = [f"t{i}" for i in range(120)]


def judged(level: float, seed: int) -> Evaluation:
    rng = np.random.default_rng(seed)
    right = (np.linspace(0, 1, 120) + rng.normal(0, 0.03, 120) < level).astype(float).tolist()
    loss = (2 - level + rng.normal(0, 0.02, 120)).tolist()
    values = {"exact_match": right, "test_loss": loss}
    return Evaluation(values, dict.fromkeys(values, IDS), {k: float(np.mean(v)) for k, v in values.items()})


LEVELS = {"random@50": 0.2, "random": 0.3, "random@200": 0.4, "selected@50": 0.3, "selected": 0.6, "selected@200": 0.6}
ARMS = {arm: [judged(level, 10 * i + s) for s in range(3)] for i, (arm, level) in enumerate(LEVELS.items())}
RESULT = {
    "selected": ["r"] * 100,
    "metrics": ["exact_match", "test_loss"],
    "knees": budgets.knees({"zero_shot": [judged(0.1, 99)], **ARMS}, budgets.budgets_of(dict.fromkeys(ARMS, 0), 100)),
    "arms": {
        arm: {"metrics": {m: {"mean": e[0].summary[m], "low": 0.1, "high": None} for m in e[0].summary}}
        for arm, e in {"zero_shot": [judged(0.1, 99)], **ARMS}.items()
    },
}


def test_the_knee_is_where_no_larger_budget_is_told_to_be_better() -> None:
    assert RESULT["knees"] == {
        "random": {"exact_match": 200, "test_loss": 200},
        "selected": {"exact_match": 100, "test_loss": 100},
    }
    assert budgets.knees({"zero_shot": [judged(0.1, 0)], "selected": ARMS["selected"]}, {"selected": 100}) == {}


def test_lines_are_sorted_by_budget_and_leave_baselines_out() -> None:
    random, selected = budgets.lines(RESULT, "exact_match")
    assert (random.base, random.knee, selected.base, selected.knee) == ("random", 200, "selected", 100)
    assert [p.budget for p in selected.points] == [50, 100, 200]
    assert [p.arm for p in selected.points] == ["selected@50", "selected", "selected@200"]
    assert selected.points[1].mean == ARMS["selected"][0].summary["exact_match"]


def test_the_figure_has_a_band_a_line_and_a_ring_for_each_and_zero_shot() -> None:
    figure = figures_results.budgets(RESULT)
    drawn = [t for t in figure.data if t.mode == "lines+markers"]
    assert [t.name for t in drawn] == ["Random", "Selected"] and list(drawn[1].x) == [50, 100, 200]
    assert drawn[1].y[1] == 100 * ARMS["selected"][0].summary["exact_match"]
    bands = [t for t in figure.data if t.fill == "tonexty"]
    assert len(bands) == 2 and list(bands[1].y) == list(drawn[1].y)  # an end that is None is the mean
    rings = [t for t in figure.data if t.mode == "markers"]
    assert [list(t.x) for t in rings] == [[200], [100]]
    assert figure.layout.shapes[0].y0 == 100 * RESULT["arms"]["zero_shot"]["metrics"]["exact_match"]["mean"]
    assert "nats" in figures_results.budgets(RESULT, "test_loss").layout.yaxis.title.text


def test_arms_of_one_token_budget_stand_at_one_place() -> None:
    sizes = {"random@9t": 50, "greedy@9t": 47, "greedy": 98, "selected": 100, "mine@60": 60}
    assert budgets.budgets_of(sizes, 100) == {**sizes, "greedy@9t": 50, "greedy": 100}
