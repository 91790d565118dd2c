"""What waits for a person, what a person has rejected, and how long work has been failing."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "proposals",
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("skill_id", sa.Text, nullable=False),
        sa.Column("space_id", sa.Text, nullable=False),
        sa.Column("edit", sa.Text, nullable=False),
        sa.Column("created_at", sa.Text, nullable=False),
        sa.Column("updated_at", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id", "skill_id"],
            ["skills.project_id", "skills.id"],
            name="fk_proposals_skills",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("project_id", "skill_id", name="pk_proposals"),
    )
    op.create_index("ix_proposals_space", "proposals", ["project_id", "space_id", "created_at", "skill_id"])
    op.create_table(
        "rejections",
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("skill_id", sa.Text, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("created_at", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id", "skill_id"],
            ["skills.project_id", "skills.id"],
            name="fk_rejections_skills",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("project_id", "skill_id", "hash", name="pk_rejections"),
    )
    op.add_column("skills", sa.Column("superseded_by", sa.Text, nullable=True))
    op.add_column("lanes", sa.Column("outages", sa.Integer, nullable=False, server_default="0"))
    op.add_column("lanes", sa.Column("failing_since", sa.Float(53), nullable=True))
