"""Which token of a channel's callbacks is good."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("channels", sa.Column("callback_serial", sa.BigInteger, nullable=False, server_default="0"))


def downgrade() -> None:
    op.drop_column("channels", "callback_serial")
