"""The judge's protocol against a real server: `transformers serve` with a tiny model on loopback."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from curation.errors import EvaluationError
from curation.evaluation.endpoint import JudgeConfig, connect, reply
from curation.evaluation.winning_rate import Pair, price, winning_rate

pytest.importorskip("openai", reason="the extra judge is not installed")
pytest.importorskip("fastapi", reason="transformers serve needs fastapi")
pytestmark = pytest.mark.slow

PAIRS = [Pair("1", "What is the opposite of hot?", "cold", "a cow"), Pair("2", "Spell cat.", "dog", "c a t")]


@pytest.fixture(scope="module")
def served(tiny_lm: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    said = (tmp_path_factory.mktemp("serve") / "log").open("w")
    code = "from transformers.cli.transformers import main; main()"
    options = ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    server = subprocess.Popen([sys.executable, "-c", code, "serve", str(tiny_lm), *options], stdout=said, stderr=said)
    try:
        for _ in range(500):
            assert server.poll() is None, Path(said.name).read_text()
            try:
                urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                break
            except (URLError, TimeoutError):
                time.sleep(1)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.kill()
        server.wait()


def test_a_real_server_is_asked_and_understood(served: str, tiny_lm: Path, tmp_path: Path) -> None:
    config = JudgeConfig(endpoint=served, model=str(tiny_lm), max_tokens=8, parallel=1, timeout=300.0)
    assert price(PAIRS, config, tmp_path).calls == 4
    with pytest.raises(
        EvaluationError, match=r"none of the 4 verdicts of .* can be read"
    ):  # it is no judge of anything
        winning_rate(PAIRS, config, tmp_path)
    assert not list(tmp_path.glob("*.json")) and price(PAIRS, config, tmp_path).calls == 4
    with connect(config) as client:
        text, asked, answered = reply(client, PAIRS[0].question, config)
    assert text and asked > 5 and 1 <= answered <= 8


def test_an_unknown_path_is_said(served: str, tiny_lm: Path, tmp_path: Path) -> None:
    config = JudgeConfig(endpoint=served.removesuffix("/v1"), model=str(tiny_lm))
    with pytest.raises(
        EvaluationError, match=r"answers with status 404 \(Not Found\); check the model's name and the address"
    ):
        winning_rate(PAIRS, config, tmp_path)
