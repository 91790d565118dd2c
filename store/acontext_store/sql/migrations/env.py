"""Alembic's entry: run the steps on the connection that `schema.py` opened, inside its transaction."""

from alembic import context

from acontext_store.sql.migrations import VERSION_TABLE
from acontext_store.sql.tables import metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, version_table=VERSION_TABLE
)
context.run_migrations()
