"""Judging a real model: every metric of the registry, batched, equals what single rows give."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from curation import models, training
from curation.config import EvaluationConfig, ModelConfig, TrainingConfig
from curation.data.chat import Encoder
from curation.data.rows import Example, Message, row_id
from curation.errors import ConfigError, EvaluationError
from curation.evaluation import METRICS, Evaluation, evaluate, sandbox, unmeasurable
from curation.evaluation.judge import Judge
from curation.progress import Silent

CONFIG = EvaluationConfig(max_new_tokens=12, batch_size=3)


def example(prompt: str, answer: str) -> Example:
    messages = (Message("user", prompt), Message("assistant", answer))
    return Example(row_id(messages), messages)


@pytest.fixture(scope="module")
def model(tiny_lm: Path) -> ModelConfig:
    return ModelConfig(name=str(tiny_lm), device="cpu", max_length=64)


@pytest.fixture(scope="module")
def queries() -> list[Example]:
    return [example("What is the opposite of hot?", "cold"), example("Spell cat." + " Please." * 9, "c a t")]


@pytest.fixture(scope="module")
def tests() -> list[Example]:
    words = ["big", "left", "day", "up", "wet"]
    right = ["small", "right", "night", "down", "dry"]
    pairs = zip(words, right, strict=True)
    return [example(f"What is the opposite of {w}?" + " Think." * (i * 3), r) for i, (w, r) in enumerate(pairs)]


@pytest.fixture(scope="module")
def zero_shot(model: ModelConfig, queries: list[Example], tests: list[Example]) -> Evaluation:
    return evaluate(model, None, queries, tests, CONFIG)


@pytest.fixture(scope="module")
def adapter(model: ModelConfig, tests: list[Example], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter that learned the test rows by heart."""
    folder = tmp_path_factory.mktemp("adapter")
    config = TrainingConfig(epochs=20.0, batch_size=5, micro_batch_size=5, learning_rate=1e-2)
    training.fine_tune(model, tests, config, folder, seed=0)
    return folder / "model"


def by_hand(model: ModelConfig, adapter: Path | None, row: Example) -> str:
    """Greedy decoding of one row, without cache, padding or `generate`."""
    encoder = Encoder(models.load_tokenizer(model), model.max_length)
    network = models.load_causal_lm(model, adapter)
    ids = encoder.prompt(row)
    start = len(ids)
    with torch.no_grad():
        while len(ids) - start < CONFIG.max_new_tokens:
            token = int(network(input_ids=torch.tensor([ids])).logits[0, -1].argmax())
            if token in encoder.stop_ids:
                break
            ids.append(token)
    return str(encoder.tokenizer.decode(ids[start:], skip_special_tokens=True))


def test_losses_are_means_over_each_rows_answer_tokens(
    model: ModelConfig, queries: list[Example], tests: list[Example], zero_shot: Evaluation
) -> None:
    encoder = Encoder(models.load_tokenizer(model), model.max_length)
    network = models.load_causal_lm(model)
    for name, rows in (("query_loss", queries), ("test_loss", tests)):
        expected = []
        for row in rows:
            encoded = encoder.encode(row)
            with torch.no_grad():
                logits = network(input_ids=torch.tensor([encoded.input_ids])).logits[0, :-1]
            labels = torch.tensor(encoded.labels[1:])
            expected.append(torch.nn.functional.cross_entropy(logits, labels, ignore_index=-100).item())
        assert zero_shot.per_example[name] == pytest.approx(expected, rel=1e-5)
        assert zero_shot.summary[name] == pytest.approx(sum(expected) / len(expected), rel=1e-5)
        assert zero_shot.ids[name] == [row.id for row in rows]


def test_batched_answers_equal_decoding_each_row_alone(
    model: ModelConfig, tests: list[Example], zero_shot: Evaluation, adapter: Path
) -> None:
    assert zero_shot.answers == [by_hand(model, None, row) for row in tests]
    tuned = evaluate(model, adapter, [], tests, replace(CONFIG, metrics=("exact_match",)))
    assert tuned.answers == [by_hand(model, adapter, row) for row in tests]
    assert tuned.answer_ids == [row.id for row in tests]


def test_a_model_that_learned_the_answers_gives_them_and_stops(
    model: ModelConfig, queries: list[Example], tests: list[Example], zero_shot: Evaluation, adapter: Path
) -> None:
    tuned = evaluate(model, adapter, queries, tests, CONFIG)
    assert zero_shot.summary["exact_match"] == 0.0
    assert tuned.answers == [row.answer for row in tests]  # nothing behind the end token
    assert tuned.summary["exact_match"] == 1.0
    assert tuned.summary["test_loss"] < 0.1 < 1.0 < zero_shot.summary["test_loss"]


def test_the_models_own_sampling_defaults_are_set_aside(
    model: ModelConfig, tests: list[Example], zero_shot: Evaluation, tmp_path: Path
) -> None:
    copy = tmp_path / "model"
    shutil.copytree(model.name, copy)
    (copy / "generation_config.json").chmod(0o644)
    defaults = json.loads((copy / "generation_config.json").read_text())
    defaults |= {"do_sample": True, "temperature": 1.5, "repetition_penalty": 5.0, "min_new_tokens": 12}
    (copy / "generation_config.json").write_text(json.dumps(defaults))
    found = evaluate(replace(model, name=str(copy)), None, [], tests, replace(CONFIG, metrics=("exact_match",)))
    assert found.answers == zero_shot.answers


def test_a_fully_tuned_model_is_judged_by_its_folder(
    model: ModelConfig, tests: list[Example], zero_shot: Evaluation, tmp_path: Path
) -> None:
    config = TrainingConfig(method="full", max_steps=1, batch_size=5, micro_batch_size=5, learning_rate=1e-3)
    training.fine_tune(model, tests, config, tmp_path, seed=0)
    found = evaluate(model, tmp_path / "model", [], tests, replace(CONFIG, metrics=("test_loss",)))
    assert found.summary["test_loss"] < zero_shot.summary["test_loss"]


def test_rows_that_do_not_fit_are_listed_and_in_no_mean(
    model: ModelConfig, queries: list[Example], tests: list[Example], zero_shot: Evaluation
) -> None:
    long = example("word " * 100, "never")
    found = evaluate(model, None, queries, [tests[0], long, *tests[1:]], CONFIG)
    assert [row for row, _ in found.rejected] == [long.id]
    assert found.summary["test_loss"] == pytest.approx(zero_shot.summary["test_loss"], rel=1e-5)
    assert found.ids["exact_match"] == found.answer_ids == [row.id for row in tests]
    with pytest.raises(EvaluationError, match=r"test_loss can judge none of the 1 tests \(its first answer token"):
        evaluate(model, None, [], [long], replace(CONFIG, metrics=("test_loss",)))
    with pytest.raises(EvaluationError, match=r"exact_match can judge none.*exceed the model's 2,048 positions"):
        evaluate(model, None, [], tests, EvaluationConfig(metrics=("exact_match",), max_new_tokens=2040))


def test_metrics_without_rows_are_left_out_and_none_at_all_is_refused(
    model: ModelConfig, queries: list[Example]
) -> None:
    stages: list[tuple[str, int]] = []
    progress = Silent()
    progress.start = lambda stage, total: stages.append((stage, total))  # type: ignore[assignment, misc]
    assert set(evaluate(model, None, queries, [], CONFIG, progress).summary) == {"query_loss"}
    assert stages == [("loss on queries", 2)]
    with pytest.raises(EvaluationError, match=r"nothing to judge by: .*exact_match with 0 queries and 0 tests"):
        evaluate(model, None, [], [], CONFIG)
    with pytest.raises(ConfigError, match=r"unknown metric 'bleu'; expected one of: query_loss"):
        evaluate(model, None, queries, [], EvaluationConfig(metrics=("bleu",)))
    asked = EvaluationConfig(metrics=("numeric_match",), options={"numeric_match": {"k": 1}})
    with pytest.raises(ConfigError, match=r"metric 'numeric_match' has no option 'k'; its options are: tolerance"):
        evaluate(model, None, [], queries, asked)


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (
            "multiple_choice",
            r"judge none of the 5 tests \(row \w{12}: it has no column `choices` .*; add what is",
        ),
        ("pass_at_k", r"judge none of the 5 tests \(row \w{12}: it has no column `test` with text\); add what is"),
        ("numeric_match", r"judge none of the 5 tests \(row \w{12}: its right answer holds no number; give one in"),
    ],
)
def test_a_metric_without_the_field_it_needs_is_refused_before_a_model_is_loaded(
    tests: list[Example], metric: str, message: str
) -> None:
    nowhere = ModelConfig(name="/nowhere")
    with pytest.raises(EvaluationError, match=metric + " can " + message):
        evaluate(nowhere, None, [], tests, replace(CONFIG, metrics=(metric,)))


def test_what_rows_do_not_allow_is_told_for_each_metric(
    queries: list[Example], tests: list[Example], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = unmeasurable(queries, tests)
    found.pop("harness", None)  # needs its extra, no rows
    assert set(found) == {"numeric_match", "multiple_choice", "pass_at_k"}
    assert "it has no column `choices`" in found["multiple_choice"] and "no column `test`" in found["pass_at_k"]
    assert found["numeric_match"].startswith("each of the 5 tests lacks what it needs: its right answer holds no numb")
    extra = json.dumps({"test": "def check(f): pass", "entry_point": "f", "answer": "7"})
    programs = [replace(row, extra=extra) for row in tests]
    monkeypatch.setattr(sandbox.Sandbox, "require", lambda _self: None)
    assert set(unmeasurable(queries, programs)) - {"harness"} == {"multiple_choice"}  # as if programs were allowed
    alone = unmeasurable(queries, [])
    assert (
        set(alone) - {"harness"} == set(METRICS) - {"query_loss", "harness"}
        and alone["test_loss"] == "there are no tests; load some"
    )


def test_rows_that_lack_a_field_are_listed_and_the_others_judged(model: ModelConfig, tests: list[Example]) -> None:
    choosing = replace(tests[0], extra=json.dumps({"choices": ["small", "no"], "answer": 0}))
    config = replace(CONFIG, metrics=("multiple_choice", "test_loss"))
    found = evaluate(model, None, [], [choosing, *tests[1:]], config)
    assert found.ids["multiple_choice"] == [choosing.id]
    assert len(found.ids["test_loss"]) == 5
    assert [row for row, _ in found.rejected] == [row.id for row in tests[1:]]
    assert found.rejected[0][1].startswith("multiple_choice: it has no column `choices`")


def test_drawn_answers_differ_among_themselves_and_not_between_runs(model: ModelConfig, tests: list[Example]) -> None:
    first, second = (
        Judge(model, None, {"queries": [], "tests": tests}, CONFIG, Silent()).samples("tests", 4, 1.0) for _ in range(2)
    )
    assert first == second
    assert all(texts is not None and len(texts) == 4 and len(set(texts)) > 1 for texts in first)


def test_an_evaluation_survives_json(zero_shot: Evaluation) -> None:
    assert Evaluation.from_dict(json.loads(json.dumps(zero_shot.to_dict()))) == zero_shot


@pytest.mark.parametrize("name", list(METRICS))
def test_every_metric_keeps_the_familys_contract(name: str, model: ModelConfig, tests: list[Example]) -> None:
    metric = METRICS.load(name)
    assert metric.role in ("queries", "tests", "tasks")
    assert isinstance(metric.higher_is_better, bool)
    assert METRICS.help(name).endswith(" is better.")
    if metric.role == "tasks":
        return  # it brings its own rows: see its own tests
    fields = {"choices": ["3", "4"], "answer": "3", "entry_point": "f", "test": "def check(f): assert f() == 3"}
    rows = [replace(row, extra=json.dumps(fields)) for row in tests]
    options = {name: {"allow": True}} if name == "pass_at_k" else {}
    found = evaluate(model, None, rows, rows, replace(CONFIG, metrics=(name,), options=options))
    assert found.ids[name] == [row.id for row in rows]
    assert all(math.isfinite(v) and metric.lowest <= v <= metric.highest for v in found.per_example[name])
    assert set(found.reasons.get(name, {})) <= set(found.ids[name])
