"""One training of an experiment as an artefact: found by key, resumed where it stopped, or kept as it was stopped.

A training that was stopped by hand is an artefact of its own, with the step in its key, so that it is never taken for
the whole one; the same step gives the same weights. The whole one's unfinished folder stays, to go on from. One that
diverged leaves the same artefact, of the step at which its weights were good last.

Arms are shared among query sets, since queries only watch a training without early stopping; so a note in the folder
says which query set that was.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curation.config import TrainingConfig
from curation.design import Inputs
from curation.errors import TrainingError
from curation.orders import ArmLeftOutError, Orders, arm_of
from curation.progress import Part, Progress
from curation.training.events import FOLDER
from curation.workspace import Workspace, content_key

if TYPE_CHECKING:
    from curation.data.rows import Example

_NOTE = "watched.txt"  # of an arm's folder: key of the query set whose loss was told while it was tuned


class Obedient(Part):
    """Progress of one training or judging that ends with `ArmLeftOutError` once its arm is left out."""

    def __init__(self, whole: Progress, title: str, orders: Orders) -> None:
        super().__init__(whole, title)
        self._arm, self._orders = arm_of(title), orders

    def advance(self, n: int = 1, **metrics: float) -> None:
        """Pass on, and look for the order."""
        super().advance(n, **metrics)
        if self._arm in self._orders.left_out():
            raise ArmLeftOutError(self._arm)


def tune(
    ws: Workspace,
    inputs: Inputs,
    ids: tuple[str, ...],
    training: TrainingConfig,
    seed: int,
    *,
    title: str,
    progress: Progress,
    orders: Orders | None = None,
    trackers: Sequence[str] = (),
) -> Path:
    """Fine-tune the base model on the rows `ids` and return the artefact's folder; made once, resumed if stopped.

    The query set's loss is told as it falls. Epochs compete, where `training` asks for it, by the loss on the dev split
    if there is one, else on the query set.

    Raises
    ------
    ArmLeftOutError
        If `orders` leave its arm out; its last checkpoint stays.
    DivergedError
        If the loss is no number any more; it says what is kept, and its `artefact` holds it.
    CurationError
        As `curation.training.fine_tune`.
    """
    from curation import training as trainer
    from curation.memory import Peak

    orders = orders or Orders()
    model, key = inputs.model, arm_key(inputs, ids, training, seed)
    about = {"title": title, "seed": seed, **training.to_dict()}
    if (step := orders.stops().get(title)) and (folder := ws.find("arm", _stopped_key(key, step))):
        return folder
    stopped: list[Path] = []

    def make(part: Path) -> None:
        progress.log(f"tuning {title} on {len(ids)} examples")
        rows, diverged = ws.rows(inputs.pool, ids), None
        _note_watched(part, inputs.queries)
        with Peak() as peak:
            try:
                result = trainer.fine_tune(
                    model,
                    rows,
                    training,
                    part,
                    seed=seed,
                    queries=_watched(ws, inputs, training),
                    progress=Obedient(progress, title, orders),
                    stop=lambda: title in orders.stops(),
                    trackers=trackers,
                    name=title,
                )
            except trainer.DivergedError as error:
                if error.kept is None:
                    nothing = "nothing was kept: it diverged before its first good checkpoint"
                    raise trainer.DivergedError(f"{error}; {nothing}") from error
                result, diverged = error.kept, error
        (part / "measured.json").write_text(json.dumps({"memory": peak.host, "gpu_memory": peak.gpu}))
        if result.stopped_of is not None:
            keep = partial(_keep, part, result.to_dict())
            stopped.append(ws.produce("arm", _stopped_key(key, result.steps), keep, about))
            if diverged is not None:
                told = trainer.DivergedError(f"{diverged}; its weights are kept as of step {result.steps}")
                told.kept, told.artefact = result, stopped[0]
                raise told from diverged
            orders.stopped_at(title, result.steps)
            progress.log(f"{title} was stopped after step {result.steps} of {result.stopped_of}; its weights are kept")
            raise _StoppedError

    try:
        return ws.produce("arm", key, make, about, resumable=True)
    except _StoppedError:
        return stopped[0]


class _StoppedError(Exception):
    """The training was stopped by hand: its folder is not the whole one's artefact."""


def _keep(part: Path, result: dict[str, Any], folder: Path) -> None:
    """Copy what a stopped training has so far."""
    shutil.copytree(part / "model", folder / "model")
    shutil.copytree(part / FOLDER, folder / FOLDER)
    for name in ("measured.json", _NOTE):
        shutil.copy(part / name, folder / name)
    lines = (part / "log.jsonl").read_text().splitlines(keepends=True)
    (folder / "log.jsonl").write_text("".join(lines[: result["steps"]]))
    (folder / "result.json").write_text(json.dumps(result))


def _note_watched(part: Path, queries: str) -> None:
    """Note on which query set's loss a training is watched; on none, if an earlier attempt may have watched another."""
    note = part / _NOTE
    if not any(part.iterdir()):
        note.write_text(queries)
    elif not note.is_file() or note.read_text() != queries:
        note.write_text("")


def watched_here(arm: Path, inputs: Inputs, training: TrainingConfig) -> bool:
    """Whether the query losses of a tuned arm are of these inputs' rows; with early stopping its key says so."""
    note = arm / _NOTE
    return training.early_stopping or (note.is_file() and note.read_text() == inputs.queries)


def require_trackers(names: Sequence[str]) -> None:
    """Raise TrainingError if a tracker is not installed."""
    for name in names:
        if find_spec(name) is None:
            raise TrainingError(
                f"the tracker {name} is not installed; `pip install {name}`, log in by its own command and start "
                "again, or leave it out"
            )


def arm_key(inputs: Inputs, ids: tuple[str, ...], training: TrainingConfig, seed: int) -> str:
    """Return the key of the base model tuned on the rows `ids`."""
    from curation import training as trainer
    from curation.models import fingerprint

    model = inputs.model
    stopping: dict[str, Any] = {"queries": None}
    if training.early_stopping:
        stopping = {"queries": inputs.queries, "dev": inputs.dev, "patience": trainer.PATIENCE}
    return content_key(
        "arm",
        version=trainer.VERSION,
        weights=fingerprint(model.name, model.revision),
        dtype=model.dtype,
        max_length=model.max_length,
        ids=ids,
        training=training.to_dict(),
        seed=seed,
        **stopping,
    )


def _stopped_key(key: str, step: int) -> str:
    return content_key("arm", of=key, stopped_at=step)


def _watched(ws: Workspace, inputs: Inputs, training: TrainingConfig) -> list[Example]:
    """Rows whose loss is told while it is tuned, and by which epochs compete; never those that judge arms."""
    if training.early_stopping and inputs.dev and inputs.tests:
        return ws.rows(inputs.tests, inputs.dev)
    return ws.examples(inputs.queries)
