"""A user's own subset as a file of JSON lines: ids of pool rows, or the rows themselves, in order of pick.

A line is an id (bare or quoted), an object with the column ``id`` (a row's id, or the user's own), or a whole row,
which is found in the pool by its conversation. What `winnow export` writes as ``subset.jsonl`` is such a file.
"""

from __future__ import annotations

from pathlib import Path

from curation.config import Mapping
from curation.data import readers, schemas
from curation.data.records import parse_object
from curation.data.rows import RowError, canonical_hash
from curation.errors import DataError
from curation.workspace import Workspace


def read(ws: Workspace, path: Path, pool: str) -> tuple[str, ...]:
    """Return the ids of the pool rows that the file names, in its order.

    Parameters
    ----------
    ws : Workspace
        Where the pool is.
    path : Path
        JSON lines, UTF-8.
    pool : str
        Key of the pool.

    Raises
    ------
    DataError
        If the file can't be read or is empty, a line is neither an id nor a row, a row is not in the pool, or one
        stands there twice.
    """
    ids = ws.ids(pool)
    known = dict.fromkeys(ids)
    own = {user: row for user, row in zip(ws.column(pool, "user_id"), ids, strict=True) if user}
    found: dict[str, int] = {}
    for number, line in _lines(path):
        row = _row(line, known, own, f"{path.name}, line {number}")
        if row in found:
            raise DataError(
                f"{path.name}, line {number}: the row stands on line {found[row]} already; name each row once"
            )
        found[row] = number
    if not found:
        raise DataError(f"{path.name} holds no row, expected one id or row of the pool a line; check that it was saved")
    return tuple(found)


def _lines(path: Path) -> list[tuple[int, str]]:
    try:
        readers.file_sha256(path)  # says in its own words what can't be read
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path.name} is not UTF-8 text; save it as JSON lines") from error
    return [(n, line.strip()) for n, line in enumerate(text.split("\n"), 1) if line.strip()]


def _row(line: str, known: dict[str, None], own: dict[str, str], where: str) -> str:
    """Id of the pool row that a line names."""
    if line.startswith("{"):
        value, failure = parse_object(line)
        if value is None:
            raise DataError(f"{where}: {failure}; write an id or a row of the pool on each line")
        named = str(value["id"]) if value.get("id") is not None else ""
        if named in known or named in own:
            return named if named in known else own[named]
        if len(value) > 1:
            try:
                found = canonical_hash(schemas.to_messages(value, schemas.resolve(Mapping(), [value])).messages)
            except RowError as error:
                raise DataError(f"{where}: {error.reason}; write an id or a row of the pool on each line") from error
            except DataError as error:
                raise DataError(f"{where}: {error}") from error
            if found in known:
                return found
        elif not named:
            raise DataError(f"{where}: the object has no column `id`; write an id or a row of the pool on each line")
    else:
        named = line.removeprefix('"').removesuffix('"')
        if named in known or named in own:
            return named if named in known else own[named]
    shown = f"the row {named[:40]!r}" if named else "the row"
    raise DataError(f"{where}: {shown} is not in the pool; a subset can only name rows of the pool that is loaded")
