"""Alembic migrations of a workspace's database: `versions/` holds one file a schema version, numbered from 0001."""
