"""Every selector equals its slow and obvious version, index for index, whatever is asked of it."""

from __future__ import annotations

import math
from collections import Counter
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation import selectors
from curation.selectors import Budget, Overrides
from tests.selectors.cases import Asked, asked, oracle, problem_of

every_selector = pytest.mark.parametrize("name", list(selectors.REGISTRY))


def walked(offered: list[int], sources: list[str], room: dict[str, int], costs: list[int], left: int) -> list[int]:
    """The walk, written out: skip what is of a full source or no longer fits."""
    taken = []
    for i in offered:
        if costs[i] <= left and room.get(sources[i], 1) > 0:
            taken.append(i)
            left -= costs[i]
            room[sources[i]] = room.get(sources[i], len(offered)) - 1
    return taken


@every_selector
@settings(max_examples=60, derandomize=True)
@given(given_=asked(), draw=st.data())
def test_it_equals_the_slow_version(name: str, given_: Asked, draw: st.DataObject) -> None:
    problem, overrides, free = given_.problem, given_.overrides, given_.free
    pinned, costs, sources = list(overrides.pinned), problem.costs.tolist(), list(problem.sources or ())
    held = Counter(sources[i] for i in pinned)
    limited = draw.draw(st.lists(st.sampled_from(sorted(set(sources))), unique=True))
    quotas = {s: held[s] + draw.draw(st.integers(0, 6)) for s in limited}
    room = {s: most - held[s] for s, most in quotas.items()}
    if draw.draw(st.booleans()):
        spent = sum(costs[i] for i in pinned)
        budget = Budget(tokens=max(1, spent + draw.draw(st.integers(0, 200))))
        left, size = budget.tokens - spent, math.ceil(budget.tokens / (np.mean(costs) or math.inf))
        size = size if np.mean(costs) else problem.n_pool
    else:
        there = Counter(sources[i] for i in free)
        most = sum(min(n, room.get(s, n)) for s, n in there.items())
        left = draw.draw(st.integers(0, most))
        costs, size = [1] * problem.n_pool, len(pinned) + left
        if not size:
            return
        budget = Budget(examples=size)
    blocked = np.ones(problem.n_pool, dtype=bool)
    blocked[free] = False
    offered = list(oracle(name)(problem, blocked, pinned=pinned, budget=min(size, problem.n_pool), seed=7))
    assert sorted(offered) == free
    expected = [*pinned, *walked(offered, sources, room, costs, left)]
    if not expected:
        return
    subset = selectors.create(name).select(problem, budget, overrides, 7, quotas=quotas, **given_.minimums)
    assert subset.indices.tolist() == expected
    assert [offered[turn] for turn in subset.turns[len(pinned) :]] == expected[len(pinned) :]
    assert len(expected) == budget.examples or budget.tokens is not None


@every_selector
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(("n_queries", "n_pool", "budget"), [(3, 5_000, 40), (2, 20_000, 5), (40, 3_000, 90)])
def test_it_does_so_out_of_a_large_pool(name: str, n_queries: int, n_pool: int, budget: int, ties: bool) -> None:
    problem = problem_of(n_queries, n_pool, 5, ties=ties)
    near = np.argsort(-problem.nearest, kind="stable")[:4].tolist()
    overrides = Overrides((near[1], n_pool - 1), (near[0], near[3]))
    blocked = np.zeros(n_pool, dtype=bool)
    blocked[[*overrides.pinned, *overrides.banned]] = True
    slow = oracle(name)(problem, blocked, pinned=list(overrides.pinned), budget=budget, seed=0)
    subset = selectors.create(name).select(problem, budget, overrides)
    assert subset.indices.tolist() == [*overrides.pinned, *islice(slow, budget - 2)]
