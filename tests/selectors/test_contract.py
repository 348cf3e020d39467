"""What every registered selector must do: one suite over the registry, no list by hand."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation import selectors
from curation.errors import SelectionError
from curation.selectors import Budget, Overrides, Problem

every_selector = pytest.mark.parametrize("name", list(selectors.REGISTRY))


def similarity_of(n_queries: int, n_pool: int, seed: int, *, levels: int = 0) -> np.ndarray:
    """Random similarity; `levels` > 0 rounds it so that ties abound."""
    values = np.random.default_rng(seed).normal(size=(n_queries, n_pool)).astype(np.float32)
    return np.round(values * levels / 3) if levels else values


@every_selector
@settings(max_examples=60, deadline=None)
@given(
    n_queries=st.integers(1, 6),
    n_pool=st.integers(1, 40),
    seed=st.integers(0, 99),
    levels=st.sampled_from([0, 2]),
    draw=st.data(),
)
def test_budget_pins_and_bans_hold(
    name: str, n_queries: int, n_pool: int, seed: int, levels: int, draw: st.DataObject
) -> None:
    similarity = similarity_of(n_queries, n_pool, seed, levels=levels)
    marked = draw.draw(st.lists(st.integers(0, n_pool - 1), unique=True))
    cut = draw.draw(st.integers(0, len(marked)))
    pinned, banned = tuple(marked[:cut]), tuple(marked[cut:])
    budget = draw.draw(st.integers(len(pinned), n_pool - len(banned)))

    subset = selectors.create(name).select(similarity, budget, Overrides(pinned, banned), seed=seed)

    assert subset.indices.dtype == np.int64
    assert len(subset) == len(subset.indices) == len(set(subset.indices.tolist())) == budget
    assert tuple(subset.indices[: len(pinned)]) == pinned
    assert not set(subset.indices.tolist()) & set(banned)
    assert len(subset.reasons) == len(subset.turns) == len(subset.query) == len(subset.scores) == budget
    assert subset.reasons[: len(pinned)] == ("pinned",) * len(pinned)
    assert subset.turns.tolist() == [-1] * len(pinned) + list(range(budget - len(pinned)))
    assert np.isfinite(subset.scores).all()
    taken = subset.query >= 0
    np.testing.assert_array_equal(subset.scores[taken], similarity[subset.query[taken], subset.indices[taken]])


@every_selector
@settings(max_examples=40, deadline=None)
@given(n_pool=st.integers(1, 30), seed=st.integers(0, 99), tokens=st.integers(0, 200))
def test_token_budget_walks_the_ordering_and_skips_what_no_longer_fits(
    name: str, n_pool: int, seed: int, tokens: int
) -> None:
    similarity = similarity_of(3, n_pool, seed)
    costs = np.random.default_rng(seed).integers(0, 30, n_pool)
    ordering = selectors.create(name).select(similarity, n_pool, seed=seed).indices
    expected, left = [], tokens
    for i in ordering:
        if costs[i] <= left:
            expected.append(int(i))
            left -= costs[i]
    got = selectors.create(name).select(Problem(similarity, costs=costs), Budget(tokens=tokens), seed=seed).indices
    assert got.tolist() == expected


@every_selector
def test_same_seed_same_subset_and_input_untouched(name: str) -> None:
    similarity = similarity_of(4, 200, 0)
    before = similarity.copy()
    first, second = (selectors.create(name).select(similarity, 50, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first.indices, second.indices)
    np.testing.assert_array_equal(first.scores, second.scores)
    np.testing.assert_array_equal(similarity, before)


@every_selector
def test_larger_budget_holds_the_smaller(name: str) -> None:
    similarity = similarity_of(4, 60, 1)
    small, large = (selectors.create(name).select(similarity, budget).indices for budget in (10, 30))
    np.testing.assert_array_equal(small, large[:10])


@every_selector
def test_budget_edges(name: str) -> None:
    selector, similarity = selectors.create(name), similarity_of(3, 12, 2)
    assert len(selector.select(similarity, 0)) == 0
    assert sorted(selector.select(similarity, 12).indices) == list(range(12))
    assert selector.select(similarity, 2, Overrides(pinned=(7, 1))).indices.tolist() == [7, 1]
    assert selector.select(similarity, 1, Overrides(banned=tuple(range(11)))).indices.tolist() == [11]
    assert len(selector.select(similarity, 0, Overrides(banned=tuple(range(12))))) == 0


@every_selector
@pytest.mark.parametrize(
    ("budget", "overrides", "message"),
    [
        (11, Overrides(), "the budget is 11 examples but only 10 of 10 are not banned"),
        (10, Overrides(banned=(3,)), "the budget is 10 examples but only 9 of 10 are not banned"),
        (1, Overrides(pinned=(3, 4)), "2 examples are pinned but the budget is 1"),
        (5, Overrides(pinned=(3,), banned=(3,)), "candidate 3 is both pinned and banned"),
        (5, Overrides(pinned=(10,)), "pinned candidate 10 is not in the pool, expected 0 to 9"),
        (5, Overrides(banned=(-1,)), "banned candidate -1 is not in the pool"),
        (5, Overrides(pinned=(2, 2)), "candidate 2 is pinned twice"),
        (5, Overrides(banned=(1, 2, 1)), "candidate 1 is banned twice"),
        (Budget(tokens=5), Overrides(), "the budget is in tokens but the problem has no costs"),
    ],
)
def test_impossible_requests_are_refused(name: str, budget: Budget | int, overrides: Overrides, message: str) -> None:
    with pytest.raises(SelectionError, match=message):
        selectors.create(name).select(similarity_of(2, 10, 0), budget, overrides)


@every_selector
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_similarity_that_is_not_finite_is_refused(name: str, bad: float) -> None:
    similarity = similarity_of(3, 5, 0)
    similarity[1, 4] = bad
    with pytest.raises(SelectionError, match="similarity of query 1 to candidate 4 is"):
        selectors.create(name).select(similarity, 2)


@every_selector
@pytest.mark.parametrize(("shape", "message"), [((0, 5), "the query set is empty"), ((3, 0), "the pool is empty")])
def test_nothing_to_choose_from_is_refused(name: str, shape: tuple[int, int], message: str) -> None:
    with pytest.raises(SelectionError, match=message):
        selectors.create(name).select(np.zeros(shape), 0)


@every_selector
def test_pins_over_the_token_budget_are_refused(name: str) -> None:
    problem = Problem(similarity_of(2, 4, 0), costs=np.array([10, 1, 1, 1]))
    with pytest.raises(SelectionError, match="the pinned examples have 10 tokens but the budget is 9"):
        selectors.create(name).select(problem, Budget(tokens=9), Overrides(pinned=(0,)))


@every_selector
def test_file_class_and_name_agree_and_help_is_there(name: str) -> None:
    found = selectors.REGISTRY.load(name)
    assert found.__module__ == f"curation.selectors.{name}"
    assert found.__name__.lower() == name.replace("_", "")
    assert selectors.REGISTRY.help(name).endswith(".")
    assert found.reason
    assert not inspect.isabstract(found)


def test_budget_is_one_of_examples_or_tokens() -> None:
    for budget in ({}, {"examples": 1, "tokens": 1}):
        with pytest.raises(SelectionError, match="expected exactly one of the two"):
            Budget(**budget)
    with pytest.raises(SelectionError, match="the budget is -3, expected at least 0"):
        Budget(examples=-3)


def test_problem_checks_its_columns() -> None:
    similarity = similarity_of(2, 4, 0)
    with pytest.raises(SelectionError, match=r"similarity has shape \(4,\)"):
        Problem(similarity[0])
    with pytest.raises(SelectionError, match="sources has 3 entries, expected 4"):
        Problem(similarity, sources=["a"] * 3)
    with pytest.raises(SelectionError, match="query_groups has 4 entries, expected 2"):
        Problem(similarity, query_groups=["a"] * 4)
    with pytest.raises(SelectionError, match="costs holds -1"):
        Problem(similarity, costs=np.array([1, -1, 1, 1]))


def test_public_names() -> None:
    assert selectors.__all__ == ["REGISTRY", "Budget", "Overrides", "Problem", "Selector", "Subset", "create"]
