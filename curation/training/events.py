"""A training's readings as TensorBoard event files, in the ``tensorboard/`` of its folder.

Written by tensorboardX, which needs no TensorBoard; ``tensorboard --logdir`` on a workspace's ``artefacts/arm`` shows
them, while a training runs too. The files hold the clock's time, so they alone differ between equal trainings.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

FOLDER = "tensorboard"


class Events:
    """Writes readings by optimizer step; a resumed training's replace what came after its last checkpoint.

    Parameters
    ----------
    folder : Path
        The training's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / FOLDER
        self._writer: Any = None

    def start(self, step: int) -> None:
        """Begin, or go on after `step` steps."""
        from tensorboardX import SummaryWriter

        self._writer = SummaryWriter(str(self._folder), purge_step=step + 1 if step else None)

    def tell(self, step: int, **readings: float) -> None:
        """Write the readings of one step."""
        for name, value in readings.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Write what is still held back, and end."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
