"""JSON and JSONL as a stream of rows.

JSONL is split at line feeds only: U+2028, U+2029 and U+0085 inside a string are text. JSON is a list of objects, or an
object that holds one list of objects beside whatever else; it is taken apart row by row and never held whole.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from curation.data.records import LONGEST_RAW, LONGEST_ROW, Record, not_an_object, parse_object, to_json
from curation.errors import DataError

_CHUNK = 1 << 20
_BLANK = re.compile(r"[ \t\r\n]*")
_ROWS = re.compile(r"\[[ \t\r\n]*\{")
_TURN_LISTS = ("messages", "conversations", "conversation", "chat", "dialog", "dialogue")


def read_jsonl(file: IO[bytes]) -> Iterator[Record]:
    """Yield one record a line; blank lines are no rows, too long ones are skipped without being held."""
    line = 0
    while data := file.readline(LONGEST_ROW + 1):
        line += 1
        if len(data) > LONGEST_ROW:
            size = len(data)
            raw = data[:LONGEST_RAW].decode("utf-8", "replace")
            while data and not data.endswith(b"\n"):
                data = file.readline(_CHUNK)
                size += len(data)
            error = f"it is {size / 1e6:.0f} MB long, expected at most {LONGEST_ROW / 1e6:.0f} MB on a line"
            yield Record(line, None, error, raw)
        elif data.strip():
            value, failure = parse_object(data)
            yield Record(line, value, failure, data[: 4 * LONGEST_RAW].decode("utf-8", "replace").strip()[:LONGEST_RAW])


class _Scanner:
    """Takes JSON values one after another off a text, holding little more than one of them."""

    def __init__(self, name: str, text: IO[str]) -> None:
        self._name = name
        self._text = text
        self._decode = json.JSONDecoder(parse_constant=lambda _: None).raw_decode
        self._buffer = ""
        self._at = 0
        self.row = 0  # rows taken so far

    def _more(self) -> bool:
        chunk = self._text.read(_CHUNK)
        self._buffer, self._at = self._buffer[self._at :] + chunk, 0
        return bool(chunk)

    def next(self) -> str:
        """The next character that is no white space, not taken; empty at the end."""
        while True:
            self._at = _BLANK.match(self._buffer, self._at).end()  # type: ignore[union-attr]
            if self._at < len(self._buffer) or not self._more():
                return self._buffer[self._at : self._at + 1]

    def take(self, character: str) -> None:
        """Step over `character`, which must be next."""
        if self.next() != character:
            raise self.broken(f"{self.next() or 'the end'} where {character} was expected")
        self._at += 1

    def takes(self, character: str) -> bool:
        """Step over `character` if it is next."""
        found = self.next() == character
        self._at += found
        return found

    def value(self) -> Any:
        """Take one value."""
        self.next()
        while True:
            try:
                value, end = self._decode(self._buffer, self._at)
                if end < len(self._buffer) or not self._more():
                    self._at = end
                    return value
            except json.JSONDecodeError as error:
                if len(self._buffer) - self._at > LONGEST_ROW or not self._more():
                    raise self.broken(error.msg) from error
            except (RecursionError, ValueError) as error:
                raise self.broken("nested too deeply, or a number too long") from error

    def rows_begin(self) -> bool:
        """Whether a list of objects is next."""
        if self.next() == "[" and len(self._buffer) - self._at < _CHUNK:
            self._more()
        return _ROWS.match(self._buffer, self._at) is not None

    def rows(self) -> Iterator[Record]:
        """Take a list, one row at a time."""
        self.take("[")
        while not self.takes("]"):
            if self.row:
                self.take(",")
            value = self.value()
            self.row += 1
            if isinstance(value, dict):
                yield Record(self.row, value)
            else:
                yield Record(self.row, None, not_an_object(value), to_json(value)[:LONGEST_RAW])

    def broken(self, reason: str) -> DataError:
        """Return the error to raise."""
        return DataError(
            f"{self._name} is broken JSON after row {self.row:,} ({reason}), expected a list of objects, or an object "
            "that holds one; write the file again, or choose JSONL if each line is an object of its own"
        )


def read_json(path: Path, file: io.BufferedReader) -> Iterator[Record]:
    """Yield the rows of a JSON text; DataError if it is broken, cut off or not UTF-8."""
    with io.TextIOWrapper(file, "utf-8", newline="") as text:
        scan = _Scanner(path.name, text)
        try:
            if scan.next() == "[":
                yield from scan.rows()
            else:
                yield from _json_object(path, scan)
            if rest := scan.next():
                raise scan.broken(f"{rest} behind its end")
        except UnicodeDecodeError as error:
            raise DataError(f"{path.name} is not UTF-8 text after row {scan.row:,}; save it as UTF-8") from error


def _json_object(path: Path, scan: _Scanner) -> Iterator[Record]:
    """An object that holds one list of rows beside anything else; without such a list it is a row itself."""
    columns: dict[str, Any] = {}
    found = ""
    scan.take("{")
    while not scan.takes("}"):
        if columns or found:
            scan.take(",")
        name = scan.value()
        scan.take(":")
        if isinstance(name, str) and name.lower() not in _TURN_LISTS and scan.rows_begin():
            if found:
                raise DataError(
                    f"{path.name} holds two lists of objects, {found!r} and {name!r}, expected one; split it into files"
                )
            found = name
            yield from scan.rows()
        else:
            columns[str(name)] = scan.value()
    if not found:
        yield Record(1, columns)
