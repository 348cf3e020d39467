"""Files as a stream of raw rows, in bounded memory; hub data sets too (`curation.data.hub`).

JSONL, JSON, CSV and TSV (quoted as Python's csv module does, strictly) and Parquet by batches; each plain, gzip or
zstd. What a file is, its first bytes decide, its name only where they leave it open. A row that can't be parsed becomes
a `Record` with an error; a file that can't be read raises one DataError. What a row means is `schemas`' business.

Left out: other encodings than UTF-8, archives of several files, and data sets that come with Python code.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import hashlib
import io
import re
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from curation.data.hub import hub as hub
from curation.data.hub import hub_revision as hub_revision
from curation.data.json_stream import read_json, read_jsonl
from curation.data.records import LONGEST_RAW, LONGEST_ROW, Record, parse_object, to_json
from curation.errors import DataError

_EXPECTED = "expected JSONL, JSON, CSV, TSV or Parquet (plain, gzip or zstd)"
_HEAD = 1 << 16
_CHUNK = 1 << 20
_BATCH = 1024


def file_sha256(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes; DataError if it can't be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(path, error) from error


def read(path: Path, format: str = "auto") -> Iterator[Record]:
    """Yield the rows of a file; files are looked at when the first row is asked for.

    Parameters
    ----------
    path : Path
        File on this machine.
    format : {"auto", "jsonl", "json", "csv", "tsv", "parquet"}
        What it is; by default found out.

    Raises
    ------
    DataError
        If the file is missing, empty, damaged, cut off, not text, or not in its format.
    """
    with _translated(path), ExitStack() as stack:
        if path.is_dir():
            raise DataError(f"{path} is a folder, expected a file; give one file, or a hub id")
        raw = stack.enter_context(path.open("rb"))
        file, head = _unpacked(raw, stack)
        if not head:
            raise DataError(f"{path.name} is empty, expected rows; check that it was written or uploaded whole")
        found = _format(path, head) if format == "auto" else format
        if (found == "parquet") != head.startswith(b"PAR1"):
            got = "a" if found != "parquet" else "no"
            raise DataError(f"{path.name} is {got} Parquet file, the format given is {found}; choose another format")
        if found == "parquet":
            yield from _parquet(_seekable(file, raw, stack))
            return
        _check_text(path, head, by_row=found == "jsonl")
        if head.startswith(codecs.BOM_UTF8):
            file.read(3)
        if found == "jsonl":
            yield from read_jsonl(file)
        elif found == "json":
            yield from read_json(path, file)
        else:
            yield from _csv(path, file, head, found)


def _unpacked(raw: IO[bytes], stack: ExitStack) -> tuple[io.BufferedReader, bytes]:
    """The file's bytes behind gzip or zstd, and the first of them."""
    magic = raw.read(4)
    raw.seek(0)
    stream: Any = raw
    if magic.startswith(b"\x1f\x8b"):
        stream = stack.enter_context(gzip.GzipFile(fileobj=raw))
    elif magic == b"\x28\xb5\x2f\xfd":
        stream = _Zstd(raw)
    file = stack.enter_context(io.BufferedReader(stream, _CHUNK))
    return file, file.peek(_HEAD)[:_HEAD]


class _Zstd(io.RawIOBase):
    """Unpacks zstd frames and, unlike zstandard's own stream reader, raises EOFError if the last one is cut off."""

    def __init__(self, raw: IO[bytes]) -> None:
        import zstandard

        self._raw = raw
        self._new = zstandard.ZstdDecompressor().decompressobj
        self._frame = self._new()
        self._left = memoryview(b"")  # unpacked, not yet handed out

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left:
            packed = self._frame.unused_data if self._frame.eof else b""
            packed = packed or self._raw.read(1 << 16)
            if not packed:
                if not self._frame.eof:
                    raise EOFError
                return 0
            if self._frame.eof:
                self._frame = self._new()
            self._left = memoryview(self._frame.decompress(packed))
        n = min(len(buffer), len(self._left))
        buffer[:n], self._left = self._left[:n], self._left[n:]
        return n


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Turn what libraries raise into one sentence."""
    import zstandard
    from pyarrow import ArrowException

    try:
        yield
    except FileNotFoundError as error:
        raise DataError(
            f"there is no file {path}; check the path, which is one on the machine Winnow runs on"
        ) from error
    except EOFError as error:
        raise DataError(
            f"{path.name} is cut off in the middle of its compressed data; copy or download it again"
        ) from error
    except (gzip.BadGzipFile, zlib.error, zstandard.ZstdError) as error:
        raise DataError(f"{path.name} is damaged compressed data ({error}); copy or download it again") from error
    except ArrowException as error:
        reason = str(error).partition("\n")[0]
        raise DataError(f"{path.name} is no readable Parquet file ({reason}); copy or write it again") from error
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> DataError:
    return DataError(f"{path} can't be read ({error.strerror or error}); check the path and its permissions")


_NAMED = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".parquet": "parquet",
}


def _format(path: Path, head: bytes) -> str:
    """Decide what a file is by its first bytes, and by its name where they leave it open."""
    suffixes = [s.lower() for s in path.suffixes if s.lower() not in (".gz", ".gzip", ".zst", ".zstd")]
    named = _NAMED.get(suffixes[-1] if suffixes else "")
    text = head.removeprefix(codecs.BOM_UTF8).lstrip()
    line, ended, rest = text.partition(b"\n")
    if head.startswith(b"PAR1"):
        return "parquet"
    if named in ("csv", "tsv") or (named == "jsonl" and not text.startswith(b"[")):
        return named
    if text.startswith(b"["):
        return "json"
    if text.startswith(b"{"):  # JSONL is often called .json
        several = bool(ended) and parse_object(line)[0] is not None and bool(rest.strip())
        return "jsonl" if several or (named != "json" and not ended) else "json"
    return named or ("tsv" if line.count(b"\t") > line.count(b",") else "csv")


def _check_text(path: Path, head: bytes, *, by_row: bool) -> None:
    """Refuse what is no UTF-8 text; `by_row` leaves single bad characters to be found row by row."""
    what = ""
    if head[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        what = "UTF-16 text"
    elif b"\0" in head:
        what = "binary data"
    else:
        try:
            codecs.getincrementaldecoder("utf-8")().decode(head)  # the head may end inside a character
        except UnicodeDecodeError:
            controls = re.search(rb"[\x01-\x08\x0e-\x1a\x1c-\x1f]", head)
            what = "binary data" if controls else "" if by_row else "text in another encoding than UTF-8"
    if what:
        raise DataError(f"{path.name} is {what}, {_EXPECTED}; give such a file, saved as UTF-8")


def _csv(path: Path, file: io.BufferedReader, head: bytes, format: str) -> Iterator[Record]:
    first = head.partition(b"\n")[0].decode("utf-8", "replace")
    delimiter = "\t" if format == "tsv" else max(",;\t", key=first.count)
    csv.field_size_limit(LONGEST_ROW)
    line = 1
    try:
        with io.TextIOWrapper(file, "utf-8", newline="") as text:
            rows = csv.reader(text, delimiter=delimiter, strict=True)
            header = next(rows, [])
            if len(set(header)) < len(header) or not all(name.strip() for name in header):
                raise DataError(
                    f"{path.name} has unnamed or repeated columns in its first line ({', '.join(header)[:200]}), "
                    "expected a name for each column; write a header line"
                )
            line = rows.line_num + 1
            for row in rows:
                if len(row) == len(header):
                    yield Record(line, dict(zip(header, row, strict=True)))
                elif row:
                    error = f"it has {len(row)} fields, expected {len(header)} as in the header"
                    yield Record(line, None, error, to_json(row)[:LONGEST_RAW])
                line = rows.line_num + 1
    except csv.Error as failure:
        raise DataError(
            f"{path.name} has broken quoting in the row that begins on line {line} ({failure}), expected every quoted "
            "field to be closed and quotes inside it to be doubled; write the file again with a CSV library"
        ) from failure
    except UnicodeDecodeError as failure:
        raise DataError(f"{path.name} is not UTF-8 text after line {line - 1}; save it as UTF-8") from failure


def _parquet(file: IO[bytes]) -> Iterator[Record]:
    from pyarrow.parquet import ParquetFile

    line = 0
    with ParquetFile(file) as parquet:
        for batch in parquet.iter_batches(batch_size=_BATCH):
            for value in batch.to_pylist():
                line += 1
                yield Record(line, value)


def _seekable(file: io.BufferedReader, raw: IO[bytes], stack: ExitStack) -> IO[bytes]:
    """Parquet is read from its end: unpack a compressed one beside it, take a plain one as it is."""
    if isinstance(file.raw, io.BufferedReader):
        raw.seek(0)
        return raw
    unpacked = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
    shutil.copyfileobj(file, unpacked, _CHUNK)
    unpacked.seek(0)
    return unpacked
