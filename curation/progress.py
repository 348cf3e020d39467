"""How long work tells of itself: one small protocol that jobs, the command line and tests implement."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """What a stage calls while it works; implementations may raise to cancel."""

    def start(self, stage: str, total: int, unit: str = "examples") -> None:
        """Begin a stage of `total` units; ends the one before."""

    def advance(self, n: int = 1, **metrics: float) -> None:
        """`n` more units are done; `metrics` (loss, learning_rate, tokens …) are the latest readings."""

    def log(self, message: str) -> None:
        """Write one line to the log."""


class Silent:
    """Progress that nobody watches."""

    def start(self, stage: str, total: int, unit: str = "examples") -> None:
        """Ignore."""

    def advance(self, n: int = 1, **metrics: float) -> None:
        """Ignore."""

    def log(self, message: str) -> None:
        """Ignore."""
