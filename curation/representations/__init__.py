"""Examples → Features. A new representation is one file here and one line in `REGISTRY`."""

from curation.registry import Registry
from curation.representations.base import Features, Plan, Representation, Sink

REGISTRY: Registry[Representation] = Registry(
    "representation",
    {
        "less": "curation.representations.less:Less",
        "rds": "curation.representations.rds:Rds",
        "embed": "curation.representations.embed:Embed",
        "lexical": "curation.representations.lexical:Lexical",
    },
)
create = REGISTRY.create

__all__ = ["REGISTRY", "Features", "Plan", "Representation", "Sink", "create"]
