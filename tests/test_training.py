"""Training learns the encoder's answer tokens and nothing else, and comes to the same bytes however often killed."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from tensorboardX.proto.event_pb2 import Event, SessionLog
from transformers import TrainerCallback
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

from curation import models, training
from curation.config import ModelConfig, TrainingConfig, WarmupConfig
from curation.data.chat import Encoder
from curation.data.rows import Example, Message, row_id
from curation.errors import TrainingError
from curation.progress import Silent
from curation.training import checkpoints, recorder
from curation.training.plan import BatchPlan
from curation.training.trainer import AnswerTrainer, make_trainer

CONFIG = TrainingConfig(epochs=2.0, batch_size=4, micro_batch_size=4, lora_r=4, lora_alpha=8, learning_rate=1e-3)


class StopError(Exception):
    """Stands for a kill."""


class Recording(Silent):
    """Progress that remembers, and dies after a given step."""

    def __init__(self, stop_after: int = 0) -> None:
        self.stop_after, self.step, self.total, self.metrics = stop_after, 0, 0, []

    def start(self, stage: str, total: int, unit: str = "examples") -> None:
        assert (stage, unit) == ("training", "steps")
        self.total = total

    def advance(self, n: int = 1, **metrics: float) -> None:
        self.step += n
        self.metrics.append(metrics)
        if self.step == self.stop_after:
            raise StopError


def example(prompt: str, answer: str) -> Example:
    messages = (Message("user", prompt), Message("assistant", answer))
    return Example(row_id(messages), messages)


@pytest.fixture(scope="module")
def model(tiny_lm: Path) -> ModelConfig:
    return ModelConfig(name=str(tiny_lm), device="cpu", max_length=64)


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    return [
        example(f"What is {n} plus {n * n}?" + " Think." * (n % 3), f"It is {n + n * n}." * (n % 4 + 1))
        for n in range(10)
    ]


@pytest.fixture(scope="module")
def encoder(model: ModelConfig) -> Encoder:
    return Encoder(models.load_tokenizer(model), model.max_length)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file's bytes, the clock's readings left out."""
    files = (p for p in sorted(folder.rglob("*")) if p.is_file() and p.parent.name != "tensorboard")
    found = {str(p.relative_to(folder)): p.read_bytes() for p in files}
    found["result.json"] = json.dumps(json.loads(found["result.json"]) | {"seconds": 0}).encode()
    return found


def log(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def plain_loss(network: Any, rows: list[Any]) -> torch.Tensor:
    """Mean over the answer tokens of all rows, one row at a time."""
    losses = []
    for row in rows:
        logits = network(input_ids=torch.tensor([row.input_ids])).logits[0, :-1].float()
        learned = torch.tensor(row.labels_mask[1:])
        losses.append(
            torch.nn.functional.cross_entropy(
                logits[learned], torch.tensor(row.input_ids[1:])[learned], reduction="none"
            )
        )
    return torch.cat(losses).mean()


def test_the_trainers_loss_is_the_plain_mean_over_answer_tokens(
    model: ModelConfig, examples: list[Example], encoder: Encoder, tmp_path: Path
) -> None:
    training.fine_tune(model, examples, replace(CONFIG, learning_rate=0.0), tmp_path, seed=3)
    rows = [encoder.encode(e) for e in examples]
    plan = BatchPlan([len(r.input_ids) for r in rows], batch_size=4, micro_batch_size=4, seed=3)
    network = models.load_causal_lm(model)
    with torch.no_grad():
        expected = [plain_loss(network, [rows[i] for i in step]).item() for e in range(2) for step in plan.steps(e)]
    assert len(expected) == 6
    np.testing.assert_allclose([entry["loss"] for entry in log(tmp_path)], expected, rtol=1e-5)


def test_the_model_sees_the_encoders_labels(
    model: ModelConfig, examples: list[Example], encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = set()
    compute = AnswerTrainer.compute_loss

    def spy(self: Any, network: Any, inputs: Any, *args: Any, **options: Any) -> Any:
        for ids, mask, labels in zip(
            *(inputs[k].tolist() for k in ("input_ids", "attention_mask", "labels")), strict=True
        ):
            length = sum(mask)
            assert mask == [1] * length + [0] * (len(ids) - length)
            assert labels[length:] == [-100] * (len(ids) - length)
            seen.add((tuple(ids[:length]), tuple(labels[:length])))
        return compute(self, network, inputs, *args, **options)

    monkeypatch.setattr(AnswerTrainer, "compute_loss", spy)
    training.fine_tune(model, examples, replace(CONFIG, epochs=1.0), tmp_path, seed=0)
    encoded = [encoder.encode(e) for e in examples]
    assert seen == {(tuple(r.input_ids), tuple(r.labels)) for r in encoded}


def test_the_cpu_loss_and_gradient_equal_trls(
    model: ModelConfig, examples: list[Example], encoder: Encoder, tmp_path: Path
) -> None:
    from trl import SFTTrainer

    rows = [encoder.encode(e) for e in examples]
    plan = BatchPlan([len(r.input_ids) for r in rows], batch_size=10, micro_batch_size=10, seed=0)
    made = make_trainer(
        model, CONFIG, 0, rows, encoder.tokenizer, tmp_path, 1, plan, TrainerCallback(), {"report_to": "none"}
    )
    batch = next(iter(made.get_train_dataloader()))
    found = []
    for compute in (AnswerTrainer.compute_loss, SFTTrainer.compute_loss):
        made.model.zero_grad()
        loss = compute(made, made.model, dict(batch), num_items_in_batch=torch.tensor(50))
        loss.backward()
        found.append([loss.detach(), *(p.grad for p in made.model.parameters() if p.grad is not None)])
    for ours, trls in zip(*found, strict=True):
        torch.testing.assert_close(ours, trls, rtol=1e-4, atol=1e-6)


def test_micro_batches_change_memory_not_the_result(
    model: ModelConfig, examples: list[Example], tmp_path: Path
) -> None:
    for size in (4, 3):  # 3 does not divide 4, and the epoch's last step is short
        training.fine_tune(model, examples, replace(CONFIG, micro_batch_size=size), tmp_path / str(size), seed=0)
    whole, split = (load_file(tmp_path / str(size) / "model" / "adapter_model.safetensors") for size in (4, 3))
    for name, value in whole.items():
        torch.testing.assert_close(split[name], value, rtol=1e-3, atol=2e-5)
    assert [e["loss"] for e in log(tmp_path / "3")] == pytest.approx([e["loss"] for e in log(tmp_path / "4")], rel=1e-4)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(
    model: ModelConfig, examples: list[Example], tmp_path: Path
) -> None:
    config = replace(CONFIG, lora_dropout=0.1)
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        torch.rand(1), np.random.rand(1)  # the caller's own state must not matter
        training.fine_tune(model, examples, config, tmp_path / name, seed=seed)
    a, b, c = (contents(tmp_path / name) for name in "abc")
    assert a == b
    assert a["model/adapter_model.safetensors"] != c["model/adapter_model.safetensors"]
    assert "resume" not in {path.partition("/")[0] for path in a}


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_killed_training_resumes_to_the_same_bytes(
    method: str, model: ModelConfig, examples: list[Example], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "CHECKPOINT_SECONDS", 0.0)
    config = replace(
        CONFIG, method=method, epochs=3.0, lora_dropout=0.1, save_every_epoch=method == "lora", early_stopping=True
    )
    queries = examples[:2]
    whole = training.fine_tune(model, examples, config, tmp_path / "whole", seed=0, queries=queries)
    assert whole.steps == 9
    # In mid-epoch, right behind an epoch's end, and in the last epoch; each run goes on where the last one died.
    for stop in (2, 4, 7) if method == "lora" else (5,):
        with pytest.raises(StopError):
            training.fine_tune(
                model, examples, config, tmp_path / "cut", seed=0, queries=queries, progress=Recording(stop)
            )
        assert checkpoints.last_checkpoint(tmp_path / "cut" / "resume").name == f"checkpoint-{stop - 1}"
    torn = tmp_path / "cut" / "resume" / "checkpoint-8"
    torn.mkdir()
    progress = Recording()
    training.fine_tune(model, examples, config, tmp_path / "cut", seed=0, queries=queries, progress=progress)
    assert (progress.step, progress.total) == (9, 9)
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def test_a_kill_at_an_epochs_end_loses_none_of_its_files(
    model: ModelConfig, examples: list[Example], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "CHECKPOINT_SECONDS", 0.0)
    config = replace(CONFIG, save_every_epoch=True)
    training.fine_tune(model, examples, config, tmp_path / "whole", seed=0)

    def die(*_: Any) -> None:
        raise StopError

    with monkeypatch.context() as patch, pytest.raises(StopError):
        patch.setattr(recorder, "save_optimizer", die)
        training.fine_tune(model, examples, config, tmp_path / "cut", seed=0)
    training.fine_tune(model, examples, config, tmp_path / "cut", seed=0)
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def test_a_finished_training_is_returned_and_another_one_starts_anew(
    model: ModelConfig, examples: list[Example], tmp_path: Path
) -> None:
    first = training.fine_tune(model, examples, replace(CONFIG, save_every_epoch=True), tmp_path, seed=0)
    progress = Recording()
    again = training.fine_tune(
        model, examples, replace(CONFIG, save_every_epoch=True), tmp_path, seed=0, progress=progress
    )
    assert (again, progress.step) == (first, 0)
    other = training.fine_tune(model, examples, replace(CONFIG, max_steps=2), tmp_path, seed=0)
    assert other.steps == 2 and len(log(tmp_path)) == 2
    assert not (tmp_path / "checkpoint-1").exists()


def test_warmup_keeps_adams_state_by_name(
    model: ModelConfig, examples: list[Example], encoder: Encoder, tmp_path: Path
) -> None:
    config = WarmupConfig(share=0.5, seed=5, training=replace(CONFIG, learning_rate=0.0, max_grad_norm=0.0))
    result = training.warmup(model, examples, config, tmp_path)
    assert json.loads((tmp_path / "warmup.json").read_text()) == {
        "model": model.name, "seed": 5, "n_examples": 5, "steps": 4
    }  # fmt: skip
    assert result.n_examples == 5
    # At learning rate 0 the weights stand still, so Adam's moments follow from plain gradients of the logged batches.
    sample = sorted(np.random.default_rng(5).permutation(10)[:5])
    rows = [encoder.encode(examples[i]) for i in sample]
    plan = BatchPlan([len(r.input_ids) for r in rows], batch_size=4, micro_batch_size=4, seed=5)
    network = models.load_causal_lm(model, tmp_path / "checkpoint-1")
    trained = {n: p.requires_grad_() for n, p in network.named_parameters() if "lora_" in n}
    for epoch in (0, 1):
        folder = tmp_path / f"checkpoint-{epoch + 1}"
        scalars = json.loads((folder / "optimizer.json").read_text())
        assert scalars == {"step": 2 * epoch + 2, "betas": [0.9, 0.999], "eps": 1e-8, "learning_rate_mean": 0.0}
        state = load_file(folder / "optimizer.safetensors")
        assert {n.rpartition("/")[0] for n in state} == set(trained)
    m = {n: torch.zeros_like(p) for n, p in trained.items()}
    v = {n: torch.zeros_like(p) for n, p in trained.items()}
    for rows_of_step in plan.steps(0) + plan.steps(1):
        network.zero_grad()
        plain_loss(network, [rows[i] for i in rows_of_step]).backward()
        for n, p in trained.items():
            m[n] = 0.9 * m[n] + 0.1 * p.grad
            v[n] = 0.999 * v[n] + 0.001 * p.grad**2
    for n in trained:
        torch.testing.assert_close(state[f"{n}/exp_avg"], m[n], rtol=1e-3, atol=1e-7)
        torch.testing.assert_close(state[f"{n}/exp_avg_sq"], v[n], rtol=1e-3, atol=1e-10)
    assert max(float(value.abs().max()) for n, value in m.items() if "lora_B" in n) > 1e-4


def test_warmup_weighs_epochs_by_their_mean_learning_rate(
    model: ModelConfig, examples: list[Example], tmp_path: Path
) -> None:
    config = WarmupConfig(share=1.0, training=replace(CONFIG, epochs=3.0, schedule="linear", warmup_ratio=0.25))
    training.warmup(model, examples, config, tmp_path)
    rates = [entry["learning_rate"] for entry in log(tmp_path)]
    assert rates[:4] == pytest.approx([0.0, 5e-4, 1e-3, 1e-3 * 6 / 7])  # 9 steps, 2 of them rising
    for k in (1, 2, 3):
        scalars = json.loads((tmp_path / f"checkpoint-{k}" / "optimizer.json").read_text())
        assert scalars["learning_rate_mean"] == pytest.approx(np.mean(rates[3 * k - 3 : 3 * k]))


def test_the_warmup_must_be_lora(model: ModelConfig, examples: list[Example], tmp_path: Path) -> None:
    config = WarmupConfig(training=TrainingConfig(method="full"))
    with pytest.raises(TrainingError, match=r"method is 'full', expected 'lora'"):
        training.warmup(model, examples, config, tmp_path)


def test_full_fine_tuning_moves_every_weight_and_loads_as_a_model(
    model: ModelConfig, examples: list[Example], tmp_path: Path
) -> None:
    config = replace(CONFIG, method="full", learning_rate=1e-4)
    result = training.fine_tune(model, examples, config, tmp_path, seed=0)
    before = models.load_causal_lm(model)
    after = models.load_causal_lm(replace(model, name=str(tmp_path / "model")))
    assert models.load_tokenizer(replace(model, name=str(tmp_path / "model"))).chat_template
    assert result.trainable_parameters == sum(p.numel() for p in before.parameters())
    changed = [not torch.equal(a, b) for a, b in zip(before.parameters(), after.parameters(), strict=True)]
    assert all(changed)
    assert after.config.use_cache == before.config.use_cache
    assert log(tmp_path)[-1]["loss"] < log(tmp_path)[0]["loss"]


def test_base_in_four_bits_is_tuned_by_lora_alone(model: ModelConfig, examples: list[Example], tmp_path: Path) -> None:
    small = replace(model, dtype="4-bit")
    config = TrainingConfig(epochs=3.0, batch_size=4, learning_rate=1e-2, lora_r=4)
    result = training.fine_tune(small, examples, config, tmp_path / "lora", seed=0)
    assert result.loss < log(tmp_path / "lora")[0]["loss"]
    with pytest.raises(TrainingError, match="weights in 4 bits can't be tuned themselves; choose method lora"):
        training.fine_tune(small, examples, replace(config, method="full"), tmp_path / "full", seed=0)


def test_early_stopping_keeps_the_epoch_with_the_lowest_query_loss(
    model: ModelConfig, examples: list[Example], tmp_path: Path
) -> None:
    config = replace(CONFIG, epochs=3.0, learning_rate=0.02, early_stopping=True, save_every_epoch=True)
    queries = [example("Name a colour.", "Blue is a colour."), example("Who sings?", "Birds sing in the morning.")]
    result = training.fine_tune(model, examples, config, tmp_path, seed=0, queries=queries)
    assert len(result.query_losses) == 3
    assert result.best_epoch == int(np.argmin(result.query_losses)) + 1 != 3  # this rate makes it worse in the end
    kept = (tmp_path / "model" / "adapter_model.safetensors").read_bytes()
    for k in (1, 2, 3):
        checkpoint = (tmp_path / f"checkpoint-{k}" / "adapter_model.safetensors").read_bytes()
        assert (checkpoint == kept) == (k == result.best_epoch)


def test_training_ends_once_epochs_in_a_row_brought_no_lower_query_loss(
    model: ModelConfig, examples: list[Example], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([0.5, 3.0, 1.0, 2.0, 1.5, 0.1])  # the first is before the first step, and competes with no epoch
    monkeypatch.setattr(recorder, "answer_losses", lambda *_, **__: [next(losses)])
    config = replace(CONFIG, epochs=6.0, early_stopping=True)
    queries = [example("Name a colour.", "Blue is a colour.")]
    result = training.fine_tune(model, examples, config, tmp_path, seed=0, queries=queries)
    assert result.query_losses == (3.0, 1.0, 2.0, 1.5) and result.best_epoch == 2
    assert result.query_loss_before == 0.5
    assert (result.steps, result.epochs) == (12, 4.0) and len(log(tmp_path)) == 12


def test_watching_the_query_loss_changes_nothing_that_is_trained(
    model: ModelConfig, examples: list[Example], encoder: Encoder, tmp_path: Path
) -> None:
    config, queries = replace(CONFIG, lora_dropout=0.1), examples[:3]
    training.fine_tune(model, examples, config, tmp_path / "alone", seed=0)
    progress = Recording(stop_after=-1)
    result = training.fine_tune(model, examples, config, tmp_path / "seen", seed=0, queries=queries, progress=progress)
    weights = [(tmp_path / n / "model" / "adapter_model.safetensors").read_bytes() for n in ("alone", "seen")]
    assert weights[0] == weights[1] and log(tmp_path / "alone") == log(tmp_path / "seen")
    told = [m["query_loss"] for m in progress.metrics if "query_loss" in m]
    assert told == [result.query_loss_before, *result.query_losses] and len(told) == 3 and result.best_epoch is None
    for folder, loss in ((None, told[0]), (tmp_path / "seen" / "model", told[-1])):
        network = models.load_causal_lm(model, folder)
        with torch.no_grad():
            plain = [plain_loss(network, [encoder.encode(q)]).item() for q in queries]
        assert loss == pytest.approx(np.mean(plain), rel=1e-5)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_stopped_by_hand_it_keeps_what_it_has_and_can_go_on_to_the_same_bytes(
    early_stopping: bool, model: ModelConfig, examples: list[Example], tmp_path: Path
) -> None:
    config = replace(CONFIG, epochs=3.0, lora_dropout=0.1, early_stopping=early_stopping)
    whole = training.fine_tune(model, examples, config, tmp_path / "whole", seed=0, queries=examples[:2])
    progress, cut = Recording(stop_after=-1), tmp_path / "cut"
    stopped = training.fine_tune(
        model, examples, config, cut, seed=0, queries=examples[:2], progress=progress, stop=lambda: progress.step == 5
    )
    assert (stopped.steps, stopped.stopped_of) == (5, 9) and not (cut / "result.json").exists()
    assert stopped.query_losses == whole.query_losses[:1]  # the second epoch did not end
    assert stopped.best_epoch == (1 if early_stopping else None)
    models.load_causal_lm(model, cut / "model")
    kept = (cut / "model" / "adapter_model.safetensors").read_bytes()
    at = "best" if early_stopping else "resume/checkpoint-5"
    assert kept == (cut / at / "adapter_model.safetensors").read_bytes()
    mark = cut / "resume" / "checkpoint-5" / checkpoints.COMPLETE
    assert 0 < float(mark.read_text()) < stopped.seconds
    mark.write_text("1000")  # seconds that the first attempt took
    progress = Recording(stop_after=-1)
    on = training.fine_tune(model, examples, config, cut, seed=0, queries=examples[:2], progress=progress)
    assert on.seconds > 1000
    assert on.stopped_of is None and len(progress.metrics) == 1 + 4 + 2  # five taken up, four steps, two epochs
    assert contents(cut) == contents(tmp_path / "whole")


@pytest.mark.parametrize(("early_stopping", "steps"), [(False, range(1, 6)), (True, (3,))])
def test_stopped_at_any_step_it_goes_on_to_the_same_bytes(
    early_stopping: bool, steps: Sequence[int], model: ModelConfig, examples: list[Example], tmp_path: Path
) -> None:
    config = replace(CONFIG, early_stopping=early_stopping, save_every_epoch=True)  # 3 steps an epoch
    run = partial(training.fine_tune, model, examples, config, seed=0, queries=examples[:2])
    whole = run(tmp_path / "whole")
    for at in steps:
        progress, cut = Recording(stop_after=-1), tmp_path / str(at)
        stopped = run(cut, progress=progress, stop=lambda progress=progress, at=at: progress.step == at)
        assert (stopped.steps, stopped.stopped_of) == (at, 6)
        assert stopped.query_losses == whole.query_losses[: at // 3] and (cut / "checkpoint-1").exists() == (at >= 3)
        assert run(cut).query_losses == whole.query_losses
        assert contents(cut) == contents(tmp_path / "whole")


def test_a_stop_where_it_ends_by_itself_stops_nothing(
    model: ModelConfig, examples: list[Example], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([0.5, 1.0, 2.0, 3.0])
    monkeypatch.setattr(recorder, "answer_losses", lambda *_, **__: [next(losses)])
    config, progress = replace(CONFIG, epochs=6.0, early_stopping=True), Recording(stop_after=-1)
    queries, stop = examples[:1], lambda: progress.step == 9  # two epochs without a lower loss
    result = training.fine_tune(
        model, examples, config, tmp_path, seed=0, queries=queries, progress=progress, stop=stop
    )
    assert (result.steps, result.stopped_of, result.best_epoch) == (9, None, 1)
    assert (tmp_path / "result.json").exists()


@pytest.mark.parametrize(
    ("changes", "saves", "at", "kept"),
    [
        ({}, True, 3, 1),  # the weights of step 2 gave the loss that is no number
        ({"method": "full"}, True, 3, 1),
        ({}, False, 5, 3),  # an epoch's end, judged
        ({"early_stopping": True}, True, 8, 3),  # the best epoch, not the last
        ({"method": "full"}, False, 5, None),
        ({}, False, 3, None),
    ],
)
def test_nan_stops_the_training_and_the_last_good_weights_are_kept_as_if_stopped_there(
    changes: dict[str, Any],
    saves: bool,
    at: int,
    kept: int | None,
    model: ModelConfig,
    examples: list[Example],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config, progress = replace(CONFIG, epochs=3.0, **changes), Recording(stop_after=-1)
    if config.early_stopping:
        losses = iter([2.0, 1.0, 2.0, 1.0, 2.0])  # before the first step and an epoch, then both and one more
        monkeypatch.setattr(recorder, "answer_losses", lambda *_, **__: [next(losses)])
    run = partial(training.fine_tune, model, examples, config, seed=0, queries=examples[:2])
    if kept is not None:
        stopped = run(tmp_path / "stopped", progress=progress, stop=lambda: progress.step == kept)
    monkeypatch.setattr(recorder, "CHECKPOINT_SECONDS", 0.0 if saves else 1e9)
    compute = AnswerTrainer.compute_loss

    def poisoned(self: Any, *args: Any, **options: Any) -> Any:
        return compute(self, *args, **options) * (float("nan") if self.state.global_step == at - 1 else 1.0)

    monkeypatch.setattr(AnswerTrainer, "compute_loss", poisoned)
    with pytest.raises(training.DivergedError, match=rf"diverged at step {at} of 9: loss nan.*start again$") as caught:
        run(tmp_path / "cut")
    if kept is None:
        assert caught.value.kept is None and not (tmp_path / "cut" / "model").exists()
        return
    assert caught.value.kept is not None and replace(caught.value.kept, seconds=0.0) == replace(stopped, seconds=0.0)
    weights = [{p.name: p.read_bytes() for p in (tmp_path / name / "model").iterdir()} for name in ("stopped", "cut")]
    assert weights[0] == weights[1]


def test_a_gradient_without_a_number_says_nothing_against_the_weights_before_it(
    model: ModelConfig, examples: list[Example], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "CHECKPOINT_SECONDS", 0.0)
    log_of = recorder.Recorder.on_log

    def poisoned(self: Any, args: Any, state: Any, control: Any, logs: dict[str, float], **options: Any) -> None:
        if state.global_step == 3:
            logs["grad_norm"] = float("inf")
        log_of(self, args, state, control, logs, **options)

    monkeypatch.setattr(recorder.Recorder, "on_log", poisoned)
    with pytest.raises(training.DivergedError, match="gradient norm inf") as caught:
        training.fine_tune(model, examples, CONFIG, tmp_path, seed=0)
    assert caught.value.kept is not None and caught.value.kept.steps == 2
    assert not list((tmp_path / "model").glob("*.pt*")) and not (tmp_path / "model" / checkpoints.COMPLETE).exists()


def test_an_epoch_whose_query_loss_is_no_number_is_never_the_best(
    model: ModelConfig, examples: list[Example], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([0.5, float("nan"), 2.0])
    monkeypatch.setattr(recorder, "answer_losses", lambda *_, **__: [next(losses)])
    config = replace(CONFIG, early_stopping=True)
    assert training.fine_tune(model, examples, config, tmp_path, seed=0, queries=examples[:1]).best_epoch == 2


def test_rows_without_a_learnable_token_are_listed(model: ModelConfig, examples: list[Example], tmp_path: Path) -> None:
    long = example("word " * 200, "never seen")
    progress = Recording()
    result = training.fine_tune(model, [*examples, long], CONFIG, tmp_path, seed=0, progress=progress)
    assert [row for row, _ in result.rejected] == [long.id]
    assert "longest length of 64 tokens" in result.rejected[0][1]
    assert result.n_examples == 10
    assert training.TrainingResult.from_dict(json.loads(json.dumps(result.to_dict()))) == result
    assert set(progress.metrics[-1]) == {"loss", "learning_rate", "tokens_per_second"}
    assert sum(entry["tokens"] for entry in log(tmp_path)) == 2 * result.tokens
    with pytest.raises(TrainingError, match=r"none of 1 examples can be learned from \(first: its first answer token"):
        training.fine_tune(model, [long], CONFIG, tmp_path, seed=0)


def test_the_readings_are_in_tensorboard_files_each_step_once(
    model: ModelConfig, examples: list[Example], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "CHECKPOINT_SECONDS", 0.0)
    with pytest.raises(StopError):
        training.fine_tune(model, examples, CONFIG, tmp_path, seed=0, queries=examples[:2], progress=Recording(4))
    training.fine_tune(model, examples, CONFIG, tmp_path, seed=0, queries=examples[:2])
    kept: dict[str, dict[int, float]] = {}
    for file in sorted((tmp_path / "tensorboard").iterdir(), key=lambda p: p.stat().st_mtime_ns):
        for event in events_of(file):
            if event.session_log.status == SessionLog.START:  # what a resumed one does again was not to be
                kept = {name: {s: v for s, v in told.items() if s < event.step} for name, told in kept.items()}
            for value in event.summary.value:
                assert event.step not in kept.setdefault(value.tag, {})
                kept[value.tag][event.step] = value.simple_value
    assert list(kept["loss"].values()) == pytest.approx([e["loss"] for e in log(tmp_path)])
    assert list(kept["loss"]) == [1, 2, 3, 4, 5, 6] and list(kept["query_loss"]) == [0, 3, 6]
    assert set(kept) == {"loss", "query_loss", "learning_rate", "grad_norm", "tokens_per_second"}


def events_of(file: Path) -> list[Any]:
    """Read a file of events: each is a length of 8 bytes, its checksum of 4, the event, its checksum."""
    data, found = file.read_bytes(), []
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        found.append(Event.FromString(data[12 : 12 + length]))
        data = data[16 + length :]
    return found


def test_a_tracker_is_told_of_every_step_under_the_trainings_name(
    model: ModelConfig, examples: list[Example], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, float]] = []

    class Spy(TrainerCallback):  # type: ignore[misc]
        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **_: Any) -> None:  # noqa: ARG002
            told.append((args.run_name, logs.get("loss", -1.0)))

    monkeypatch.setitem(INTEGRATION_TO_CALLBACK, "wandb", Spy)
    options: Any = {"trackers": ("wandb",), "name": "selected, seed 0"}
    training.fine_tune(model, examples, replace(CONFIG, max_steps=2), tmp_path, seed=0, **options)
    assert [t for t in told if t[1] >= 0] == [("selected, seed 0", e["loss"]) for e in log(tmp_path)]


def test_nothing_is_sent_anywhere(
    model: ModelConfig, examples: list[Example], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    monkeypatch.setattr("trl.trainer.base_trainer.send_telemetry", lambda topic, **_: sent.append(topic))
    monkeypatch.setattr("socket.getaddrinfo", lambda *address, **_: sent.append(str(address)))
    training.fine_tune(model, examples, replace(CONFIG, max_steps=1), tmp_path, seed=0)
    assert sent == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"early_stopping": True}, r"no query can be used; give a query set"),
        ({"epochs": 0.0}, r"0.0 epochs of 10 examples make no step"),
        ({"lora_targets": ("query_key",)}, r"no layer 'query_key' for LoRA, expected some of: .*q_proj"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    change: dict[str, Any], message: str, model: ModelConfig, examples: list[Example], tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match=message):
        training.fine_tune(model, examples, replace(CONFIG, **change), tmp_path, seed=0)


@given(
    lengths=st.lists(st.integers(1, 300), min_size=1, max_size=200),
    batch_size=st.integers(1, 40),
    micro=st.integers(1, 40),
    epoch=st.integers(0, 3),
)
def test_a_plan_takes_each_row_once_an_epoch_in_batches_of_the_asked_size(
    lengths: list[int], batch_size: int, micro: int, epoch: int
) -> None:
    plan = BatchPlan(lengths, batch_size=batch_size, micro_batch_size=micro, seed=1)
    steps = plan.steps(epoch)
    assert sorted(np.concatenate(steps)) == list(range(len(lengths)))
    assert len(steps) == plan.steps_per_epoch
    assert {len(step) for step in steps[:-1]} <= {plan.batch_size}
    plan.epoch = epoch
    micro_batches = list(plan)
    assert len(micro_batches) == len(plan)
    assert [i for batch in micro_batches for i in batch] == np.concatenate(steps).tolist()
    # The trainer groups micro-batches by count alone: only the last step may have fewer.
    assert len(plan) - (plan.steps_per_epoch - 1) * plan.accumulation in range(1, plan.accumulation + 1)
    assert plan.tokens(epoch * len(steps)) == sum(lengths[i] for i in steps[0])
