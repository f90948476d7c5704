"""Where a tenant's tests of templates may go, the address of its links, and the short ones among them."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("tenant_settings", sa.Column("test_recipients", sa.JSON, nullable=False, server_default="{}"))
    op.add_column("tenant_settings", sa.Column("links_base_url", sa.String(200), nullable=False, server_default=""))
    op.add_column("tenant_settings", sa.Column("postal_address", sa.Boolean, nullable=False, server_default=sa.false()))
    op.create_table(
        "short_links",
        sa.Column("code", sa.String(12), primary_key=True),
        sa.Column("tenant_id", sa.String, sa.ForeignKey("tenants.id"), nullable=False),
        sa.Column("user_hash", sa.LargeBinary, nullable=False),
        sa.Column("token", sa.Text, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_short_links_expires_at", "short_links", ["expires_at"])
    op.create_index("ix_short_links_user", "short_links", ["tenant_id", "user_hash"])


def downgrade() -> None:
    op.drop_table("short_links")
    with op.batch_alter_table("tenant_settings") as table:
        table.drop_column("postal_address")
        table.drop_column("links_base_url")
        table.drop_column("test_recipients")
