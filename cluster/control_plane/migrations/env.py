"""Alembic's entry point: runs the migrations on the connection it is given, inside that connection's transaction."""

from alembic import context

from cluster.control_plane.models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,  # SQLite alters a table by copying it
    transaction_per_migration=False,
)
context.run_migrations()
