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


class Part:
    """Progress of one part of a larger work: its stages carry the part's title, as ``"selected, seed 0: training"``.

    Parameters
    ----------
    whole : Progress
        Where it is told.
    title : str
        What the part is called.
    """

    def __init__(self, whole: Progress, title: str) -> None:
        self._whole, self._title = whole, title

    def start(self, stage: str, total: int, unit: str = "examples") -> None:
        """Begin a stage of the part."""
        self._whole.start(f"{self._title}: {stage}", total, unit)

    def advance(self, n: int = 1, **metrics: float) -> None:
        """Pass on."""
        self._whole.advance(n, **metrics)

    def log(self, message: str) -> None:
        """Pass on."""
        self._whole.log(message)
