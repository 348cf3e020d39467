"""Every format, plain and packed, gives the same rows; every damage gets one clear sentence."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.data import json_stream, readers
from curation.data.readers import read
from curation.data.records import LONGEST_ROW
from curation.errors import DataError

ROWS = [
    {"prompt": "two\u2028lines\u2029and\u0085more", "response": "one\r\ntwo\r\n"},
    {"prompt": 'a "quoted", word\tand tab', "response": "žluťoučký 🙂"},
    {"prompt": "x" * 3000, "response": "0"},
]


def jsonl(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def separated(delimiter: str) -> Callable[[list[dict[str, Any]]], bytes]:
    def write(rows: list[dict[str, Any]]) -> bytes:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue().encode()

    return write


def parquet(rows: list[dict[str, Any]]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return sink.getvalue()


FORMATS: dict[str, Callable[[list[dict[str, Any]]], bytes]] = {
    "jsonl": jsonl,
    "json": lambda rows: json.dumps(rows, indent=1, ensure_ascii=False).encode(),
    "csv": separated(","),
    "tsv": separated("\t"),
    "parquet": parquet,
}
PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "": lambda data: data,
    ".gz": gzip.compress,
    ".zst": lambda data: zstandard.ZstdCompressor().compress(data),
}


def values(path: Path, format: str = "auto") -> list[Any]:
    return [record.value for record in read(path, format)]


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., Path]:
    def write(name: str, data: bytes | str) -> Path:
        path = tmp_path / name
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return path

    return write


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("format", FORMATS)
def test_every_format_plain_and_packed(file: Callable[..., Path], format: str, packing: str) -> None:
    data = PACKINGS[packing](FORMATS[format](ROWS))
    named = file(f"rows.{format}{packing}", data)
    assert values(named) == ROWS
    assert values(named, format) == ROWS
    assert values(file("upload", data)) == ROWS  # a name that says nothing
    assert all(record.error is None for record in read(named))


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("rows.json", '{"a": 1}\n{"a": 2}\n', [{"a": 1}, {"a": 2}]),  # JSONL is often called .json
        ("rows.jsonl", '[{"a": 1},\n {"a": 2}]', [{"a": 1}, {"a": 2}]),
        ("rows.json", '{"version": 1, "data": [{"a": 1}, {"a": 2}], "more": [1, 2]}', [{"a": 1}, {"a": 2}]),
        ("rows.json", '{"messages": [{"role": "user"}]}', [{"messages": [{"role": "user"}]}]),
        ("rows.json", '{\n "a": 1\n}', [{"a": 1}]),
        ("rows.json", "[]", []),
        ("rows.jsonl", '\ufeff{"a": 1}\r\n\r\n{"a": NaN}', [{"a": 1}, {"a": None}]),
        ("rows.csv", "\ufeffa,b\n1,\n", [{"a": "1", "b": ""}]),
        ("rows.csv", "a;b\n1,5;2\n", [{"a": "1,5", "b": "2"}]),
        ("rows.csv", 'a,b\n"two\nlines",2\n', [{"a": "two\nlines", "b": "2"}]),
    ],
)
def test_spellings(file: Callable[..., Path], name: str, text: str, expected: list[dict[str, Any]]) -> None:
    assert values(file(name, text)) == expected


def test_a_row_that_cannot_be_parsed_is_one_record_with_its_line(file: Callable[..., Path]) -> None:
    path = file("rows.jsonl", b'{"a": 1}\n\n{"a": \n[1]\n{"a": "\xff"}\n"x"\n' + b"[" * 100_000 + b'\n{"a": 2}')
    records = list(read(path))
    assert [r.line for r in records] == [1, 3, 4, 5, 6, 7, 8]
    assert [r.value for r in records] == [{"a": 1}, None, None, None, None, None, {"a": 2}]
    errors = [r.error or "" for r in records]
    for error, part in zip(
        errors, ["", "not JSON", "a JSON list", "not UTF-8", "a JSON string", "nested too deeply", ""], strict=True
    ):
        assert part in error
    assert records[1].raw == '{"a":'
    (odd,) = [r for r in read(file("list.json", '[{"a": 1}, 7]')) if r.error]
    assert (odd.line, odd.raw) == (2, "7")


def test_a_csv_row_with_too_few_fields_is_one_record(file: Callable[..., Path]) -> None:
    records = list(read(file("rows.csv", 'a,b\n"1\n1",2\n3\n4,5\n')))
    assert [(r.line, r.value) for r in records] == [(2, {"a": "1\n1", "b": "2"}), (4, None), (5, {"a": "4", "b": "5"})]
    assert records[1].error == "it has 1 fields, expected 2 as in the header"
    assert records[1].raw == '["3"]'


def test_a_line_of_30_mb_is_one_record_and_never_held(file: Callable[..., Path]) -> None:
    path = file("rows.jsonl", b'{"a": "' + b"x" * 30_000_000 + b'"}\n{"a": 2}\n')
    long, after = read(path)
    assert long.value is None
    assert long.error == "it is 30 MB long, expected at most 17 MB on a line"
    assert len(long.raw) == readers.LONGEST_RAW
    assert (after.line, after.value) == (2, {"a": 2})


def test_no_more_of_a_line_is_asked_for_than_may_be_held() -> None:
    class Bounded(io.BytesIO):
        def readline(self, size: int | None = -1, /) -> bytes:
            assert size is not None and 0 < size <= LONGEST_ROW + 1
            return super().readline(size)

    records = list(json_stream.read_jsonl(Bounded(b"x" * (LONGEST_ROW + 5_000_000) + b'\n{"a": 1}\n')))
    assert [record.value for record in records] == [None, {"a": 1}]


def test_one_line_of_json_may_be_long(file: Callable[..., Path]) -> None:
    rows = [{"a": "x" * 1000, "n": i} for i in range(20_000)]
    assert values(file("rows.jsonl", json.dumps(rows))) == rows


GOOD = jsonl(ROWS * 300)


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("rows.jsonl", b"", "rows.jsonl is empty"),
        ("rows.jsonl.gz", gzip.compress(b""), "is empty"),
        ("rows.jsonl.gz", gzip.compress(GOOD)[:-40], "is cut off in the middle of its compressed data"),
        ("rows.jsonl.gz", gzip.compress(GOOD)[:60] + b"\0" * 90, "is damaged compressed data"),
        ("rows.jsonl.zst", zstandard.ZstdCompressor().compress(GOOD)[:-9], "is cut off in the middle"),
        ("rows.jsonl.zst", b"\x28\xb5\x2f\xfd" + b"\xff" * 90, "is damaged compressed data"),
        ("rows.jsonl", bytes(range(256)) * 9, "is binary data, expected JSONL, JSON, CSV, TSV or Parquet"),
        ("rows.csv", b"PK\x03\x04\x14\0\0\0" + b"\x91" * 99, "is binary data"),
        ("rows.csv", "a,b\nčaj,2\n".encode("cp1250"), "is text in another encoding than UTF-8"),
        ("rows.csv", "a,b\n1,2\n".encode("utf-16"), "is UTF-16 text"),
        ("rows.csv", b'a,b\n1,2\n"3,4\n5,6\n', "broken quoting in the row that begins on line 3"),
        ("rows.csv", b'a,b\n1,2\n"3"x,4\n', "broken quoting in the row that begins on line 3"),
        ("rows.csv", b"a,a\n1,2\n", r"unnamed or repeated columns in its first line \(a, a\)"),
        ("rows.csv", b"a,b\n" + b"1,2\n" * 70_000 + b"\xff,2\n", "is not UTF-8 text after line"),
        ("rows.json", b'[{"a": 1}, {"a": 2', r"is broken JSON after row 1"),
        ("rows.json", b'[{"a": 1} {"a": 2}]', r"broken JSON after row 1 \({ where , was expected"),
        ("rows.json", b'[{"a": 1}] x', "broken JSON after row 1 .x behind its end"),
        ("rows.json", b"[" * 200_000, "nested too deeply"),
        ("rows.json", b'{"a": [{"x": 1}], "b": [{"x": 2}]}', "holds two lists of objects, 'a' and 'b'"),
        ("rows.parquet", b"PAR1" + b"\0" * 99, "is no readable Parquet file"),
        ("rows.parquet", parquet(ROWS)[:-20], "is no readable Parquet file"),
        ("rows.parquet", b"a,b\n", "is no Parquet file"),
    ],
)
def test_damage_gets_one_sentence(file: Callable[..., Path], name: str, data: bytes, sentence: str) -> None:
    path = file(name, data)
    with pytest.raises(DataError, match=sentence) as caught:
        list(read(path))
    assert "\n" not in str(caught.value)


def test_missing_files_folders_and_wrong_formats(file: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no file"):
        list(read(tmp_path / "none.jsonl"))
    with pytest.raises(DataError, match="is a folder, expected a file"):
        list(read(tmp_path))
    with pytest.raises(DataError, match="is a Parquet file, the format given is csv"):
        list(read(file("x", parquet(ROWS)), "csv"))
    with pytest.raises(DataError, match="can't be read"):
        readers.file_sha256(tmp_path / "none.jsonl")


def test_zstd_frames_one_after_another(file: Callable[..., Path]) -> None:
    pack = zstandard.ZstdCompressor().compress
    assert values(file("rows.jsonl.zst", pack(jsonl(ROWS[:1])) + pack(jsonl(ROWS[1:])))) == ROWS


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60)
@given(
    rows=st.lists(st.dictionaries(st.text(), json_values, max_size=4), min_size=1, max_size=6),
    indent=st.sampled_from([None, 1]),
    chunk=st.integers(1, 50),
)
def test_streamed_json_equals_json(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]], indent: int | None, chunk: int
) -> None:
    """Whatever the rows and wherever the buffer ends."""
    path = tmp_path_factory.mktemp("json") / "rows.json"
    path.write_text(json.dumps(rows, indent=indent, ensure_ascii=False), "utf-8", newline="")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_stream, "_CHUNK", chunk)
        assert values(path, "json") == rows


def test_the_real_files(shared: Path) -> None:
    data = shared / "data"
    small = list(read(data / "pool_small.jsonl.gz"))
    assert len(small) == 2000
    assert [r.line for r in small] == list(range(1, 2001))
    pool = [r.value or {} for r in read(data / "pool.jsonl.gz")]
    assert len(pool) == 37_408
    mbpp = [row["messages"] for row in pool if row["source"] == "mbpp"]
    assert sum("\r\n" in turns[0]["content"] + turns[1]["content"] for turns in mbpp) == 188  # the README says all 189
    assert len(list(read(data / "multiturn.jsonl.gz"))) == 42
    assert len(list(read(data / "tests" / "gsm8k.jsonl"))) == 500
