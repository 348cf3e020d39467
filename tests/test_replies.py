"""Talking to a model: its own form, its own tuning, the same words for the same seed, nothing held after."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from curation import replies
from curation.config import ModelConfig, TrainingConfig
from curation.data.rows import Example, Message
from curation.errors import EvaluationError
from curation.replies import Turn
from curation.workspace import Workspace
from tests.test_answers import completed as completed  # the fixture

TURNS = [("user", "What is the opposite of hot?")]


@pytest.fixture
def result(workspace: Workspace, tiny_lm: Path) -> dict[str, Any]:
    """An experiment whose selection taught the model to say one thing."""
    from curation import training

    model = ModelConfig(name=str(tiny_lm), max_length=64, device="cpu")
    turns = (Message("user", TURNS[0][1]), Message("assistant", "cold"))
    with workspace.build("arm", "a" * 32, {}) as part:
        config = TrainingConfig(method="full", learning_rate=1e-2, max_steps=40, batch_size=4, micro_batch_size=4)
        training.fine_tune(model, [Example(f"r{i}", turns) for i in range(4)], config, part, seed=0)
    return {
        "model": model.to_dict(),
        "tuned": {"selected": {"0": "a" * 32, "1": "b" * 32}},
        "evaluations": {"zero_shot": {"0": "x"}, "selected": {"0": "y", "1": "z"}, "old": {"0": "w"}},
    }


@pytest.mark.slow
def test_a_tuned_model_says_what_it_was_taught_and_the_base_model_does_not(
    workspace: Workspace, result: dict[str, Any]
) -> None:
    assert replies.reply(workspace, result, "selected/0", TURNS, max_new_tokens=8).strip() == "cold"
    base = replies.reply(workspace, result, "zero_shot/0", TURNS, max_new_tokens=8)
    assert base.strip() != "cold"
    further = [*TURNS, ("assistant", "cold"), ("user", "And of cold?")]
    assert replies.reply(workspace, result, "zero_shot/0", further, max_new_tokens=8) != base
    drawn = [
        replies.reply(workspace, result, "zero_shot/0", TURNS, max_new_tokens=8, temperature=1.5, seed=seed)
        for seed in (1, 1, 2)
    ]
    assert drawn[0] == drawn[1] != drawn[2]
    with pytest.raises(EvaluationError, match=r"can't take this conversation: its prompt of .* lower max_new_tokens"):
        replies.reply(workspace, result, "zero_shot/0", TURNS, max_new_tokens=100_000)


def test_only_models_that_are_here_can_be_talked_to(workspace: Workspace) -> None:
    with workspace.build("arm", "a" * 32, {}) as part:
        (part / "model").mkdir()
    result = {"model": {"name": "x"}, "tuned": {"selected": {"0": "a" * 32, "1": "b" * 32}}}
    told = {
        run: replies.can_talk(workspace, result, run) for run in ("zero_shot/0", "selected/0", "selected/1", "old/0")
    }
    assert told == {"zero_shot/0": True, "selected/0": True, "selected/1": False, "old/0": False}
    with pytest.raises(EvaluationError, match="the tuned model of selected/1 is not in this workspace"):
        replies.reply(workspace, result, "selected/1", TURNS)


def test_a_conversation_is_kept_each_persons_for_themselves(workspace: Workspace) -> None:
    one, next_one = Turn("Hot?", {"selected/0": "cold", "zero_shot/0": "hot"}), Turn("Up?", {"selected/0": "down"})
    replies.keep(workspace, "e", one, "Ada")
    replies.keep(workspace, "e", Turn("Big?", {}), "Bo")
    replies.keep(workspace, "e", next_one, "Ada")
    with (workspace.root / "chats" / "e.jsonl").open("ab") as file:
        file.write(b'\n{"action": "tu')  # half-written
    told = replies.conversation(Workspace(workspace.root), "e", "Ada")
    assert told == [one, next_one]
    assert replies.continued(told, "zero_shot/0", "Left?") == [
        ("user", "Hot?"),
        ("assistant", "hot"),
        ("user", "Left?"),
    ]
    replies.begin_anew(workspace, "e", "Ada")
    assert replies.conversation(workspace, "e", "Ada") == []
    replies.keep(workspace, "e", next_one, "Ada")
    assert replies.conversation(workspace, "e", "Ada") == [next_one]
    assert [turn.question for turn in replies.conversation(workspace, "e", "Bo")] == ["Big?"]
    assert replies.conversation(workspace, "other", "Ada") == []


def test_a_conversation_outlives_the_completion_of_an_experiment(
    workspace: Workspace, completed: tuple[str, str, str]
) -> None:
    before, after, other = completed
    replies.keep(workspace, before, Turn("Hot?", {"selected/0": "cold", "full/0": "half trained"}), "Ada")
    replies.keep(workspace, before, Turn("Big?", {"full/0": "half trained"}), "Ada")
    replies.keep(workspace, other, Turn("Elsewhere?", {"selected/0": "x"}), "Ada")
    replies.keep(workspace, after, Turn("Up?", {"full/0": "down"}), "Ada")
    told = replies.conversation(workspace, after, "Ada")
    assert told == [Turn("Hot?", {"selected/0": "cold"}), Turn("Up?", {"full/0": "down"})]
    replies.begin_anew(workspace, after, "Ada")
    assert replies.conversation(workspace, after, "Ada") == []
