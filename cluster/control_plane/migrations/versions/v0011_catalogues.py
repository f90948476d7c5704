"""Catalogues with their items, and coupon codes."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "catalogues",
        sa.Column("tenant_id", sa.String(32), sa.ForeignKey("tenants.id"), primary_key=True),
        sa.Column("name", sa.String(63), primary_key=True),
        sa.Column("fields", sa.JSON, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("n_items", sa.BigInteger, nullable=False),
        sa.Column("n_bytes", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "catalogue_items",
        sa.Column("tenant_id", sa.String(32), sa.ForeignKey("tenants.id"), primary_key=True),
        sa.Column("catalogue", sa.String(63), primary_key=True),
        sa.Column("id", sa.String(128), primary_key=True),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("n_bytes", sa.BigInteger, nullable=False),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "coupon_pools",
        sa.Column("tenant_id", sa.String(32), sa.ForeignKey("tenants.id"), primary_key=True),
        sa.Column("name", sa.String(63), primary_key=True),
        sa.Column("description", sa.String(200), nullable=False),
        sa.Column("n_codes", sa.BigInteger, nullable=False),
        sa.Column("n_given", sa.BigInteger, nullable=False),
        sa.Column("code_chars", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "coupon_codes",
        sa.Column("tenant_id", sa.String(32), sa.ForeignKey("tenants.id"), primary_key=True),
        sa.Column("pool", sa.String(63), primary_key=True),
        sa.Column("code", sa.String(64), primary_key=True),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("campaign", sa.String(63)),
        sa.Column("user_hash", sa.String(32)),
        sa.Column("user_key", sa.LargeBinary),
        sa.Column("given_at", sa.BigInteger),
    )
    op.create_index("uq_coupon_codes_user", "coupon_codes", ["tenant_id", "user_hash", "pool", "campaign"], unique=True)
    left = sa.text("given_at IS NULL")
    op.create_index(
        "ix_coupon_codes_left",
        "coupon_codes",
        ["tenant_id", "pool", "number"],
        sqlite_where=left,
        postgresql_where=left,
    )
    op.create_index("ix_coupon_codes_given", "coupon_codes", ["tenant_id", "pool", "given_at", "code"])
    op.create_table(
        "coupon_erasures",
        sa.Column("tenant_id", sa.String(32), sa.ForeignKey("tenants.id"), primary_key=True),
        sa.Column("user_hash", sa.String(32), primary_key=True),
        sa.Column("until", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    for table in ("coupon_erasures", "coupon_codes", "coupon_pools", "catalogue_items", "catalogues"):
        op.drop_table(table)
