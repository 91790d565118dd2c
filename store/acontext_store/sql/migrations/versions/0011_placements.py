"""Where injected skills stand in a conversation."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("injections", sa.Column("anchor", sa.Text, nullable=True))
    op.create_index("ix_injections_placed", "injections", ["project_id", "session_id", "anchor"])
