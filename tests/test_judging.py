"""A judge over stored answers: what is sent, the price before, the result kept; against a server on loopback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from curation import jobs, judging, tasks
from curation.errors import EvaluationError
from curation.evaluation.endpoint import JudgeConfig
from tests.evaluation.test_winning_rate import Server, says
from tests.test_answers import record as record  # the fixture

if TYPE_CHECKING:
    from curation.results import ExperimentRecord
    from curation.workspace import Workspace

ONE, OTHER = "selected/4", "random/0"
PROMPT = "{question} first={first} second={second}"


@pytest.fixture
def server() -> Iterator[Server]:
    """A judge that prefers the answer that is not called wrong."""
    server = Server()

    def answer(prompt: str) -> tuple[int, dict[str, str], object]:
        first, _, second = prompt.partition("first=")[2].partition(" second=")
        return says("[[A]]" if "wrong" in second and "wrong" not in first else "[[B]]")

    server.script = answer
    yield server
    server.loopback.close()


@pytest.fixture
def stored(workspace: Workspace, record: ExperimentRecord) -> str:
    """The experiment, kept."""
    with workspace.build("experiment", "f" * 32, {}) as part:
        (part / "result.json").write_text(json.dumps(record.result))
    return "f" * 32


def config(server: Server) -> JudgeConfig:
    return JudgeConfig(endpoint=server.url, model="m", prompt=PROMPT, max_tokens=5, input_price=2.0, output_price=4.0)


def test_the_plan_says_what_leaves_and_costs_and_asks_nobody(
    workspace: Workspace, record: ExperimentRecord, server: Server
) -> None:
    assert record.result is not None
    plan = judging.plan(workspace, record.result, ONE, OTHER, config(server))
    assert ([p.question for p in plan.pairs], plan.n_different, plan.n_alike) == (["p0", "p1", "p4"], 3, 2)
    assert (plan.price.calls, plan.price.kept, plan.price.output_tokens) == (6, 0, 30)
    assert plan.price.cost == pytest.approx((2 * plan.price.input_tokens + 4 * 30) / 1e6)
    few = judging.plan(workspace, record.result, ONE, OTHER, config(server), limit=2)
    assert len(few.pairs) == 2 and few.n_different == 3 and few.price.calls == 4
    assert server.prompts == []


def test_the_result_is_kept_with_its_prompt_and_nothing_is_asked_twice(
    workspace: Workspace, stored: str, server: Server
) -> None:
    key, told = judging.judge(workspace, stored, ONE, OTHER, config(server))
    assert (told["wins"], told["losses"], told["ties"], told["agreement"]) == (2, 1, 0, 1.0)
    assert told["rate"]["mean"] == pytest.approx(2 / 3) and told["judge"]["prompt"] == PROMPT and told["n_alike"] == 2
    assert len(server.prompts) == 6
    assert judging.judge(workspace, stored, ONE, OTHER, config(server)) == (key, told)
    assert judging.judgements(workspace, stored) == [told] and judging.judgements(workspace, "0" * 32) == []
    turned, _ = judging.judge(workspace, stored, OTHER, ONE, config(server))
    assert turned != key and len(server.prompts) == 6  # the same six calls, from the other end


def test_a_pair_without_a_verdict_is_asked_again_and_the_newest_result_is_told(
    workspace: Workspace, stored: str, server: Server
) -> None:
    answer = server.script
    server.script = lambda prompt: says("") if prompt.startswith("p1 first=a1") else answer(prompt)
    key, told = judging.judge(workspace, stored, ONE, OTHER, config(server))
    assert len(told["unreadable"]) == 1 and told["rate"]["n_examples"] == 2
    assert judging.judge(workspace, stored, ONE, OTHER, config(server))[0] == key
    server.script = answer
    whole, told = judging.judge(workspace, stored, ONE, OTHER, config(server))
    assert whole != key and told["unreadable"] == [] and told["rate"]["n_examples"] == 3
    assert judging.judgements(workspace, stored) == [told]
    before = len(server.prompts)
    assert judging.judge(workspace, stored, ONE, OTHER, config(server)) == (whole, told)
    assert len(server.prompts) == before


def test_a_judgement_outlives_the_completion_of_an_experiment(
    workspace: Workspace, record: ExperimentRecord, stored: str, server: Server
) -> None:
    assert record.result is not None
    _, told = judging.judge(workspace, stored, ONE, OTHER, config(server))
    added = record.result | {"evaluations": record.result["evaluations"] | {"full": {"0": "c" * 32}}}
    with workspace.build("experiment", "e" * 32, {}) as part:
        (part / "result.json").write_text(json.dumps(added))
    assert judging.judgements(workspace, "e" * 32) == [told]
    _, again = judging.judge(workspace, "e" * 32, ONE, OTHER, config(server))
    assert len(server.prompts) == 6 and judging.judgements(workspace, "e" * 32) == [again]


def test_the_key_is_told_to_nobody(
    workspace: Workspace, stored: str, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = config(server)
    assert not judging.has_key(asked)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    assert judging.has_key(asked)
    judging.judge(workspace, stored, ONE, OTHER, asked)
    assert server.keys == {"Bearer sk-secret"}
    kept = [p for p in workspace.root.rglob("*") if p.is_file()]
    assert kept and not any(b"sk-secret" in p.read_bytes() for p in kept)


def test_arms_that_answer_alike_are_refused(workspace: Workspace, stored: str, server: Server) -> None:
    with pytest.raises(EvaluationError, match="answer all of 5 test prompts alike, so there is nothing to judge"):
        judging.judge(workspace, stored, OTHER, "selected/0", config(server))


@pytest.mark.slow
def test_a_job_whose_endpoint_limits_the_rate_goes_on_where_it_stopped(
    workspace: Workspace, stored: str, server: Server
) -> None:
    pid = workspace.create_project("Sums").id
    willing, answer = [3], server.script

    def limited(prompt: str) -> tuple[int, dict[str, str], object]:
        if willing[0] == 0:
            return 429, {"Retry-After": "0.01"}, {"error": {"message": "slow down"}}
        willing[0] -= 1
        return answer(prompt)

    server.script = limited
    asked = {"experiment": stored, "first": ONE, "second": OTHER, "judge": config(server).to_dict() | {"parallel": 1}}
    job = tasks.start(workspace, pid, "judge", asked)
    failed = jobs.wait(workspace, job, 300)
    assert (
        failed.state == "failed" and "still asks to wait" in failed.error and "verdicts so far are kept" in failed.error
    )
    willing[0] = 100
    jobs.resume(workspace, job)
    assert jobs.wait(workspace, job, 300).state == "succeeded"
    assert willing[0] == 97  # six in all, three of them before
    assert judging.judgements(workspace, stored)[0]["wins"] == 2
