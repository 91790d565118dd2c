"""Disks and their files, and which blobs are referred to."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "disks",
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("session_id", sa.Text, nullable=True),
        sa.Column("created_at", sa.Text, nullable=False),
        sa.Column("updated_at", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id", "session_id"],
            ["sessions.project_id", "sessions.id"],
            name="fk_disks_sessions",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("project_id", "id", name="pk_disks"),
    )
    op.create_index("uq_disks_session", "disks", ["project_id", "session_id"], unique=True)
    op.create_index("ix_disks_created", "disks", ["project_id", "created_at", "id"])
    op.create_table(
        "artifacts",
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("disk_id", sa.Text, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("filename", sa.Text, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("mime", sa.Text, nullable=False),
        sa.Column("meta", sa.Text, nullable=False),
        sa.Column("created_at", sa.Text, nullable=False),
        sa.Column("updated_at", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id", "disk_id"],
            ["disks.project_id", "disks.id"],
            name="fk_artifacts_disks",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("project_id", "disk_id", "path", "filename", name="pk_artifacts"),
    )
    op.create_index("ix_artifacts_sha256", "artifacts", ["project_id", "sha256"])
    op.create_table(
        "session_blobs",
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("session_id", sa.Text, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id", "session_id"],
            ["sessions.project_id", "sessions.id"],
            name="fk_session_blobs_sessions",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("project_id", "session_id", "sha256", name="pk_session_blobs"),
    )
    op.create_index("ix_session_blobs_sha256", "session_blobs", ["project_id", "sha256"])
    op.create_table(
        "unused_blobs",
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("project_id", "sha256", name="pk_unused_blobs"),
    )
    _find_references()


def _find_references() -> None:
    """Messages that were kept before may name blobs, too."""
    connection = op.get_bind()
    found: set[tuple[str, str, str]] = set()
    rows = connection.execute(
        sa.text(
            "SELECT project_id, session_id, body FROM messages "
            "WHERE body LIKE '%\"asset\":%' OR body LIKE '%\"$asset\":%'"
        )
    )
    for project_id, session_id, text in rows:
        body = json.loads(text)
        hashes = [part.get("asset") for part in body["parts"]]
        hashes.append((body.get("native") or {}).get("$asset"))
        found |= {(project_id, session_id, sha256) for sha256 in hashes if isinstance(sha256, str)}
    if found:
        connection.execute(
            sa.text("INSERT INTO session_blobs (project_id, session_id, sha256) VALUES (:project, :session, :sha256)"),
            [{"project": project, "session": session, "sha256": sha256} for project, session, sha256 in sorted(found)],
        )
