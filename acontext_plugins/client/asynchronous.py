"""The asynchronous client: `AsyncAcontext` and its resources."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, Self

from pydantic import BaseModel

from acontext_store.ledger import Cost, CostBy
from acontext_store.types import (
    ACTIVE,
    Asset,
    Block,
    BlockType,
    Json,
    LearningStatus,
    ObservingStatus,
    Outcome,
    Page,
    Session,
    Skill,
    SkillVersion,
    Space,
    StoredMessage,
    Task,
    ToolName,
)

from ..files.attachments import attach, attached
from ..files.service import Upload, as_upload
from ..formats import to_message
from ..llm import LLM, Embedder
from ..service import (
    Confirmation,
    FlagResult,
    FlushResult,
    MessagesPage,
    SpaceSearchResult,
    TokenCounts,
    renames,
)
from ..settings import Settings
from .background import hand_over_all
from .connection import AsyncResource, BaseClient
from .disks import AsyncDisks
from .jobs import AsyncJobs

Blob = dict[str, Any] | BaseModel
Mode = Literal["fast", "agentic"]


class AsyncSessions(AsyncResource):
    """Conversations."""

    async def list(
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
        return await self._service.sessions(
            space_id=space_id,
            not_connected=bool(not_connected),
            principal=user,
            filter_by_configs=filter_by_configs,
            limit=20 if limit is None else limit,
            cursor=cursor,
            time_desc=bool(time_desc),
        )

    async def create(
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
        return await self._service.create_session(
            space_id=space_id,
            key=key,
            principal=user if user is not None else principal,
            use_uuid=use_uuid,
            disable_task_tracking=bool(disable_task_tracking),
            configs=configs,
        )

    async def delete(self, session_id: str) -> None:
        """With its messages and tasks. Raises NotFound."""
        await self._service.delete_session(session_id)

    async def update_configs(self, session_id: str, *, configs: Json) -> None:
        """Replace the whole object. Raises NotFound."""
        await self._service.update_session(session_id, configs=configs)

    async def get_configs(self, session_id: str) -> Session:
        """The session, its configs in `.configs`. Raises NotFound."""
        return await self._service.session(session_id)

    async def connect_to_space(self, session_id: str, *, space_id: str) -> None:
        """Learn from this session into that space from now on. Raises NotFound for either."""
        await self._service.update_session(session_id, space_id=space_id)

    async def send_message(
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
        if file is not None:
            item, upload = attach(blob, file_field, format), as_upload(file)
            await self._service.session(session_id)  # before any bytes are taken
            kept = await self._service.upload(upload.opened())
            asset = Asset(sha256=kept.sha256, size=kept.size, mime=upload.content_type, filename=upload.filename)
            blob = attached(item, str(file_field), asset)
        message = to_message(blob, format, **({} if meta is None else {"meta": meta}))
        await self._service.append(session_id, [message])
        return await self._service.message(session_id, message.id)

    store_message = send_message

    async def get_messages(
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
        return await self._service.conversation(
            session_id,
            format=format,
            limit=limit or None,
            cursor=cursor,
            time_desc=bool(time_desc),
            edit_strategies=edit_strategies,
            pin_at=pin_editing_strategies_at_message,
            with_public_urls=with_asset_public_url,
        )

    async def update_message_meta(self, session_id: str, message_id: str, *, meta: Json) -> StoredMessage:
        """Given names replace what is there, names given as None are removed. Raises NotFound."""
        return await self._service.update_message(session_id, message_id, meta=meta)

    async def get_token_counts(self, session_id: str) -> TokenCounts:
        """What all messages take together, tool results and media too. Raises NotFound."""
        return await self._service.token_counts(session_id)

    async def messages_observing_status(self, session_id: str) -> ObservingStatus:
        """How many messages have been observed, are being observed, or wait. Raises NotFound."""
        return await self._service.observing_status(session_id)

    async def get_tasks(
        self,
        session_id: str,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        time_desc: bool | None = None,
    ) -> Page[Task]:
        """The session's tasks in order, as far as they have been observed. Raises NotFound."""
        return await self._service.tasks(
            session_id, limit=20 if limit is None else limit, cursor=cursor, time_desc=bool(time_desc)
        )

    async def flush(self, session_id: str) -> FlushResult:
        """Observe all that was sent so far; return when the tasks are up to date. Raises NotFound."""
        await asyncio.to_thread(hand_over_all)
        return await self._service.flush_session(session_id)

    async def get_learning_status(self, session_id: str) -> LearningStatus:
        """How many finished tasks have been learned from, and how many wait. Raises NotFound."""
        return await self._service.learning_status(session_id)

    async def report(self, session_id: str, *, status: Literal["success", "failed"], reason: str = "") -> None:
        """Say how the session turned out; outranks every other sign. Raises NotFound."""
        await self._service.append(session_id, (), [Outcome(status=status, source="report", reason=reason)])


class AsyncSpaces(AsyncResource):
    """Where skills gather."""

    async def list(
        self, *, limit: int | None = None, cursor: str | None = None, time_desc: bool | None = None
    ) -> Page[Space]:
        """A page of spaces by time of creation."""
        return await self._service.spaces(
            limit=20 if limit is None else limit, cursor=cursor, time_desc=bool(time_desc)
        )

    async def create(self, *, configs: Json | None = None, name: str | None = None) -> Space:
        """A new space. Raises Conflict for a name that is taken."""
        return await self._service.create_space(name=name, configs=configs)

    async def get(self, name: str, *, create: bool = False) -> Space:
        """The space of that name. Raises NotFound, or makes it."""
        return await self._service.space_by_name(name, create=create)

    async def delete(self, space_id: str) -> None:
        """With its skills; its sessions stay. Raises NotFound."""
        await self._service.delete_space(space_id)

    async def update_configs(self, space_id: str, *, configs: Json) -> None:
        """Replace the whole object. Raises NotFound."""
        await self._service.update_space(space_id, configs=configs)

    async def get_configs(self, space_id: str) -> Space:
        """The space, its configs in `.configs`. Raises NotFound."""
        return await self._service.space(space_id)

    async def experience_search(
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
        return await self._service.experience_search(
            space_id,
            query=query,
            limit=10 if limit is None else limit,
            mode=mode or "fast",
            semantic_threshold=semantic_threshold,
            max_iterations=max_iterations,
        )

    async def skills(self, space_id: str, *, candidates: bool = False) -> Sequence[Skill]:
        """The active skills, and with `candidates` those that wait for more evidence too. Raises NotFound."""
        return await self._service.skills(space_id, statuses=None if candidates else ACTIVE)

    async def skill_versions(self, skill_id: str) -> Sequence[SkillVersion]:
        """All states that a skill has had, oldest first. Raises NotFound."""
        return await self._service.skill_versions(skill_id)

    async def get_unconfirmed_experiences(
        self, space_id: str, *, limit: int | None = None, cursor: str | None = None, time_desc: bool | None = None
    ) -> Page[Confirmation]:
        """What was learned and waits for a person. Raises NotFound."""
        return await self._service.confirmations(
            space_id, limit=20 if limit is None else limit, cursor=cursor, time_desc=bool(time_desc)
        )

    async def confirm_experience(
        self, space_id: str, experience_id: str, *, save: bool, experience_data: Json | None = None
    ) -> Confirmation | None:
        """Use it from now on (`save`), or discard it for good. Raises NotFound for what does not wait.

        `experience_data` is what to save instead, in the form in which it was listed; what it does not mention stays.
        What a person has changed is never changed by automation. Raises InvalidInput.
        """
        return await self._service.confirm(space_id, experience_id, save=save, experience_data=experience_data)

    async def costs(
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
        return await self._service.costs(by=by, space_id=space_id, since=since, until=until)


class AsyncBlocks(AsyncResource):
    """The tree of folders, pages and skills of a space."""

    async def list(
        self,
        space_id: str,
        *,
        parent_id: str | None = None,
        block_type: BlockType | None = None,
        tree: bool = False,
    ) -> Sequence[Block]:
        """What stands under `parent_id` (None = at the root); `tree` fills `children` all the way down."""
        return await self._service.blocks(space_id, parent_id=parent_id, block_type=block_type, tree=tree)

    async def create(
        self,
        space_id: str,
        *,
        block_type: BlockType,
        parent_id: str | None = None,
        title: str | None = None,
        props: Json | None = None,
    ) -> Block:
        """A new block at the end of its siblings. Raises InvalidInput where that type cannot stand there."""
        return await self._service.create_block(
            space_id, block_type=block_type, parent_id=parent_id, title=title, props=props
        )

    async def get_properties(self, space_id: str, block_id: str) -> Block:
        """The block. Raises NotFound."""
        return await self._service.block(space_id, block_id)

    async def update_properties(
        self, space_id: str, block_id: str, *, title: str | None = None, props: Json | None = None
    ) -> None:
        """Change title or props. An edited skill is a person's from then on: automation leaves it alone."""
        await self._service.update_block(space_id, block_id, title=title, props=props)

    async def move(
        self, space_id: str, block_id: str, *, parent_id: str | None = None, sort: int | None = None
    ) -> None:
        """Under another parent (None = the root), at place `sort` or at the end."""
        await self._service.move_block(space_id, block_id, parent_id=parent_id, sort=sort)

    async def update_sort(self, space_id: str, block_id: str, *, sort: int) -> None:
        """To another place among its siblings."""
        await self._service.sort_block(space_id, block_id, sort)

    async def delete(self, space_id: str, block_id: str) -> None:
        """With all that stands below it."""
        await self._service.delete_block(space_id, block_id)


class AsyncTools(AsyncResource):
    """The tools that skills call."""

    async def get_tool_name(self) -> Sequence[ToolName]:
        """Tools of active skills by name, and how many skills call each."""
        return await self._service.tool_names()

    async def rename_tool_name(self, *, rename: Sequence[Mapping[str, str]]) -> FlagResult:
        """`[{"old_name": ..., "new_name": ...}]`, in all that was learned. Unknown names change nothing."""
        return FlagResult(changed=await self._service.rename_tools(renames(rename)))


class AsyncAcontext(BaseClient):
    """The asynchronous client. Use it with `async with`, or `await client.aclose()`."""

    def __init__(
        self,
        url: str | None = None,
        *,
        project: str | None = None,
        settings: Settings | None = None,
        llm: LLM | None = None,
        embedder: Embedder | None = None,
    ) -> None:
        """`llm` and `embedder` come in the places of the models that the settings name."""
        super().__init__(url, project, settings, llm, embedder)
        self.sessions = AsyncSessions(self.connection)
        self.spaces = AsyncSpaces(self.connection)
        self.blocks = AsyncBlocks(self.connection)
        self.tools = AsyncTools(self.connection)
        self.disks = AsyncDisks(self.connection)
        self.artifacts = self.disks.artifacts
        self.jobs = AsyncJobs(self.connection)

    async def ping(self) -> str:
        """ "pong", when the database answers."""
        return await self.connection.opened().engine.ping()

    async def flush(self, timeout: float | None = None) -> bool:
        """True when all that was recorded so far is durable, observed and learned; False when `timeout` s ran out."""
        await asyncio.to_thread(hand_over_all, timeout)
        return await self.connection.opened().engine.flush(timeout)

    async def aclose(self) -> None:
        """Write what is recorded and let go of the database. Safe to call twice."""
        await asyncio.to_thread(self.connection.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
