"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "lanes",
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("due_at", sa.Float(precision=53), nullable=True),
        sa.Column("deadline", sa.Float(precision=53), nullable=True),
        sa.Column("not_before", sa.Float(precision=53), server_default="0", nullable=False),
        sa.Column("owner", sa.Text, nullable=True),
        sa.Column("lease_until", sa.Float(precision=53), server_default="0", nullable=False),
        sa.Column("claimed_at", sa.Float(precision=53), server_default="0", nullable=False),
        sa.Column("token", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("last_error", sa.Text, nullable=True),
        sa.Column("dead_at", sa.Float(precision=53), nullable=True),
        sa.Column(
            "ready_at",
            sa.Float(precision=53),
            sa.Computed(
                "CASE WHEN dead_at IS NOT NULL THEN NULL WHEN owner IS NOT NULL THEN lease_until "
                "WHEN due_at < not_before THEN not_before ELSE due_at END",
                persisted=True,
            ),
            nullable=True,
        ),
        sa.PrimaryKeyConstraint("project_id", "kind", "key", name="pk_lanes"),
    )
    op.create_index("ix_lanes_ready", "lanes", ["project_id", "ready_at"])
    op.create_table(
        "search_frequencies",
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("space_number", sa.Integer(), nullable=False),
        sa.Column("word", sa.Text, nullable=False),
        sa.Column("texts", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "space_number", "word", name="pk_search_frequencies"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "search_texts",
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("space_number", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("skill_id", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("words", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("project_id", "space_number", "number", name="pk_search_texts"),
    )
    op.create_index("ix_search_texts_skill", "search_texts", ["project_id", "skill_id"])
    op.create_table(
        "search_words",
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("space_number", sa.Integer(), nullable=False),
        sa.Column("word", sa.Text, nullable=False),
        sa.Column("text_number", sa.Integer(), nullable=False),
        sa.Column("occurrences", sa.Integer(), nullable=False),
        sa.Column("text_length", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "space_number", "word", "text_number", name="pk_search_words"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "spaces",
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text, nullable=True),
        sa.Column("configs", sa.Text, nullable=True),
        sa.Column("text_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("word_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("last_text", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.Text, nullable=False),
        sa.Column("updated_at", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("project_id", "id", name="pk_spaces"),
    )
    op.create_index("ix_spaces_created", "spaces", ["project_id", "created_at", "id"])
    op.create_index("uq_spaces_name", "spaces", ["project_id", "name"], unique=True)
    op.create_index("uq_spaces_number", "spaces", ["project_id", "number"], unique=True)
    op.create_table(
        "blocks",
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("space_id", sa.Text, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("parent_id", sa.Text, server_default="", nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("props", sa.Text, nullable=False),
        sa.Column("sort", sa.Integer(), nullable=False),
        sa.Column("is_archived", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.Column("created_at", sa.Text, nullable=False),
        sa.Column("updated_at", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id", "space_id"], ["spaces.project_id", "spaces.id"], name="fk_blocks_spaces", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("project_id", "space_id", "id", name="pk_blocks"),
    )
    op.create_index("ix_blocks_place", "blocks", ["project_id", "space_id", "parent_id", "sort"])
    op.create_index("ix_blocks_title", "blocks", ["project_id", "space_id", "parent_id", "title"])
    op.create_table(
        "episodes",
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("task_id", sa.Text, nullable=False),
        sa.Column("session_id", sa.Text, nullable=False),
        sa.Column("space_id", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("created_at", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id", "space_id"],
            ["spaces.project_id", "spaces.id"],
            name="fk_episodes_spaces",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("project_id", "task_id", name="pk_episodes"),
    )
    op.create_index("ix_episodes_session", "episodes", ["project_id", "session_id"])
    op.create_index("ix_episodes_space", "episodes", ["project_id", "space_id", "created_at", "task_id"])
    op.create_table(
        "injections",
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("space_id", sa.Text, nullable=False),
        sa.Column("session_id", sa.Text, nullable=True),
        sa.Column("run_id", sa.Text, nullable=True),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("created_at", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id", "space_id"],
            ["spaces.project_id", "spaces.id"],
            name="fk_injections_spaces",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("project_id", "id", name="pk_injections"),
    )
    op.create_index("ix_injections_session", "injections", ["project_id", "session_id"])
    op.create_index("ix_injections_space", "injections", ["project_id", "space_id", "created_at", "id"])
    op.create_table(
        "sessions",
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("space_id", sa.Text, nullable=True),
        sa.Column("key", sa.Text, nullable=True),
        sa.Column("principal", sa.Text, nullable=True),
        sa.Column("agent", sa.Text, nullable=True),
        sa.Column("disable_task_tracking", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.Column("configs", sa.Text, nullable=True),
        sa.Column("observed_seq", sa.Integer(), server_default="0", nullable=False),
        sa.Column("observed_outcomes", sa.Integer(), server_default="0", nullable=False),
        sa.Column("resume_seq", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", sa.Text, nullable=False),
        sa.Column("updated_at", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id", "space_id"], ["spaces.project_id", "spaces.id"], name="fk_sessions_spaces"
        ),
        sa.PrimaryKeyConstraint("project_id", "id", name="pk_sessions"),
    )
    op.create_index("ix_sessions_created", "sessions", ["project_id", "created_at", "id"])
    op.create_index("ix_sessions_space", "sessions", ["project_id", "space_id", "created_at", "id"])
    op.create_index("uq_sessions_key", "sessions", ["project_id", "key"], unique=True)
    op.create_table(
        "skills",
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("space_id", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("origin", sa.Text, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("human", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.Column("score", sa.Float(precision=53), server_default="0", nullable=False),
        sa.Column("score_reasons", sa.Text, nullable=False),
        sa.Column("created_at", sa.Text, nullable=False),
        sa.Column("updated_at", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id", "space_id"], ["spaces.project_id", "spaces.id"], name="fk_skills_spaces", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("project_id", "id", name="pk_skills"),
    )
    op.create_index("ix_skills_space", "skills", ["project_id", "space_id", "created_at", "id"])
    op.create_table(
        "tombstones",
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("skill_id", sa.Text, nullable=False),
        sa.Column("space_id", sa.Text, nullable=False),
        sa.Column("created_at", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id", "space_id"],
            ["spaces.project_id", "spaces.id"],
            name="fk_tombstones_spaces",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("project_id", "skill_id", name="pk_tombstones"),
    )
    op.create_index("ix_tombstones_space", "tombstones", ["project_id", "space_id"])
    op.create_table(
        "evidence",
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("skill_id", sa.Text, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("session_id", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id", "skill_id"],
            ["skills.project_id", "skills.id"],
            name="fk_evidence_skills",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("project_id", "skill_id", "version", "number", name="pk_evidence"),
    )
    op.create_index("ix_evidence_session", "evidence", ["project_id", "session_id"])
    op.create_table(
        "messages",
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("session_id", sa.Text, nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("run_id", sa.Text, nullable=True),
        sa.Column("parent_id", sa.Text, nullable=True),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("task_id", sa.Text, nullable=True),
        sa.Column("status", sa.Text, server_default="pending", nullable=False),
        sa.Column("created_at", sa.Text, nullable=False),
        sa.Column("updated_at", sa.Text, nullable=True),
        sa.ForeignKeyConstraint(
            ["project_id", "session_id"],
            ["sessions.project_id", "sessions.id"],
            name="fk_messages_sessions",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("project_id", "session_id", "seq", name="pk_messages"),
    )
    op.create_index("uq_messages_id", "messages", ["project_id", "id", "session_id"], unique=True)
    op.create_table(
        "outcomes",
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("session_id", sa.Text, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("run_id", sa.Text, nullable=True),
        sa.Column("after_seq", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id", "session_id"],
            ["sessions.project_id", "sessions.id"],
            name="fk_outcomes_sessions",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("project_id", "session_id", "number", name="pk_outcomes"),
    )
    op.create_index("uq_outcomes_id", "outcomes", ["project_id", "session_id", "id"], unique=True)
    op.create_table(
        "skill_versions",
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("skill_id", sa.Text, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
        sa.Column("parents", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("origin", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("score", sa.Float(precision=53), server_default="0", nullable=False),
        sa.Column("score_reasons", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("created_at", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id", "skill_id"],
            ["skills.project_id", "skills.id"],
            name="fk_skill_versions_skills",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("project_id", "skill_id", "version", name="pk_skill_versions"),
    )
    op.create_table(
        "tasks",
        sa.Column("project_id", sa.Text, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("session_id", sa.Text, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("is_planning", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.Column("data", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text, nullable=True),
        sa.Column("first_seq", sa.Integer(), nullable=False),
        sa.Column("last_seq", sa.Integer(), nullable=False),
        sa.Column("space_id", sa.Text, nullable=True),
        sa.Column("space_digested", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.Column("learn_token", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("created_at", sa.Text, nullable=False),
        sa.Column("updated_at", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id", "session_id"],
            ["sessions.project_id", "sessions.id"],
            name="fk_tasks_sessions",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("project_id", "id", name="pk_tasks"),
    )
    op.create_index("ix_tasks_session", "tasks", ["project_id", "session_id", "position", "id"])
    op.create_index("ix_tasks_space", "tasks", ["project_id", "space_id", "space_digested", "created_at", "id"])
