"""Similarity + budget → subset. Arrays only: no files, no models.

A new selector is one file here and one line in `REGISTRY`.
"""

from curation.registry import Registry
from curation.selectors.base import Selector, Subset
from curation.selectors.problem import Budget, Overrides, Problem

REGISTRY: Registry[Selector] = Registry(
    "selector",
    {
        "round_robin": "curation.selectors.round_robin:RoundRobin",
        "doubly_greedy": "curation.selectors.doubly_greedy:DoublyGreedy",
        "influence": "curation.selectors.influence:Influence",
        "uot": "curation.selectors.uot:UOT",
        "knn_uniform": "curation.selectors.knn_uniform:KNNUniform",
        "knn_kde": "curation.selectors.knn_kde:KNNKDE",
        "facility_location": "curation.selectors.facility_location:FacilityLocation",
        "mmr": "curation.selectors.mmr:MMR",
        "k_center": "curation.selectors.k_center:KCenter",
        "herding": "curation.selectors.herding:Herding",
        "random": "curation.selectors.random:Random",
    },
)
create = REGISTRY.create

__all__ = ["REGISTRY", "Budget", "Overrides", "Problem", "Selector", "Subset", "create"]
