"""The command line: results last, JSON for machines, one sentence and a documented code for what a user got wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from curation import errors, jobs
from curation.orders import Orders
from curation.tables import Job
from curation.workspace import Workspace
from tests.pages.conftest import add_result, make_project

ROOT = Path(__file__).parent.parent


def winnow(*words: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "curation.cli", *words]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "WINNOW_HOME": str(cwd / "home"), **environment}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=300)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    words = ("red apple", "blue whale", "green tree")
    pool = [{"prompt": f"tell of a {words[i % 3]} {i}", "response": "well"} for i in range(30)]
    (tmp_path / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in pool))
    (tmp_path / "queries.jsonl").write_text(json.dumps({"prompt": "a red apple", "response": "yes"}) + "\n")
    path = tmp_path / "lexical.json"
    path.write_text(
        json.dumps(
            {
                "pool": {"path": "pool.jsonl"},
                "queries": {"path": "queries.jsonl"},
                "representation": {"name": "lexical"},
                "selection": {"budget": {"examples": 4}},
            }
        )
    )
    return path


def test_run_exports_and_replays_to_the_same_bytes(config: Path, tmp_path: Path) -> None:
    told = winnow("run", str(config), "--out", "first", "--json", cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    result = json.loads(told.stdout.splitlines()[-1])
    assert result["n_selected"] == 4 and (tmp_path / result["report"]).is_file()
    again = winnow("run", "first/run.json", "--out", "second", "--workspace", "elsewhere", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert again.stdout.splitlines()[-1] == "second"
    for name in ("subset.jsonl", "subset.parquet", "run.json", "manifest.json"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes(), name
    assert len((tmp_path / "first" / "subset.jsonl").read_text().splitlines()) == 4


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("run", "none.json"), errors.ConfigError.exit_code, "can't be read"),
        (("export",), errors.WorkspaceError.exit_code, "no project was named"),
        (("export", "nowhere"), errors.WorkspaceError.exit_code, "there is no project 'nowhere'"),
        (("jobs", "cancel", "nothing"), errors.JobError.exit_code, "there is no job 'nothing'"),
        (("jobs", "order", "nothing", "leave", "random"), errors.JobError.exit_code, "there is no job 'nothing'"),
        (("merge", "nothing"), errors.WorkspaceError.exit_code, "holds no experiment nothing"),
        (("demo", "--targets", "juggling"), errors.ConfigError.exit_code, "no target 'juggling'; expected all"),
        (("app", "--address", "0.0.0.0"), errors.ConfigError.exit_code, "WINNOW_PASSWORD"),
    ],
)
def test_what_a_user_got_wrong_is_one_sentence(tmp_path: Path, words: tuple[str, ...], code: int, said: str) -> None:
    told = winnow(*words, cwd=tmp_path, WINNOW_PASSWORD="")
    assert told.returncode == code
    assert said in told.stderr and "Traceback" not in told.stderr
    assert told.stderr.startswith("error: ") and len(told.stderr.strip().splitlines()) == 1


def test_every_kind_of_error_has_a_code_of_its_own() -> None:
    kinds = errors.CurationError.__subclasses__()
    codes = [kind.exit_code for kind in (errors.CurationError, *kinds) if kind.__module__ == "curation.errors"]
    assert len(set(codes)) == len(codes) and 0 not in codes


def test_jobs_are_listed_for_machines(tmp_path: Path) -> None:
    Workspace(tmp_path / "home")
    told = winnow("jobs", "--json", cwd=tmp_path)
    assert json.loads(told.stdout) == []


def test_a_running_experiment_takes_orders(tmp_path: Path) -> None:
    ws = Workspace(tmp_path / "home")
    with ws.write() as session:
        session.add(Job(id="mine", kind="experiment", title="Mine", state="paused"))
    jobs.folder(ws, "mine").mkdir(parents=True)
    for words in (("leave", "random"), ("stop", "selected, seed 1"), ("leave", "full"), ("take", "random")):
        told = winnow("jobs", "order", "mine", *words, cwd=tmp_path)
        assert told.returncode == 0, told.stderr
    orders = Orders(jobs.folder(ws, "mine"))
    assert (orders.left_out(), orders.stops()) == (("full",), {"selected, seed 1": None})
    told = winnow("jobs", "order", "mine", "skip", "random", cwd=tmp_path)
    assert told.returncode == errors.ConfigError.exit_code
    assert "can't be ordered to 'skip', expected one of: leave, take, stop" in told.stderr


def test_the_cost_is_told_before_anything_is_computed(config: Path, tmp_path: Path) -> None:
    told = winnow("cost", str(config), "--json", cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    cost = json.loads(told.stdout.splitlines()[-1])
    assert (cost["rows"], cost["reused"]) == (31, 0)
    assert cost["low"] <= cost["seconds"] <= cost["high"] and cost["memory"] > 0 and cost["disk"] > 0
    assert not (tmp_path / "home" / "features").exists()
    table = winnow("cost", str(config), cwd=tmp_path).stdout
    assert "31 to compute, 0 stored already" in table and "pool rows" in table


def test_a_bad_subset_file_in_a_config_is_one_sentence(config: Path, tmp_path: Path, tiny_lm: Path) -> None:
    (tmp_path / "own.jsonl").write_text("nobody\n")
    asked = json.loads(config.read_text())
    asked |= {"model": {"name": str(tiny_lm)}, "experiment": {"subsets": {"own": "own.jsonl"}}}
    config.write_text(json.dumps(asked))
    told = winnow("run", str(config), cwd=tmp_path)
    assert told.returncode == errors.DataError.exit_code
    assert told.stderr.splitlines()[-1].startswith("error: own.jsonl, line 1: the row 'nobody' is not in the pool")


def test_an_export_has_the_card_of_what_was_tuned_on_it(tmp_path: Path) -> None:
    ws = Workspace(tmp_path / "home")
    project = make_project(ws, tmp_path)
    add_result(ws, project)
    told = winnow("export", project, "--experiment", "Try 1", "--out", "out", cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    for name in ("selection-card.html", "selection-card.md", "README.md"):
        assert "The selected 12 examples beat as many random ones" in (tmp_path / "out" / name).read_text(), name
    told = winnow("push", project, "ada/picks", "--experiment", "Try 2", cwd=tmp_path)
    assert told.returncode == errors.WorkspaceError.exit_code and "no finished experiment 'Try 2'" in told.stderr
