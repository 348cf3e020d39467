"""The scores of a data set's rows, found once and kept: what the minimum score of a selection is about."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from curation.config import ModelConfig
from curation.representing import with_model
from curation.workspace import Workspace, content_key


def scores(ws: Workspace, dataset: str, scorer: str, model: ModelConfig | None = None) -> npt.NDArray[np.float64]:
    """Return every row's score, float64 (n_rows,), NaN where a row has none.

    Parameters
    ----------
    dataset : str
        Key of the data set.
    scorer : str
        Registry name.
    model : ModelConfig, optional
        Base model, for scorers that read one.

    Raises
    ------
    ConfigError
        If there is no such scorer, or it needs a base model and none is given.
    """
    from curation import scorers

    reads_model = scorers.REGISTRY.load(scorer).needs_base_model
    made = scorers.create(scorer, **(with_model({}, model, f"the scorer {scorer!r}") if reads_model else {}))

    def make(part: Path) -> None:
        np.save(part / "scores.npy", made.score(ws.examples(dataset)))

    key = content_key("scores", dataset=dataset, scorer=made.key())
    folder = ws.produce("scores", key, make, {"dataset": dataset, "scorer": scorer})
    found: npt.NDArray[np.float64] = np.load(folder / "scores.npy", mmap_mode="r", allow_pickle=False)
    return found
