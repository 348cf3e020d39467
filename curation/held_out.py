"""Which test rows judge arms: a share may be set aside as a dev split, and rows that overlap may be left out.

A test row overlaps when its prompt stands in the query set or in the pool (`curation.data.quality` says when it does):
what was learned by heart is then taken for what was understood. The dev split goes by a row's id alone, so that it
stays when the test set grows; it judges epochs, never arms.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from curation.config import ExperimentConfig
from curation.design import Inputs
from curation.errors import EvaluationError
from curation.progress import Progress
from curation.workspace import Workspace, content_key


def overlap(ws: Workspace, pool: str, queries: str, tests: str, progress: Progress) -> dict[str, list[str]]:
    """Return ``"queries"`` and ``"pool"`` → ids of the test rows whose prompt stands there; looked for once."""
    from curation.data import quality

    key = content_key("overlap", version=quality.VERSION, pool=pool, queries=queries, tests=tests)

    def make(part: Path) -> None:
        progress.start("looking for test rows in the query set and the pool", 0, "rows")
        asked = ws.examples(tests)
        found = {
            name: sorted(quality.held_prompts(ws.iter_examples(dataset), asked))
            for name, dataset in (("queries", queries), ("pool", pool))
        }
        (part / "overlap.json").write_text(json.dumps(found))

    found: dict[str, list[str]] = json.loads((ws.produce("overlap", key, make) / "overlap.json").read_text())
    return found


def dev_split(ids: Sequence[str], share: float) -> tuple[str, ...]:
    """Return about `share` of the rows, chosen by their ids; equal conversations stay together."""
    return tuple(i for i in ids if int(i[:8], 16) < share * 16**8)


def hold_out(
    ws: Workspace, inputs: Inputs, config: ExperimentConfig, progress: Progress
) -> tuple[Inputs, dict[str, int]]:
    """Return the inputs with their dev split and the test rows that judge nothing, and how many rows overlap.

    Raises
    ------
    EvaluationError
        If no test row is left, or a dev split is asked for and there is no row for it.
    """
    if inputs.tests is None:
        if config.dev_share:
            raise EvaluationError("a dev split is a share of the test set and there is none; load one, or set it to 0")
        return inputs, {}
    ids = ws.ids(inputs.tests)
    dev = dev_split(ids, config.dev_share)
    found = overlap(ws, inputs.pool, inputs.queries, inputs.tests, progress)
    found = {name: sorted({*rows} - {*dev}) for name, rows in found.items()}  # of rows that judge arms
    either = {*found["queries"], *found["pool"]}
    excluded = either if config.exclude_overlap else set()
    if config.dev_share and not dev:
        raise EvaluationError(
            f"a dev split of {config.dev_share:g} of {len(ids):,} test rows is empty; raise the share or load more"
        )
    out = {*excluded, *dev}
    left_out = tuple(i for i in ids if i in out)
    if len(left_out) == len(ids):
        raise EvaluationError(
            f"of {len(ids):,} test rows {len(excluded):,} overlap the query set or the pool and {len(dev):,} are the "
            "dev split, so none is left to judge by; load other test rows, or lower the share"
        )
    told = {"queries": len(found["queries"]), "pool": len(found["pool"]), "either": len(either)}
    return dataclasses.replace(inputs, dev=dev, left_out=left_out), told | {"excluded": len(excluded)}
