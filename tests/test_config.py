"""Options check themselves, and a config survives JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from curation import config_files
from curation.config import BudgetConfig, ExperimentConfig, ModelConfig, Options, RunConfig, option
from curation.config_files import read_config
from curation.errors import ConfigError

PLAIN = {"pool": {"path": "pool.jsonl"}, "queries": {"path": "queries.jsonl"}}


def test_a_run_survives_json() -> None:
    made = RunConfig.from_dict(
        {
            **PLAIN,
            "model": {"name": "owner/model"},
            "selection": {"budget": {"tokens": 9000}, "pinned": ["a", "b"], "notes": {"a": "keep"}},
            "experiment": {"seeds": [1, 2], "full_training": {"epochs": 1}},
        }
    )
    assert RunConfig.from_dict(json.loads(json.dumps(made.to_dict()))) == made
    assert made.selection.pinned == ("a", "b")
    assert made.experiment is not None and made.experiment.full_training is not None
    assert made.experiment.full_training.epochs == 1.0


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({**PLAIN, "pol": {}}, "no option 'pol'; its options are: schema_version, pool"),
        ({"pool": {"path": "p"}}, "needs the option 'queries'"),
        ({**PLAIN, "pool": {"path": 3}}, r"path is 3 \(int\), expected str"),
        ({**PLAIN, "pool": "p.jsonl"}, "is str, expected an object"),
        ({**PLAIN, "warmup": {"share": 1.5}}, "share is 1.5, expected at most 1.0"),
        ({**PLAIN, "warmup": {"share": float("nan")}}, "share is nan, expected at least 0.0"),
        ({**PLAIN, "model": {"name": "m", "dtype": "float8"}}, "expected one of: float32, bfloat16, float16"),
        ({**PLAIN, "model": {"name": "m", "trust_remote_code": 1}}, r"is 1 \(int\), expected bool"),
        ({**PLAIN, "selection": {"budget": {}}}, "expected exactly one"),
        ({**PLAIN, "selection": {"budget": {"examples": -1}}}, "expected at least 0"),
        ({**PLAIN, "experiment": {"arms": ["selected", "best"]}}, "'best', expected one of: zero_shot"),
        ({**PLAIN, "schema_version": 99}, "this Winnow reads up to 1"),
    ],
)
def test_bad_configs_are_refused_by_name(data: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        RunConfig.from_dict(config_files.migrate(data))


def test_a_budget_is_examples_or_tokens() -> None:
    assert BudgetConfig(tokens=5).examples is None
    with pytest.raises(ConfigError, match="exactly one"):
        BudgetConfig(examples=1, tokens=1)


def test_paths_are_taken_from_the_configs_folder(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    hub = {"path": "owner/queries", "hub": True}
    data = {**PLAIN, "queries": hub, "model": {"name": "model"}}
    (tmp_path / "run.json").write_text(json.dumps(data))
    made = read_config(tmp_path / "run.json")
    assert made.pool.path == str(tmp_path / "pool.jsonl")
    assert made.queries.path == "owner/queries"
    assert made.model == ModelConfig(name=str(tmp_path / "model"))


def test_a_missing_or_broken_config_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can't be read"):
        read_config(tmp_path / "none.json")
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(ConfigError, match="is not JSON"):
        read_config(tmp_path / "broken.json")


def test_options_are_frozen_and_know_their_help() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Strong(Options):
        strength: float = option(1, "How strong.", low=0)

    assert Strong().strength == 1.0 and isinstance(Strong().strength, float)
    with pytest.raises(AttributeError):
        Strong().strength = 2.0  # type: ignore[misc]
    with pytest.raises(ConfigError, match="at least 0"):
        Strong(strength=-1)


def test_an_experiment_always_has_the_untuned_model() -> None:
    config = ExperimentConfig.from_dict({"arms": ["selected"]})
    assert config.arms == ("zero_shot", "selected")
    assert ExperimentConfig.from_dict(config.to_dict()) == config
    assert ExperimentConfig(arms=("selected", "zero_shot")).arms == ("selected", "zero_shot")
