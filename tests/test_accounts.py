"""What failed is told with what is kept of it; query losses that were not watched here are the experiment's own."""

from __future__ import annotations

from typing import Any

from curation.accounts import Tried, failures
from curation.evaluation import Evaluation


def result(**changes: Any) -> dict[str, Any]:
    failed = {"random": {"0": "training diverged", "2": "training diverged"}}
    return {"arms": {"random": {}}, "failed": failed, "tuned": {"random": {"1": "k"}}, **changes}


def test_what_is_kept_of_diverged_trainings_is_said_exactly() -> None:
    head, tail = (
        "The training of the arm Random diverged with seeds 0, 2 and was stopped",
        "Lower the learning rate and ",
    )
    others = "It is judged by its other seeds."
    nothing = "; nothing was kept: it diverged before its first good checkpoint"
    for kept, said in (
        ({}, nothing),
        ({"random": {"0": ["k", 1200]}}, "; its weights are kept: of seed 0 as of step 1,200, of seed 2 none"),
        (
            {"random": {"0": ["k", 3], "2": ["k", 6]}},
            "; its weights are kept: of seed 0 as of step 3, of seed 2 as of step 6",
        ),
    ):
        assert failures(result(kept=kept)) == [f"{head}{said}. {others} {tail}start again."]
    assert failures(result()) == [f"{head}. {others} {tail}start again."]  # an earlier version's: not known
    assert failures(result(arms={}, kept={}))[0].split(". ")[1] == "It is not judged"
    assert failures({"arms": {}}) == []


def test_a_model_that_cant_be_judged_is_no_diverged_training() -> None:
    why = "random, seed 1 can't be judged: its test loss on row a is nan; leave the arm out"
    told = failures(result(failed={"random": {"1": why}}, kept={}))
    assert told == [f"R{why[1:]}. It is judged by its other seeds."]


def test_the_ends_of_a_curve_are_of_the_rows_that_a_training_watches() -> None:
    def judged(*losses: float) -> Evaluation:
        return Evaluation({"query_loss": list(losses)}, {"query_loss": ["a", "b", "c"]}, {})

    tried = Tried(
        judged={"zero_shot": [judged(4.0, 2.0, 90.0)], "random": [judged(2.0, 1.0, 90.0)]}, curves={"random": []}
    )
    tried.ends("random", 1, 6, ["a", "b"])
    assert tried.curves["random"] == [
        {"step": 0, "query_loss": 3.0, "seed": 1},
        {"step": 6, "query_loss": 1.5, "seed": 1},
    ]
    bare = Tried(judged={"random": [Evaluation({}, {}, {})]}, curves={"random": []})
    bare.ends("random", 0, 6, ["a"])
    assert bare.curves == {"random": []}
