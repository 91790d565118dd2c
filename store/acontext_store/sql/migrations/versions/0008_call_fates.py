"""What became of the calls that models asked for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "call_fates",
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("session_id", sa.Text, nullable=False),
        sa.Column("message_seq", sa.Integer(), nullable=False),
        sa.Column("call_id", sa.Text, nullable=False),
        sa.Column("occurrence", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("run_id", sa.Text, nullable=True),
        sa.Column("created_at", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id", "session_id"],
            ["sessions.project_id", "sessions.id"],
            name="fk_call_fates_sessions",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "project_id", "session_id", "message_seq", "call_id", "occurrence", name="pk_call_fates"
        ),
    )
