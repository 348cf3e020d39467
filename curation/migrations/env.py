"""How Alembic runs here: inside the transaction that `curation.database` has opened, so that all or nothing happens."""

from __future__ import annotations

from alembic import context

from curation.tables import Table

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Table.metadata,
    render_as_batch=True,  # SQLite alters a table by copying it
    transactional_ddl=True,
)
context.run_migrations()
