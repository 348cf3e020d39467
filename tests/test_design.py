"""Arms, their sizes, names and rows; what is equal between them."""

from __future__ import annotations

import pytest

from curation.config import ExperimentConfig, TrainingConfig
from curation.config import ModelConfig as Model
from curation.design import Inputs, arm_ids, arm_name, arm_sizes, base_of, training_of
from curation.errors import ConfigError, SelectionError

POOL = tuple(f"r{i}" for i in range(60))
INPUTS = Inputs(
    Model(name="m"), "p", "q", None, POOL, POOL[:10], {"selected@4": POOL[:4], "mine@7": POOL[20:27]}, POOL[30:]
)
SIZES = {arm: len(ids) for arm, ids in INPUTS.others.items()}


def test_every_size_has_a_random_arm_and_arms_come_in_order() -> None:
    config = ExperimentConfig(arms=("full", "selected", "off_task", "random", "zero_shot"))
    assert arm_sizes(config, 10, 60, SIZES) == {
        "zero_shot": 0,
        "random@4": 4,
        "random@7": 7,
        "random": 10,
        "off_task": 10,
        "selected": 10,
        "selected@4": 4,
        "mine@7": 7,
        "full": 60,
    }
    assert arm_sizes(ExperimentConfig(arms=("zero_shot",)), 10, 60, {"mine@7": 7}) == {"zero_shot": 0, "mine@7": 7}
    assert arm_name("mine", 7, 10) == "mine@7" and arm_name("mine", 10, 10) == "mine" and base_of("mine@7") == "mine"


def test_each_arm_is_tuned_on_its_own_rows() -> None:
    assert arm_ids("selected", INPUTS, 0) == POOL[:10]
    assert arm_ids("selected@4", INPUTS, 0) == POOL[:4] and arm_ids("mine@7", INPUTS, 1) == POOL[20:27]
    assert arm_ids("full", INPUTS, 0) == POOL and arm_ids("zero_shot", INPUTS, 0) == ()
    drawn = arm_ids("random", INPUTS, 0)
    assert len(set(drawn)) == 10 and drawn != arm_ids("random", INPUTS, 1) and drawn == arm_ids("random", INPUTS, 0)
    assert len(set(arm_ids("random@4", INPUTS, 0))) == 4
    off = arm_ids("off_task", INPUTS, 0)
    assert len(set(off)) == 10 and set(off) <= set(POOL[30:])


def test_equal_tokens_draws_as_many_tokens_as_the_selection_of_the_size_has() -> None:
    tokens = {row: 3 + i % 5 for i, row in enumerate(POOL)}
    for arm, like in (("random", POOL[:10]), ("random@4", POOL[:4]), ("random@7", POOL[20:27])):
        for seed in range(5):
            drawn = arm_ids(arm, INPUTS, seed, tokens)
            wanted, got = sum(tokens[i] for i in like), sum(tokens[i] for i in drawn)
            assert len(set(drawn)) == len(drawn) and wanted - 3 < got <= wanted


def test_an_arm_that_can_not_draw_enough_says_so() -> None:
    few = Inputs(Model(name="m"), "p", "q", None, POOL, POOL[:40], off_task=POOL[50:])
    with pytest.raises(SelectionError, match="off-task is to draw 40 rows and there are only 10; lower the budget"):
        arm_ids("off_task", few, 0)


def test_equal_steps_are_those_of_the_selection_for_every_arm() -> None:
    training = TrainingConfig(epochs=3.0, batch_size=4)
    passes = ExperimentConfig(training=training, full_training=TrainingConfig(epochs=1.0))
    assert training_of("full", passes, 10).epochs == 1.0 and training_of("random", passes, 10) == training
    steps = ExperimentConfig(training=training, full_training=TrainingConfig(epochs=1.0), equal="steps")
    assert {training_of(arm, steps, 10).max_steps for arm in ("random", "selected@4", "full")} == {9}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"selections": {"full": {}}}, "an arm is named 'full', expected a name of its own without @"),
        ({"subsets": {"a@b": "x.jsonl"}}, "an arm is named 'a@b'"),
        ({"subsets": {"a": "x.jsonl"}, "selections": {"a": {}}}, "an arm is named 'a'"),
        ({"subsets": {"a": 3}}, "the arm 'a' is 3, expected the path of a file"),
        ({"budgets": (0,)}, "budgets is 0, expected at least 1"),
    ],
)
def test_a_design_that_can_not_be_is_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        ExperimentConfig(**options)  # type: ignore[arg-type]
