"""What `Acontext` offers: the resources of `AsyncAcontext`, each method waited for.

Generated from `asynchronous`, `disks` and `jobs` by `python -m tests.sync_client`: change those.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

from acontext_store.ledger import Cost, CostBy
from acontext_store.types import (
    Artifact,
    ArtifactListing,
    Block,
    BlockType,
    Disk,
    Json,
    LearningStatus,
    ObservingStatus,
    Page,
    Session,
    Skill,
    SkillVersion,
    Space,
    StoredMessage,
    Task,
    ToolName,
)

from ..files.service import ArtifactResult, Upload
from ..service import Confirmation, FlagResult, FlushResult, Job, MessagesPage, SpaceSearchResult, TokenCounts
from .asynchronous import AsyncBlocks, AsyncSessions, AsyncSpaces, AsyncTools, Blob, Mode
from .connection import Connection, Resource
from .disks import AsyncArtifacts, AsyncDisks
from .jobs import AsyncJobs


class Sessions(Resource):
    """Conversations."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._async = AsyncSessions(connection)

    def list(
        self,
        *,
        space_id: str | None = None,
        not_connected: bool | None = None,
        user: str | None = None,
        filter_by_configs: Json | None = None,
        limit: int | None = None,
        cursor: str | None = None,
        time_desc: bool | None = None,
    ) -> Page[Session]:
        """A page of sessions by time of creation; `not_connected` = only those without a space.

        `user` = only those whose words are theirs. `filter_by_configs` = only those whose configs contain all of it:
        `{"tenant": "a"}`, nested objects too; case and type count, and {} is no filter. Raises InvalidInput.
        """
        return self._run(
            self._async.list(
                space_id=space_id,
                not_connected=not_connected,
                user=user,
                filter_by_configs=filter_by_configs,
                limit=limit,
                cursor=cursor,
                time_desc=time_desc,
            )
        )

    def create(
        self,
        *,
        space_id: str | None = None,
        disable_task_tracking: bool | None = None,
        configs: Json | None = None,
        key: str | None = None,
        principal: str | None = None,
        user: str | None = None,
        use_uuid: str | None = None,
    ) -> Session:
        """A new session; `key` is your own name for it, `principal` (or `user`) whose words it holds.

        `use_uuid` is the id that it gets, in small letters. Raises Conflict where that or the key is taken,
        InvalidInput where it is no UUID or a key is given too, NotFound for the space.
        """
        return self._run(
            self._async.create(
                space_id=space_id,
                disable_task_tracking=disable_task_tracking,
                configs=configs,
                key=key,
                principal=principal,
                user=user,
                use_uuid=use_uuid,
            )
        )

    def delete(self, session_id: str) -> None:
        """With its messages and tasks. Raises NotFound."""
        return self._run(self._async.delete(session_id))

    def update_configs(self, session_id: str, *, configs: Json) -> None:
        """Replace the whole object. Raises NotFound."""
        return self._run(self._async.update_configs(session_id, configs=configs))

    def get_configs(self, session_id: str) -> Session:
        """The session, its configs in `.configs`. Raises NotFound."""
        return self._run(self._async.get_configs(session_id))

    def connect_to_space(self, session_id: str, *, space_id: str) -> None:
        """Learn from this session into that space from now on. Raises NotFound for either."""
        return self._run(self._async.connect_to_space(session_id, space_id=space_id))

    def send_message(
        self,
        session_id: str,
        *,
        blob: Blob,
        format: str = "openai",
        meta: Json | None = None,
        file_field: str | None = None,
        file: Upload | None = None,
    ) -> StoredMessage:
        """Keep one message; durable when it returns.

        `blob` is a message of that format: a dict, or the framework's own pydantic object. `meta` is kept beside it,
        and no model reads it. Secrets are scrubbed from both.
        A file goes with a message of the format "acontext": to the part that has this `file_field`.
        Raises NotFound for the session, InvalidInput for the message.
        """
        return self._run(
            self._async.send_message(session_id, blob=blob, format=format, meta=meta, file_field=file_field, file=file)
        )

    store_message = send_message

    def get_messages(
        self,
        session_id: str,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        with_asset_public_url: bool | None = None,
        format: str = "openai",
        time_desc: bool | None = None,
        edit_strategies: Sequence[Json] | None = None,
        pin_editing_strategies_at_message: str | None = None,
    ) -> MessagesPage:
        """Messages, oldest first, as plain dicts of that format, ready to be sent to a model.

        No `limit` = all. `time_desc` with a `limit` gives the newest ones. In the format "acontext" files stand by
        their hash, and `with_asset_public_url` gives links to them (of itself where a server answers them); in the
        other formats they stand where they belong. `edit_strategies` shorten what is returned, never what is stored;
        pinned at a message, they leave alone what came after it. Raises NotFound, InvalidInput.
        """
        return self._run(
            self._async.get_messages(
                session_id,
                limit=limit,
                cursor=cursor,
                with_asset_public_url=with_asset_public_url,
                format=format,
                time_desc=time_desc,
                edit_strategies=edit_strategies,
                pin_editing_strategies_at_message=pin_editing_strategies_at_message,
            )
        )

    def update_message_meta(self, session_id: str, message_id: str, *, meta: Json) -> StoredMessage:
        """Given names replace what is there, names given as None are removed. Raises NotFound."""
        return self._run(self._async.update_message_meta(session_id, message_id, meta=meta))

    def get_token_counts(self, session_id: str) -> TokenCounts:
        """What all messages take together, tool results and media too. Raises NotFound."""
        return self._run(self._async.get_token_counts(session_id))

    def messages_observing_status(self, session_id: str) -> ObservingStatus:
        """How many messages have been observed, are being observed, or wait. Raises NotFound."""
        return self._run(self._async.messages_observing_status(session_id))

    def get_tasks(
        self, session_id: str, *, limit: int | None = None, cursor: str | None = None, time_desc: bool | None = None
    ) -> Page[Task]:
        """The session's tasks in order, as far as they have been observed. Raises NotFound."""
        return self._run(self._async.get_tasks(session_id, limit=limit, cursor=cursor, time_desc=time_desc))

    def flush(self, session_id: str) -> FlushResult:
        """Observe all that was sent so far; return when the tasks are up to date. Raises NotFound."""
        return self._run(self._async.flush(session_id))

    def get_learning_status(self, session_id: str) -> LearningStatus:
        """How many finished tasks have been learned from, and how many wait. Raises NotFound."""
        return self._run(self._async.get_learning_status(session_id))

    def report(self, session_id: str, *, status: Literal["success", "failed"], reason: str = "") -> None:
        """Say how the session turned out; outranks every other sign. Raises NotFound."""
        return self._run(self._async.report(session_id, status=status, reason=reason))


class Spaces(Resource):
    """Where skills gather."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._async = AsyncSpaces(connection)

    def list(
        self, *, limit: int | None = None, cursor: str | None = None, time_desc: bool | None = None
    ) -> Page[Space]:
        """A page of spaces by time of creation."""
        return self._run(self._async.list(limit=limit, cursor=cursor, time_desc=time_desc))

    def create(self, *, configs: Json | None = None, name: str | None = None) -> Space:
        """A new space. Raises Conflict for a name that is taken."""
        return self._run(self._async.create(configs=configs, name=name))

    def get(self, name: str, *, create: bool = False) -> Space:
        """The space of that name. Raises NotFound, or makes it."""
        return self._run(self._async.get(name, create=create))

    def delete(self, space_id: str) -> None:
        """With its skills; its sessions stay. Raises NotFound."""
        return self._run(self._async.delete(space_id))

    def update_configs(self, space_id: str, *, configs: Json) -> None:
        """Replace the whole object. Raises NotFound."""
        return self._run(self._async.update_configs(space_id, configs=configs))

    def get_configs(self, space_id: str) -> Space:
        """The space, its configs in `.configs`. Raises NotFound."""
        return self._run(self._async.get_configs(space_id))

    def experience_search(
        self,
        space_id: str,
        *,
        query: str,
        limit: int | None = None,
        mode: Mode | None = None,
        semantic_threshold: float | None = None,
        max_iterations: int | None = None,
    ) -> SpaceSearchResult:
        """The skills that fit `query`, best first; none where nothing is relevant. Raises NotFound.

        Mode "agentic" walks the space's tree, with a model where one is set, and says in `final_answer` what it found;
        `max_iterations` = the model's turns. `semantic_threshold` = the cosine distance (0 to 2) beyond which
        embeddings do not count.
        """
        return self._run(
            self._async.experience_search(
                space_id,
                query=query,
                limit=limit,
                mode=mode,
                semantic_threshold=semantic_threshold,
                max_iterations=max_iterations,
            )
        )

    def skills(self, space_id: str, *, candidates: bool = False) -> Sequence[Skill]:
        """The active skills, and with `candidates` those that wait for more evidence too. Raises NotFound."""
        return self._run(self._async.skills(space_id, candidates=candidates))

    def skill_versions(self, skill_id: str) -> Sequence[SkillVersion]:
        """All states that a skill has had, oldest first. Raises NotFound."""
        return self._run(self._async.skill_versions(skill_id))

    def get_unconfirmed_experiences(
        self, space_id: str, *, limit: int | None = None, cursor: str | None = None, time_desc: bool | None = None
    ) -> Page[Confirmation]:
        """What was learned and waits for a person. Raises NotFound."""
        return self._run(
            self._async.get_unconfirmed_experiences(space_id, limit=limit, cursor=cursor, time_desc=time_desc)
        )

    def confirm_experience(
        self, space_id: str, experience_id: str, *, save: bool, experience_data: Json | None = None
    ) -> Confirmation | None:
        """Use it from now on (`save`), or discard it for good. Raises NotFound for what does not wait.

        `experience_data` is what to save instead, in the form in which it was listed; what it does not mention stays.
        What a person has changed is never changed by automation. Raises InvalidInput.
        """
        return self._run(
            self._async.confirm_experience(space_id, experience_id, save=save, experience_data=experience_data)
        )

    def costs(
        self,
        space_id: str | None = None,
        *,
        by: Collection[CostBy] = (),
        since: str | None = None,
        until: str | None = None,
    ) -> Sequence[Cost]:
        """What models have taken, of a space or (None) of the project: a sum for each value of what `by` names.

        `by` has any of "space", "session", "job", "model", "prompt", "day". From `since` on, before `until`: days
        (2026-01-31) or moments, in UTC. Raises InvalidInput.
        """
        return self._run(self._async.costs(space_id, by=by, since=since, until=until))


class Blocks(Resource):
    """The tree of folders, pages and skills of a space."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._async = AsyncBlocks(connection)

    def list(
        self, space_id: str, *, parent_id: str | None = None, block_type: BlockType | None = None, tree: bool = False
    ) -> Sequence[Block]:
        """What stands under `parent_id` (None = at the root); `tree` fills `children` all the way down."""
        return self._run(self._async.list(space_id, parent_id=parent_id, block_type=block_type, tree=tree))

    def create(
        self,
        space_id: str,
        *,
        block_type: BlockType,
        parent_id: str | None = None,
        title: str | None = None,
        props: Json | None = None,
    ) -> Block:
        """A new block at the end of its siblings. Raises InvalidInput where that type cannot stand there."""
        return self._run(
            self._async.create(space_id, block_type=block_type, parent_id=parent_id, title=title, props=props)
        )

    def get_properties(self, space_id: str, block_id: str) -> Block:
        """The block. Raises NotFound."""
        return self._run(self._async.get_properties(space_id, block_id))

    def update_properties(
        self, space_id: str, block_id: str, *, title: str | None = None, props: Json | None = None
    ) -> None:
        """Change title or props. An edited skill is a person's from then on: automation leaves it alone."""
        return self._run(self._async.update_properties(space_id, block_id, title=title, props=props))

    def move(self, space_id: str, block_id: str, *, parent_id: str | None = None, sort: int | None = None) -> None:
        """Under another parent (None = the root), at place `sort` or at the end."""
        return self._run(self._async.move(space_id, block_id, parent_id=parent_id, sort=sort))

    def update_sort(self, space_id: str, block_id: str, *, sort: int) -> None:
        """To another place among its siblings."""
        return self._run(self._async.update_sort(space_id, block_id, sort=sort))

    def delete(self, space_id: str, block_id: str) -> None:
        """With all that stands below it."""
        return self._run(self._async.delete(space_id, block_id))


class Tools(Resource):
    """The tools that skills call."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._async = AsyncTools(connection)

    def get_tool_name(self) -> Sequence[ToolName]:
        """Tools of active skills by name, and how many skills call each."""
        return self._run(self._async.get_tool_name())

    def rename_tool_name(self, *, rename: Sequence[Mapping[str, str]]) -> FlagResult:
        """`[{"old_name": ..., "new_name": ...}]`, in all that was learned. Unknown names change nothing."""
        return self._run(self._async.rename_tool_name(rename=rename))


class Artifacts(Resource):
    """Files on disks."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._async = AsyncArtifacts(connection)

    def upsert(
        self,
        disk_id: str,
        *,
        file: Upload,
        file_path: str | None = None,
        meta: Mapping[str, Any] | None = None,
        if_sha256: str | None = None,
    ) -> Artifact:
        """Keep a file in the folder `file_path` ("/notes/"), in place of the one with its name there.

        Big files go through in pieces. Where it fails, the old file is still there. Raises NotFound, InvalidInput,
        and Conflict where the file that is there is no longer the one whose hash you give as `if_sha256`.
        """
        return self._run(self._async.upsert(disk_id, file=file, file_path=file_path, meta=meta, if_sha256=if_sha256))

    def get(
        self,
        disk_id: str,
        *,
        file_path: str,
        filename: str,
        with_public_url: bool | None = None,
        with_content: bool | None = None,
        expire: int | None = None,
    ) -> ArtifactResult:
        """A file, its text where it has one, and a link that a plain GET can download for `expire` seconds (3600).

        The link comes without being asked for only where a server answers it (`public_url`); embedded, it is for
        programs on this machine, as long as this client is open. Raises NotFound.
        """
        return self._run(
            self._async.get(
                disk_id,
                file_path=file_path,
                filename=filename,
                with_public_url=with_public_url,
                with_content=with_content,
                expire=expire,
            )
        )

    def update(self, disk_id: str, *, file_path: str, filename: str, meta: Mapping[str, Any]) -> ArtifactResult:
        """Replace what you have noted about a file. Raises NotFound, InvalidInput."""
        return self._run(self._async.update(disk_id, file_path=file_path, filename=filename, meta=meta))

    def delete(self, disk_id: str, *, file_path: str, filename: str) -> None:
        """Raises NotFound."""
        return self._run(self._async.delete(disk_id, file_path=file_path, filename=filename))

    def list(self, disk_id: str, *, path: str | None = None) -> ArtifactListing:
        """What stands directly in a folder ("/notes/"; None = the root): files, and names of folders."""
        return self._run(self._async.list(disk_id, path=path))

    def grep_artifacts(self, disk_id: str, *, query: str, limit: int = 100) -> Sequence[Artifact]:
        """Text files in which the regular expression occurs in some line. Raises NotFound, InvalidInput."""
        return self._run(self._async.grep_artifacts(disk_id, query=query, limit=limit))

    def glob_artifacts(self, disk_id: str, *, query: str, limit: int = 100) -> Sequence[Artifact]:
        """Files whose path fits: `*.txt` at the root, `**/*.txt` anywhere, `/docs/**` below docs."""
        return self._run(self._async.glob_artifacts(disk_id, query=query, limit=limit))

    def download(self, disk_id: str, *, file_path: str, filename: str, to: str | os.PathLike[str]) -> Artifact:
        """Write a file's bytes to `to`, in pieces. Raises NotFound, StoreUnavailable."""
        return self._run(self._async.download(disk_id, file_path=file_path, filename=filename, to=to))


class Disks(Resource):
    """Places for files."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._async = AsyncDisks(connection)
        self.artifacts = Artifacts(connection)

    def list(self, *, limit: int | None = None, cursor: str | None = None, time_desc: bool | None = None) -> Page[Disk]:
        """A page of disks by time of creation."""
        return self._run(self._async.list(limit=limit, cursor=cursor, time_desc=time_desc))

    def create(self) -> Disk:
        """A new, empty disk."""
        return self._run(self._async.create())

    def of_session(self, session_id: str) -> Disk:
        """The session's own disk, made on first use; it goes when the session goes. Raises NotFound."""
        return self._run(self._async.of_session(session_id))

    def delete(self, disk_id: str) -> None:
        """With its files. Raises NotFound."""
        return self._run(self._async.delete(disk_id))


class Jobs(Resource):
    """Work in the background."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._async = AsyncJobs(connection)

    def list(
        self, *, dead: bool | None = None, space_id: str | None = None, session_id: str | None = None, limit: int = 200
    ) -> Sequence[Job]:
        """What is to be done, or (`dead`) what has failed and waits for a person, or (None) both."""
        return self._run(self._async.list(dead=dead, space_id=space_id, session_id=session_id, limit=limit))

    def retry(self, *, space_id: str | None = None, session_id: str | None = None) -> int:
        """Have all that failed done again now, as if for the first time: of a space, of a session, or everything.

        The number of jobs. Raises NotFound.
        """
        return self._run(self._async.retry(space_id=space_id, session_id=session_id))
