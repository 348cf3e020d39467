"""Further models in an experiment: judged as they are, untuned, by the same metrics on the same rows.

The survey's external comparison (Zhang et al., data selection for LLM instruction tuning) sets the tuned model beside
other models on public benchmarks; here on the experiment's own rows, and on harness tasks where that metric is chosen.
A loss is a mean over a model's own tokens, so a model that cuts the answers into other tokens than the base model does
is judged without losses.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curation.config import ARMS, EvaluationConfig, ExperimentConfig, ModelConfig
from curation.design import Inputs
from curation.errors import EvaluationError
from curation.wording import is_loss

if TYPE_CHECKING:
    from curation.data.rows import Example


@dataclass(frozen=True)
class Other:
    """A further model, and how it is judged: as the arms are, or without losses."""

    model: ModelConfig
    asked: EvaluationConfig


def models_of(config: ExperimentConfig, base: ModelConfig) -> dict[str, ModelConfig]:
    """Return arm → further model; what is not said of it is as of the base model, but for revision and trust.

    Raises
    ------
    ConfigError
        If a model's options are not valid.
    """
    own = {**base.to_dict(), "revision": "", "trust_remote_code": False}
    asked = {arm: one if isinstance(one, dict) else {"name": one} for arm, one in config.models.items()}
    return {arm: ModelConfig.from_dict({**own, **one}, where=f"model {arm!r}") for arm, one in asked.items()}


def refuse_missing(config: ExperimentConfig, base: ModelConfig) -> None:
    """Raise ModelError if a further model is a folder that is not there or holds no model; the hub is not asked."""
    from curation import models

    for model in models_of(config, base).values():
        if models.is_path(model.name):
            models.locate(model.name)


def others(
    inputs: Inputs, config: ExperimentConfig, asked: EvaluationConfig, rows: Sequence[Example]
) -> dict[str, Other]:
    """Return arm → further model and how it is judged, once each was looked at: tokenizer, weights' files, memory.

    Parameters
    ----------
    inputs, config
        What is compared.
    asked : EvaluationConfig
        How arms are judged.
    rows : sequence of Example
        All rows that judge.

    Raises
    ------
    ModelError
        If a model or its tokenizer is missing, or it is too large for the memory that is free.
    EvaluationError
        If arms are judged by losses alone, and a model's can't be compared with the base model's.
    """
    from curation import models

    found = {}
    for arm, model in models_of(config, inputs.model).items():
        models.locate(model.name, model.revision, trust_remote_code=model.trust_remote_code)
        models.require_memory(model)
        judged = asked
        if any(map(is_loss, asked.metrics)) and _learned(model, rows) != _learned(inputs.model, rows):
            judged = dataclasses.replace(asked, metrics=tuple(m for m in asked.metrics if not is_loss(m)))
        if not judged.metrics:
            raise EvaluationError(
                f"the model {arm} cuts answers into other tokens than the base model, so their losses can't be "
                "compared, and arms are judged by losses alone; add a metric such as exact_match, or leave it out"
            )
        found[arm] = Other(model, judged)
    return found


def identities(found: Mapping[str, Other]) -> dict[str, Any]:
    """Return arm → what its model's judgement depends on, for a content key."""
    from curation.models import fingerprint

    return {
        arm: [fingerprint(one.model.name, one.model.revision), one.model.dtype, one.model.max_length]
        for arm, one in found.items()
    }


def _learned(model: ModelConfig, rows: Sequence[Example]) -> list[list[int] | None]:
    """Tokens over which each row's loss is taken; None for a row that the model can't take."""
    from curation import models
    from curation.data.chat import IGNORED, Encoder
    from curation.data.rows import RowError

    encoder = Encoder(models.load_tokenizer(model), models.context_length(model))
    found: list[list[int] | None] = []
    for row in rows:
        try:
            found.append([token for token in encoder.encode(row).labels if token != IGNORED])
        except RowError:
            found.append(None)
    return found


def spelled(asked: Any) -> str:
    """Return the hub id or folder of a further model, however a design gives it."""
    return str(asked["name"] if isinstance(asked, dict) else asked)


def named(asked: Sequence[str], known: Mapping[str, Any], taken: Collection[str]) -> dict[str, Any]:
    """Return arm → further model for hub ids and folders: under the name it has, or else the last part of its own.

    Parameters
    ----------
    asked : sequence of str
        Hub ids and folders.
    known : mapping of arm to model
        Those of the present design, which keep their names and options.
    taken : collection of str
        Names that other arms have.
    """
    found: dict[str, Any] = {}
    for name in dict.fromkeys(text.strip() for text in asked if text.strip()):
        kept = next((arm for arm, one in known.items() if spelled(one) == name and arm not in taken), "")
        short = kept or Path(name).name.replace("@", " at ") or "model"
        arm, number = short, 1
        while arm in found or arm in taken or arm in ARMS:
            number += 1
            arm = f"{short} ({number})"
        found[arm] = known[kept] if kept else name
    return found
