"""`winnow judge`: runs by the page's names, the price before, and nothing sent that nobody agreed to."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from curation import cli_judge
from curation.cli import app
from curation.errors import ConfigError, EvaluationError, WorkspaceError
from curation.evaluation.endpoint import JudgeConfig
from tests.test_answers import record as record  # the fixture
from tests.test_cli import winnow
from tests.test_judging import PROMPT
from tests.test_judging import server as server  # the fixtures
from tests.test_judging import stored as stored

if TYPE_CHECKING:
    from curation.workspace import Workspace
    from tests.evaluation.test_winning_rate import Server

pytest.importorskip("openai", reason="the extra judge is not installed")
ARMS = ("Selected, seed 4", "random")


def asked(ws: Workspace, server: Server, *words: str) -> list[str]:
    how = ["--endpoint", server.url, "--model", "m", "--prompt", PROMPT, "--max-tokens", "5", "--input-price", "2"]
    return ["judge", *words, *how, "--workspace", str(ws.root)]


def judge(ws: Workspace, server: Server, *words: str, **options: Any) -> Result:
    return CliRunner().invoke(app, asked(ws, server, *words), **options)


def test_the_price_alone_is_told_and_nothing_sent(workspace: Workspace, stored: str, server: Server) -> None:
    told = judge(workspace, server, stored, *ARMS, "--price-only", "--json")
    assert told.exit_code == 0, told.output
    price = json.loads(told.stdout)
    assert (price["calls"], price["kept"], price["pairs"], price["alike"], price["output_tokens"]) == (6, 0, 3, 2, 30)
    text = judge(workspace, server, stored, *ARMS, "--price-only", "--limit", "2").stdout
    assert text.startswith(f"4 requests to {server.url}, with the prompts of 2 test rows and the answers of Selected, ")
    assert "of Selected, seed 4 and Random, each pair in both orders; 2 prompts answered alike stay here" in text
    assert "No key is set in the environment variable OPENAI_API_KEY" in text and not server.prompts


def test_it_is_told_what_leaves_then_judged_and_the_path_stands_last(
    workspace: Workspace, stored: str, server: Server
) -> None:
    told = judge(workspace, server, stored, *ARMS, "--yes")
    assert told.exit_code == 0, told.output
    (path,) = told.stdout.splitlines()
    assert json.loads(Path(path).read_text())["wins"] == 2
    assert told.stderr.index("what leaves this machine: 6 requests") < told.stderr.index("are not distinguishable to")
    again = judge(workspace, server, stored, *ARMS, "--json")  # all are kept: nothing leaves, so nobody is asked
    assert again.exit_code == 0 and len(server.prompts) == 6
    result = json.loads(again.stdout)
    assert (result["winning_rate"], result["wins"], result["unreadable"]) == (path, 2, 0)


def test_an_experiment_is_found_by_its_name(workspace: Workspace, stored: str, server: Server) -> None:
    pid = workspace.create_project("Sums").id
    workspace.add_experiment(pid, "First try", key=stored)
    assert judge(workspace, server, "First try", *ARMS, "--price-only").exit_code == 0
    workspace.add_experiment(pid, "First try", key="e" * 32)  # has no result
    assert judge(workspace, server, "First try", *ARMS, "--price-only").exit_code == 0
    with workspace.build("experiment", "e" * 32, {}) as part:
        (part / "result.json").write_text(json.dumps({"evaluations": {}}))
    told = judge(workspace, server, "First try", *ARMS)
    assert isinstance(told.exception, WorkspaceError) and "2 experiments are called" in str(told.exception)


@pytest.mark.parametrize(
    ("words", "kind", "said"),
    [
        (("no such", *ARMS), WorkspaceError, "no finished experiment 'no such', expected one of: none that has finish"),
        (
            ("f" * 32, "Selected", "Random"),
            EvaluationError,
            "no arm 'Selected', expected one of: Zero-shot; Random; Se",
        ),
        (("f" * 32, *ARMS), ConfigError, "nothing was sent, since nobody can be asked here; add --yes to send it"),
        (("f" * 32, *ARMS, "--key-variable", "HF_TOKEN"), ConfigError, "expected a name in capitals that ends in"),
        (("f" * 32, "selected/0", "random/0"), EvaluationError, "answer all of 5 test prompts alike"),
    ],
)
@pytest.mark.usefixtures("stored")
def test_what_is_wrong_is_said_and_nothing_sent(
    workspace: Workspace, server: Server, words: tuple[str, ...], kind: type[Exception], said: str
) -> None:
    told = judge(workspace, server, *words)
    assert isinstance(told.exception, kind) and said in str(told.exception)
    assert not server.prompts


@pytest.mark.parametrize(("typed", "code", "sent"), [("n\n", 1, 0), ("y\n", 0, 6)])
def test_a_person_is_asked(
    workspace: Workspace, stored: str, server: Server, monkeypatch: pytest.MonkeyPatch, typed: str, code: int, sent: int
) -> None:
    monkeypatch.setattr(cli_judge, "sys", SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True)))
    told = judge(workspace, server, stored, *ARMS, input=typed)
    assert (told.exit_code, len(server.prompts)) == (code, sent) and "Send and judge?" in told.stderr


def test_every_option_of_the_judge_is_one_of_the_command() -> None:
    told = CliRunner().invoke(app, ["judge", "--help"], env={"COLUMNS": "200"}).stdout
    for f in dataclasses.fields(JudgeConfig):
        assert f"--{f.name.replace('_', '-')} " in told and f.metadata["help"][:30] in told


def test_an_error_is_one_sentence_with_its_code(workspace: Workspace, stored: str, server: Server) -> None:
    told = winnow(*asked(workspace, server, stored, "Nobody", "Random"), cwd=workspace.root)
    assert told.returncode == EvaluationError.exit_code
    assert told.stderr.startswith("error: the experiment has no arm 'Nobody', expected one of: ")
