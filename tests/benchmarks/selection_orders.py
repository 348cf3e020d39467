"""Sections of `tests.benchmarks.selection` about selectors: each against its definition written plainly in numpy.

The similarity is the cosine of clustered vectors, 100 × 200,000 float32.
"""

from __future__ import annotations

import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Mapping

import numpy as np

from curation import selectors
from curation.selectors import Overrides, Problem
from tests.benchmarks.measure import Bench, Figure
from tests.benchmarks.selection_peak import features, vectors

GIB = 2**30
Order = np.ndarray


def clustered(bench: Bench, n_queries: int = 100, n_pool: int = 200_000) -> np.ndarray:
    """Similarity of clustered queries to a clustered pool; a twentieth of the pool where it hurries."""
    return vectors(n_queries, 64, 1) @ vectors(n_pool // 20 if bench.quick else n_pool, 64, 2).T


def timed(
    matrix: np.ndarray, sides: Mapping[str, Callable[[np.ndarray], Order]], repeats: int
) -> tuple[dict[str, float], dict[str, Order]]:
    """Best seconds and result of each side, each time on a fresh copy of the matrix; they take turns."""
    best, found = dict.fromkeys(sides, float("inf")), {}
    for _ in range(repeats):
        for name, run in sides.items():
            fresh = matrix.copy()
            started = time.perf_counter()
            found[name] = run(fresh)
            best[name] = min(best[name], time.perf_counter() - started)
    return best, found


def ours(name: str, budget: int) -> Callable[[np.ndarray], Order]:
    """Select by name."""
    return lambda matrix: selectors.create(name).select(matrix, budget).indices


def faster(name: str, seconds: Mapping[str, float], over: str, factor: float) -> Figure:
    """How many times as fast ours is."""
    return Figure(f"{name} over {over}", "times", seconds[over] / seconds["ours"], 1.0, factor, f"≥ {factor:g} ×")


def _told(name: str, seconds: Mapping[str, float]) -> str:
    return f"{name}: " + ", ".join(f"{side} {1e3 * spent:,.0f} ms" for side, spent in seconds.items()) + "."


# --------------------------------------------------------------------------------------------- plain definitions


def plain_round_robin(similarity: np.ndarray, n: int) -> Order:
    """Each turn, the highest of the row that is not taken."""
    taken, picks = np.zeros(similarity.shape[1], dtype=bool), np.empty(n, dtype=np.int64)
    for turn in range(n):
        picks[turn] = np.where(taken, -np.inf, similarity[turn % len(similarity)]).argmax()
        taken[picks[turn]] = True
    return picks


def partition_round_robin(similarity: np.ndarray, n: int) -> Order:
    """Each query's best by `argpartition`, sorted; four times as many when they are used up."""
    n_queries, n_pool = similarity.shape
    widths = [min(n_pool, 64 + 4 * n // n_queries)] * n_queries
    taken, picks = bytearray(n_pool), np.empty(n, dtype=np.int64)

    def wishes(query: int) -> list[int]:
        row, k = -similarity[query], widths[query]
        top = np.argpartition(row, k - 1)[:k] if k < n_pool else np.arange(n_pool)
        return top[np.lexsort((top, row[top]))].tolist()

    lists = [iter(wishes(query)) for query in range(n_queries)]
    for turn in range(n):
        query = turn % n_queries
        while True:
            for candidate in lists[query]:
                if not taken[candidate]:
                    break
            else:
                widths[query] = min(n_pool, 4 * widths[query])
                lists[query] = iter(wishes(query))
                continue
            break
        taken[candidate] = 1
        picks[turn] = candidate
    return picks


def plain_doubly_greedy(similarity: np.ndarray, n: int) -> tuple[Order, Order]:
    """Rank by the maximum over queries; who is nearest to each pick."""
    order = np.argsort(-similarity.max(axis=0), kind="stable")[:n]
    return order, similarity[:, order].argmax(axis=0)


def plain_knn_uniform(similarity: np.ndarray) -> Order:
    """Sort every row whole, then count K up as the definition does."""
    n_queries, n_pool = similarity.shape
    order = np.argsort(-similarity, axis=1, kind="stable")
    limit = max(1, min(5000, n_pool // 10))
    distance = 1 - np.take_along_axis(similarity, order[:, :limit], axis=1).astype(np.float64)
    k, total = 1, distance[:, 0].sum()
    while k < limit and 0.01 / 5 * (k * distance[:, k].sum() - total) < 0.99 * n_queries:
        total += distance[:, k].sum()
        k += 1
    votes = np.bincount(order[:, :k].ravel(), minlength=n_pool)
    return np.lexsort((-similarity.max(axis=0), -votes))


def pot(similarity: np.ndarray) -> Order:
    """POT's solver, as it is called, on float32."""
    import ot

    n_queries, n_pool = similarity.shape
    a, b = (np.full(n, 1 / n, dtype=np.float32) for n in (n_queries, n_pool))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plan = ot.unbalanced.sinkhorn_unbalanced(a, b, (1 - similarity) / 2, 0.01, (float("inf"), 1e-4))
    return np.argsort(-plan.sum(axis=0), kind="stable")


# ------------------------------------------------------------------------------------------------------ sections


def round_robin(bench: Bench) -> tuple[list[Figure], list[str]]:
    """To 10,000 picks against the definition and against argpartition, and the full ordering."""
    matrix = clustered(bench)
    n_pool = matrix.shape[1]
    n = min(10_000, n_pool)
    short, found = timed(
        matrix,
        {
            "ours": ours("round_robin", n),
            "definition": lambda m: plain_round_robin(m, n),
            "argpartition": lambda m: partition_round_robin(m, n),
        },
        1 if bench.quick else 3,
    )
    assert (found["ours"] == found["definition"]).all() and (found["ours"] == found["argpartition"]).all()
    whole, found = timed(
        matrix,
        {"ours": ours("round_robin", n_pool), "argpartition": lambda m: partition_round_robin(m, n_pool)},
        1 if bench.quick else 2,
    )
    assert (found["ours"] == found["argpartition"]).all()
    return [
        faster("round_robin to 10,000", short, "definition", 15),
        faster("round_robin to 10,000", short, "argpartition", 4),
        faster("round_robin, full ordering", whole, "argpartition", 5),
    ], [_told("To 10,000", short), _told("Full ordering", whole)]


def rankings(bench: Bench) -> tuple[list[Figure], list[str]]:
    """doubly_greedy, uot and knn_uniform against plain numpy and POT."""
    matrix = clustered(bench)
    n_pool, repeats = matrix.shape[1], 1 if bench.quick else 3
    top = min(10_000, n_pool // 2)
    pairs: dict[str, tuple[str, Callable[[np.ndarray], Order], float]] = {
        "doubly_greedy": ("definition", lambda m: plain_doubly_greedy(m, top)[0], 3),
        "uot": ("POT", pot, 4),
        "knn_uniform": ("full argsort", plain_knn_uniform, 5),
    }
    figures, words = [], []
    for name, (other, run, factor) in pairs.items():
        n = top if name == "doubly_greedy" else n_pool
        seconds, found = timed(matrix, {"ours": ours(name, n), other: run}, repeats)
        if name == "uot":
            shared = len(np.intersect1d(found["ours"][:top], found[other][:top])) / top
            figures.append(Figure("uot, shared top 10,000 with POT", "%", 100 * shared, None, 99.9, "≥ 99.9 %"))
        else:
            assert (found["ours"] == found[other]).all(), name
        figures.append(faster(name, seconds, other, factor))
        words.append(_told(name, seconds))
    return figures, words


def crowded(bench: Bench) -> tuple[list[Figure], list[str]]:
    """knn_kde with features of 64 dimensions: time and memory."""
    n_pool = 10_000 if bench.quick else 200_000
    spent, peak, words = _measured("knn_kde", 100, n_pool, min(10_000, n_pool))
    return [
        Figure("knn_kde, 200,000 × 100", "s", spent, None, 60, "≤ 60 s", higher=False),
        Figure("knn_kde, memory", "GiB", peak / GIB, None, 2, "≤ 2 GB", higher=False),
    ], [words]


def sets(bench: Bench) -> tuple[list[Figure], list[str]]:
    """1,000 picks of the set selectors at 37,408 candidates with features of 384 dimensions, and a ban among them."""
    n_pool, n = (2_000, 100) if bench.quick else (37_408, 1_000)
    pool = vectors(n_pool, 384, 2)
    similarity, about = vectors(50, 384, 1) @ pool.T, features(pool)
    figures = []
    for name in ("facility_location", "mmr", "herding", "k_center"):
        problem = Problem(similarity, about)
        started = time.perf_counter()
        picked = selectors.create(name).select(problem, n).indices
        spent = time.perf_counter() - started
        figures.append(Figure(f"{name}, 1,000 of 37,408", "s", spent, None, 30, "≤ 30 s", higher=False))
        started = time.perf_counter()
        again = selectors.create(name).select(problem, n, Overrides(banned=(int(picked[n // 2]),))).indices
        spent = time.perf_counter() - started
        assert (again[: n // 2] == picked[: n // 2]).all() or name == "k_center"
        figures.append(Figure(f"{name}, again under a ban", "s", spent, None, 30, "≤ 30 s", higher=False))
    return figures, []


def changes(bench: Bench) -> tuple[list[Figure], list[str]]:
    """What a budget change and a ban cost once an ordering is there, without the page."""
    figures = []
    for n_queries, n_pool, bar in ((50, 37_408, 100), (100, 200_000, 300)):
        problem = Problem(clustered(bench, n_queries, n_pool))
        for name in ("round_robin", "doubly_greedy", "influence", "uot", "knn_uniform", "facility_location"):
            select = selectors.create(name).select
            picked = select(problem, 500).indices
            spent = {"budget": float("inf"), "ban": float("inf")}
            for again in range(3):
                for change, budget, banned in (("budget", 600 + again, ()), ("ban", 500, (int(picked[again]),))):
                    started = time.perf_counter()
                    select(problem, budget, Overrides(banned=banned))
                    spent[change] = min(spent[change], 1e3 * (time.perf_counter() - started))
            for change, value in spent.items():
                about = f"{name}, {change} changed, {n_queries} × {n_pool:,}"
                figures.append(Figure(about, "ms", value, None, bar, f"≤ {bar} ms", higher=False))
    return figures, ["Selection alone, 500 picks; the bars are those of the whole change at 37,408, half of it above."]


def memory(bench: Bench) -> tuple[list[Figure], list[str]]:
    """Peak memory beside the similarity of 10,000 picks, a process each."""
    figures = []
    shapes = ((20, 10_000),) if bench.quick else ((100, 200_000), (50, 1_000_000))
    for n_queries, n_pool in shapes:
        for name in ("round_robin", "mmr") if bench.quick else selectors.REGISTRY:
            if n_pool == 1_000_000 and name == "knn_kde":
                continue  # minutes
            budget = 1_000 if selectors.REGISTRY.load(name).needs_features or bench.quick else 10_000
            _, peak, _ = _measured(name, n_queries, n_pool, budget)
            about = f"{name}, {n_queries} × {n_pool:,}"
            figures.append(Figure(about, "GiB", peak / GIB, None, 2, "≤ 2 GB", higher=False))
    return figures, ["Beside the similarity and the stored features of 64 dimensions."]


def _measured(name: str, n_queries: int, n_pool: int, budget: int) -> tuple[float, int, str]:
    """Seconds and peak bytes of a selection in a process of its own, and its notes."""
    command = [sys.executable, "-m", "tests.benchmarks.selection_peak", name, *map(str, (n_queries, n_pool, budget))]
    told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split(maxsplit=2)
    return float(told[0]), int(told[1]), told[2] if len(told) > 2 else ""
