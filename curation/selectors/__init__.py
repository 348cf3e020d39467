"""Similarity + budget → subset. Arrays only: no files, no models.

A new selector is one file here and one line in `REGISTRY`.
"""

from curation.registry import Registry
from curation.selectors.base import Budget, Overrides, Problem, Selector, Subset

REGISTRY: Registry[Selector] = Registry(
    "selector",
    {
        "round_robin": "curation.selectors.round_robin:RoundRobin",
        "doubly_greedy": "curation.selectors.doubly_greedy:DoublyGreedy",
        "random": "curation.selectors.random:Random",
    },
)
create = REGISTRY.create

__all__ = ["REGISTRY", "Budget", "Overrides", "Problem", "Selector", "Subset", "create"]
