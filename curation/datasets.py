"""Data sets of a workspace: which project uses which, their rows by id or by page, and uploaded files.

Rows are Parquet in the artefact ``dataset/<key>`` (`rows.parquet`, `rejects.parquet`, `tags.parquet`), written by
`curation.data` and read here: whole in Arrow's batches, a page at a time through DuckDB, which touches only the
columns and row groups that the page needs.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from sqlmodel import Session, col, select, update

from curation.artefacts import ArtefactStore
from curation.data.rows import Example
from curation.database import storage_errors
from curation.errors import WorkspaceError
from curation.tables import DatasetRow, Project

if TYPE_CHECKING:
    import pandas as pd

DATASET = "dataset"
_COLUMNS = ("row", "id", "group", "source", "licence", "user_id", "line", "n_chars")


class DatasetStore(ArtefactStore):
    """The part of a workspace that keeps data sets."""

    def add_dataset(
        self,
        project_id: str,
        role: str,
        name: str,
        key: str,
        n_rows: int,
        n_rejected: int,
        config: dict[str, Any] | None = None,
    ) -> DatasetRow:
        """Let a project use the data set `key` in a role (pool, query, test) and make it the active one there."""
        self.artefact(DATASET, key)
        row = DatasetRow(
            project_id=project_id,
            role=role,
            key=key,
            name=name,
            n_rows=n_rows,
            n_rejected=n_rejected,
            config=json.dumps(config or {}),
        )
        with self.write() as session:
            if session.get(Project, project_id) is None:
                raise WorkspaceError(f"there is no project {project_id!r}; create it first")
            session.merge(row)
            session.flush()
            _activate(session, project_id, role, key)
        return row

    def dataset(self, project_id: str, role: str) -> DatasetRow | None:
        """Return the active data set of a role, or None."""
        with self.read() as session:
            return session.exec(
                select(DatasetRow).where(
                    DatasetRow.project_id == project_id, DatasetRow.role == role, col(DatasetRow.active)
                )
            ).first()

    def datasets(self, project_id: str) -> list[DatasetRow]:
        """List all data sets of a project, newest first."""
        query = select(DatasetRow).where(DatasetRow.project_id == project_id).order_by(col(DatasetRow.created).desc())
        with self.read() as session:
            return list(session.exec(query))

    def activate(self, project_id: str, role: str, key: str) -> None:
        """Make `key` the data set that the project uses in the role."""
        with self.write() as session:
            if session.get(DatasetRow, (project_id, role, key)) is None:
                raise WorkspaceError(
                    f"project {project_id!r} has no data set {key} as {role}; load it on the Data page first"
                )
            _activate(session, project_id, role, key)

    def rows_path(self, key: str) -> Path:
        """Return the data set's Parquet file of rows."""
        return self.artefact(DATASET, key) / "rows.parquet"

    def iter_examples(self, key: str) -> Iterator[Example]:
        """Yield the rows in order, in bounded memory."""
        from curation.data.validation import example_from_row, rows_from_parquet

        return map(example_from_row, rows_from_parquet(self.rows_path(key)))

    def examples(self, key: str) -> list[Example]:
        """Return all rows in order."""
        return list(self.iter_examples(key))

    def ids(self, key: str) -> list[str]:
        """Return the ids of all rows in order."""
        return self.column(key, "id")

    def column(self, key: str, name: str) -> list[Any]:
        """Return one column of all rows in order."""
        import pyarrow.parquet as pq

        return list(pq.read_table(self.rows_path(key), columns=[_column(name)]).column(0).to_pylist())

    def rows(self, key: str, ids: Sequence[str]) -> list[Example]:
        """Return the rows of these ids, in the order of `ids`; WorkspaceError names one that is not there."""
        wanted = set(ids)
        found = {e.id: e for e in self.iter_examples(key) if e.id in wanted}
        if missing := wanted - found.keys():
            raise WorkspaceError(f"data set {key} has no row {min(missing)}; load the data set that has it")
        return [found[i] for i in ids]

    def positions(self, key: str, search: str) -> list[int]:
        """Return the positions of the rows whose conversation holds the words `search`; see `page`."""
        source, values = self._matching(key, search, {})
        return list(_duckdb(f"SELECT row {source} ORDER BY row", values)["row"])

    def some(self, key: str, positions: Sequence[int]) -> list[Example]:
        """Return the rows at these positions, in that order, reading only what is needed."""
        import duckdb

        from curation.data.validation import example_from_row

        query = "SELECT * FROM read_parquet(?, file_row_number=true) WHERE list_contains(?, file_row_number)"
        with duckdb.connect() as connection:
            table = connection.sql(query, params=[str(self.rows_path(key)), list(positions)]).to_arrow_table()
        by_position = {row.pop("file_row_number"): row for row in table.to_pylist()}
        return [example_from_row(by_position[p]) for p in positions]

    def count(self, key: str, *, search: str = "", where: dict[str, Any] | None = None) -> int:
        """Return how many rows match; see `page`."""
        source, values = self._matching(key, search, where or {})
        return int(_duckdb(f"SELECT count(*) AS n {source}", values)["n"].iloc[0])

    def page(
        self,
        key: str,
        *,
        offset: int = 0,
        limit: int = 50,
        search: str = "",
        where: dict[str, Any] | None = None,
        order: str = "",
        ids: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """Return one page of rows.

        Parameters
        ----------
        key : str
            Data set.
        offset, limit : int
            Which of the matching rows.
        search : str
            Words that the conversation must hold as they stand, upper and lower case alike.
        where : dict
            Column → value, or list of allowed values; ``"tag"`` asks for a tag of the quality check.
        order : str
            Column to sort by, ``-`` before it for falling order; else the data set's order, or that of `ids`.
        ids : sequence of str, optional
            Only these rows.

        Returns
        -------
        DataFrame
            The file's columns, ``row`` (position in the data set) and ``tags`` (list).
        """
        source, values = self._matching(key, search, where or {})
        by = "row"
        wanted = None
        if ids is not None:
            import pandas as pd

            wanted = pd.DataFrame({"wanted_id": pd.Series(list(ids), dtype="object"), "rank": range(len(ids))})
            source = source.replace("WHERE", "JOIN wanted ON id = wanted_id WHERE")
            by = "rank"
        if order:
            by = f'"{_column(order.removeprefix("-"))}" {"DESC" if order.startswith("-") else "ASC"} NULLS LAST, {by}'
        exclude = "EXCLUDE (wanted_id, rank)" if ids is not None else ""
        query = f"SELECT * {exclude} {source} ORDER BY {by} LIMIT ? OFFSET ?"
        return _duckdb(query, [*values, limit, offset], wanted)

    def rejects(self, key: str, offset: int = 0, limit: int = 50) -> pd.DataFrame:
        """Return a page of the rejected rows: line (1-based), reason and the row as it stood."""
        path = self.artefact(DATASET, key) / "rejects.parquet"
        query = "SELECT line, reason, raw FROM read_parquet(?) ORDER BY line LIMIT ? OFFSET ?"
        return _duckdb(query, [str(path), limit, offset])

    def rejects_file(self, key: str, path: Path) -> Path:
        """Write all rejected rows to `path` as JSON lines and return it."""
        from curation.data.validation import rows_from_parquet

        rejects = rows_from_parquet(self.artefact(DATASET, key) / "rejects.parquet", ["line", "reason", "raw"])
        with path.open("w", encoding="utf-8") as out:
            out.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rejects)
        return path

    def store_upload(self, name: str, data: bytes | IO[bytes]) -> Path:
        """Keep an uploaded file under ``uploads/<hash>/<name>``; the same bytes are kept once.

        Raises
        ------
        WorkspaceError
            If the disk is full or not writable.
        """
        uploads = self.root / "uploads"
        stream = io.BytesIO(data) if isinstance(data, bytes) else data
        safe = re.sub(r"[^\w.-]+", "_", Path(name.replace("\\", "/")).name).lstrip(".") or "upload"
        with storage_errors(self.root):
            uploads.mkdir(exist_ok=True)
            part = uploads / f"{uuid.uuid4().hex}.part"
            try:
                digest = hashlib.sha256()
                with part.open("xb") as out:
                    while chunk := stream.read(1 << 20):
                        digest.update(chunk)
                        out.write(chunk)
                path = uploads / digest.hexdigest()[:16] / safe
                path.parent.mkdir(exist_ok=True)
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)
        return path

    def _matching(self, key: str, search: str, where: dict[str, Any]) -> tuple[str, list[Any]]:
        """Return ``FROM … WHERE …`` and its values; names of columns are checked, values are never in the text."""
        path = self.rows_path(key)
        values: list[Any] = [str(path)]
        rows = "SELECT * RENAME (file_row_number AS row) FROM read_parquet(?, file_row_number=true)"
        tags = path.with_name("tags.parquet")
        if tags.is_file():
            rows = f"SELECT * REPLACE (coalesce(tags, []) AS tags) FROM ({rows}) LEFT JOIN read_parquet(?) USING (id)"
            values.append(str(tags))
        else:
            rows = f"SELECT *, []::VARCHAR[] AS tags FROM ({rows})"
        conditions = ["true"]
        if search:
            conditions.append("contains(lower(array_to_string([m.content FOR m IN messages], ' ')), lower(?))")
            values.append(search)
        for name, value in where.items():
            allowed = list(value) if isinstance(value, list | tuple | set) else [value]
            test = "list_has_any(tags, ?)" if name == "tag" else f'list_contains(?, "{_column(name)}")'
            conditions.append(test)
            values.append(allowed)
        return f"FROM ({rows}) WHERE {' AND '.join(conditions)}", values


def _activate(session: Session, project_id: str, role: str, key: str) -> None:
    here = (col(DatasetRow.project_id) == project_id, col(DatasetRow.role) == role)
    session.exec(update(DatasetRow).where(*here).values(active=col(DatasetRow.key) == key))


def _column(name: str) -> str:
    if name not in _COLUMNS:
        raise WorkspaceError(f"rows can't be filtered or sorted by {name!r}; expected one of: {', '.join(_COLUMNS)}")
    return name


def _duckdb(query: str, values: list[Any], wanted: pd.DataFrame | None = None) -> pd.DataFrame:
    import duckdb

    with duckdb.connect() as connection:  # its own in-memory database: safe from any thread
        if wanted is not None:
            connection.register("wanted", wanted)
        frame: pd.DataFrame = connection.execute(query, values).df()
    return frame
