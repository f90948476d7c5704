"""Campaigns, templates, channels, and the experiment's settings: one row, with its salt, per existing tenant."""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "templates",
        sa.Column("tenant_id", sa.String(32), sa.ForeignKey("tenants.id"), primary_key=True),
        sa.Column("name", sa.String(63), primary_key=True),
        sa.Column("version", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("channel", sa.String(16), nullable=False),
        sa.Column("body", sa.JSON, nullable=False),
        sa.Column("published_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "campaigns",
        sa.Column("tenant_id", sa.String(32), sa.ForeignKey("tenants.id"), primary_key=True),
        sa.Column("name", sa.String(63), primary_key=True),
        sa.Column("version", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("status", sa.String(8), nullable=False),
        sa.Column("definition", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("published_at", sa.BigInteger, nullable=True),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "channels",
        sa.Column("tenant_id", sa.String(32), sa.ForeignKey("tenants.id"), primary_key=True),
        sa.Column("channel", sa.String(16), primary_key=True),
        sa.Column("provider", sa.String(32), nullable=False),
        sa.Column("config", sa.JSON, nullable=False),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
    )
    experiments = op.create_table(
        "experiments",
        sa.Column("tenant_id", sa.String(32), sa.ForeignKey("tenants.id"), primary_key=True),
        sa.Column("salt", sa.String(32), nullable=False),
        sa.Column("holdout", sa.Double, nullable=False),
        sa.Column("uniform", sa.Double, nullable=False),
        sa.Column("consent_default", sa.Boolean, nullable=False),
    )
    tenants = op.get_bind().scalars(sa.text("SELECT id FROM tenants")).all()
    if tenants:
        # The defaults as of this revision; those in the code may change later.
        settings = {"holdout": 0.05, "uniform": 0.05, "consent_default": True}
        op.bulk_insert(
            experiments,
            [{"tenant_id": tenant, "salt": secrets.token_hex(16), **settings} for tenant in tenants],
        )


def downgrade() -> None:
    for table in ("experiments", "channels", "campaigns", "templates"):
        op.drop_table(table)
