"""How a channel's messages are paced and shared among accounts; sealed, as further accounts have secrets too."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("channels", sa.Column("plan", sa.JSON))


def downgrade() -> None:
    op.drop_column("channels", "plan")
