"""Targeted instruction selection: out of a large pool, the few hundred examples that teach a model a task."""

__version__ = "0.1.0"
