"""The database: migrations, refusals, and writers that do not lose each other's work."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import text

from curation.database import Database
from curation.errors import WorkspaceError
from curation.tables import SCHEMA, Project, Table


def test_an_empty_folder_gets_the_newest_schema_and_keeps_it(tmp_path: Path) -> None:
    with Database(tmp_path / "new" / "ws").write() as session:
        session.add(Project(id="a", name="A"))
    again = Database(tmp_path / "new" / "ws")
    with again.read() as session:
        assert session.get_one(Project, "a").name == "A"
        assert session.exec(text("SELECT version_num FROM alembic_version")).scalar() == f"{SCHEMA:04d}"  # type: ignore[call-overload]
        assert session.exec(text("PRAGMA journal_mode")).scalar() == "wal"  # type: ignore[call-overload]


def test_migrations_end_at_the_tables_of_the_code(tmp_path: Path) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    import curation

    database = Database(tmp_path)
    with database.read() as session:
        context = MigrationContext.configure(session.connection(), opts={"compare_type": True})
        assert compare_metadata(context, Table.metadata) == []
    scripts = ScriptDirectory(str(Path(curation.__file__).parent / "migrations"))
    assert scripts.get_heads() == [f"{SCHEMA:04d}"]


def test_a_migration_that_fails_leaves_the_database_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from alembic import op

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(op, "create_index", broken)
        with pytest.raises(RuntimeError, match="power cut"):
            Database(tmp_path)
    with sqlite3.connect(tmp_path / "winnow.db") as raw:
        assert raw.execute("SELECT name FROM sqlite_master").fetchall() == []
    raw.close()
    Database(tmp_path)


def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    Database(tmp_path)
    with sqlite3.connect(tmp_path / "winnow.db") as raw:
        raw.execute("UPDATE alembic_version SET version_num = '0999'")
    raw.close()
    with pytest.raises(WorkspaceError, match=f"schema version 999, this Winnow knows up to {SCHEMA}; update Winnow"):
        Database(tmp_path)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "winnow.db").write_bytes(b"shopping list: flour, eggs, butter, and much more of it" * 50)
    with pytest.raises(WorkspaceError, match="is not a Winnow database or is damaged"):
        Database(tmp_path)


def test_a_root_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkspaceError, match=r"can't be made .*choose another with --workspace"):
        Database(tmp_path / "file")


def test_a_database_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    (tmp_path / "winnow.db").mkdir()
    with pytest.raises(WorkspaceError, match=r"can't be written .*choose another folder"):
        Database(tmp_path)


def test_a_write_that_fails_is_rolled_back(tmp_path: Path) -> None:
    database = Database(tmp_path)
    with pytest.raises(KeyError), database.write() as session:
        session.add(Project(id="a", name="A"))
        session.flush()
        raise KeyError
    with database.read() as session:
        assert session.get(Project, "a") is None


def test_a_lock_that_is_never_freed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curation.database.BUSY_SECONDS", 0.1)
    database, other = Database(tmp_path), Database(tmp_path)
    with database.write(), pytest.raises(WorkspaceError, match="locked by another process"), other.write():
        pass
