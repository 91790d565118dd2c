"""Sessions of one key, one for each user who speaks under it."""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("uq_sessions_key", "sessions")
    op.create_index("uq_sessions_key", "sessions", ["project_id", "key", "principal"], unique=True)
