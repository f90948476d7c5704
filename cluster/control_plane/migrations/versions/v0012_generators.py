"""Tenants' generators, and what they used by day."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "generators",
        sa.Column("tenant_id", sa.String(32), sa.ForeignKey("tenants.id"), primary_key=True),
        sa.Column("settings", sa.JSON, nullable=False),
        sa.Column("api_key", sa.String),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "generator_uses",
        sa.Column("tenant_id", sa.String(32), sa.ForeignKey("tenants.id"), primary_key=True),
        sa.Column("day", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("tokens", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("generator_uses")
    op.drop_table("generators")
