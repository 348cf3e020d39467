"""What every registered selector must do: one suite over the registry, no list by hand."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation import selectors
from curation.errors import SelectionError
from curation.selectors import Budget, Overrides, Problem, Subset
from tests.selectors.cases import Asked, asked, features_of, problem_of, vectors_of

every_selector = pytest.mark.parametrize("name", list(selectors.REGISTRY))
thorough = settings(max_examples=25, derandomize=True)


def check_form(subset: Subset, problem: Problem, pinned: tuple[int, ...]) -> None:
    """What holds for the columns of every subset."""
    n = len(subset)
    assert subset.indices.dtype == np.int64 and len(set(subset.indices.tolist())) == n
    assert len(subset.reasons) == len(subset.turns) == len(subset.query) == len(subset.scores) == n
    assert tuple(subset.indices[: len(pinned)]) == pinned
    assert subset.reasons[: len(pinned)] == ("pinned",) * len(pinned)
    assert (subset.turns[: len(pinned)] == -1).all() and (np.diff(subset.turns[len(pinned) :]) > 0).all()
    assert np.isfinite(subset.scores).all()
    took = subset.query >= 0
    np.testing.assert_array_equal(subset.scores[took], problem.similarity[subset.query[took], subset.indices[took]])
    assert all(isinstance(note, str) and note.endswith(".") for note in subset.notes)


@every_selector
@thorough
@given(given_=asked(), draw=st.data())
def test_budget_pins_bans_and_minimums_hold(name: str, given_: Asked, draw: st.DataObject) -> None:
    problem, overrides, free = given_.problem, given_.overrides, given_.free
    n_pins = len(overrides.pinned)
    budget = draw.draw(st.integers(max(1, n_pins), n_pins + len(free)))
    subset = selectors.create(name).select(problem, budget, overrides, seed=3, **given_.minimums)
    check_form(subset, problem, overrides.pinned)
    assert len(subset) == budget
    assert set(subset.indices[n_pins:].tolist()) <= set(free)
    assert subset.turns.tolist() == [-1] * n_pins + list(range(budget - n_pins))


@every_selector
@thorough
@given(given_=asked(), draw=st.data())
def test_a_larger_budget_holds_the_smaller_where_it_says_so(name: str, given_: Asked, draw: st.DataObject) -> None:
    kept, overrides, fewest = given_.problem, given_.overrides, max(1, len(given_.overrides.pinned))
    large = draw.draw(st.integers(fewest, kept.n_pool - len(overrides.banned)))
    small = draw.draw(st.integers(fewest, large))
    selector = selectors.create(name)
    if selector.prefix_consistent:
        first, fresh = selector.select(kept, small, overrides, seed=5), kept.having()
        object.__setattr__(fresh, "kept", type(kept.kept)())
        whole = selector.select(fresh, large, overrides, seed=5)
        np.testing.assert_array_equal(first.indices, whole.indices[:small])


def test_only_k_center_depends_on_the_budget() -> None:
    assert [n for n in selectors.REGISTRY if not selectors.REGISTRY.load(n).prefix_consistent] == ["k_center"]
    problem = problem_of(3, 200, 0)
    select = selectors.create("k_center", reach=2).select
    assert select(problem, 10).indices.tolist() != select(problem, 60).indices[:10].tolist()


@every_selector
@settings(max_examples=10, derandomize=True)
@given(seed=st.integers(0, 99), ties=st.booleans(), draw=st.data())
def test_bans_drop_from_rankings_and_leave_the_pool_of_the_others(
    name: str, seed: int, ties: bool, draw: st.DataObject
) -> None:
    problem, selector = problem_of(3, 60, seed, ties=ties), selectors.create(name)
    banned = tuple(sorted(draw.draw(st.sets(st.integers(0, 59), max_size=20))))
    left = np.setdiff1d(np.arange(60), banned)
    under = selector.select(problem, 30, Overrides(banned=banned)).indices
    if selector.ranking:
        whole = [i for i in selector.select(problem, 60).indices if i not in banned]
        assert under.tolist() == whole[:30]
    else:
        without = Problem(problem.similarity[:, left], features_of(problem.vectors[left]))
        assert under.tolist() == left[selector.select(without, 30).indices].tolist()


@every_selector
def test_same_input_same_subset_and_input_untouched(name: str) -> None:
    problem = problem_of(4, 200, 0)
    before, vectors = problem.similarity.copy(), problem.vectors.copy()
    again = problem_of(4, 200, 0)
    first, kept, second = (selectors.create(name).select(p, 50, seed=3) for p in (problem, problem, again))
    for other in (kept, second):
        np.testing.assert_array_equal(first.indices, other.indices)
        np.testing.assert_array_equal(first.scores, other.scores)
    np.testing.assert_array_equal(problem.similarity, before)
    np.testing.assert_array_equal(problem.vectors, vectors)


@every_selector
def test_equal_candidates_go_by_index(name: str) -> None:
    if name == "random":
        return
    one = vectors_of(1, 1)
    flat = Problem(vectors_of(3, 0) @ np.repeat(one, 70, axis=0).T, features_of(np.repeat(one, 70, axis=0)))
    assert selectors.create(name).select(flat, 70).indices.tolist() == list(range(70))


@every_selector
def test_budget_edges(name: str) -> None:
    selector, problem = selectors.create(name), problem_of(3, 12, 2)
    assert sorted(selector.select(problem, 12).indices) == list(range(12))
    assert selector.select(problem, 2, Overrides(pinned=(7, 1))).indices.tolist() == [7, 1]
    assert selector.select(problem, 1, Overrides(banned=tuple(range(11)))).indices.tolist() == [11]
    one = problem_of(1, 1, 0)
    assert selector.select(one, 1).indices.tolist() == [0]
    assert selector.select(one.having(costs=np.array([5])), Budget(tokens=5)).indices.tolist() == [0]
    assert selector.select(one.having(costs=np.array([0])), Budget(tokens=5)).indices.tolist() == [0]


@every_selector
@pytest.mark.parametrize(
    ("budget", "overrides", "limits", "message"),
    [
        (11, Overrides(), {}, "the budget is 11 examples but only 10 of 10 are not banned; lower the budget"),
        (10, Overrides(banned=(3,)), {}, "the budget is 10 examples but only 9 of 10 are not banned"),
        (1, Overrides(pinned=(3, 4)), {}, "2 examples are pinned but the budget is 1; raise the budget or unpin"),
        (5, Overrides(pinned=(3,), banned=(3,)), {}, "candidate 3 is both pinned and banned; undo one"),
        (5, Overrides(pinned=(10,)), {}, "pinned candidate 10 is not in the pool, expected 0 to 9"),
        (5, Overrides(banned=(-1,)), {}, "banned candidate -1 is not in the pool"),
        (5, Overrides(pinned=(2, 2)), {}, "candidate 2 is pinned twice"),
        (5, Overrides(banned=(1, 2, 1)), {}, "candidate 1 is banned twice"),
        (0, Overrides(), {}, "the budget is 0, expected a whole number of at least 1; raise it"),
        (-3, Overrides(), {}, "the budget is -3, expected a whole number of at least 1"),
        (2.5, Overrides(), {}, r"the budget is 2\.5, expected a whole number of at least 1"),
        (Budget(tokens=5), Overrides(), {}, "the budget is in tokens but the problem has no costs"),
        (9, Overrides(), {"quotas": {"a": 2}}, "budget is 9 examples but the quotas leave room for 7; raise a quota"),
        (3, Overrides((0, 2, 4)), {"quotas": {"a": 2}}, "3 pinned examples are of the source 'a', whose quota is 2"),
        (3, Overrides(), {"quotas": {"z": 2}}, "a quota for the source 'z', but the pool has only: a, b; name one"),
        (3, Overrides(), {"quotas": {"a": -1}}, "the quota of the source 'a' is -1, expected at least 0"),
        (3, Overrides(), {"minimum_similarity": 9.0}, "only 0 of 10 are neither banned nor below the minimum; lower"),
        (3, Overrides((1,), (2,)), {"minimum_similarity": 9.0}, "only 1 of 10 are neither banned nor below"),
        (3, Overrides(), {"minimum_similarity": np.nan}, "a minimum is NaN, expected a number; change it or clear it"),
        (3, Overrides(), {"minimum_score": np.nan}, "a minimum is NaN, expected a number; change it or clear it"),
        (3, Overrides(), {"minimum_score": 0.5}, r"the minimum score is 0\.5 but the candidates have no scores"),
    ],
)
def test_impossible_requests_are_refused(
    name: str, budget: Budget | int, overrides: Overrides, limits: dict[str, object], message: str
) -> None:
    problem = problem_of(2, 10, 0, sources=["a", "b"] * 5)
    with pytest.raises(SelectionError, match=message):
        selectors.create(name).select(problem, budget, overrides, **limits)  # type: ignore[arg-type]


@every_selector
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_similarity_that_is_not_finite_is_refused(name: str, bad: float) -> None:
    similarity = problem_of(3, 5, 0).similarity.copy()
    similarity[1, 4] = bad
    with pytest.raises(SelectionError, match="similarity of query 1 to candidate 4 is"):
        selectors.create(name).select(similarity, 2)


@every_selector
@pytest.mark.parametrize(("shape", "message"), [((0, 5), "the query set is empty"), ((3, 0), "the pool is empty")])
def test_nothing_to_choose_from_is_refused(name: str, shape: tuple[int, int], message: str) -> None:
    with pytest.raises(SelectionError, match=message):
        selectors.create(name).select(np.zeros(shape), 1)


@every_selector
def test_pins_over_the_token_budget_are_refused(name: str) -> None:
    problem = problem_of(2, 4, 0, costs=np.array([10, 1, 1, 1]))
    with pytest.raises(SelectionError, match="the pinned examples have 10 tokens but the budget is 9; raise"):
        selectors.create(name).select(problem, Budget(tokens=9), Overrides(pinned=(0,)))


@every_selector
def test_a_token_budget_that_holds_nobody_is_refused(name: str) -> None:
    problem = problem_of(2, 4, 0, costs=np.array([10, 7, 12, 8]), sources=["a", "a", "b", "b"])
    select, said = selectors.create(name).select, "nothing that may be picked fits into {} tokens; raise the budget"
    with pytest.raises(SelectionError, match=said.format(6)):
        select(problem, Budget(tokens=6))
    with pytest.raises(SelectionError, match=said.format(7)):
        select(problem, Budget(tokens=7), Overrides(banned=(1,)))
    with pytest.raises(SelectionError, match=said.format(9)):
        select(problem, Budget(tokens=9), quotas={"a": 0, "b": 0})


@every_selector
def test_features_are_asked_for_where_they_are_needed(name: str) -> None:
    selector, similarity = selectors.create(name), problem_of(3, 40, 0).similarity
    if not selector.needs_features:
        assert len(selector.select(similarity, 5)) == 5
        return
    with pytest.raises(SelectionError, match="compares candidates with each other and there are no features"):
        selector.select(similarity, 5)
    vectors = vectors_of(40, 0)
    vectors[7] = np.nan
    with pytest.raises(SelectionError, match="the feature of candidate p7 is not finite"):
        selector.select(Problem(similarity, features_of(vectors)), 5)
    vectors[7] = 0  # a row in which the representation sees nothing
    assert len(selector.select(Problem(similarity, features_of(vectors)), 40)) == 40


@every_selector
def test_file_class_and_name_agree_and_help_is_there(name: str) -> None:
    found = selectors.REGISTRY.load(name)
    assert found.__module__ == f"curation.selectors.{name}"
    assert found.__name__.lower() == name.replace("_", "")
    assert selectors.REGISTRY.help(name).endswith(".")
    assert found.reason
    assert not inspect.isabstract(found)


def test_public_names() -> None:
    assert selectors.__all__ == ["REGISTRY", "Budget", "Overrides", "Problem", "Selector", "Subset", "create"]
    assert set(selectors.REGISTRY) == {
        "random", "round_robin", "doubly_greedy", "influence", "uot", "knn_uniform", "knn_kde", "k_center",
        "facility_location", "mmr", "herding",
    }  # fmt: skip
