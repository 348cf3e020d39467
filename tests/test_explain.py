"""What an explanation claims is tried: the named rows are banned, the subset is selected again, the claim holds."""

from __future__ import annotations

from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation import pipeline, selectors, workbench
from curation.config import SelectionConfig
from curation.demo import project as demo
from curation.explain import Explanation, explain
from curation.selected import REACH, Selected
from curation.selectors import Budget, Overrides, Problem
from curation.similarity import Features
from curation.workspace import Workspace

NOBODY = Overrides()
EVERY = sorted(selectors.REGISTRY)
RANKINGS = [name for name in EVERY if selectors.REGISTRY.load(name).ranking]


def selected(name: str, problem: Problem, budget: Budget, overrides: Overrides = NOBODY, **limits: Any) -> Selected:
    selector = selectors.create(name)
    subset = selector.select(problem, budget, overrides, **limits)
    return Selected(selector, problem, budget, overrides, subset, **limits)


def problem(seed: int, n_queries: int = 4, n_pool: int = 40, ties: bool = False) -> Problem:
    rng = np.random.default_rng(seed)
    z, q = rng.normal(size=(n_pool, 5)), rng.normal(size=(n_queries, 5))
    z, q = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (z, q))
    similarity = q @ z.T
    if ties:
        similarity = similarity.round(1)
    return Problem(
        similarity,
        pool_features=Features(
            z[:, None].astype(np.float32), np.ones(1, dtype=np.float32), tuple(map(str, range(n_pool)))
        ),
        sources=[f"s{i % 3}" for i in range(n_pool)],
        costs=rng.integers(1, 30, size=n_pool),
    )


def check(chosen: Selected, index: int) -> Explanation:
    """Try whatever an explanation claims."""
    told = explain(chosen, index)
    picks = chosen.subset.indices.tolist()
    if index in picks and index not in chosen.overrides.pinned:
        assert told.turn == chosen.subset.turns[picks.index(index)] and not told.barrier
        if told.runner_up is not None:
            other = chosen.again(ban=[index]).indices.tolist()
            assert other[picks.index(index)] == told.runner_up
        if told.replacement is not None:
            assert told.replacement not in picks
            assert told.replacement in chosen.again(ban=[index]).indices
    elif index in picks:
        if told.replacement is not None:
            assert told.replacement in chosen.again(free=index).indices
    elif told.barrier == "banned":
        if told.turn is not None:
            other = chosen.again(free=index)
            assert other.turns[other.indices == index] == [told.turn]
    elif told.blockers:
        assert len(set(told.blockers)) == len(told.blockers)
        assert index in chosen.again(ban=told.blockers).indices
        if not chosen.quotas:
            assert index not in chosen.again(ban=told.blockers[1:]).indices
            assert told.blockers[0] in picks
    return told


@pytest.mark.parametrize("name", EVERY)
@settings(max_examples=25)
@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 30), st.booleans())
def test_what_is_said_comes_true(name: str, seed: int, n_queries: int, budget: int, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    asked = problem(seed, n_queries, ties=ties)
    pinned = tuple(int(i) for i in rng.permutation(40)[: rng.integers(0, 3)])
    banned = tuple(int(i) for i in rng.permutation(40)[:3] if i not in pinned)
    chosen = selected(name, asked, Budget(examples=max(budget, len(pinned))), Overrides(pinned, banned))
    for index in rng.permutation(40)[:6]:
        told = check(chosen, int(index))
        assert bool(told.barrier) == (index not in chosen.subset.indices)


@pytest.mark.parametrize("name", ["mmr", "facility_location", "herding"])
@given(st.integers(0, 10**6), st.booleans())
@settings(max_examples=25)
def test_bounds_of_the_first_picks_lead_to_the_same(name: str, seed: int, ties: bool) -> None:
    chosen = selected(name, problem(seed, ties=ties), Budget(examples=25), Overrides((1, 2), (3,)))
    with mock.patch("curation.selected.FEW", 4), mock.patch("curation.explain.FEW", 4):
        for index in range(0, 40, 4):
            check(chosen, index)


@pytest.mark.parametrize("name", EVERY)
@settings(max_examples=15)
@given(st.integers(0, 10**6), st.booleans(), st.booleans())
def test_quotas_lengths_and_minimums_are_named(name: str, seed: int, tokens: bool, minimum: bool) -> None:
    asked = problem(seed)
    limits: dict[str, Any] = {"quotas": {"s0": 2, "s1": 3}}
    if minimum:
        limits["minimum_similarity"] = float(np.quantile(asked.nearest, 0.2))
    chosen = selected(name, asked, Budget(tokens=150) if tokens else Budget(examples=10), **limits)
    for index in range(0, 40, 3):
        told = check(chosen, index)
        if told.barrier == "minimum":
            assert asked.nearest[index] < limits["minimum_similarity"]
        if told.barrier == "quota":
            source = f"s{index % 3}"
            full = [i for i in chosen.subset.indices if f"s{i % 3}" == source]
            assert len(full) == limits["quotas"][source]
        if told.barrier == "tokens":
            assert tokens


@pytest.mark.parametrize("name", EVERY)
def test_most_candidates_get_a_reason_that_names_someone(name: str) -> None:
    chosen = selected(name, problem(3), Budget(examples=12))
    told = [check(chosen, i) for i in range(40)]
    named = [bool(t.blockers) or t.runner_up is not None for t in told]
    assert np.mean(named) > (0.4 if name == "k_center" else 0.99)


@pytest.mark.parametrize("name", [n for n in EVERY if n in (*RANKINGS, "round_robin")])
def test_the_turn_of_one_left_out_is_the_budget_that_lets_it_in(name: str) -> None:
    asked = problem(5)
    chosen = selected(name, asked, Budget(examples=8), Overrides(pinned=(3,), banned=(4,)))
    for index in (i for i in range(40) if i not in (*chosen.subset.indices, 4)):
        turn = explain(chosen, index).turn
        if turn is None and name == "round_robin":  # it is not followed so far
            assert index not in chosen.selector.select(asked, 8 * REACH, chosen.overrides).indices
            continue
        assert turn is not None
        picks = chosen.selector.select(asked, turn + 2, chosen.overrides).indices  # the pin takes one
        assert picks[-1] == index


def test_round_robin_names_the_query_that_came_nearest() -> None:
    similarity = np.array([[0.9, 0.8, 0.1, 0.5, 0.2], [0.1, 0.2, 0.8, 0.5, 0.7]], dtype=np.float32)
    chosen = selected("round_robin", Problem(similarity), Budget(examples=3))  # 0 by query 0, 2 by 1, 1 by 0
    told = explain(chosen, 4)
    assert (told.barrier, told.beside, told.blockers, told.turn) == ("others", 1, (2,), 3)
    assert [(q, place) for q, _, place in told.nearest] == [(1, 2), (0, 4)]
    told = explain(chosen, 1)
    assert (told.picked_by, told.turn, told.runner_up, told.replacement) == (0, 2, 3, 3)
    assert [(q, place) for q, _, place in told.nearest] == [(0, 2), (1, 4)]
    assert told.nearest[0][1] == pytest.approx(0.8)


def test_a_pin_says_who_would_come_in_its_place() -> None:
    similarity = np.array([[0.9, 0.8, 0.1, 0.5, 0.2]], dtype=np.float32)
    chosen = selected("doubly_greedy", Problem(similarity), Budget(examples=2), Overrides(pinned=(4,)))
    told = explain(chosen, 4)
    assert (told.turn, told.picked_by, told.replacement) == (None, None, 1)
    own = selected("doubly_greedy", Problem(similarity), Budget(examples=2), Overrides(pinned=(0,)))
    assert explain(own, 0).replacement is None  # it would be picked all the same


@pytest.mark.parametrize("name", [n for n in EVERY if n in (*RANKINGS, "round_robin")])
def test_under_quotas_the_turn_is_that_without_them(name: str) -> None:
    asked = problem(5)
    chosen = selected(name, asked, Budget(examples=8), Overrides(pinned=(3,)), quotas={"s1": 2})
    for index in range(40):
        told = explain(chosen, index)
        if told.barrier and told.turn is not None:
            assert chosen.selector.select(asked, told.turn + 2, chosen.overrides).indices[-1] == index


@pytest.mark.parametrize("name", EVERY)
def test_pins_that_leave_too_few_tokens_are_not_said_to_take_all(name: str) -> None:
    asked = problem(1).having(costs=np.full(40, 10))
    chosen = selected(name, asked, Budget(tokens=15), Overrides(pinned=(1,)))
    assert chosen.subset.indices.tolist() == [1] and explain(chosen, 5).barrier == "tokens"
    chosen = selected(name, asked, Budget(tokens=100), Overrides(pinned=(0,)), quotas={"s0": 1, "s1": 0, "s2": 0})
    assert chosen.subset.indices.tolist() == [0] and explain(chosen, 5).barrier == "quota"


def test_pins_that_take_the_whole_budget_are_what_stands_between() -> None:
    chosen = selected("round_robin", problem(1), Budget(examples=2), Overrides(pinned=(1, 2)))
    told = explain(chosen, 5)
    assert (told.barrier, told.blockers) == ("pins", ())


@pytest.fixture(scope="module")
def demo_problem(tmp_path_factory: pytest.TempPathFactory) -> Problem:
    """The demo's first target as it is shipped: similarity without vectors."""
    ws = Workspace(tmp_path_factory.mktemp("demo"))
    shown = workbench.represented(ws, demo.ensure(ws)[0])[0]
    return pipeline.problem(ws, shown, SelectionConfig())


@pytest.mark.parametrize("name", [n for n in EVERY if not selectors.REGISTRY.load(n).needs_features])
def test_on_the_demo_too_what_is_said_comes_true(name: str, demo_problem: Problem) -> None:
    chosen = selected(name, demo_problem, Budget(examples=200))
    near = np.argsort(-demo_problem.nearest)
    left = near[~np.isin(near, chosen.subset.indices)]
    for index in (*chosen.subset.indices[[0, 60, 199]], *left[[0, 40, 400]]):
        told = check(chosen, int(index))
        assert told.runner_up is not None or told.blockers
