"""Where a stage's map over the pool runs: in this process, or one process a device."""

from curation.engines.local import devices, stream

__all__ = ["devices", "stream"]
