"""Intervals cover what they say they cover, also for few seeds, few rows and all-wrong answers."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import scipy.stats

from curation.errors import EvaluationError
from curation.evaluation import Evaluation
from curation.evaluation.statistics import Difference, Interval, compare, difference, effects, holm, interval, summarise


def crossed(rng: np.random.Generator, n_seeds: int, rows: np.ndarray, seed_sd: float, noise: float) -> np.ndarray:
    """Values (n_seeds, n_examples) with a part of the seed, a part of the row and a part of both."""
    n = len(rows)
    return rows + seed_sd * rng.standard_normal((n_seeds, 1)) + noise * rng.standard_normal((n_seeds, n))


@pytest.mark.parametrize(
    ("n_seeds", "n_examples", "seed_sd"), [(3, 50, 0.1), (3, 50, 0.5), (2, 100, 0.3), (5, 8, 0.2), (1, 8, 0.0)]
)
def test_the_interval_covers_the_true_mean_about_as_often_as_it_says(
    n_seeds: int, n_examples: int, seed_sd: float
) -> None:
    rng = np.random.default_rng(0)
    trials, hits = 400, 0
    for _ in range(trials):
        values = crossed(rng, n_seeds, rng.standard_normal(n_examples), seed_sd, 0.5)
        found = interval(values)
        hits += found.low <= 0.0 <= found.high
    assert 0.92 <= hits / trials <= 0.98  # 0.95 ± three standard errors


@pytest.mark.parametrize(("share", "n_examples"), [(0.02, 100), (0.5, 20), (0.97, 50)])
def test_the_interval_of_a_proportion_covers_also_near_its_ends(share: float, n_examples: int) -> None:
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(400):
        found = interval(rng.random((1, n_examples)) < share, lowest=0.0, highest=1.0)
        hits += found.low <= share <= found.high
    assert hits / 400 >= 0.93


def test_equal_arms_are_rarely_told_apart_and_different_ones_are() -> None:
    rng = np.random.default_rng(2)
    false_alarms = missed = 0
    for _ in range(300):
        rows = rng.standard_normal(60)
        a, b = (crossed(rng, 3, rows, 0.1, 0.3) for _ in range(2))
        false_alarms += difference(a, b, higher_is_better=True).distinguishable
        missed += difference(a + 1.0, b, higher_is_better=True).better is not True
    assert false_alarms / 300 <= 0.06
    assert missed / 300 <= 0.05


def test_pairing_by_row_takes_the_rows_own_difficulty_out() -> None:
    rng = np.random.default_rng(3)
    rows = 10 * rng.standard_normal(40)
    a, b = rows + 0.1 * rng.standard_normal((1, 40)) - 0.5, rows + 0.1 * rng.standard_normal((1, 40))
    found = difference(a, b, higher_is_better=False)
    assert found.distinguishable and found.better is True  # half a nat lower, though rows spread over 10
    assert found.high - found.low < 0.2
    assert not difference(a, np.roll(b, 1, axis=1), higher_is_better=False).distinguishable


def test_all_wrong_leaves_room_above_and_one_row_says_nothing() -> None:
    none_right = interval(np.zeros((3, 10)), lowest=0.0, highest=1.0)
    assert (none_right.mean, none_right.low) == (0.0, 0.0)
    assert 0.2 <= none_right.high <= 0.4  # Clopper & Pearson: 0.31
    assert interval(np.zeros((1, 1000)), lowest=0.0, highest=1.0).high < 0.006
    two_wins = difference(np.ones((1, 2)), np.zeros((1, 2)), higher_is_better=True, lowest=0.0, highest=1.0)
    assert two_wins.better is None  # two rows are no proof
    assert difference(np.ones((1, 50)), np.zeros((1, 50)), higher_is_better=True, lowest=0.0, highest=1.0).better
    one = interval([[1.5]], lowest=0.0)
    assert (one.mean, one.low, one.high) == (1.5, 0.0, math.inf)
    assert Interval.from_dict(json.loads(json.dumps(one.to_dict()))) == one


def test_more_seeds_narrow_the_interval_and_one_seed_leaves_their_spread_out() -> None:
    values = np.random.default_rng(5).standard_normal(200) + np.tile([[-0.5], [0.5]], (5, 1))  # (10, 200)
    widths = [found.high - found.low for found in (interval(values[:n]) for n in (2, 4, 10))]
    assert widths == sorted(widths, reverse=True)
    single = interval(values[:1])
    assert single.n_seeds == 1 and single.high - single.low < widths[-1] / 2


@pytest.mark.parametrize(("row_sd", "noise"), [(1.0, 0.0), (0.7, 0.7)])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.8])
def test_seed_noise_of_any_share_is_covered_and_its_absence_does_not_widen(
    share: float, row_sd: float, noise: float
) -> None:
    rng = np.random.default_rng(int(100 * share))
    hits = 0
    for _ in range(600):
        one, other = (
            math.sqrt(1 - share) * crossed(rng, 3, row_sd * rng.standard_normal(200), 0.0, noise)
            + math.sqrt(share) * rng.standard_normal((3, 1))
            for _ in range(2)
        )
        found = difference(one + 0.3, other, higher_is_better=True)
        hits += found.low <= 0.3 <= found.high
    assert 0.925 <= hits / 600 <= 0.98


def test_without_seed_noise_the_interval_is_the_rows_own() -> None:
    rows = np.random.default_rng(8).standard_normal(50)
    found = interval(np.stack([rows, rows, rows]))
    half = 2.0096 * rows.std(ddof=1) / math.sqrt(50)  # t(49)
    assert (found.low, found.high) == pytest.approx((rows.mean() - half, rows.mean() + half), abs=1e-4)


def test_the_interval_leaves_zero_out_just_when_p_is_below_its_error() -> None:
    rng = np.random.default_rng(9)
    seen = set()
    for shift in np.linspace(0, 0.6, 40):
        a, b = rng.standard_normal((3, 30)) + shift, rng.standard_normal((2, 30))
        for found in (difference(a, b, higher_is_better=True), difference(a, b, higher_is_better=True, level=0.8)):
            assert found.distinguishable == (found.p < 1 - found.level) == (not found.low <= 0 <= found.high)
            seen.add(found.distinguishable)
    assert seen == {True, False}


def test_one_seed_gives_the_paired_t_tests_p_value() -> None:
    a, b = np.random.default_rng(10).standard_normal((2, 1, 12))
    assert difference(a, b, higher_is_better=True).p == pytest.approx(scipy.stats.ttest_rel(a[0], b[0]).pvalue)


def test_holm_by_hand() -> None:
    given = {"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005}
    family = {name: Difference(1.0, 0.0, 2.0, 1, 9, better=True, p=p) for name, p in given.items()}
    found = holm(family, higher_is_better=True)
    assert {name: one.p for name, one in found.items()} == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02})
    assert [one.better for one in found.values()] == [True, None, None, True]
    assert {one.comparisons for one in found.values()} == {4}
    assert holm({}, higher_is_better=True) == {}


def test_many_equal_arms_are_rarely_told_apart_together() -> None:
    rng = np.random.default_rng(11)
    alone = together = 0
    for _ in range(200):
        arms = {str(i): [evaluation(list(row), ids=None) for row in rng.standard_normal((3, 30))] for i in range(8)}
        found = effects(arms, "0")
        together += any(one["test_loss"].distinguishable for one in found.values())
        alone += any(compare(arms[str(i)], arms["0"])["test_loss"].distinguishable for i in range(1, 8))
    assert together / 200 <= 0.07 < alone / 200


def test_effects_of_every_arm_against_one() -> None:
    rows = np.random.default_rng(12).standard_normal(40)
    noise = np.random.default_rng(13).standard_normal((3, 40)) / 10
    arms = {
        name: [evaluation(list(rows + noise[i] + shift), ids=None)]
        for i, (name, shift) in enumerate({"zero_shot": 0.0, "random": 0.0, "selected": -1.0}.items())
    }
    found = effects(arms, "zero_shot")
    assert list(found) == ["random", "selected"]
    assert found["selected"]["test_loss"].better is True and found["selected"]["test_loss"].comparisons == 2
    assert effects(arms, "full") == {}


def evaluation(values: list[float], ids: str | None = "abcd", metric: str = "test_loss") -> Evaluation:
    names = list(ids) if ids else [str(i) for i in range(len(values))]
    return Evaluation({metric: values}, {metric: names}, {metric: float(np.mean(values))})


def test_arms_are_summarised_and_compared_by_metric() -> None:
    arm = [evaluation([1.0, 2.0, 3.0, 4.0]), evaluation([1.2, 2.2, 3.2, 4.2])]
    base = [evaluation([3.0, 4.1, 5.0, 6.1])]
    assert summarise(arm)["test_loss"].mean == pytest.approx(2.6)
    assert summarise(arm)["test_loss"].n_seeds == 2
    found = compare(arm, base)["test_loss"]
    assert found.mean == pytest.approx(2.6 - 4.55)
    assert found.low >= -math.inf and Difference.from_dict(json.loads(json.dumps(found.to_dict()))) == found
    assert compare(base, base)["test_loss"].better is None
    assert compare(arm, [evaluation([1.0] * 4, metric="query_loss")]) == {}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: interval(np.zeros(3)), r"values have shape \(3,\), expected \(n_seeds, n_examples\)"),
        (lambda: interval(np.zeros((2, 0))), r"values have shape \(2, 0\)"),
        (lambda: interval([[1.0, math.nan]]), r"the value of seed 0, row 1 is nan; judge that arm again"),
        (
            lambda: difference(np.zeros((1, 3)), np.zeros((1, 4)), higher_is_better=True),
            r"arms with 3 and 4 rows can't be paired",
        ),
        (lambda: compare([evaluation([0.0] * 4)], [evaluation([0.0] * 4, "abce")]), r"judged on other rows"),
        (lambda: summarise([]), r"an arm has no evaluation"),
    ],
)
def test_what_can_not_be_compared_is_refused(call: object, message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        call()  # type: ignore[operator]
