"""What the Data page shows of one data set: a page of rows, a first look at a file, the learned tokens of a row.

Plain tables and records for drawing; nothing here is stored. Token views keep a tokenizer in memory, no model.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from curation.config import DatasetConfig, Mapping, ModelConfig

if TYPE_CHECKING:
    import pandas as pd

    from curation.data.chat import Encoder
    from curation.data.records import Record
    from curation.data.rows import Example
    from curation.workspace import Workspace

_SNIPPET = 300
_LOOKED_AT = 50
_MEANINGS = {
    "duplicate": "the same messages as an earlier row",
    "near_duplicate": "nearly the same words as an earlier row",
    "contains_queries": "holds the prompt of a query",
    "contains_tests": "holds the prompt of a test row: training on it would flatter the result",
    "short_answer": "an answer of at most 3 characters",
    "long": "over 8,000 characters in all",
    "blank_answer": "an answer without any letter or digit, or “n/a” and its like",
    "refusal": "an answer that begins as refusals do",
}
_KINDS = {
    "script": "most of its letters are {}",
    "words": "its commonest words look like the language “{}” more than English (a cheap guess)",
}


def count(ws: Workspace, key: str, *, search: str = "", tag: str = "") -> int:
    """Return how many rows of the data set `key` hold the words `search` and have the tag `tag` (empty: any)."""
    return ws.count(key, search=search.strip(), where={"tag": tag} if tag else {})


def rows(ws: Workspace, key: str, *, offset: int = 0, limit: int = 25, search: str = "", tag: str = "") -> pd.DataFrame:
    """Return one page of the rows that `count` counts.

    Returns
    -------
    DataFrame
        ``id``, ``row`` (from 1), ``prompt``, ``answer`` (first characters), ``turns``, ``source``, ``group``,
        ``characters``, ``tags``; columns that are empty on this page are left out.
    """
    import pandas as pd

    where = {"tag": tag} if tag else {}
    frame = ws.page(key, offset=offset, limit=limit, search=search.strip(), where=where)
    messages = [list(m) for m in frame["messages"]]
    table = pd.DataFrame(
        {
            "id": frame["id"],
            "row": frame["row"] + 1,
            "prompt": [_snippet(m, "user") for m in messages],
            "answer": [_snippet(m[::-1], "assistant") for m in messages],
            "turns": [len(m) for m in messages],
            "source": frame["source"],
            "group": frame["group"],
            "characters": frame["n_chars"],
            "tags": [(", ".join(t) or None) if isinstance(t, Iterable) else None for t in frame["tags"]],
        }
    )
    return table.dropna(axis="columns", how="all")


def _snippet(messages: list[dict[str, Any]], role: str) -> str:
    text = next((m["content"] or m["tool_calls"] or "" for m in messages if m["role"] == role), "")
    line = " ".join(text[: 2 * _SNIPPET].split())
    return line if len(line) <= _SNIPPET else line[: _SNIPPET - 1] + "…"


def example(ws: Workspace, key: str, row: int) -> Example:
    """Return one row whole; `row` counts from 1, as in `rows`."""
    return next(iter(ws.some(key, [row - 1])))


def tags(ws: Workspace, key: str) -> pd.DataFrame | None:
    """Return what the quality check found, or None before it has run.

    Returns
    -------
    DataFrame or None
        ``tag``, ``meaning`` (in words), ``rows`` and ``share`` of all rows, the most frequent first.
    """
    import pandas as pd
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    path = ws.rows_path(key).with_name("tags.parquet")
    if not path.is_file():
        return None
    total = pq.read_metadata(ws.rows_path(key)).num_rows
    counts = pc.value_counts(pc.list_flatten(pq.read_table(path, columns=["tags"])["tags"])).to_pylist()
    found = sorted(((c["values"], c["counts"]) for c in counts), key=lambda c: -c[1])
    return pd.DataFrame(
        [(tag, _meaning(tag), n, n / total) for tag, n in found], columns=["tag", "meaning", "rows", "share"]
    )


def _meaning(tag: str) -> str:
    if tag in _MEANINGS:
        return _MEANINGS[tag]
    kind, _, name = tag.partition("_")
    return _KINDS[kind].format(name.capitalize() if kind == "script" else name)


def rejects_bytes(ws: Workspace, key: str) -> bytes:
    """Return all rejected rows as JSON lines, for a download."""
    with TemporaryDirectory() as folder:
        return ws.rejects_file(key, Path(folder) / "rejects.jsonl").read_bytes()


def reasons(ws: Workspace, key: str) -> pd.DataFrame:
    """Return why rows were rejected: ``reason`` and ``rows``, the most frequent first."""
    import pandas as pd

    from curation.pipeline import report_of

    return pd.DataFrame(list(report_of(ws, key).reasons.items()), columns=["reason", "rows"])


@dataclass(frozen=True)
class Learned:
    """A row as a model reads it: its text in runs of learned and not learned tokens, and how answers were found."""

    runs: tuple[tuple[str, bool], ...]
    n_tokens: int
    n_learned: int
    method: str


def learned(shown: Example, model: ModelConfig) -> Learned:
    """Return which tokens of a row a fine-tuning of `model` learns.

    Raises
    ------
    ModelError
        If the tokenizer can't be loaded.
    RowError
        If the model's chat template can't express the row.
    """
    encoder = _encoder(json.dumps(model.to_dict(), sort_keys=True))
    tokens = encoder.tokens(shown)
    runs = tuple(("".join(t for t, _ in run), is_learned) for is_learned, run in groupby(tokens, key=lambda t: t[1]))
    return Learned(runs, len(tokens), sum(mark for _, mark in tokens), encoder.method)


@lru_cache(maxsize=4)
def _encoder(config: str) -> Encoder:
    from curation.data.chat import Encoder
    from curation.models import load_tokenizer

    model = ModelConfig.from_dict(json.loads(config))
    return Encoder(load_tokenizer(model), model.max_length)


@dataclass(frozen=True)
class Trial:
    """A first look at a file: its columns, the mapping in use, and its first rows as they would be read.

    Where no schema fits the columns, the mapping's is still ``auto`` and there are no rows.

    Attributes
    ----------
    rows : tuple
        An `Example`, or the reason why the row would be rejected.
    """

    columns: tuple[str, ...]
    mapping: Mapping
    rows: tuple[Example | str, ...]


def first_look(config: DatasetConfig, n: int = 10) -> Trial:
    """Return the first `n` rows of a file, mapped as `config` says, or as found out where its schema is ``auto``.

    Raises
    ------
    DataError
        If the file can't be read.
    """
    from curation.data import validation

    mapping, records = validation.preview(config, _LOOKED_AT)
    columns = dict.fromkeys(name for r in records if r.value is not None for name in r.value)
    known = mapping.schema != "auto"
    return Trial(tuple(columns), mapping, tuple(_mapped(r, mapping) for r in records[:n]) if known else ())


def _mapped(record: Record, mapping: Mapping) -> Example | str:
    from curation.data import schemas
    from curation.data.rows import Example, RowError

    if record.value is None:
        return record.error or "it can't be parsed"
    try:
        parsed = schemas.to_messages(record.value, mapping)
    except RowError as error:
        return error.reason
    return Example(f"line {record.line}", *parsed)
