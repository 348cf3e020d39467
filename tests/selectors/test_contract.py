"""What every registered selector must do: one suite over the registry, no list by hand."""

from __future__ import annotations

import inspect
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation import selectors
from curation.errors import SelectionError
from curation.selectors import Budget, Overrides, Problem, Subset
from tests.selectors.cases import features_of, problem_of, vectors_of

every_selector = pytest.mark.parametrize("name", list(selectors.REGISTRY))
sequential = [n for n in selectors.REGISTRY if not selectors.REGISTRY.load(n).ranking]
thorough = settings(max_examples=25, deadline=None, derandomize=True)


@st.composite
def asked(draw: st.DrawFn) -> dict[str, object]:
    """A problem with sources, costs and scores, and pins, bans and minimums for it."""
    n_pool = draw(st.integers(1, 30))
    seed = draw(st.integers(0, 99))
    rng = np.random.default_rng(seed)
    problem = problem_of(
        draw(st.integers(1, 6)),
        n_pool,
        seed,
        ties=draw(st.booleans()),
        sources=[str(s) for s in rng.choice(["a", "b", "c"], n_pool)],
        costs=rng.integers(draw(st.integers(0, 1)), 30, n_pool),
        scores=rng.normal(size=n_pool),
    )
    marked = draw(st.lists(st.integers(0, n_pool - 1), unique=True, max_size=12))
    cut = draw(st.integers(0, len(marked)))
    minimums = {
        "minimum_similarity": draw(st.sampled_from([None, -0.5, 0.3])),
        "minimum_score": draw(st.sampled_from([None, None, 0.0])),
    }
    return {"problem": problem, "overrides": Overrides(tuple(marked[:cut]), tuple(marked[cut:])), "minimums": minimums}


def allowed(problem: Problem, overrides: Overrides, minimums: dict[str, float | None]) -> list[int]:
    """Candidates that may be picked, pins aside."""
    low, least = minimums["minimum_similarity"], minimums["minimum_score"]
    return [
        i
        for i in range(problem.n_pool)
        if i not in overrides.banned
        and i not in overrides.pinned
        and (low is None or problem.similarity[:, i].max() >= low)
        and (least is None or problem.scores[i] >= least)  # type: ignore[index]
    ]


def walked(offered: list[int], sources: list[str], room: dict[str, int], costs: list[int], left: int) -> list[int]:
    """The walk, written out: skip what is of a full source or no longer fits."""
    taken = []
    for i in offered:
        if costs[i] <= left and room.get(sources[i], 1) > 0:
            taken.append(i)
            left -= costs[i]
            room[sources[i]] = room.get(sources[i], 99) - 1
    return taken


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
def test_budget_pins_bans_and_minimums_hold(name: str, given_: dict[str, object], draw: st.DataObject) -> None:
    problem, overrides, minimums = given_.values()
    free = allowed(problem, overrides, minimums)  # type: ignore[arg-type]
    n_pins = len(overrides.pinned)  # type: ignore[attr-defined]
    budget = draw.draw(st.integers(n_pins, n_pins + len(free)))
    subset = selectors.create(name).select(problem, budget, overrides, seed=3, **minimums)  # type: ignore[arg-type]
    check_form(subset, problem, overrides.pinned)  # type: ignore[arg-type, attr-defined]
    assert len(subset) == budget
    assert set(subset.indices[n_pins:].tolist()) <= set(free)
    assert subset.turns.tolist() == [-1] * n_pins + list(range(budget - n_pins))


@every_selector
@thorough
@given(given_=asked(), draw=st.data())
def test_quotas_and_tokens_walk_the_ordering_and_skip(
    name: str, given_: dict[str, object], draw: st.DataObject
) -> None:
    problem, overrides, minimums = given_.values()
    free = allowed(problem, overrides, minimums)  # type: ignore[arg-type]
    pinned, costs, sources = overrides.pinned, problem.costs, problem.sources  # type: ignore[attr-defined]
    held = Counter(sources[i] for i in pinned)
    known = sorted(set(sources))
    quotas = {
        s: held[s] + draw.draw(st.integers(0, 6)) for s in draw.draw(st.lists(st.sampled_from(known), unique=True))
    }
    room = {s: most - held[s] for s, most in quotas.items()}
    selector = selectors.create(name)
    if draw.draw(st.booleans()):
        spent = int(sum(costs[i] for i in pinned))
        budget = Budget(tokens=spent + draw.draw(st.integers(0, 200)))
        prices, left = costs.tolist(), budget.tokens - spent  # type: ignore[operator]
    else:
        there = Counter(sources[i] for i in free)
        most = sum(min(n, room.get(s, n)) for s, n in there.items())
        budget = Budget(examples=len(pinned) + draw.draw(st.integers(0, most)))
        prices, left = [1] * problem.n_pool, budget.examples - len(pinned)  # type: ignore[attr-defined, operator]
    subset = selector.select(problem, budget, overrides, quotas=quotas, **minimums)  # type: ignore[arg-type]
    check_form(subset, problem, pinned)  # type: ignore[arg-type]
    for source, most in quotas.items():
        assert sum(sources[i] == source for i in subset.indices) <= most
    if selector.prefix_consistent:
        whole = selector.select(problem, len(pinned) + len(free), overrides, **minimums)  # type: ignore[arg-type]
        offered = whole.indices[len(pinned) :].tolist()
        assert subset.indices[len(pinned) :].tolist() == walked(offered, sources, room, prices, left)
    elif budget.tokens is None:
        assert len(subset) == budget.examples
    else:
        others = set(free) - set(subset.indices.tolist())
        used = Counter(sources[i] for i in subset.indices)
        left = budget.tokens - int(sum(costs[i] for i in subset.indices))
        assert left >= 0
        assert all(costs[i] > left or used[sources[i]] >= quotas.get(sources[i], 99) for i in others)


@every_selector
@thorough
@given(given_=asked(), draw=st.data())
def test_a_larger_budget_holds_the_smaller_where_it_says_so(
    name: str, given_: dict[str, object], draw: st.DataObject
) -> None:
    problem, overrides, _ = given_.values()
    pinned, banned = overrides.pinned, overrides.banned  # type: ignore[attr-defined]
    large = draw.draw(st.integers(len(pinned), problem.n_pool - len(banned)))  # type: ignore[attr-defined]
    small = draw.draw(st.integers(len(pinned), large))
    selector = selectors.create(name)
    if selector.prefix_consistent:
        kept, fresh = problem, problem.having()  # type: ignore[attr-defined]
        first = selector.select(kept, small, overrides, seed=5)  # type: ignore[arg-type]
        object.__setattr__(fresh, "kept", type(kept.kept)())
        np.testing.assert_array_equal(
            first.indices,
            selector.select(fresh, large, overrides, seed=5).indices[:small],  # type: ignore[arg-type]
        )


def test_only_k_center_depends_on_the_budget() -> None:
    assert [n for n in selectors.REGISTRY if not selectors.REGISTRY.load(n).prefix_consistent] == ["k_center"]
    problem = problem_of(3, 200, 0)
    select = selectors.create("k_center", reach=2).select
    assert select(problem, 10).indices.tolist() != select(problem, 60).indices[:10].tolist()


@every_selector
@settings(max_examples=10, deadline=None, derandomize=True)
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
    assert len(selector.select(problem, 0)) == 0
    assert sorted(selector.select(problem, 12).indices) == list(range(12))
    assert selector.select(problem, 2, Overrides(pinned=(7, 1))).indices.tolist() == [7, 1]
    assert selector.select(problem, 1, Overrides(banned=tuple(range(11)))).indices.tolist() == [11]
    assert len(selector.select(problem, 0, Overrides(banned=tuple(range(12))))) == 0
    one = problem_of(1, 1, 0)
    assert selector.select(one, 1).indices.tolist() == [0]
    assert len(selector.select(one.having(costs=np.array([5])), Budget(tokens=4))) == 0


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
        (Budget(tokens=5), Overrides(), {}, "the budget is in tokens but the problem has no costs"),
        (9, Overrides(), {"quotas": {"a": 2}}, "budget is 9 examples but the quotas leave room for 7; raise a quota"),
        (3, Overrides((0, 2, 4)), {"quotas": {"a": 2}}, "3 pinned examples are of the source 'a', whose quota is 2"),
        (3, Overrides(), {"quotas": {"z": 2}}, "a quota for the source 'z', but the pool has only: a, b; name one"),
        (3, Overrides(), {"quotas": {"a": -1}}, "the quota of the source 'a' is -1, expected at least 0"),
        (3, Overrides(), {"minimum_similarity": 9.0}, "only 0 of 10 are neither banned nor below the minimum; lower"),
        (3, Overrides((1,), (2,)), {"minimum_similarity": 9.0}, "only 1 of 10 are neither banned nor below"),
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
        selectors.create(name).select(np.zeros(shape), 0)


@every_selector
def test_pins_over_the_token_budget_are_refused(name: str) -> None:
    problem = problem_of(2, 4, 0, costs=np.array([10, 1, 1, 1]))
    with pytest.raises(SelectionError, match="the pinned examples have 10 tokens but the budget is 9; raise"):
        selectors.create(name).select(problem, Budget(tokens=9), Overrides(pinned=(0,)))


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
