"""Room for sealed secrets, which are longer than what they seal. SQLite does not heed the declared lengths."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_SEALED = (
    ("people", "totp_secret"),
    ("issuers", "client_secret"),
    ("tenant_settings", "user_secret"),
    ("tenant_settings", "previous_user_secret"),
)


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for table, column in _SEALED:
            op.alter_column(table, column, type_=sa.String())


def downgrade() -> None:
    """Leave the room: what is sealed would not fit."""
