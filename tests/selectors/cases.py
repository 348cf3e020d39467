"""Problems to try selectors on: random ones, and ones in which equals abound and all arithmetic is exact."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from hypothesis import strategies as st

from curation.selectors import Overrides, Problem
from curation.similarity import Features


def features_of(vectors: np.ndarray) -> Features:
    """Features with one checkpoint."""
    return Features(vectors[:, None], np.ones(1, dtype=np.float32), tuple(f"p{i}" for i in range(len(vectors))))


def vectors_of(n: int, seed: int, *, ties: bool = False) -> np.ndarray:
    """Unit vectors, float32: normal ones of 8 dimensions or, with `ties`, some of the 16 of ±½ in 4 dimensions."""
    rng = np.random.default_rng(seed)
    if ties:
        return rng.choice(np.array([-0.5, 0.5], dtype=np.float32), (n, 4))
    values = rng.normal(size=(n, 8))
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def problem_of(n_queries: int, n_pool: int, seed: int, *, ties: bool = False, **columns: object) -> Problem:
    """A problem with features, its similarity the cosine of queries and candidates."""
    queries, pool = vectors_of(n_queries, seed, ties=ties), vectors_of(n_pool, seed + 1000, ties=ties)
    return Problem(queries @ pool.T, features_of(pool), **columns)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Asked:
    """A problem, and what a person asks of it."""

    problem: Problem
    overrides: Overrides
    minimums: dict[str, float | None]

    @property
    def free(self) -> list[int]:
        """Candidates that may be picked, pins aside."""
        problem, left = self.problem, {*self.overrides.pinned, *self.overrides.banned}
        low, least = self.minimums["minimum_similarity"], self.minimums["minimum_score"]
        return [
            i
            for i in range(problem.n_pool)
            if i not in left
            and (low is None or problem.similarity[:, i].max() >= low)
            and (least is None or problem.scores[i] >= least)  # type: ignore[index]
        ]


@st.composite
def asked(draw: st.DrawFn, most: int = 40) -> Asked:
    """Draw a problem with sources, subtasks, costs and scores, and pins, bans and minimums that leave somebody."""
    n_queries, n_pool = draw(st.integers(1, 6)), draw(st.integers(1, most))
    seed = draw(st.integers(0, 10**6))
    rng = np.random.default_rng(seed)
    problem = problem_of(
        n_queries,
        n_pool,
        seed,
        ties=draw(st.booleans()),
        query_groups=draw(st.sampled_from([None, [("x", "y", None)[q % 3] for q in range(n_queries)]])),
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
    made = Asked(problem, Overrides(tuple(marked[:cut]), tuple(marked[cut:])), minimums)
    return made if made.free or cut else Asked(problem, Overrides(), dict.fromkeys(minimums))


def oracle(name: str) -> Any:
    """The slow and obvious version of a selector, which stands in its test: who comes next, pins and blocked aside."""
    return import_module(f"tests.selectors.test_{name}").slow
