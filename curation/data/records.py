"""What a reader yields: one row as it stands in its file, parsed or with the reason why it can't be."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any

import orjson

LONGEST_ROW = 16 << 20  # bytes: a longer line is no conversation, and is never held in memory
LONGEST_RAW = 100_000  # characters of a rejected row that are kept to be shown


@dataclass(frozen=True, slots=True)
class Record:
    """One row as it stands in its file.

    Attributes
    ----------
    line : int
        1-based number of the line it begins on (JSONL, CSV, TSV) or of the row (JSON, Parquet, hub).
    value : dict or None
        Its columns; None if it can't be parsed.
    error : str or None
        Why it can't be parsed.
    raw : str
        Its text, cut at `LONGEST_RAW` characters; empty where it is no text of its own (see `shown`).
    """

    line: int
    value: dict[str, Any] | None
    error: str | None = None
    raw: str = ""

    @property
    def shown(self) -> str:
        """The row as text, cut at `LONGEST_RAW` characters."""
        return self.raw or to_json(self.value)[:LONGEST_RAW]


def to_json(value: Any) -> str:
    """JSON text of what a row holds; bytes become base64, other foreign types their text."""
    try:
        return orjson.dumps(value, default=_foreign, option=orjson.OPT_NON_STR_KEYS).decode()
    except orjson.JSONEncodeError:  # integers over 64 bits, half surrogate pairs
        return json.dumps(value, default=_foreign)


def _foreign(value: Any) -> str:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


def parse_object(text: bytes | str) -> tuple[dict[str, Any] | None, str | None]:
    """One JSON object, or why it is none."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        try:  # orjson refuses NaN, which pandas writes for "nothing", and integers over 64 bits
            value = json.loads(text, parse_constant=lambda _: None)
        except UnicodeDecodeError:
            return None, "it is not UTF-8 text"
        except json.JSONDecodeError as error:
            return None, f"it is not JSON: {error.msg} at character {error.pos + 1}"
        except (RecursionError, ValueError):
            return None, "it is not JSON that can be read: nested too deeply, or a number too long"
    if not isinstance(value, dict):
        return None, not_an_object(value)
    return value, None


def not_an_object(value: Any) -> str:
    """Say that a row is of another JSON type than an object."""
    return f"it is a JSON {_NAMES.get(type(value), 'value')}, expected an object with named columns"


_NAMES = {list: "list", str: "string", int: "number", float: "number", bool: "true or false", type(None): "null"}
