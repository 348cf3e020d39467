"""Does nearness predict? Parts in round robin's order, correlations with intervals, resumable, told as advice."""

from __future__ import annotations

import dataclasses
import os
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

from curation import advice, figures_results, pipeline, quantiles
from curation.config import EvaluationConfig, ModelConfig, QuantileConfig, RunConfig, TrainingConfig
from curation.errors import SelectionError, TrainingError
from curation.workspace import Workspace
from tests.scripted import Script, design, make_run


@pytest.fixture
def run(tmp_path: Path, tiny_lm: Path) -> RunConfig:
    return make_run(tmp_path, tiny_lm)


@pytest.mark.parametrize("seed", range(5))
def test_the_correlation_is_spearmans(seed: int) -> None:
    values = np.random.default_rng(seed).integers(0, 6, 10).astype(float)
    found = quantiles.spearman(values.tolist())
    assert found["mean"] == pytest.approx(spearmanr(values, np.arange(10)).statistic)
    assert -1 <= found["low"] < found["mean"] < found["high"] <= 1


def test_the_interval_is_bonett_and_wrights() -> None:
    # r = 0.6, n = 10: tanh(atanh 0.6 ± 1.96 √(1.18 / 7))
    order = [2.0, 0.0, 1.0, 5.0, 3.0, 9.0, 4.0, 6.0, 8.0, 7.0]
    found = quantiles.spearman(order)
    half = 1.959964 * np.sqrt((1 + found["mean"] ** 2 / 2) / 7)
    assert found["low"] == pytest.approx(np.tanh(np.arctanh(found["mean"]) - half), abs=1e-6)
    assert found["high"] == pytest.approx(np.tanh(np.arctanh(found["mean"]) + half), abs=1e-6)
    perfect = quantiles.spearman(list(range(10)))
    assert perfect["mean"] == pytest.approx(1.0) and perfect["high"] == 1.0 and 0.9 < perfect["low"] < 0.99
    assert quantiles.spearman([1.0] * 10) == {"mean": 0.0, "low": -1.0, "high": 1.0}


ASKED = QuantileConfig(bins=5, examples=6)


def test_parts_are_tuned_nearest_first_once_each_and_reach_the_advice(
    workspace: Workspace,
    run: RunConfig,
    script: Script,
) -> None:
    asked = design(run, quantiles=ASKED, arms=("zero_shot",))
    script.word, script.dies_at = "number", 4
    with pytest.raises(KeyboardInterrupt):
        pipeline.run(workspace, asked)
    script.dies_at = 0
    made = pipeline.run(workspace, asked)
    assert len(script.tuned) == 6 and len(set(script.tuned)) == 5  # the killed part alone was begun twice
    shown = pipeline.read_represented(workspace.artefact("representation", made["representation"]))
    ids, nearest = workspace.ids(made["pool"]), shown.similarity.max(axis=0)
    means = [np.mean([nearest[ids.index(i)] for i in rows]) for _, rows in dict.fromkeys(script.tuned)]
    found = made["quantiles"]
    assert [part["distance"] for part in found["parts"]] == pytest.approx([1 - m for m in means])
    assert means == sorted(means, reverse=True)
    losses = [part["metrics"]["query_loss"]["mean"] for part in found["parts"]]
    assert found["spearman"]["query_loss"]["mean"] == pytest.approx(spearmanr(losses, range(5)).statistic)
    right = [part["metrics"]["exact_match"]["mean"] for part in found["parts"]]
    assert found["spearman"]["exact_match"]["mean"] == pytest.approx(-spearmanr(right, range(5)).statistic)
    assert found["spearman"]["exact_match"]["mean"] > 0.7
    assert run.model is not None
    figure = figures_results.quantiles(found, "exact_match")
    assert list(figure.data[0].x) == [part["distance"] for part in found["parts"]]
    assert list(figure.data[0].y) == [100 * value for value in right]


@pytest.mark.usefixtures("script")
def test_a_check_is_current_for_its_model_and_test_set_alone_and_says_what_else_differs(
    workspace: Workspace, run: RunConfig, tiny_lm: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_lm, tmp_path / "lm")
    model = ModelConfig(name=str(folder), max_length=64, device="cpu")
    run = dataclasses.replace(run, model=model)
    made = pipeline.run(workspace, design(run, quantiles=ASKED, arms=("zero_shot",)))
    key, training = made["representation"], TrainingConfig()

    def found(model: ModelConfig = model, tests: str | None = made["tests"], **options: Any) -> dict[str, Any] | None:
        return quantiles.newest(workspace, key, model, tests, dataclasses.replace(training, **options))

    assert found() == {**made["quantiles"], "differs": ""}
    assert found(tests=None) is None and found(tests="another") is None
    for change in ({"name": "other"}, {"dtype": "bfloat16"}, {"max_length": 32}, {"revision": "2"}):
        assert found(dataclasses.replace(model, **change)) is None  # type: ignore[arg-type]
    assert found(dataclasses.replace(model, device="auto")) is not None
    assert quantiles.newest(workspace, key, None, made["tests"], training) is None
    other = found(epochs=1.0, learning_rate=1e-3)
    assert other is not None and other["differs"] == (
        "It was tuned with other options than are set now (learning rate 0.0002, now 0.001; epochs 3.0, now 1.0)."
    )
    assert advice.checked(other)[0].endswith(f". {other['differs']}")
    once = design(run, quantiles=ASKED, arms=("zero_shot",), training=TrainingConfig(epochs=1.0))
    pipeline.run(workspace, once)
    again = found()
    assert again is not None and again["differs"] == ""  # though one with one epoch is newer
    os.utime(folder / "config.json", (time.time() + 60,) * 2)  # touched, and the same
    assert found() is not None
    (folder / "tokenizer_config.json").write_text("{}")
    os.utime(folder / "tokenizer_config.json", (time.time() + 60,) * 2)
    assert found() is None
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    os.utime(folder / "config.json", (time.time() + 60,) * 2)
    assert found() is None


def test_a_check_of_an_earlier_version_says_what_is_not_known_of_it(workspace: Workspace) -> None:
    with workspace.build("quantiles", "9" * 32, {"representation": "r", "model": {"name": "no-such/model"}}) as part:
        (part / "check.json").write_text("{}")
    found = quantiles.newest(workspace, "r", ModelConfig(name="no-such/model"), "t", TrainingConfig())
    assert found is not None and found["differs"].startswith("An earlier version made this check and did not keep how")


@pytest.mark.parametrize(
    ("chosen", "cannot", "with_tests", "judged"),
    [
        (("exact_match",), (), True, ("query_loss", "test_loss", "exact_match")),
        (("test_loss", "rouge_l", "query_loss"), (), True, ("query_loss", "test_loss", "rouge_l")),
        (("query_loss",), (), True, ("query_loss", "test_loss", "multiple_choice")),
        ((), ("multiple_choice",), True, ("query_loss", "test_loss", "numeric_match")),
        (("test_loss",), ("numeric_match", "multiple_choice"), True, ("query_loss", "test_loss", "exact_match")),
        (("exact_match", "harness"), (), False, ("query_loss", "harness")),
        (("test_loss",), (), False, ("query_loss",)),
    ],
)
def test_it_judges_by_both_losses_and_a_task_metric_whatever_arms_are_judged_by(
    chosen: tuple[str, ...], cannot: tuple[str, ...], with_tests: bool, judged: tuple[str, ...]
) -> None:
    assert quantiles.judged_by(chosen, cannot, with_tests=with_tests) == judged


@pytest.mark.usefixtures("script")
def test_one_click_tells_all_three_though_one_was_chosen(workspace: Workspace, run: RunConfig) -> None:
    only = EvaluationConfig(metrics=("query_loss",))
    found = pipeline.run(workspace, design(run, quantiles=ASKED, arms=("zero_shot",), evaluation=only))["quantiles"]
    assert set(found["spearman"]) == {"query_loss", "test_loss", "numeric_match"}  # right answers are numbers
    alone = dataclasses.replace(run, tests=None)
    found = pipeline.run(workspace, design(alone, quantiles=ASKED, arms=("zero_shot",), evaluation=only))["quantiles"]
    assert set(found["spearman"]) == {"query_loss"}


def test_a_diverged_part_is_told_and_the_others_correlate(
    workspace: Workspace, run: RunConfig, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = design(run, quantiles=dataclasses.replace(ASKED, seeds=(0, 1)), arms=("zero_shot",))
    broken: set[int] = {3, 4, 6}  # both trainings of the second part, one of the third
    fine = script.fine_tune

    def diverge(*args: object, **options: object) -> object:
        script.diverging = {(0, 6), (1, 6)} if len(script.tuned) + 1 in broken else set()
        return fine(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("curation.training.fine_tune", diverge)
    found = pipeline.run(workspace, asked)["quantiles"]
    assert "loss nan; lower the learning rate" in found["parts"][1]["failed"] and "metrics" not in found["parts"][1]
    assert len(found["parts"][2]["metrics"]["exact_match"]["per_seed"]) == 1 and "failed" not in found["parts"][2]
    losses = [part["metrics"]["query_loss"]["mean"] for part in found["parts"] if "metrics" in part]
    assert found["spearman"]["query_loss"]["mean"] == pytest.approx(spearmanr(losses, range(4)).statistic)
    assert figures_results.quantiles(found, "query_loss").data[0].text == ("1", "3", "4", "5")
    assert advice.checked(found)[0].startswith("Quantile check of 4 parts (of 5: the others diverged) of this pool, 6")


def test_when_too_few_parts_are_left_the_check_says_so(workspace: Workspace, run: RunConfig, script: Script) -> None:
    script.diverging = {(0, 6)}
    with pytest.raises(TrainingError, match=r"only 0 of 5 parts could be tuned, too few to correlate: training diverg"):
        pipeline.run(workspace, design(run, quantiles=ASKED, arms=("zero_shot",)))
    script.diverging, script.numberless = set(), {(0, 6)}
    with pytest.raises(
        TrainingError, match=r"only 0 of 5 parts .*: part 1 of 5, seed 0 can't be judged: its test loss"
    ):
        pipeline.run(workspace, design(run, quantiles=ASKED, arms=("zero_shot",)))


def test_a_part_that_is_too_small_is_refused(
    workspace: Workspace,
    run: RunConfig,
    script: Script,
) -> None:
    with pytest.raises(SelectionError, match=r"of each of 10 parts, but a part of 40 usable rows has only 4; lower"):
        pipeline.run(workspace, design(run, quantiles=QuantileConfig(examples=6), arms=("zero_shot",)))
    assert script.tuned == []


@pytest.mark.parametrize(
    ("metric", "said", "as_reason"),
    [
        ({"mean": 0.9, "low": 0.6, "high": 0.98}, "so nearer rows teach more here, in exact match", True),
        ({"mean": 0.2, "low": -0.4, "high": 0.7}, "so nothing shows that nearer rows teach more", False),
        ({"mean": -0.9, "low": -0.98, "high": -0.6}, "nearer rows teach less here, in exact match: try another", False),
    ],
)
def test_its_answer_reaches_the_advice(metric: dict[str, float], said: str, as_reason: bool) -> None:
    check = {
        "metrics": ["query_loss", "exact_match"],
        "spearman": {"query_loss": {"mean": 0.95, "low": 0.8, "high": 0.99}, "exact_match": metric},
        "parts": [{"metrics": {}}] * 10,
        "n_examples": 200,
        "name": "less",
    }
    told = advice.advise(n_pool=20_000, n_queries=50, budget=500, representation="less", check=check)
    place = told.reasons if as_reason else told.caveats
    assert said in place[0] and "0.95 (0.80 to 0.99) with query loss" in place[0] and "by LESS" in place[0]
    assert advice.OWN in told.citations
    assert said not in " ".join(advice.advise(n_pool=9, n_queries=9, budget=9, representation="less").caveats)
