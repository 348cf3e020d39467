"""What every registered representation must do: one suite over the registry, no list by hand."""

from __future__ import annotations

import dataclasses
import inspect
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.sparse import issparse, vstack

from curation import representations, similarity
from curation.data.rows import Example
from curation.errors import ConfigError
from curation.representations import Features, Representation

every_representation = pytest.mark.parametrize("name", list(representations.REGISTRY))


@pytest.fixture
def make(tiny_lm: Path, warmup: Path) -> Any:
    """Build a representation with what it says it needs."""

    def build(name: str) -> Representation:
        method = representations.REGISTRY.load(name)
        options: dict[str, Any] = {"model": str(tiny_lm), "device": "cpu"} if method.needs_base_model else {}
        options |= {"warmup": str(warmup), "d": 256} if method.needs_warmup else {}
        return representations.create(name, **options)

    return build


class Shards(dict[int, tuple[list[str], Any]]):
    """A sink in memory."""

    def has(self, shard: int) -> bool:
        return shard in self

    def write(self, shard: int, ids: Sequence[str], values: Any) -> None:
        self[shard] = (list(ids), values)


def features(method: Representation, examples: list[Example], role: str) -> Features:
    """What a feature store gives back: the rows in the order of the examples."""
    sink, plan = Shards(), method.plan(examples, role)
    method.stream(examples, plan, sink)
    stored = [sink[number] for number in range(len(plan.shards))]
    place = {row_id: i for i, row_id in enumerate(row_id for ids, _ in stored for row_id in ids)}
    parts = [values for _, values in stored]
    values = vstack(parts, format="csr") if issparse(parts[0]) else np.concatenate(parts)
    ids = tuple(e.id for e in examples)
    return Features(values[[place[i] for i in ids]], method.weights, ids)


@every_representation
def test_features_are_finite_of_unit_length_and_deterministic(name: str, make: Any, rows: list[Example]) -> None:
    method = make(name)
    pool, query = method.join(features(method, rows, "pool"), features(method, rows[:2], "query"))
    for made in (pool, query):
        norms = np.linalg.norm(made.values.toarray() if made.is_sparse else made.values, axis=-1)
        np.testing.assert_allclose(norms, 1.0, atol=1e-5)
    assert method.weights.dtype == np.float32
    assert method.weights.sum() == pytest.approx(1.0)
    values = similarity.compute(query, pool)
    assert values.shape == (2, len(rows))
    assert values.max() <= 1 + 1e-5
    fresh = make(name)
    again = similarity.compute(*reversed(fresh.join(features(fresh, rows, "pool"), features(fresh, rows[:2], "query"))))
    np.testing.assert_array_equal(again, values)


@every_representation
def test_a_row_does_not_depend_on_its_neighbours(name: str, make: Any, rows: list[Example]) -> None:
    method = make(name)
    together, alone = features(method, rows, "pool"), features(method, rows[2:3], "pool")
    one = Features(together.values[2:3], together.weights, together.ids[2:3])
    one, alone = method.join(one, alone)
    assert float(similarity.compute(one, alone)[0, 0]) == pytest.approx(1.0, abs=1e-4)


@every_representation
def test_no_rows_make_an_empty_plan(name: str, make: Any) -> None:
    method = make(name)
    plan = method.plan([], "query")
    assert plan.shards == () and plan.rejected == ()
    method.stream([], plan, Shards())


@every_representation
def test_key_and_report_are_json_without_paths(name: str, make: Any, rows: list[Example], shared: Path) -> None:
    method = make(name)
    features(method, rows[:2], "pool")
    text = json.dumps(method.key(), sort_keys=True)
    assert str(shared) not in text and "/tmp" not in text
    assert method.key()["name"] == name
    assert json.loads(json.dumps(method.report())) == method.report()


@every_representation
def test_file_class_name_and_help_agree(name: str) -> None:
    found = representations.REGISTRY.load(name)
    assert found.__module__ == f"curation.representations.{name}"
    assert found.__name__.lower() == found.name == name
    assert not inspect.isabstract(found)
    assert representations.REGISTRY.help(name).rstrip(").").isprintable()
    for field in dataclasses.fields(representations.REGISTRY.config(name)):
        assert field.metadata["help"].endswith("."), field.name


@every_representation
def test_unknown_option_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"representation '{name}' has no option 'colour'"):
        representations.create(name, colour="red")


@pytest.mark.parametrize("name", ["rds", "less"])
def test_base_model_must_be_named(name: str) -> None:
    with pytest.raises(ConfigError, match="needs the option 'model'"):
        representations.create(name)


def test_public_names() -> None:
    assert representations.__all__ == ["REGISTRY", "Features", "Plan", "Representation", "Sink", "create"]
