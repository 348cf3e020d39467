"""lm-evaluation-harness tasks as a metric: a YAML file of one's own, a value a row, and what is refused."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from curation.config import EvaluationConfig, ModelConfig
from curation.errors import ConfigError, EvaluationError
from curation.evaluation import METRICS, check, evaluate, fingerprints, on_rows
from curation.evaluation.harness import _value

needs_harness = pytest.mark.skipif(importlib.util.find_spec("lm_eval") is None, reason="the extra harness is missing")
ROWS = [
    {"q": "What is the opposite of hot?", "c": ["cold", "seven hundred and twelve green bottles"], "a": 0},
    {"q": "What is the opposite of big?", "c": ["small", "a b c d e f g h i j k l m n o p"], "a": 1},
    {"q": "Spell cat.", "c": ["c a t", "zzz zzz qqq qqq xxx xxx zzz zzz"], "a": 0},
]
TASK = """task: {name}
dataset_path: json
dataset_kwargs:
  data_files:
    test: {rows}
test_split: test
output_type: {kind}
doc_to_text: "{{{{q}}}}"
{further}
"""
CHOICE = 'doc_to_choice: "{{c}}"\ndoc_to_target: a\nmetric_list:\n  - metric: acc\n  - metric: acc_norm'


def write(folder: Path, name: str, kind: str, further: str) -> str:
    rows = folder / "rows.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    path = folder / f"{name}.yaml"
    path.write_text(TASK.format(name=name, rows=rows, kind=kind, further=further))
    return str(path)


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    return write(tmp_path, "opposites_here", "multiple_choice", CHOICE)


def config(**options: object) -> EvaluationConfig:
    return EvaluationConfig(metrics=("harness",), options={"harness": options}, batch_size=4)


@pytest.mark.slow
@needs_harness
def test_a_task_of_ones_own_gives_a_value_for_each_row(task: str, tiny_lm: Path) -> None:
    model = ModelConfig(name=str(tiny_lm), device="cpu", max_length=64)
    judged = evaluate(model, None, [], [], config(tasks=[task]))
    assert judged.ids["harness"] == [f"opposites_here:{i}" for i in range(3)]
    values = judged.per_example["harness"]
    assert values == [1.0, 0.0, 1.0]  # the short choice is the likelier by far, which the second row calls wrong
    assert judged.summary["harness"] == pytest.approx(2 / 3)
    fewer = evaluate(model, None, [], [], config(tasks=[task], limit=1))
    assert fewer.per_example["harness"] == values[:1]
    with pytest.raises(EvaluationError, match="opposites_here has no measure 'f1'; it has: acc, acc_norm"):
        evaluate(model, None, [], [], config(tasks=[task], measure="f1"))
    Path(task).write_text("task: opposites_here\ndataset_path: json\noutput_type: nonsense\n")
    with pytest.raises(EvaluationError, match=r"can't run .*opposites_here.yaml \(.*\); check the task's name"):
        evaluate(model, None, [], [], config(tasks=[task]))


@needs_harness
def test_what_can_not_be_run_is_refused_before_a_model_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="harness names no task; give `tasks`, such as arc_easy"):
        check(config(), [], [])
    with pytest.raises(EvaluationError, match=r"the harness task .*none.yaml is no file; correct its path"):
        check(config(tasks=[str(tmp_path / "none.yaml")]), [], [])
    with pytest.raises(ConfigError, match="has no option 'task'"):
        check(config(task="x"), [], [])


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(EvaluationError, match=r"need the extra `harness`, .* pip install 'winnow-curation\[harness\]'"):
        METRICS.create("harness", tasks=("arc_easy",)).prepare()


@pytest.mark.parametrize("value", [37.2, -0.5, ("a", "b"), float("nan")])
def test_measures_without_a_share_for_each_row_are_refused(value: object) -> None:
    row = {"metrics": ["bleu"], "bleu": value}
    with pytest.raises(EvaluationError, match=r"has no value between 0 and 1 for each row in bleu .* another measure"):
        _value(row, "bleu", "translate")


def test_a_changed_file_is_another_measurement(task: str) -> None:
    asked = config(tasks=[task, "arc_easy"])
    before = fingerprints(asked)
    assert set(before) == {"harness"} and fingerprints(config(tasks=["arc_easy"])) == {}
    Path(task).write_text(Path(task).read_text() + "description: other\n")
    assert fingerprints(asked) != before


def test_only_metrics_of_given_rows_can_look_for_failures() -> None:
    assert on_rows(("query_loss", "harness", "exact_match")) == ("query_loss", "exact_match")
