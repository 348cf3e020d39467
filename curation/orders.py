"""What a person asks of a running experiment: leave an arm out, take it in again, stop one training and keep it.

Orders are lines in a file beside the job's log, so that they survive the tab, the app and the job's process: a resumed
job obeys what its earlier attempt was told. Who gives them appends a line, the job reads them after each optimizer
step and adds, for a training that it has stopped, at which step that was.
"""

from __future__ import annotations

from pathlib import Path

from curation import logs


class ArmLeftOutError(Exception):
    """The arm that is being tuned has been left out; its last checkpoint stays."""


class Orders:
    """The orders of one job.

    Parameters
    ----------
    folder : Path or None
        The job's folder; None holds no orders.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._path = folder / "orders.jsonl" if folder else None
        self._size = 0
        self._left: dict[str, None] = {}
        self._stops: dict[str, int | None] = {}

    def leave(self, arm: str) -> None:
        """Leave an arm out: it is not tuned any further and not part of the result."""
        self._add("leave", arm)

    def stop(self, training: str) -> None:
        """End a training (``"selected, seed 0"``) at its next step and keep what it has learned."""
        self._add("stop", training)

    def take(self, arm: str) -> None:
        """Take an arm in again, and have its stopped trainings go on to their end."""
        self._add("take", arm)

    def stopped_at(self, training: str, step: int) -> None:
        """Note at which step a training was stopped."""
        self._add("stopped", training, step)

    def left_out(self) -> tuple[str, ...]:
        """Return the arms that are left out, in the order of their orders."""
        self._read()
        return tuple(self._left)

    def stops(self) -> dict[str, int | None]:
        """Return training → step at which it was stopped, None where it is still to stop."""
        self._read()
        return dict(self._stops)

    def _add(self, what: str, of: str, step: int | None = None) -> None:
        if self._path is None:
            return
        logs.append(self._path, {"do": what, "of": of, "step": step})

    def _read(self) -> None:
        """Take in what is ordered, if anything was since the last look."""
        size = self._path.stat().st_size if self._path and self._path.is_file() else 0
        if self._path is None or size == self._size:
            return
        self._size = size
        self._left.clear()
        self._stops.clear()
        for order in logs.read(self._path):
            what, of = order["do"], order["of"]
            if what == "leave":
                self._left[of] = None
            elif what == "take":
                self._left.pop(of, None)
                self._stops = {t: n for t, n in self._stops.items() if arm_of(t) != of}
            else:  # stop, stopped
                self._stops[of] = order["step"]


def training_name(arm: str, seed: int) -> str:
    """Return what one training of an arm is called, in logs, progress and orders."""
    return f"{arm}, seed {seed}"


def arm_of(training: str) -> str:
    """Return the arm of a training's name."""
    return training.rpartition(", seed ")[0]
