"""The workspace's SQLite database: opening, migrating, and short sessions that several processes and threads share.

Write-ahead logging lets readers go on while one writes. A writing session begins with ``BEGIN IMMEDIATE``: it holds
the write lock from its first read, so what it read can't change before it writes, and two tabs lose nothing.
Left out: network file systems, on which SQLite's write-ahead log does not work.
"""

from __future__ import annotations

import errno
import shutil
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock
from sqlalchemy import URL, Connection, create_engine, event, exc, inspect, text
from sqlmodel import Session

from curation.errors import WorkspaceError
from curation.tables import SCHEMA

BUSY_SECONDS = 30.0


def disk_full(root: Path) -> WorkspaceError:
    """Return the one sentence that a full disk gets."""
    there = next(p for p in (root, *root.parents) if p.exists())
    free = shutil.disk_usage(there).free / 1e6
    return WorkspaceError(
        f"a disk is full (the one that holds {root} has {free:.0f} MB free); free some space and start again: "
        "what was finished before is kept"
    )


@contextmanager
def storage_errors(root: Path) -> Iterator[None]:
    """Turn a full, read-only or forbidden disk into a `WorkspaceError`; every other error passes."""
    try:
        yield
    except WorkspaceError:
        raise
    except Exception as error:
        # Libraries in C++ and Rust give the operating system's words and no errno.
        code = error.errno if isinstance(error, OSError) else None
        if code in (errno.ENOSPC, errno.EDQUOT) or "No space left on device" in str(error):
            raise disk_full(root) from error
        place = getattr(error, "filename", None) or ""
        if code in (errno.EACCES, errno.EPERM, errno.EROFS) and Path(place).is_relative_to(root):
            raise WorkspaceError(
                f"{place} can't be written ({str(error.args[-1]).lower()}); give this user the right to write there "
                "or choose another folder with --workspace"
            ) from error
        raise


@contextmanager
def _database_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except exc.DatabaseError as error:
        said = str(error.orig)
        if "disk is full" in said or "disk I/O error" in said:
            raise disk_full(path.parent) from error
        if "locked" in said:
            raise WorkspaceError(
                f"{path} was locked by another process for {BUSY_SECONDS:.0f} s; stop what holds it and try again"
            ) from error
        if "readonly" in said or "unable to open" in said:
            raise WorkspaceError(
                f"{path} can't be written ({said}); give this user the right to write there or choose another folder "
                "with --workspace"
            ) from error
        if "not a database" in said or "malformed" in said:
            raise WorkspaceError(
                f"{path} is not a Winnow database or is damaged ({said}); put a copy of it back, or move it away to "
                "start an empty workspace"
            ) from error
        raise


class Database:
    """A workspace folder with its database, migrated to this version's schema.

    Parameters
    ----------
    root : Path
        The workspace's folder; made if it is not there.

    Raises
    ------
    WorkspaceError
        If the folder can't be written, the database is damaged, or its schema is newer than this program's.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root).expanduser().resolve()
        self.path = self.root / "winnow.db"
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WorkspaceError(
                f"the workspace folder {self.root} can't be made ({error.strerror}); choose another with --workspace"
            ) from error
        self._engine = create_engine(
            URL.create("sqlite", database=str(self.path)),
            connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
        )
        event.listen(self._engine, "connect", _on_connect)
        event.listen(self._engine, "begin", _on_begin)
        self._writing = self._engine.execution_options(immediate=True)
        weakref.finalize(self, self._engine.dispose)
        with _database_errors(self.path), storage_errors(self.root):
            self._prepare()

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Open a session for reading; what it returns may be used after it ends."""
        with _database_errors(self.path), Session(self._engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Open a session that holds the write lock from its start and commits at its end, or rolls back on error."""
        with _database_errors(self.path), Session(self._writing, expire_on_commit=False) as session, session.begin():
            session.connection()  # begins now, not at the first statement
            yield session

    def _prepare(self) -> None:
        if self.path.exists() and self._version() == SCHEMA:
            return
        with FileLock(self.root / "winnow.lock"):
            with self._engine.connect() as connection:
                raw: Any = connection.connection.driver_connection
                connection.rollback()  # the mode can't change inside a transaction
                raw.execute("PRAGMA journal_mode=WAL")
            version = self._version()
            if version > SCHEMA:
                raise WorkspaceError(
                    f"the workspace {self.root} has schema version {version}, this Winnow knows up to {SCHEMA}; "
                    "update Winnow or choose another folder with --workspace"
                )
            if version < SCHEMA:
                with self._writing.begin() as connection:
                    _migrate(connection)

    def _version(self) -> int:
        """Return the schema version that the database has; 0 when it is empty."""
        with self._engine.connect() as connection:
            if not inspect(connection).has_table("alembic_version"):
                return 0
            return int(connection.execute(text("SELECT version_num FROM alembic_version")).scalar() or 0)


def _on_connect(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # we begin transactions ourselves, so that DDL rolls back too
    connection.execute("PRAGMA foreign_keys=ON")


def _on_begin(connection: Connection) -> None:
    immediate = connection.get_execution_options().get("immediate")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def _migrate(connection: Connection) -> None:
    """Run every migration that the database has not seen, in the caller's transaction."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
