"""Whose word an outcome is, how much each may claim, and what rested on those that were revoked."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("outcomes", sa.Column("said_by", sa.Text, nullable=False, server_default=""))
    op.add_column("outcomes", sa.Column("strength", sa.Float(53), nullable=True))
    op.create_index("ix_outcomes_said_by", "outcomes", ["project_id", "said_by", "session_id"])
    op.create_table(
        "outcome_sources",
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("strength", sa.Float(53), nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("created_at", sa.Text, nullable=False),
        sa.Column("revoked_at", sa.Text, nullable=True),
        sa.PrimaryKeyConstraint("project_id", "name", name="pk_outcome_sources"),
    )
    op.create_table(
        "withdrawals",
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("task_id", sa.Text, nullable=False),
        sa.Column("skill_id", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("session_id", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("outcome_id", sa.Text, nullable=True),
        sa.Column("version", sa.Integer, nullable=False, server_default="0"),
        sa.ForeignKeyConstraint(
            ["project_id", "session_id"],
            ["sessions.project_id", "sessions.id"],
            name="fk_withdrawals_sessions",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("project_id", "task_id", "skill_id", "source", name="pk_withdrawals"),
    )
