"""The schema. `project_id` is the first column of every key, so no statement can leave its project by accident.

JSON is kept as ASCII text (`\\uXXXX`), because user text may hold NULs, which databases refuse. Times are RFC 3339
text, but the times of lanes, which are computed with, are Unix seconds.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Computed,
    Float,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def key(name: str, kind: Any = Text) -> Column[Any]:
    return Column(name, kind, primary_key=True, nullable=False, autoincrement=False)


def must(name: str, kind: Any = Text) -> Column[Any]:
    return Column(name, kind, nullable=False)


def may(name: str, kind: Any = Text) -> Column[Any]:
    return Column(name, kind, nullable=True)


def number(name: str, start: int = 0) -> Column[Any]:
    return Column(name, Integer, nullable=False, server_default=str(start))


def big(name: str) -> Column[Any]:
    return Column(name, BigInteger, nullable=False, server_default="0")


def flag(name: str) -> Column[Any]:
    return Column(name, Boolean(create_constraint=False), nullable=False, server_default=text("false"))


def seconds(name: str) -> Column[Any]:
    return Column(name, Float(53), nullable=False, server_default="0")


def of_session() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(
        ["project_id", "session_id"], ["sessions.project_id", "sessions.id"], ondelete="CASCADE"
    )


def of_space() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["project_id", "space_id"], ["spaces.project_id", "spaces.id"], ondelete="CASCADE")


# ------------------------------------------------------------------------------------------ conversations

sessions = Table(
    "sessions",
    metadata,
    key("project_id"),
    key("id"),
    may("space_id"),
    may("key"),
    may("principal"),
    may("agent"),
    flag("disable_task_tracking"),
    may("configs"),
    # how far the observer has come
    number("observed_seq"),
    number("observed_outcomes"),
    number("resume_seq", 1),
    must("created_at"),
    must("updated_at"),
    ForeignKeyConstraint(["project_id", "space_id"], ["spaces.project_id", "spaces.id"]),
    Index("uq_sessions_key", "project_id", "key", "principal", unique=True),
    Index("ix_sessions_created", "project_id", "created_at", "id"),
    Index("ix_sessions_space", "project_id", "space_id", "created_at", "id"),
    Index("ix_sessions_principal", "project_id", "principal", "created_at", "id"),
)

messages = Table(
    "messages",
    metadata,
    key("project_id"),
    key("session_id"),
    key("seq", Integer),
    must("id"),
    must("role"),
    may("run_id"),
    may("parent_id"),
    must("body"),
    may("task_id"),
    Column("status", Text, nullable=False, server_default="pending"),
    must("created_at"),
    may("updated_at"),
    of_session(),
    # by id first: ids that grow with time (`new_id`) then meet on one page, whatever their session
    Index("uq_messages_id", "project_id", "id", "session_id", unique=True),
)

outcomes = Table(
    "outcomes",
    metadata,
    key("project_id"),
    key("session_id"),
    key("number", Integer),
    must("id"),
    must("status"),
    must("source"),
    must("reason"),
    may("run_id"),
    must("after_seq", Integer),
    must("created_at"),
    # whose word it is, where a name was given, and the most that it may weigh
    Column("said_by", Text, nullable=False, server_default=""),
    may("strength", Float(53)),
    of_session(),
    Index("uq_outcomes_id", "project_id", "session_id", "id", unique=True),
    Index("ix_outcomes_said_by", "project_id", "said_by", "session_id"),
)

# sources of outcomes that are registered or revoked
outcome_sources = Table(
    "outcome_sources",
    metadata,
    key("project_id"),
    key("name"),
    must("strength", Float(53)),
    must("note"),
    must("created_at"),
    may("revoked_at"),
)

call_fates = Table(
    "call_fates",
    metadata,
    key("project_id"),
    key("session_id"),
    #: The message that holds the call; 0 = it has not arrived.
    key("message_seq", Integer),
    key("call_id"),
    key("occurrence", Integer),
    must("status"),
    must("body"),
    may("run_id"),
    must("created_at"),
    of_session(),
)

tasks = Table(
    "tasks",
    metadata,
    key("project_id"),
    key("id"),
    must("session_id"),
    must("position", Integer),
    must("status"),
    flag("is_planning"),
    must("data"),
    may("outcome"),
    must("first_seq", Integer),
    must("last_seq", Integer),
    # the space that learns from it: the session's when the task last changed; so connecting learns nothing old
    may("space_id"),
    flag("space_digested"),
    # the fencing token of the space's learn lane when the task last changed: a learner that claimed before that
    # has not seen the change
    big("learn_token"),
    must("created_at"),
    must("updated_at"),
    of_session(),
    Index("ix_tasks_session", "project_id", "session_id", "position", "id"),
    Index("ix_tasks_space", "project_id", "space_id", "space_digested", "created_at", "id"),
)

# ------------------------------------------------------------------------------------------------- skills

spaces = Table(
    "spaces",
    metadata,
    key("project_id"),
    key("id"),
    # stands for the space in the search tables, where its id would be most of every row
    must("number", Integer),
    may("name"),
    may("configs"),
    number("text_count"),
    number("word_count"),
    number("last_text"),
    must("created_at"),
    must("updated_at"),
    Index("uq_spaces_number", "project_id", "number", unique=True),
    Index("uq_spaces_name", "project_id", "name", unique=True),
    Index("ix_spaces_created", "project_id", "created_at", "id"),
)

blocks = Table(
    "blocks",
    metadata,
    key("project_id"),
    key("space_id"),
    key("id"),
    # "" = the root
    Column("parent_id", Text, nullable=False, server_default=""),
    must("type"),
    must("title"),
    must("props"),
    must("sort", Integer),
    flag("is_archived"),
    must("created_at"),
    must("updated_at"),
    of_space(),
    Index("ix_blocks_place", "project_id", "space_id", "parent_id", "sort"),
    Index("ix_blocks_title", "project_id", "space_id", "parent_id", "title"),
)

skills = Table(
    "skills",
    metadata,
    key("project_id"),
    key("id"),
    must("space_id"),
    must("status"),
    must("origin"),
    must("version", Integer),
    must("hash"),
    must("body"),
    # a person made it or a version of it: automation leaves it alone
    flag("human"),
    Column("score", Float(53), nullable=False, server_default="0"),
    must("score_reasons"),
    must("created_at"),
    must("updated_at"),
    # the skill that takes its place as soon as a person confirms what waits there
    may("superseded_by"),
    of_space(),
    Index("ix_skills_space", "project_id", "space_id", "created_at", "id"),
)

skill_versions = Table(
    "skill_versions",
    metadata,
    key("project_id"),
    key("skill_id"),
    key("version", Integer),
    must("hash"),
    must("parents"),
    must("status"),
    must("origin"),
    must("body"),
    Column("score", Float(53), nullable=False, server_default="0"),
    must("score_reasons"),
    must("reason"),
    must("created_at"),
    # the model and the prompt, where a model worded it
    may("made_by"),
    ForeignKeyConstraint(["project_id", "skill_id"], ["skills.project_id", "skills.id"], ondelete="CASCADE"),
)

evidence = Table(
    "evidence",
    metadata,
    key("project_id"),
    key("skill_id"),
    # 0 = what stands behind the skill now; n = what stood behind version n when it was written; -1 = what stands
    # behind its proposal
    key("version", Integer),
    key("number", Integer),
    must("session_id"),
    must("body"),
    ForeignKeyConstraint(["project_id", "skill_id"], ["skills.project_id", "skills.id"], ondelete="CASCADE"),
    Index("ix_evidence_session", "project_id", "session_id"),
)

# new versions of active skills that wait for a person: the edit, without its evidence
proposals = Table(
    "proposals",
    metadata,
    key("project_id"),
    key("skill_id"),
    must("space_id"),
    must("edit"),
    must("created_at"),
    must("updated_at"),
    ForeignKeyConstraint(["project_id", "skill_id"], ["skills.project_id", "skills.id"], ondelete="CASCADE"),
    Index("ix_proposals_space", "project_id", "space_id", "created_at", "skill_id"),
)

# what a person did not want a skill to say
rejections = Table(
    "rejections",
    metadata,
    key("project_id"),
    key("skill_id"),
    key("hash"),
    must("body"),
    must("created_at"),
    ForeignKeyConstraint(["project_id", "skill_id"], ["skills.project_id", "skills.id"], ondelete="CASCADE"),
)

tombstones = Table(
    "tombstones",
    metadata,
    key("project_id"),
    key("skill_id"),
    must("space_id"),
    must("created_at"),
    of_space(),
    Index("ix_tombstones_space", "project_id", "space_id"),
)

episodes = Table(
    "episodes",
    metadata,
    key("project_id"),
    key("task_id"),
    must("session_id"),
    must("space_id"),
    must("body"),
    must("created_at"),
    of_space(),
    Index("ix_episodes_space", "project_id", "space_id", "created_at", "task_id"),
    Index("ix_episodes_session", "project_id", "session_id"),
)

# the tasks that a revoked source of outcomes was heard on, and the skills that they taught, as they were then
withdrawals = Table(
    "withdrawals",
    metadata,
    key("project_id"),
    key("task_id"),
    # "" = the task itself
    key("skill_id"),
    key("source"),
    must("session_id"),
    must("status"),
    may("outcome_id"),
    number("version"),
    of_session(),
)

injections = Table(
    "injections",
    metadata,
    key("project_id"),
    key("id"),
    must("space_id"),
    may("session_id"),
    may("run_id"),
    must("body"),
    must("created_at"),
    may("anchor"),
    of_space(),
    Index("ix_injections_placed", "project_id", "session_id", "anchor"),
    Index("ix_injections_space", "project_id", "space_id", "created_at", "id"),
    Index("ix_injections_session", "project_id", "session_id"),
)

# ------------------------------------------------------------------------------------------------- search
# An inverted index per space in plain tables: exact document frequencies, scores that other spaces and projects
# cannot influence, and a deleted text is really gone.

search_texts = Table(
    "search_texts",
    metadata,
    key("project_id"),
    key("space_number", Integer),
    key("number", Integer),
    must("skill_id"),
    must("kind"),
    must("text"),
    must("words"),
    Index("ix_search_texts_skill", "project_id", "skill_id"),
)

search_words = Table(
    "search_words",
    metadata,
    key("project_id"),
    key("space_number", Integer),
    key("word"),
    key("text_number", Integer),
    must("occurrences", Integer),
    must("text_length", Integer),
    sqlite_with_rowid=False,
)

search_frequencies = Table(
    "search_frequencies",
    metadata,
    key("project_id"),
    key("space_number", Integer),
    key("word"),
    must("texts", Integer),
    sqlite_with_rowid=False,
)

# the model that embeds this project's skills; where there is none, nothing is ever to be embedded
embedders = Table(
    "embedders",
    metadata,
    key("project_id"),
    must("model"),
    may("dimensions", Integer),
    must("updated_at"),
)

vectors = Table(
    "vectors",
    metadata,
    key("project_id"),
    key("space_id"),
    key("skill_id"),
    key("number", Integer),
    must("model"),
    must("dimensions", Integer),
    # of the text
    must("hash"),
    # grows with each skill that is written: who has read up to here reads on from here
    must("stamp", BigInteger),
    must("vector", LargeBinary),
    of_space(),
    Index("ix_vectors_stamp", "project_id", "space_id", "stamp", "number"),
)

# the last stamp that was given in a space, also to vectors that went
vector_stamps = Table(
    "vector_stamps",
    metadata,
    key("project_id"),
    key("space_id"),
    must("stamp", BigInteger),
    of_space(),
)

# active skills whose vectors are missing or older than their texts
unembedded = Table(
    "unembedded",
    metadata,
    key("project_id"),
    key("space_id"),
    key("skill_id"),
    must("mark", Integer),
    of_space(),
)

# --------------------------------------------------------------------------------------------------- keys

# looked up by hash before it is known whose they are: the one table whose keys do not begin with the project
api_keys = Table(
    "api_keys",
    metadata,
    key("id"),
    must("project_id"),
    must("name"),
    must("hint"),
    must("hash"),
    must("created_at"),
    may("revoked_at"),
    Index("uq_api_keys_hash", "hash", unique=True),
    Index("ix_api_keys_project", "project_id", "created_at", "id"),
)

# -------------------------------------------------------------------------------------------------- files

disks = Table(
    "disks",
    metadata,
    key("project_id"),
    key("id"),
    may("session_id"),
    must("created_at"),
    must("updated_at"),
    of_session(),
    Index("uq_disks_session", "project_id", "session_id", unique=True),
    Index("ix_disks_created", "project_id", "created_at", "id"),
)

artifacts = Table(
    "artifacts",
    metadata,
    key("project_id"),
    key("disk_id"),
    key("path"),
    key("filename"),
    must("sha256"),
    must("size", BigInteger),
    must("mime"),
    must("meta"),
    must("created_at"),
    must("updated_at"),
    ForeignKeyConstraint(["project_id", "disk_id"], ["disks.project_id", "disks.id"], ondelete="CASCADE"),
    Index("ix_artifacts_sha256", "project_id", "sha256"),
)

# the blobs that the messages of a session name
session_blobs = Table(
    "session_blobs",
    metadata,
    key("project_id"),
    key("session_id"),
    key("sha256"),
    of_session(),
    Index("ix_session_blobs_sha256", "project_id", "sha256"),
)

# blobs whose last reference has gone, until they are deleted
unused_blobs = Table(
    "unused_blobs",
    metadata,
    key("project_id"),
    key("sha256"),
)

# ------------------------------------------------------------------------------------------------- ledger

# no foreign keys: what was spent stays known when the space or the session goes
model_calls = Table(
    "model_calls",
    metadata,
    key("project_id"),
    key("id"),
    must("job"),
    may("space_id"),
    may("session_id"),
    must("prompt"),
    must("model"),
    big("prompt_tokens"),
    big("completion_tokens"),
    big("cached_tokens"),
    may("cost", Float(53)),
    seconds("duration"),
    must("error"),
    must("created_at"),
    Index("ix_model_calls_created", "project_id", "created_at", "id"),
    Index("ix_model_calls_space", "project_id", "space_id", "created_at", "id"),
)

# --------------------------------------------------------------------------------------------------- work

lanes = Table(
    "lanes",
    metadata,
    key("project_id"),
    key("kind"),
    key("key"),
    # when it is to be done; NULL = nothing to do (what a worker holds is not counted, until more arrives)
    may("due_at", Float(53)),
    # however often `due_at` is put off: not beyond this
    may("deadline", Float(53)),
    # failed work is not tried again before this
    seconds("not_before"),
    may("owner"),
    seconds("lease_until"),
    seconds("claimed_at"),
    big("token"),
    number("attempts"),
    may("last_error"),
    may("dead_at", Float(53)),
    # when it can be claimed
    Column(
        "ready_at",
        Float(53),
        Computed(
            "CASE WHEN dead_at IS NOT NULL THEN NULL WHEN owner IS NOT NULL THEN lease_until "
            "WHEN due_at < not_before THEN not_before ELSE due_at END",
            persisted=True,
        ),
    ),
    # how it was last done, where there is something to tell of that
    may("note"),
    # how often what it needs was away, and since when it was not done
    number("outages"),
    may("failing_since", Float(53)),
    Index("ix_lanes_ready", "project_id", "ready_at"),
)
