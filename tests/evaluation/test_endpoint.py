"""Who may be asked and with which key, and what an endpoint's own explanation becomes."""

from __future__ import annotations

from typing import Any

import pytest

from curation.errors import ConfigError, EvaluationError
from curation.evaluation import endpoint
from curation.evaluation.endpoint import JudgeConfig
from tests.loopback import Loopback

KEY = "sk-very-secret-key"


def test_a_prompt_without_its_places_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"the judge's prompt lacks {second}; write it where that text shall stand"):
        JudgeConfig(prompt="{question} {first}")


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "MISTRAL_API_KEY", "MY_2ND_API_KEY"])
def test_variables_named_as_such_keys_are_taken(name: str) -> None:
    assert JudgeConfig(key_variable=name).key_variable == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "HOME",
        "HF_TOKEN",
        "HF_API_KEY",
        "WINNOW_PASSWORD",
        "WINNOW_API_KEY",
        "WANDB_API_KEY",
        "AWS_SECRET_ACCESS_KEY",
        "OPENAI_API_KEY\n",
        "OPENAI_API_KEY_FILE",
        "openai_api_key",
    ],
)
def test_no_other_variable_is_sent_or_told_of(name: str) -> None:
    with pytest.raises(ConfigError, match=r"expected a name in capitals that ends in _API_KEY and does not begin with"):
        JudgeConfig.from_dict({"key_variable": name})


@pytest.mark.parametrize("address", ["http://localhost:8000/v1", "https://api.openai.com/v1", "http://[::1]:1/v1"])
def test_web_addresses_are_taken(address: str) -> None:
    assert JudgeConfig(endpoint=address).endpoint == address


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("", "expected an address that begins with http:// or https://"),
        ("api.openai.com/v1", "expected an address that begins with"),
        ("file:///etc/passwd", "expected an address that begins with"),
        ("https://", "expected an address that begins with"),
        ("http://[::1/v1", "expected an address that begins with"),
        ("http://host:99999/v1", "expected an address that begins with"),
        ("https://me:secret@host/v1", "holds a name, a password, a query or a fragment, which would be stored"),
        ("https://host/v1?api_key=secret", "holds a name, a password, a query or a fragment"),
    ],
)
def test_other_addresses_are_refused(address: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as told:
        JudgeConfig(endpoint=address)
    assert "secret" not in str(told.value)


def test_a_server_can_name_the_only_addresses_that_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WINNOW_JUDGE_ENDPOINTS", "https://one/v1/  http://two:1/v1")
    for address in ("https://one/v1", "http://two:1/v1/"):
        assert JudgeConfig(endpoint=address).endpoint == address
    for address in ("https://one/v1/../x", "https://one.evil/v1"):
        with pytest.raises(
            ConfigError, match=r"expected one that is allowed here \(WINNOW_JUDGE_ENDPOINTS\): https://on"
        ):
            JudgeConfig(endpoint=address)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            {"error": {"message": "Unsupported parameter: 'max_tokens' is not supported with this model.\nMore"}},
            r"status 400 \(Unsupported parameter: 'max_tokens' is not supported with this model\.\); take a model that "
            r"accepts max_tokens and temperature 0; verdicts so far are kept",
        ),
        (
            {"error": {"message": "'temperature' does not support 0.0"}},
            r"\('temperature' does not support 0\.0\); take a model that accepts max_tokens",
        ),
        ({"detail": "no model m"}, r"status 400 \(no model m\); check the model's name and the address"),
        ({"error": "plain"}, r"status 400 \(plain\); check the model's name"),
        (f"\n{KEY} is a bad key\nx".encode(), r"status 400 \(… is a bad key\); check"),
        (b"<b>\x1b[31m" + b"x" * 999, r"status 400 \(<b>\[31mx{153}…\); check"),
        (b"", r"status 400; check the model's name"),
        ({}, r"status 400; check the model's name"),
    ],
)
def test_what_the_endpoint_says_is_quoted_shortened_and_without_the_key(
    body: Any, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openai", reason="the extra judge is not installed")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    server = Loopback(lambda *_: (400, {}, body))
    config = JudgeConfig(endpoint=f"{server.url}/v1", model="m")
    try:
        with endpoint.connect(config) as client, pytest.raises(EvaluationError, match=said) as told:
            endpoint.reply(client, "Which?", config)
    finally:
        server.close()
    assert KEY not in str(told.value)
