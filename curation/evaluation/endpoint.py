"""Where a judge is asked: any endpoint that speaks OpenAI's chat protocol (extra `judge`), and all that it can answer.

The key comes from the environment and is never stored, logged or told. Whoever sets an endpoint can read what is sent
there, so only variables that are named as such keys are sent, never those of Winnow, the hub or a tracker; and where
`ENDPOINTS` is set in the environment, to the addresses that it names alone.
"""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from curation.config import Options, option
from curation.errors import ConfigError, EvaluationError

if TYPE_CHECKING:
    from openai import APIStatusError, OpenAI

FIELDS = ("question", "first", "second")
PROMPT = """You compare two answers to one request. Judge how right and how helpful they are; their order and their \
length must not matter.

[Request]
{question}

[Answer A]
{first}

[Answer B]
{second}

Explain briefly. Then end with [[A]] if answer A is better, [[B]] if answer B is better, or [[C]] if they are equally \
good."""
CHARACTERS_PER_TOKEN = 4  # where nobody counts: a rule of thumb for English
ENDPOINTS = "WINNOW_JUDGE_ENDPOINTS"  # addresses that may be asked, with blanks between; unset allows any
_KEY_VARIABLE = re.compile(r"(?!WINNOW_|HF_|WANDB_)[A-Z0-9_]+_API_KEY")
_RETRIES = 4
_NO_KEY = "none"  # the client insists on one; local servers look at none


@dataclass(frozen=True, kw_only=True)
class JudgeConfig(Options):
    """Who judges, and how it is asked."""

    endpoint: str = option("https://api.openai.com/v1", "Address of any endpoint that speaks OpenAI's chat protocol.")
    model: str = option("gpt-4o-mini", "Name of the judging model there.")
    key_variable: str = option(
        "OPENAI_API_KEY", "Environment variable that holds the key, named …_API_KEY; unset means none is needed."
    )
    prompt: str = option(PROMPT, "What the judge is asked; holds {question}, {first} and {second}.")
    max_tokens: int = option(512, "Longest verdict in tokens.", low=1)
    timeout: float = option(60.0, "Seconds to wait for one verdict.", low=0.1)
    parallel: int = option(4, "Verdicts asked for at once.", low=1, high=64)
    input_price: float = option(0.0, "Price of a million tokens asked, in your currency.", low=0.0)
    output_price: float = option(0.0, "Price of a million tokens answered, in your currency.", low=0.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        missing = [name for name in FIELDS if f"{{{name}}}" not in self.prompt]
        if missing:
            raise ConfigError(f"the judge's prompt lacks {{{missing[0]}}}; write it where that text shall stand")
        if not _KEY_VARIABLE.fullmatch(self.key_variable):
            raise ConfigError(
                f"the judge's key is looked for in the variable {self.key_variable!r}, expected a name in capitals "
                "that ends in _API_KEY and does not begin with WINNOW_, HF_ or WANDB_; keep the key in one of its own"
            )
        _check_address(self.endpoint)


def _check_address(endpoint: str) -> None:
    """Raise ConfigError unless `endpoint` is a bare web address, and one that this machine allows."""
    try:
        parts = urlsplit(endpoint)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ConfigError(
            f"the judge's endpoint is {endpoint!r}, expected an address that begins with http:// or https://, as "
            "https://api.openai.com/v1"
        )
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ConfigError(
            "the judge's endpoint holds a name, a password, a query or a fragment, which would be stored and shown; "
            "give the bare address, and the key in an environment variable"
        )
    allowed = os.environ.get(ENDPOINTS, "").split()
    if allowed and endpoint.rstrip("/") not in [address.rstrip("/") for address in allowed]:
        raise ConfigError(
            f"the judge's endpoint is {endpoint!r}, expected one that is allowed here ({ENDPOINTS}): "
            f"{', '.join(allowed)}; take one of them, or ask whoever runs this server"
        )


def connect(config: JudgeConfig) -> OpenAI:
    """Return a client of the judge's endpoint; EvaluationError without the extra `judge`."""
    try:
        from openai import OpenAI
    except ImportError as error:
        raise EvaluationError(
            "judging answers needs the extra `judge`, which is not installed; run: pip install 'winnow-curation[judge]'"
        ) from error
    key = os.environ.get(config.key_variable) or _NO_KEY
    return OpenAI(base_url=config.endpoint, api_key=key, timeout=config.timeout, max_retries=_RETRIES)


def reply(client: OpenAI, prompt: str, config: JudgeConfig) -> tuple[str, int, int]:
    """Return one reply, and its tokens asked and answered, reckoned where the endpoint does not count them.

    The client itself waits and asks again where the endpoint says so.

    Raises
    ------
    EvaluationError
        If the endpoint is down, too slow, refuses, keeps asking to wait, or speaks another protocol.
    """
    import openai

    where = f"the judge {config.model} at {config.endpoint}"
    kept = "; verdicts so far are kept"
    try:
        told = client.chat.completions.create(
            model=config.model,
            messages=[{"role": "user", "content": prompt}],
            temperature=0.0,
            max_tokens=config.max_tokens,
        )
        text, usage = told.choices[0].message.content or "", told.usage
    except openai.APITimeoutError as error:
        raise EvaluationError(
            f"{where} gave no verdict within {config.timeout:g} seconds; raise timeout, lower parallel or take a "
            f"faster model{kept}"
        ) from error
    except openai.APIConnectionError as error:
        raise EvaluationError(f"{where} can't be reached; start it or correct the address{kept}") from error
    except openai.RateLimitError as error:
        raise EvaluationError(
            f"{where} still asks to wait after {_RETRIES} tries (429: too many requests, or the account is used up); "
            f"lower parallel or go on later{kept}"
        ) from error
    except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
        raise EvaluationError(
            f"{where} refuses the key ({error.status_code}); set the environment variable {config.key_variable} to one "
            f"that may use this model{kept}"
        ) from error
    except openai.APIStatusError as error:
        said = _said(error, client.api_key)
        ours = any(name in said for name in ("max_tokens", "temperature"))
        hint = "take a model that accepts max_tokens and temperature 0" if ours else "check the model's name and the "
        hint += "" if ours else "address (it often ends in /v1)"
        raise EvaluationError(f"{where} answers with status {error.status_code}{said}; {hint}{kept}") from error
    except (openai.APIError, AttributeError, IndexError, TypeError, ValueError) as error:
        raise EvaluationError(
            f"{where} answers something other than OpenAI's chat protocol; check the address (it often ends in /v1)"
            f"{kept}"
        ) from error
    if usage:
        return text, usage.prompt_tokens, usage.completion_tokens
    return text, about_tokens(prompt), about_tokens(text)


def about_tokens(text: str) -> int:
    """Return about how many tokens a text takes."""
    return math.ceil(len(text) / CHARACTERS_PER_TOKEN)


def _said(error: APIStatusError, key: str) -> str:
    """Return, in brackets, how the endpoint's own explanation begins; its first line, without the key."""
    body = error.body
    told = body.get("message") or body.get("detail") if isinstance(body, dict) else body
    text = str(told) if told else error.response.text
    lines = (text if key == _NO_KEY else text.replace(key, "…")).splitlines()
    line = next((line.strip() for line in lines if any(c.isalnum() for c in line)), "")
    shown = "".join(c for c in line if c.isprintable())
    return f" ({shown[:160]}{'…' if len(shown) > 160 else ''})" if shown else ""
