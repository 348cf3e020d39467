"""Arms × seeds × budgets: each on its rows, judged alike, nothing twice; what goes wrong is said."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from curation import (
    answers,
    arms,
    comparison,
    evaluation,
    experiments,
    findings,
    merging,
    pipeline,
    result_tables,
    results,
    views,
)
from curation.config import BudgetConfig, EvaluationConfig, ExperimentConfig, RunConfig, TrainingConfig
from curation.errors import EvaluationError, SelectionError, TrainingError
from curation.progress import Silent
from curation.workspace import Workspace
from tests.scripted import KINDS, Script, design, make_run, write


@pytest.fixture
def run(tmp_path: Path, tiny_lm: Path) -> RunConfig:
    return make_run(tmp_path, tiny_lm)


def test_every_arm_is_tuned_on_its_rows_at_each_budget_and_judged(
    workspace: Workspace,
    run: RunConfig,
    script: Script,
    tmp_path: Path,
) -> None:
    (tmp_path / "own.jsonl").write_text("\n".join(f"p{i}" for i in range(1, 40, 4)))
    asked = design(
        run,
        arms=("zero_shot", "random", "off_task", "selected", "full"),
        selections={"greedy": {"selector": "doubly_greedy"}},
        subsets={"own": str(tmp_path / "own.jsonl")},
        budgets=(4,),
        seeds=(0,),
    )
    made = pipeline.run(workspace, asked)
    result = made["result"]
    assert list(result["arms"]) == [
        *("zero_shot", "random@4", "random", "random@10", "off_task", "selected"),
        *("greedy", "selected@4", "greedy@4", "own@10", "own@4", "full"),
    ]
    ids = workspace.ids(made["pool"])
    rows = {tuple(r): n for n, (_, r) in enumerate(script.tuned)}
    assert tuple(made["subset"]["id"]) in rows and tuple(made["subset"]["id"])[:4] in rows
    assert tuple(ids[i] for i in range(1, 40, 4)) in rows and tuple(ids) in rows
    assert [len(r) for _, r in script.tuned] == [4, 8, 10, 8, 8, 4, 10, 4, 40]  # greedy picks what selected does
    off = next(r for _, r in script.tuned if len(r) == 8 and not set(r) & {ids[i] for i in range(0, 40, 4)})
    assert result["arms"]["off_task"]["metrics"]["exact_match"]["mean"] == 0.0 and len(off) == 8
    told = result["differences"]["selected@4"]["exact_match"]
    assert told["versus_random"]["mean"] == pytest.approx(
        result["arms"]["selected@4"]["metrics"]["exact_match"]["mean"]
        - result["arms"]["random@4"]["metrics"]["exact_match"]["mean"]
    )
    assert told["versus_random"]["comparisons"] == 8 and told["versus_zero_shot"]["comparisons"] == 11
    assert set(result["knees"]) == {"random", "selected", "greedy", "own"}
    planned = arms.plan(asked.experiment, 8, 40, dict.fromkeys(("selected@4", "greedy@4", "own@4"), 4))  # type: ignore[arg-type]
    assert {p.arm for p in planned} <= set(result["arms"])
    table = result_tables.arms_table(result)
    assert "Selected, 4 examples" in list(table["Arm"]) and "Off-task" in list(table["Arm"])
    differs = {arm: told["exact_match"].get("versus_selected") for arm, told in result["differences"].items()}
    assert {arm for arm, told in differs.items() if told} == {"off_task", "greedy", "greedy@4", "own@4", "full"}
    assert differs["greedy@4"]["comparisons"] == 5 and differs["greedy@4"]["mean"] == 0.0
    assert len(result_tables.differences_table(result)) == 3 * (8 + 11 + 5)


def test_a_killed_experiment_goes_on_with_what_is_missing(
    workspace: Workspace,
    run: RunConfig,
    script: Script,
) -> None:
    script.dies_at = 4
    with pytest.raises(KeyboardInterrupt):
        pipeline.run(workspace, run)
    script.dies_at = 0
    result = pipeline.run(workspace, run)["result"]
    assert len(script.tuned) == 7 and len(set(script.tuned)) == 6  # the killed one alone was begun twice
    again = pipeline.run(workspace, run)
    assert again["result"] == result and len(script.tuned) == 7
    pipeline.run(workspace, design(run, price_per_hour=2.0))
    assert len(script.tuned) == 7


def test_a_diverged_training_is_said_and_the_other_seeds_judge(
    workspace: Workspace,
    run: RunConfig,
    script: Script,
) -> None:
    class Watcher(Silent):
        def __init__(self) -> None:
            self.stage = ""
            self.diverged: list[str] = []

        def start(self, stage: str, total: int, unit: str = "examples") -> None:  # noqa: ARG002
            self.stage = stage

        def advance(self, n: int = 1, **metrics: float) -> None:  # noqa: ARG002
            self.diverged += [self.stage] if "diverged" in metrics else []

    script.diverging, watcher = {(1, 8)}, Watcher()
    result = pipeline.run(workspace, run, watcher)["result"]
    assert watcher.diverged == ["random, seed 1: done", "selected, seed 1: done"]
    assert set(result["failed"]) == {"random", "selected"} and list(result["failed"]["selected"]) == ["1"]
    assert result["arms"]["selected"]["metrics"]["exact_match"]["n_seeds"] == 2
    told = [w for w in findings.warnings(result) if "diverged" in w]
    assert told[1] == (
        "The training of the arm Selected diverged with seed 1 and was stopped; nothing was kept: it diverged before "
        "its first good checkpoint. It is judged by its other seeds. Lower the learning rate and start again."
    )
    assert result["kept"] == {}


def test_the_last_good_weights_of_a_diverged_training_are_kept_told_and_can_be_merged(
    workspace: Workspace, run: RunConfig, script: Script
) -> None:
    script.diverging, script.keeps = {(1, 8)}, 1
    made = pipeline.run(workspace, run)
    key, steps = made["result"]["kept"]["selected"]["1"]
    folder = workspace.artefact("arm", key)
    assert steps == 1 and len((folder / "log.jsonl").read_text().splitlines()) == 1  # as it was then
    assert json.loads((folder / "result.json").read_text())["stopped_of"] == 6 and (folder / "model").is_dir()
    assert "1" not in made["result"]["tuned"]["selected"]
    assert merging.models_of(made["result"])["selected", 1] == (key, 1)
    assert made["result"]["failed"]["selected"]["1"].endswith("; its weights are kept as of step 1")
    assert any("diverged with seed 1 and was stopped; its weights are kept as of step 1. It is judged" in w
               for w in findings.warnings(made["result"]))  # fmt: skip
    script.diverging = {(s, 8) for s in range(3)}
    with pytest.raises(TrainingError, match=r"kept as of step 1, in artefacts/arm/\w{32}/model of the workspace"):
        pipeline.run(workspace, design(run, training=TrainingConfig(epochs=1.0)))


def test_a_model_whose_values_are_no_numbers_is_said_kept_from_the_cache_and_the_others_go_on(
    workspace: Workspace, run: RunConfig, script: Script
) -> None:
    script.numberless = {(1, 8)}
    result = pipeline.run(workspace, run)["result"]
    row = workspace.ids(result["tests"])[3][:12]
    assert list(result["failed"]["selected"]) == ["1"] and "1" in result["tuned"]["selected"]
    assert [w for w in findings.warnings(result) if "can't be judged" in w][1] == (
        f"Selected, seed 1 can't be judged: its test loss on row {row} is nan; lower the learning rate and start "
        "again, or leave the arm out. It is judged by its other seeds."
    )
    assert result["arms"]["selected"]["metrics"]["test_loss"]["n_seeds"] == 2
    assert len(workspace.artefacts("evaluation")) == 1 + 2 + 2  # nothing is kept of such a judgement
    script.numberless = {(s, 8) for s in range(3)}
    again = design(run, training=TrainingConfig(epochs=1.0))
    with pytest.raises(EvaluationError, match=r"selected, seed 2 can't be judged: its test loss on row \w+ is nan"):
        pipeline.run(workspace, again)
    script.numberless = set()
    assert pipeline.run(workspace, again)["result"]["failed"] == {}
    script.numberless = {(0, 0)}
    with pytest.raises(EvaluationError, match=r"untuned model can't be judged: its test loss .* choose another dtype"):
        pipeline.run(workspace, design(run, evaluation=EvaluationConfig(metrics=("test_loss",))))


def test_query_losses_of_an_arm_that_another_query_set_watched_are_this_experiments_own(
    workspace: Workspace, run: RunConfig, script: Script, tmp_path: Path
) -> None:
    def watched(result: dict[str, Any], arm: str) -> list[tuple[float, float]]:
        points = result["curves"][arm]
        return [(p["step"], p["query_loss"]) for p in points if p["seed"] == 0 and "query_loss" in p]

    told = [(0, 0.9), (1, 0.5), (2, 0.5)]
    first = pipeline.run(workspace, design(run, seeds=(0,)))["result"]
    assert watched(first, "random") == watched(first, "selected") == told
    asked = [{"prompt": f"spell the word number {900 + i}", "response": "x"} for i in range(3)]
    other = dataclasses.replace(run, queries=write(tmp_path / "spell.jsonl", asked))
    second = pipeline.run(workspace, design(other, seeds=(0,)))["result"]
    assert len(script.tuned) == 3 and watched(second, "selected") == told  # the random arm is shared
    means = [second["arms"][arm]["metrics"]["query_loss"]["mean"] for arm in ("zero_shot", "random")]
    assert watched(second, "random") == [(0, pytest.approx(means[0])), (2, pytest.approx(means[1]))]
    for arm in ("random", "selected"):  # as earlier versions left them
        (workspace.artefact("arm", first["tuned"][arm]["0"]) / "watched.txt").unlink()
    old = pipeline.run(workspace, design(run, seeds=(0,), exclude_overlap=True))["result"]
    assert [step for arm in ("random", "selected") for step, _ in watched(old, arm)] == [0, 2, 0, 2]
    early = design(other, seeds=(0,), training=TrainingConfig(early_stopping=True))
    assert watched(pipeline.run(workspace, early)["result"], "random") == told  # its key holds the queries


def test_a_training_that_two_query_sets_watched_tells_of_neither(
    workspace: Workspace, run: RunConfig, script: Script, tmp_path: Path
) -> None:
    script.dies_at = 1
    with pytest.raises(KeyboardInterrupt):
        pipeline.run(workspace, design(run, seeds=(0,)))
    other = dataclasses.replace(run, queries=write(tmp_path / "q.jsonl", [{"prompt": "spell 9", "response": "x"}]))
    result = pipeline.run(workspace, design(other, seeds=(0,)))["result"]
    assert [p["step"] for p in result["curves"]["random"] if "query_loss" in p] == [0, 2]


def test_when_every_training_diverges_the_experiment_fails_with_that_sentence(
    workspace: Workspace,
    run: RunConfig,
    script: Script,
) -> None:
    script.diverging = {(s, 8) for s in range(3)}
    with pytest.raises(TrainingError, match="diverged at step 3 of 6: loss nan; lower the learning rate"):
        pipeline.run(workspace, run)


def test_a_model_that_writes_nothing_is_said(
    workspace: Workspace,
    run: RunConfig,
    script: Script,
) -> None:
    script.silent = {8}
    result = pipeline.run(workspace, run)["result"]
    assert result["unanswered"] == {"zero_shot": [0, 20], "random": [60, 60], "selected": [60, 60]}
    told = [w for w in findings.warnings(result) if "wrote nothing" in w]
    assert len(told) == 2 and told[1].startswith("The arm Selected wrote nothing to 60 of 60 test prompts")


def test_one_test_example_has_no_interval_and_says_so(
    workspace: Workspace,
    run: RunConfig,
    script: Script,
    tmp_path: Path,
) -> None:
    one = write(tmp_path / "one.jsonl", [{"prompt": "add the numbers 7 and 9", "response": "16"}])
    result = pipeline.run(workspace, dataclasses.replace(run, tests=one))["result"]
    told = result["arms"]["selected"]["metrics"]["test_loss"]
    assert told["high"] is None
    assert findings.warnings(result)[0] == (
        "There is one test example: it says next to nothing of others; load more of them."
    )
    assert "no interval from so few examples" in findings.interval("test_loss", told)
    assert findings.findings(result)[0].verdict == "same"
    assert len(script.tuned) == 6


def test_overlap_is_said_and_left_out_on_request(
    workspace: Workspace,
    run: RunConfig,
    script: Script,
    tmp_path: Path,
) -> None:
    tests = [{"prompt": "add the numbers 4 and 5", "response": "9"}, {"prompt": KINDS[1].format(5), "response": "x"}]
    tests += [{"prompt": f"add the numbers {i} and {i + 7}", "response": str(2 * i + 7)} for i in range(500, 520)]
    both = dataclasses.replace(run, tests=write(tmp_path / "both.jsonl", tests))
    result = pipeline.run(workspace, both)["result"]
    assert result["n_test"] == 22 and result["overlap"]["pool"] == 2
    told = next(w for w in findings.warnings(result) if "stand elsewhere" in w)
    assert told.startswith("2 of the test set's prompts stand elsewhere too (2 in the pool). Answers to them may be")
    without = pipeline.run(workspace, design(both, exclude_overlap=True))["result"]
    assert without["n_test"] == 20 and without["arms"]["selected"]["metrics"]["exact_match"]["n_examples"] == 20
    assert "They were left out." in next(w for w in findings.warnings(without) if "stand elsewhere" in w)
    assert len(script.tuned) == 6  # judged anew, not tuned anew
    record = results.ExperimentRecord(None, ExperimentConfig(), without)  # type: ignore[arg-type]
    shown, n = answers.answers(workspace, record, limit=30)
    assert len(shown) == 20 == n and "add the numbers 4" not in shown["prompt"][0]
    assert shown["selected/0"].tolist() == ["words"] * 20 and shown["selected/0: right"].sum() > 0
    assert set(without["tuned"]) == {"random", "selected"} and set(without["tuned"]["random"]) == {"0", "1", "2"}
    assert workspace.find("arm", without["tuned"]["selected"]["1"])


def test_epochs_are_judged_on_the_queries_or_a_dev_split_never_on_rows_that_judge_arms(
    workspace: Workspace,
    run: RunConfig,
    script: Script,
) -> None:
    early = design(run, training=TrainingConfig(early_stopping=True), seeds=(0,))
    result = pipeline.run(workspace, early)["result"]
    assert script.queries == [workspace.ids(result["queries"])] * 2
    assert "by the loss on the query set, which judges arms too: their query loss" in findings.fairness(result)
    split = pipeline.run(workspace, design(early, dev_share=0.4))["result"]
    dev = script.queries[-1]
    assert len(dev) == split["n_dev"] > 0 and split["n_test"] == 20 - len(dev) and len(script.tuned) == 4
    key = split["evaluations"]["selected"]["0"]
    judged = json.loads((workspace.artefact("evaluation", key) / "evaluation.json").read_text())
    assert set(judged["ids"]["test_loss"]) | set(dev) == set(workspace.ids(split["tests"]))
    assert not set(judged["ids"]["test_loss"]) & set(dev)
    assert f"by the loss on {len(dev)} test rows set aside, which judge no arm" in findings.fairness(split)


def test_what_is_equal_is_said_and_held(
    workspace: Workspace,
    run: RunConfig,
    script: Script,
) -> None:
    steps = design(run, equal="steps", arms=("selected", "full"), seeds=(0,))
    result = pipeline.run(workspace, steps)["result"]
    assert {c.max_steps for c in script.configs} == {3}  # 3 passes of one batch
    assert findings.fairness(result).startswith("Every arm takes as many optimizer steps")
    tokens = pipeline.run(workspace, design(run, equal="tokens", seeds=(0,)))
    lengths = dict(
        zip(workspace.ids(tokens["pool"]), pipeline.tokens(workspace, tokens["pool"], run.model), strict=True)
    )  # type: ignore[arg-type]
    sums = [sum(lengths[i] for i in rows) for _, rows in script.tuned[2:]]
    assert abs(sums[0] - sums[1]) < min(lengths.values())
    assert findings.fairness(tokens["result"]).startswith("Random and off-task arms have as many tokens")


@pytest.mark.parametrize(
    ("judging", "said"),
    [
        ({"metrics": ("multiple_choice",)}, "multiple_choice can judge none of the 20 tests .*no column `choices`"),
        ({"metrics": ("pass_at_k",)}, "pass_at_k can judge none of the 20 tests .*no column `test`"),
        ({"metrics": ("exact_match", "numeric_match"), "no": True}, "numeric_match can judge none of the 20 tests"),
    ],
)
def test_a_metric_without_the_field_it_needs_is_refused_before_anything_is_tuned(
    workspace: Workspace,
    run: RunConfig,
    script: Script,
    judging: dict[str, Any],
    said: str,
    tmp_path: Path,
) -> None:
    if judging.pop("no", False):
        words = [{"prompt": f"a test about thing {i}", "response": "wordy"} for i in range(20)]
        run = dataclasses.replace(run, tests=write(tmp_path / "words.jsonl", words))
    with pytest.raises(EvaluationError, match=said):
        pipeline.run(workspace, design(run, evaluation=EvaluationConfig(**judging)))
    assert script.tuned == []


def test_pass_at_k_is_off_until_it_is_turned_on(
    workspace: Workspace,
    run: RunConfig,
    script: Script,
    tmp_path: Path,
) -> None:
    code = [
        {"prompt": f"write f{i}", "response": "x", "test": "def check(f): pass", "entry_point": f"f{i}"} for i in "ab"
    ]
    coded = dataclasses.replace(run, tests=write(tmp_path / "code.jsonl", code))
    asked = EvaluationConfig(metrics=("pass_at_k",))
    with pytest.raises(EvaluationError, match="pass_at_k runs programs that the model writes and is off; switch"):
        pipeline.run(workspace, design(coded, evaluation=asked))
    allowed = dataclasses.replace(asked, options={"pass_at_k": {"allow": True}})
    result = pipeline.run(workspace, design(coded, evaluation=allowed))["result"]
    assert result["metrics"] == ["pass_at_k"] and findings.main_metric(result) == "pass_at_k"
    more = dataclasses.replace(asked, options={"pass_at_k": {"allow": True, "samples": 4}})
    keys = pipeline.run(workspace, design(coded, evaluation=more))["result"]["evaluations"]
    assert len(script.tuned) == 6
    assert keys != result["evaluations"]  # other options, other judgements


def test_an_empty_selection_is_refused(workspace: Workspace, run: RunConfig) -> None:
    assert run.model is not None
    inputs = experiments.Inputs(run.model, "pool", "queries", None, (), ())
    with pytest.raises(SelectionError, match="the selection is empty, expected at least one example; raise the budget"):
        experiments.experiment(workspace, inputs, ExperimentConfig())


def test_a_saved_selection_is_an_arm_unless_it_is_of_another_pool(
    workspace: Workspace, run: RunConfig, script: Script, tmp_path: Path
) -> None:
    greedy = dataclasses.replace(run.selection, selector="doubly_greedy", budget=BudgetConfig(examples=5))
    made = pipeline.run(workspace, dataclasses.replace(run, experiment=None))
    folder = workspace.artefact("representation", made["representation"])
    key = comparison.store_selection(
        workspace, views.select_view(workspace.root, folder, json.dumps(greedy.to_dict(), sort_keys=True))
    )
    asked = design(run, selections={"mine": {"saved": key}}, seeds=(0,))
    result = pipeline.run(workspace, asked)["result"]
    assert result["arms"]["mine@5"]["n_examples"] == result["arms"]["random@5"]["n_examples"] == 5
    assert comparison.open_artefact(workspace, key).ids in [rows for _, rows in script.tuned]
    other = write(tmp_path / "other.jsonl", [{"prompt": KINDS[0].format(i, i), "response": "x"} for i in range(20)])
    with pytest.raises(SelectionError, match="the saved selection 'mine' is of another pool than the one under test"):
        pipeline.run(workspace, dataclasses.replace(asked, pool=other))


@pytest.mark.slow
def test_a_real_experiment_over_budgets_stops_early_and_is_judged_by_the_new_metrics(
    workspace: Workspace, run: RunConfig, tmp_path: Path
) -> None:
    tests = [{"prompt": f"add {i} and {i}", "response": str(2 * i), "choices": [str(2 * i), "no"]} for i in range(6)]
    tests = [{**row, "answer": row["response"]} for row in tests]
    training = TrainingConfig(epochs=4.0, batch_size=4, micro_batch_size=4, learning_rate=0.05, early_stopping=True)
    metrics = ("query_loss", "exact_match", "numeric_match", "token_f1", "rouge_l", "multiple_choice")
    real = design(
        dataclasses.replace(run, tests=write(tmp_path / "real.jsonl", tests)),
        arms=("zero_shot", "selected", "off_task"),
        budgets=(4,),
        seeds=(0,),
        training=training,
        evaluation=EvaluationConfig(metrics=metrics, max_new_tokens=4),
    )
    result = pipeline.run(workspace, real)["result"]
    assert set(result["arms"]) == {"zero_shot", "selected", "selected@4", "off_task"}
    assert set(result["arms"]["selected"]["metrics"]) == set(metrics) <= set(evaluation.METRICS)
    told = result["arms"]["selected"]
    assert told["memory"] > 1e8 and told["disk"] > 1e4 and told["seconds"] > 0
    steps = [p for p in result["curves"]["selected"] if "loss" in p]
    assert told["seen"] == sum(p["tokens"] for p in steps)
    watched = [(p["step"], p["query_loss"]) for p in result["curves"]["selected"] if "query_loss" in p]
    assert [step for step, _ in watched] == list(range(0, len(steps) + 1, 2))  # two steps a pass over 8 rows
    assert watched[0][1] == pytest.approx(result["arms"]["zero_shot"]["metrics"]["query_loss"]["mean"], rel=1e-5)
    assert experiments.VERSION == 3
