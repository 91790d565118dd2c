"""Vectors of skills, and which skills wait for theirs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "embedders",
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("dimensions", sa.Integer, nullable=True),
        sa.Column("updated_at", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("project_id", name="pk_embedders"),
    )
    op.create_table(
        "vectors",
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("space_id", sa.Text, nullable=False),
        sa.Column("skill_id", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("dimensions", sa.Integer, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
        sa.Column("stamp", sa.BigInteger, nullable=False),
        sa.Column("vector", sa.LargeBinary, nullable=False),
        _of_space("vectors"),
        sa.PrimaryKeyConstraint("project_id", "space_id", "skill_id", "number", name="pk_vectors"),
    )
    op.create_index("ix_vectors_stamp", "vectors", ["project_id", "space_id", "stamp", "number"])
    op.create_table(
        "vector_stamps",
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("space_id", sa.Text, nullable=False),
        sa.Column("stamp", sa.BigInteger, nullable=False),
        _of_space("vector_stamps"),
        sa.PrimaryKeyConstraint("project_id", "space_id", name="pk_vector_stamps"),
    )
    op.create_table(
        "unembedded",
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("space_id", sa.Text, nullable=False),
        sa.Column("skill_id", sa.Text, nullable=False),
        sa.Column("mark", sa.Integer, nullable=False),
        _of_space("unembedded"),
        sa.PrimaryKeyConstraint("project_id", "space_id", "skill_id", name="pk_unembedded"),
    )


def _of_space(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["project_id", "space_id"], ["spaces.project_id", "spaces.id"], name=f"fk_{table}_spaces", ondelete="CASCADE"
    )
