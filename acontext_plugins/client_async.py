"""The asynchronous front door: `AsyncAcontext` and its resources."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Literal, Self

from pydantic import BaseModel

from acontext_store.errors import InvalidInput
from acontext_store.types import (
    ACTIVE,
    Block,
    BlockType,
    Json,
    LearningStatus,
    Outcome,
    Page,
    Session,
    Skill,
    SkillVersion,
    Space,
    StoredMessage,
    Task,
)

from .connection import Client, Connection
from .formats import named_items, to_message
from .service import FlushResult, Format, MessagesPage, Service, SpaceSearchResult
from .settings import Settings

Blob = dict[str, Any] | BaseModel
Mode = Literal["fast", "agentic"]


class _AsyncResource:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @property
    def _service(self) -> Service:
        return self._connection.home().engine


class AsyncSessions(_AsyncResource):
    """Conversations."""

    async def list(
        self,
        *,
        space_id: str | None = None,
        not_connected: bool | None = None,
        limit: int | None = None,
        cursor: str | None = None,
        time_desc: bool | None = None,
    ) -> Page[Session]:
        """A page of sessions by time of creation; `not_connected` = only those without a space."""
        return await self._service.sessions(
            space_id=space_id,
            not_connected=bool(not_connected),
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
    ) -> Session:
        """A new session; `key` is your own name for it, `principal` whose words it holds. Raises NotFound."""
        return await self._service.create_session(
            space_id=space_id,
            key=key,
            principal=principal,
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

    async def send_message(self, session_id: str, *, blob: Blob, format: Format = "openai") -> StoredMessage:
        """Keep one message; durable when it returns.

        `blob` is a message of that format: a dict, or the framework's own pydantic object. Secrets are scrubbed.
        Raises NotFound for the session, InvalidInput for the message.
        """
        message = to_message(blob, format)
        appended = await self._service.append(session_id, [message])
        page = await self._service.messages(session_id, time_desc=True, limit=1)
        for stored in page.items:
            if stored.id == message.id:
                return stored
        return StoredMessage(
            **message.model_dump(),
            project_id=self._connection.settings.project,
            session_id=session_id,
            seq=appended.last_seq,
        )

    store_message = send_message

    async def get_messages(
        self,
        session_id: str,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        with_asset_public_url: bool | None = None,
        format: Format = "openai",
        time_desc: bool | None = None,
        edit_strategies: Sequence[Json] | None = None,
    ) -> MessagesPage:
        """Messages, oldest first, as plain dicts of that format, ready to be sent to a model.

        No `limit` = all. `time_desc` with a `limit` gives the newest ones. Embedded there are no public URLs, so
        `with_asset_public_url` changes nothing; `edit_strategies` are not available yet: InvalidInput.
        """
        if edit_strategies:
            raise InvalidInput("edit_strategies are not available yet: read the messages whole, and edit the copy")
        page = await self._service.messages(session_id, limit=limit or None, cursor=cursor, time_desc=bool(time_desc))
        items = named_items(page.items, format)
        return MessagesPage(
            items=[item for _, item in items],
            ids=[id for id, _ in items],
            has_more=page.has_more,
            next_cursor=page.next_cursor,
        )

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
        return await self._service.flush_session(session_id)

    async def get_learning_status(self, session_id: str) -> LearningStatus:
        """How many finished tasks have been learned from, and how many wait. Raises NotFound."""
        return await self._service.learning_status(session_id)

    async def report(self, session_id: str, *, status: Literal["success", "failed"], reason: str = "") -> None:
        """Say how the session turned out; outranks every other sign. Raises NotFound."""
        await self._service.append(session_id, (), [Outcome(status=status, source="report", reason=reason)])


class AsyncSpaces(_AsyncResource):
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

        `semantic_threshold` and `max_iterations` are for searches with a model; mode "fast" does without.
        """
        return await self._service.experience_search(
            space_id, query=query, limit=10 if limit is None else limit, mode=mode or "fast"
        )

    async def skills(self, space_id: str, *, candidates: bool = False) -> Sequence[Skill]:
        """The active skills, and with `candidates` those that wait for more evidence too. Raises NotFound."""
        return await self._service.skills(space_id, statuses=None if candidates else ACTIVE)

    async def skill_versions(self, skill_id: str) -> Sequence[SkillVersion]:
        """All states that a skill has had, oldest first. Raises NotFound."""
        return await self._service.skill_versions(skill_id)


class AsyncBlocks(_AsyncResource):
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


class AsyncAcontext(Client):
    """The asynchronous client. Use it with `async with`, or `await client.aclose()`."""

    def __init__(self, url: str | None = None, *, project: str | None = None, settings: Settings | None = None) -> None:
        super().__init__(url, project, settings)
        self.sessions = AsyncSessions(self.door)
        self.spaces = AsyncSpaces(self.door)
        self.blocks = AsyncBlocks(self.door)

    async def ping(self) -> str:
        """ "pong", when the database answers."""
        return await self.door.home().engine.ping()

    async def flush(self, timeout: float | None = None) -> bool:
        """True when all that was recorded is durable and all due work is done; False when `timeout` s ran out."""
        return await self.door.home().engine.flush(timeout)

    async def aclose(self) -> None:
        """Write what is recorded and let go of the database. Safe to call twice."""
        await asyncio.to_thread(self.door.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
