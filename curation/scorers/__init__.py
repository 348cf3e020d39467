"""Query-free signals of one example. A new scorer is one file here and one line in `REGISTRY`."""

from curation.registry import Registry
from curation.scorers.base import Scorer

REGISTRY: Registry[Scorer] = Registry(
    "scorer",
    {"length": "curation.scorers.length:Length", "perplexity": "curation.scorers.perplexity:Perplexity"},
)
create = REGISTRY.create

__all__ = ["REGISTRY", "Scorer", "create"]
