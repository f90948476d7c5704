"""Where a tenant's tests of templates may go, and under which address links in its SMS lead through us."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("tenant_settings", sa.Column("test_recipients", sa.JSON, nullable=False, server_default="{}"))
    op.add_column("tenant_settings", sa.Column("links_base_url", sa.String(200), nullable=False, server_default=""))


def downgrade() -> None:
    with op.batch_alter_table("tenant_settings") as table:
        table.drop_column("links_base_url")
        table.drop_column("test_recipients")
