"""What every registered scorer must do: one suite over the registry, no list by hand."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curation import scorers
from curation.data.rows import Example, Message
from curation.errors import ConfigError
from curation.scorers import Scorer

every_scorer = pytest.mark.parametrize("name", list(scorers.REGISTRY))
ROWS = [
    Example(f"row{i}", (Message("user", q), Message("assistant", a)))
    for i, (q, a) in enumerate([("Add 2 and 3.", "5"), ("The sea?", "The sea is wide and blue."), ("Hi", "Ho")])
]


@pytest.fixture
def make(tiny_lm: Path) -> Any:
    """Build a scorer with what it says it needs."""

    def build(name: str) -> Scorer:
        needs = scorers.REGISTRY.load(name).needs_base_model
        return scorers.create(name, **({"model": str(tiny_lm), "device": "cpu"} if needs else {}))

    return build


@every_scorer
def test_one_finite_score_a_row_whatever_its_neighbours(name: str, make: Any) -> None:
    scorer = make(name)
    scores = scorer.score(ROWS)
    assert scores.shape == (3,)
    assert scores.dtype == np.float64
    assert np.isfinite(scores).all()
    np.testing.assert_array_equal(make(name).score(ROWS), scores)
    np.testing.assert_allclose(scorer.score(ROWS[::-1]), scores[::-1], rtol=1e-4)
    np.testing.assert_allclose(scorer.score(ROWS[1:2]), scores[1:2], rtol=1e-4)
    assert scorer.score([]).shape == (0,)


@every_scorer
def test_key_is_json_without_paths(name: str, make: Any, shared: Path) -> None:
    assert str(shared) not in json.dumps(make(name).key())


@every_scorer
def test_file_class_name_and_help_agree(name: str) -> None:
    found = scorers.REGISTRY.load(name)
    assert found.__module__ == f"curation.scorers.{name}"
    assert found.__name__.lower() == found.name == name
    assert found.unit and not inspect.isabstract(found)
    assert scorers.REGISTRY.help(name)


@every_scorer
def test_unknown_option_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"scorer '{name}' has no option 'colour'"):
        scorers.create(name, colour="red")
