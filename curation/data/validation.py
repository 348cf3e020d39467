"""From a file to `rows.parquet`: every row accepted or rejected with its reason, in bounded memory.

Rows stream through; what grows with their number is one 16-byte digest each, kept to number the repetitions of a row
(about 150 bytes a row in all, 150 MB for a million). Exact duplicates stay: `quality` tags them.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curation.config import DatasetConfig, Mapping
from curation.data import readers
from curation.data.records import Record
from curation.data.rows import Example, Message, RowError, canonical_hash, numbered_id
from curation.data.schemas import resolve, to_messages
from curation.errors import DataError
from curation.progress import Progress

if TYPE_CHECKING:
    import pyarrow as pa

VERSION = 1
ROWS = "rows.parquet"
REJECTS = "rejects.parquet"
_SAMPLE = 100  # rows by which the mapping is found
_PREVIEW = 5
_GROUP_ROWS = 5_000
_GROUP_CHARS = 16 << 20
_REASONS = 100  # distinct ones that are counted by themselves
_OTHER = "other reasons"


@dataclass(frozen=True)
class Report:
    """What became of a file's rows; accepted + rejected = read.

    Attributes
    ----------
    read, accepted, rejected : int
        Numbers of rows.
    reasons : dict of str to int
        Reason → rejected rows, most frequent first; beyond 100 distinct ones the rest is counted as "other reasons".
    mapping : Mapping
        Which column meant what.
    sha256 : str
        Hash of the file's bytes; empty for a hub data set.
    preview : list of dict
        The first accepted rows, as in `rows.parquet`.
    """

    read: int
    accepted: int
    rejected: int
    reasons: dict[str, int]
    mapping: Mapping
    sha256: str
    preview: list[dict[str, Any]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {**dataclasses.asdict(self), "mapping": self.mapping.to_dict()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Report:
        """Build from what `to_dict` gave."""
        return cls(**{**data, "mapping": Mapping.from_dict(data["mapping"])})


def load(config: DatasetConfig, folder: Path, progress: Progress, *, role: str) -> Report:
    """Read, map and validate a data set; write `rows.parquet` and `rejects.parquet` into `folder`.

    Parameters
    ----------
    config : DatasetConfig
        Where the rows come from and which column means what.
    folder : Path
        An existing folder.
    progress : Progress
        Told of every few thousand rows.
    role : str
        ``"pool"``, ``"queries"`` or ``"tests"``: for progress and messages.

    Raises
    ------
    DataError
        If the file can't be read, its columns can't be mapped, or none of its rows can be used.
    """
    mapping, records = _open(config)
    progress.start(f"Read {role}", 0, "rows")
    seen: dict[bytes, int] = {}
    reasons: Counter[str] = Counter()
    preview: list[dict[str, Any]] = []
    rejected: tuple[int, str] | None = None
    with _Writer(folder / ROWS, rows_schema()) as rows, _Writer(folder / REJECTS, _rejects_schema()) as rejects:
        for record in records:
            try:
                row = _row(record, mapping, seen)
            except RowError as error:
                rejected = rejected or (record.line, error.reason)
                reasons[error.reason if error.reason in reasons or len(reasons) < _REASONS else _OTHER] += 1
                shown = record.shown
                rejects.add({"line": record.line, "reason": error.reason, "raw": shown}, len(shown))
            else:
                rows.add(row, row["n_chars"])
                if rows.count <= _PREVIEW:
                    preview.append(row)
            if (rows.count + rejects.count) % _GROUP_ROWS == 0:
                progress.advance(_GROUP_ROWS)
    progress.advance((rows.count + rejects.count) % _GROUP_ROWS)
    if rows.count == 0:
        raise _no_rows(config, rejects.count, rejected)
    return Report(
        read=rows.count + rejects.count,
        accepted=rows.count,
        rejected=rejects.count,
        reasons=dict(reasons.most_common()),
        mapping=mapping,
        sha256="" if config.hub else readers.file_sha256(Path(config.path)),
        preview=preview,
    )


def preview(config: DatasetConfig, n: int = 20) -> tuple[Mapping, list[Record]]:
    """Return the mapping found for a data set and its first `n` rows, for the mapping form.

    Raises
    ------
    DataError
        As `load`; where only the mapping can't be found, it is returned as given, with ``schema="auto"``.
    """
    sample = list(itertools.islice(_records(config), max(n, _SAMPLE)))
    values = _values(config, sample)
    try:
        return resolve(config.mapping, values), sample[:n]
    except DataError:
        return dataclasses.replace(config.mapping, schema="auto"), sample[:n]


def rows_schema() -> pa.Schema:
    """Columns of `rows.parquet`."""
    import pyarrow as pa

    turn = pa.struct(
        [("role", pa.string()), ("content", pa.string()), ("tool_calls", pa.string()), ("train", pa.bool_())]
    )
    names = ("group", "source", "licence", "user_id", "extra")
    return pa.schema(
        [
            ("id", pa.string()),
            ("messages", pa.list_(turn)),
            *((name, pa.string()) for name in names),
            ("line", pa.int64()),
            ("n_chars", pa.int64()),
        ]
    )


def example_from_row(row: dict[str, Any]) -> Example:
    """Build an Example from a row of `rows.parquet`."""
    return Example(
        id=row["id"],
        messages=tuple(Message(m["role"], m["content"], m["tool_calls"], m["train"]) for m in row["messages"]),
        group=row["group"],
        source=row["source"],
        licence=row["licence"],
        user_id=row["user_id"],
        extra=row["extra"],
    )


def rows_from_parquet(path: Path, columns: list[str] | None = None) -> Iterator[dict[str, Any]]:
    """Yield the rows of a `rows.parquet` in order, in bounded memory."""
    from pyarrow.parquet import ParquetFile

    with ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=1024, columns=columns):
            yield from batch.to_pylist()


def _records(config: DatasetConfig) -> Iterator[Record]:
    return readers.hub(config) if config.hub else readers.read(Path(config.path), config.format)


def _values(config: DatasetConfig, sample: list[Record]) -> list[dict[str, Any]]:
    """The columns of the rows that could be parsed; DataError if none could."""
    values = [r.value for r in sample if r.value is not None]
    if not values:
        first = (sample[0].line, str(sample[0].error)) if sample else None
        raise _no_rows(config, len(sample), first)
    return values


def _open(config: DatasetConfig) -> tuple[Mapping, Iterator[Record]]:
    """The mapping, found by the first rows, and all rows."""
    records = _records(config)
    sample = list(itertools.islice(records, _SAMPLE))
    values = _values(config, sample)
    try:
        mapping = resolve(config.mapping, values)
    except DataError as error:
        raise DataError(f"{_name(config)}: {error}") from error
    return mapping, itertools.chain(sample, records)


def _row(record: Record, mapping: Mapping, seen: dict[bytes, int]) -> dict[str, Any]:
    """A row of `rows.parquet`; `seen` counts how often its messages have come."""
    if record.value is None:
        raise RowError(record.error or "it can't be read")
    parsed = to_messages(record.value, mapping)
    digest = canonical_hash(parsed.messages)
    short = bytes.fromhex(digest[:32])
    occurrence = seen[short] = seen.get(short, -1) + 1
    return {
        "id": numbered_id(digest, occurrence),
        "messages": [
            {"role": m.role, "content": m.content, "tool_calls": m.tool_calls, "train": m.train}
            for m in parsed.messages
        ],
        "group": parsed.group,
        "source": parsed.source,
        "licence": parsed.licence,
        "user_id": parsed.user_id,
        "extra": parsed.extra,
        "line": record.line,
        "n_chars": sum(len(m.content) + len(m.tool_calls or "") for m in parsed.messages),
    }


def _no_rows(config: DatasetConfig, n: int, first: tuple[int, str] | None) -> DataError:
    if first is None:
        return DataError(f"{_name(config)} holds no rows, expected at least one; check that it was written whole")
    line, reason = first
    return DataError(
        f"none of the {n:,} rows of {_name(config)} can be used; the first, on line {line}: {reason}; check its format "
        "and which column means what"
    )


def _name(config: DatasetConfig) -> str:
    return config.path if config.hub else Path(config.path).name


def _rejects_schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema([("line", pa.int64()), ("reason", pa.string()), ("raw", pa.string())])


class _Writer:
    """Writes rows to a Parquet file (zstd), a row group every few thousand rows or 16 M characters."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        from pyarrow.parquet import ParquetWriter

        self.count = 0
        self._schema = schema
        self._rows: list[dict[str, Any]] = []
        self._chars = 0
        self._file = ParquetWriter(path, schema, compression="zstd")

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *error: object) -> None:
        if error[0] is None:
            self._flush()
        self._file.close()

    def add(self, row: dict[str, Any], chars: int) -> None:
        """Write one row, by and by."""
        self._rows.append(row)
        self._chars += chars
        self.count += 1
        if len(self._rows) >= _GROUP_ROWS or self._chars >= _GROUP_CHARS:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        if self._rows:
            self._file.write_table(pa.Table.from_pylist(self._rows, self._schema))
            self._rows, self._chars = [], 0
