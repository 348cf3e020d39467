"""A tuned adapter merged into its base model: one model in the standard format that any tool loads by its folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from curation.config import ModelConfig
from curation.errors import TrainingError
from curation.progress import Progress, Silent
from curation.workspace import Workspace, content_key

VERSION = 1


def models_of(result: Mapping[str, Any]) -> dict[tuple[str, int], tuple[str, int | None]]:
    """Return arm and seed → key of the tuned model, and the step of whose weights it is if its training diverged."""
    tuned = ((arm, seed, key, None) for arm, seeds in result.get("tuned", {}).items() for seed, key in seeds.items())
    kept = ((arm, seed, *of) for arm, seeds in result.get("kept", {}).items() for seed, of in seeds.items())
    return {(arm, int(seed)): (key, step) for arm, seed, key, step in (*tuned, *kept)}


def whole_model(ws: Workspace, arm: str) -> Path | None:
    """Return the folder of a tuned arm's whole model, if there is one: merged before, or tuned in every weight."""
    tuned = ws.artefact("arm", arm) / "model"
    return ws.find("merged", _key(arm)) if (tuned / "adapter_config.json").is_file() else tuned


def merge(ws: Workspace, arm: str, model: ModelConfig, progress: Progress | None = None) -> Path:
    """Merge a tuned arm's adapter into its base model; return the whole model's folder.

    Parameters
    ----------
    arm : str
        Key of the tuned arm, as a result's ``tuned`` has it.
    model : ModelConfig
        The base model that it was tuned from.

    Raises
    ------
    TrainingError
        If the base is held in 4 bits, which can't take the adapter's weights up exactly.
    ModelError
        If the base model can't be loaded, or is another than the adapter's.
    """
    found = whole_model(ws, arm)
    if found is not None:
        return found
    if model.dtype == "4-bit":
        raise TrainingError(
            "the base model is held in 4 bits, which can't take up an adapter exactly; choose dtype bfloat16 for it "
            "and merge again, or use base and adapter side by side"
        )

    def make(part: Path) -> None:
        from curation import models

        (progress or Silent()).start("merging the adapter into the base model", 0, "weights")
        network = models.load_causal_lm(model, ws.artefact("arm", arm) / "model")
        network.merge_and_unload().save_pretrained(part)  # type: ignore[operator]  # peft carries no types
        models.load_tokenizer(model).save_pretrained(part)

    return ws.produce("merged", _key(arm), make, {"arm": arm, "model": model.to_dict()})


def _key(arm: str) -> str:
    return content_key("merged", version=VERSION, arm=arm)
