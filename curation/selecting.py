"""From a stored representation to a subset: the selector's problem, checked once and kept in memory with its orderings.

Similarity, and the vectors in which rows are compared with each other, are kept by the representation's key, so that to
move the budget, to pin or to ban reads no file again. Vectors are the stored features, of at most 512 dimensions and of
unit length; rows that a first stage left out have none.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from curation.config import ModelConfig, RepresentationConfig, SelectionConfig
from curation.errors import ConfigError, CurationError, SelectionError
from curation.representing import Represented, options_of, read_represented, tokens
from curation.scoring import scores
from curation.workspace import Workspace

if TYPE_CHECKING:
    from curation.selected import Selected
    from curation.selectors import Problem, Selector, Subset


def problem(ws: Workspace, represented: Represented, config: SelectionConfig) -> Problem:
    """Return the selector's input: similarity, query groups, sources and, where asked for, scores, costs and vectors.

    Raises
    ------
    ConfigError
        If the budget is in tokens, or the scorer reads a base model, and the representation has none.
    SelectionError
        If the selector, or feedback, compares rows with each other and the representation can't.
    """
    from curation import selectors

    made = _problem(ws.root, represented.folder)
    if config.feedback and (config.pinned or config.banned):
        made = _steered(ws.root, represented.folder, config.pinned, config.banned, config.feedback_weight)
    if selectors.REGISTRY.load(config.selector).needs_features:
        vectors, _ = _vectors(ws.root, represented.folder)
        made = made.having(vectors=vectors)
    model = represented.record["model"]
    if config.minimum_score is not None:
        known = ModelConfig.from_dict(model) if model else None
        made = made.having(scores=scores(ws, represented.record["pool"], config.scorer, known))
    if config.budget.tokens is not None:
        if model is None:
            raise ConfigError(
                f"a budget in tokens needs a model's tokenizer, and {represented.name!r} uses none; "
                "give the budget in examples or choose another representation"
            )
        made = made.having(costs=np.asarray(tokens(ws, represented.record["pool"], ModelConfig.from_dict(model))))
    return made


def select(ws: Workspace, represented: Represented, config: SelectionConfig) -> Subset:
    """Pick a subset, as `selected` does."""
    return selected(ws, represented, config).subset


def selected(ws: Workspace, represented: Represented, config: SelectionConfig) -> Selected:
    """Pick a subset and return it with all that made it.

    Rows without features are never picked, pins and bans that the pool lacks are an error.

    Raises
    ------
    SelectionError
        If a pinned row is unknown, banned or has no features, or budget, minimums and quotas can't be met.
    """
    from curation import selectors
    from curation.selected import Selected
    from curation.selectors import Budget, Overrides

    position = _positions(ws.root, represented.record["pool"])
    for name in (*config.pinned, *config.banned):
        if name not in position:
            raise SelectionError(f"row {name} is pinned or banned but not in this pool; clear it or load its pool")
    decided = Counter([*config.pinned, *dict.fromkeys(config.banned)])
    if twice := [name for name, n in decided.items() if n > 1]:
        raise SelectionError(f"row {twice[0]} is both pinned and banned, or pinned twice; undo one of the two")
    unusable = represented.unusable
    for name in config.pinned:
        if name in unusable:
            raise SelectionError(f"row {name} is pinned but can't be used: {unusable[name]}; unpin it")
    pinned = tuple(position[i] for i in config.pinned)
    banned = {position[i] for i in (*config.banned, *unusable)}
    selector = selectors.create(config.selector, **config.options)
    if selector.needs_features:
        banned |= _unseen(represented, config, pinned, banned)
    asked = problem(ws, represented, config)
    budget = Budget(examples=config.budget.examples, tokens=config.budget.tokens)
    overrides = Overrides(pinned, tuple(sorted(banned)))
    limits: dict[str, Any] = {
        "quotas": config.quotas,
        "minimum_similarity": config.minimum_similarity,
        "minimum_score": config.minimum_score,
    }
    subset = selector.select(asked, budget, overrides, config.seed, **limits)
    subset = dataclasses.replace(subset, notes=(*subset.notes, *_about_vectors(ws, represented, selector)))
    return Selected(selector, asked, budget, overrides, subset, config.seed, **limits)


@lru_cache(maxsize=4)
def _positions(root: Path, dataset: str) -> dict[str, int]:
    """Position of each row of a data set by its id."""
    return {row_id: position for position, row_id in enumerate(Workspace(root).ids(dataset))}


@lru_cache(maxsize=3)
def _problem(root: Path, folder: Path) -> Problem:
    from curation.selectors import Problem

    ws, represented = Workspace(root), read_represented(folder)
    sources = ws.column(represented.record["pool"], "source")
    groups = ws.column(represented.record["queries"], "group")
    return Problem(represented.similarity, query_groups=groups, sources=sources)


@lru_cache(maxsize=2)
def _steered(root: Path, folder: Path, pinned: tuple[str, ...], banned: tuple[str, ...], weight: float) -> Problem:
    """The problem as pins and bans bend it."""
    from curation import feedback

    represented = read_represented(folder)
    position = _positions(root, represented.record["pool"])
    try:
        vectors, _ = _vectors(root, folder)
    except CurationError as error:
        raise SelectionError(feedback.NO_VECTORS) from error
    made = _problem(root, folder).having(vectors=vectors)
    against = [position[i] for i in banned if i not in represented.unusable]
    return feedback.steered(made, [position[i] for i in pinned], against, weight)


@lru_cache(maxsize=2)
def _vectors(root: Path, folder: Path) -> tuple[npt.NDArray[np.float32], int]:
    """Unit vectors of a pool's rows, (n_pool, d), zero for rows without features, and how wide the features were."""
    from curation import representations
    from curation.selectors.problem import comparable

    ws, represented = Workspace(root), read_represented(folder)
    record = represented.record
    config = RepresentationConfig.from_dict(record["representation"])
    options = options_of(config, ModelConfig.from_dict(record["model"]) if record["model"] else None)
    if representations.REGISTRY.load(config.name).needs_warmup:
        options["warmup"] = ""  # nothing is computed here
    representation = representations.create(config.name, **options)
    if not representation.rows_compare:
        raise SelectionError(
            f"{config.name!r} was computed exactly: it tells how near each example is to the queries, but not how near "
            "two examples are to each other; choose a selector that goes by similarity alone, or compute it projected"
        )
    ids, unusable = ws.ids(record["pool"]), represented.unusable
    seen = np.arange(len(ids)) if represented.seen is None else np.asarray(represented.seen)
    kept = [i for i in seen.tolist() if ids[i] not in unusable]
    pool = ws.feature_store(record["features"], "pool").features([ids[i] for i in kept])
    queries = ws.feature_store(record["features"], "query").features(ws.ids(record["queries"]))
    pool, _ = representation.join(pool, queries)
    found = comparable(pool)
    if len(kept) == len(ids):
        return found, pool.width
    vectors = np.zeros((len(ids), found.shape[1]), dtype=np.float32)
    vectors[kept] = found
    return vectors, pool.width


def _unseen(represented: Represented, config: SelectionConfig, pinned: tuple[int, ...], banned: set[int]) -> set[int]:
    """Rows that can't be compared with others since a first stage left them out; pins stay."""
    if represented.seen is None:
        return set()
    seen = {*np.asarray(represented.seen).tolist(), *pinned} - banned
    if (config.budget.examples or 0) > len(seen):
        raise SelectionError(
            f"the budget is {config.budget.examples} examples but the first stage left only {len(seen)} that can be "
            "compared with each other; lower the budget or choose a selector that goes by similarity alone"
        )
    return set(range(represented.similarity.shape[1])) - seen


def _about_vectors(ws: Workspace, represented: Represented, selector: Selector) -> list[str]:
    if not selector.needs_features:
        return []
    vectors, width = _vectors(ws.root, represented.folder)
    if width <= vectors.shape[1]:
        return []
    return [
        f"Examples were compared with each other in {vectors.shape[1]:,} dimensions, a random projection of their "
        f"{width:,}."
    ]
