"""The scores of a data set's rows, found once and kept: what the minimum score of a selection is about."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from curation.config import ModelConfig
from curation.progress import Progress
from curation.representing import with_model
from curation.workspace import Workspace, content_key

if TYPE_CHECKING:
    from curation.scorers.base import Scorer


def scores(
    ws: Workspace, dataset: str, scorer: str, model: ModelConfig | None = None, progress: Progress | None = None
) -> npt.NDArray[np.float64]:
    """Return every row's score, float64 (n_rows,), NaN where a row has none.

    Parameters
    ----------
    dataset : str
        Key of the data set.
    scorer : str
        Registry name.
    model : ModelConfig, optional
        Base model, for scorers that read one.
    progress : Progress, optional
        Told of every row that is scored.

    Raises
    ------
    ConfigError
        If there is no such scorer, or it needs a base model and none is given.
    """
    made = _scorer(scorer, model)

    def make(part: Path) -> None:
        np.save(part / "scores.npy", made.score(ws.examples(dataset), progress))

    return _read(ws.produce("scores", _key(dataset, made), make, {"dataset": dataset, "scorer": scorer}))


def known(ws: Workspace, dataset: str, scorer: str, model: ModelConfig | None = None) -> npt.NDArray[np.float64] | None:
    """Return every row's score, as `scores` does, or None where they were not found yet; raises as `scores`."""
    folder = ws.find("scores", _key(dataset, _scorer(scorer, model)))
    return _read(folder) if folder else None


def _scorer(name: str, model: ModelConfig | None) -> Scorer:
    from curation import scorers

    reads_model = scorers.REGISTRY.load(name).needs_base_model
    return scorers.create(name, **(with_model({}, model, f"the scorer {name!r}") if reads_model else {}))


def _key(dataset: str, scorer: Scorer) -> str:
    return content_key("scores", dataset=dataset, scorer=scorer.key())


def _read(folder: Path) -> npt.NDArray[np.float64]:
    found: npt.NDArray[np.float64] = np.load(folder / "scores.npy", mmap_mode="r", allow_pickle=False)
    return found
