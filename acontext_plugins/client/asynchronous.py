"""The asynchronous client: `AsyncAcontext` and its resources."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, Self

from pydantic import BaseModel

from acontext_store.ledger import Cost, CostBy
from acontext_store.outcome_sources import check_source_name
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
    CallInfo,
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
from .outcome_sources import AsyncOutcomeSources

Blob = dict[str, Any] | BaseModel
Mode = Literal["fast", "agentic"]


class AsyncSessions(AsyncResource):
    """Conversations: their messages, and the tasks that were observed in them."""

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
        """A page of sessions by time of creation; `not_connected` selects those without a space.

        `user` selects the sessions of one user, `filter_by_configs` those whose configs contain all of it:
        `{"tenant": "a"}`, nested objects too; case and type count, and {} is no filter. `limit` is 1 to 200 items
        (20), `cursor` the `next_cursor` of the page before. Raises InvalidInput.
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
        """Create a session; `key` is your own name for it, `user` (or `principal`) the user who speaks in it.

        Skills are learned into the space `space_id`; without one, the session is only kept. `disable_task_tracking`
        keeps its messages without observing tasks. `use_uuid` is the id of the session, kept in small letters.
        Raises Conflict where that id or the key is taken, InvalidInput where the id is no UUID or a key is given too,
        NotFound for the space.

        >>> session = await client.sessions.create(space_id=space.id, user="ann")
        >>> session.principal
        'ann'
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
        """Delete the session with its messages and tasks. Raises NotFound."""
        await self._service.delete_session(session_id)

    async def update_configs(self, session_id: str, *, configs: Json) -> None:
        """Replace all configs of the session. Raises NotFound."""
        await self._service.update_session(session_id, configs=configs)

    async def get_configs(self, session_id: str) -> Session:
        """The session, with its configs in `.configs`. Raises NotFound."""
        return await self._service.session(session_id)

    async def connect_to_space(self, session_id: str, *, space_id: str) -> None:
        """Learn from this session into the space `space_id` from now on. Raises NotFound for either id."""
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
        """Keep one message, and return it when it is durable. The method `store_message` is the same.

        `blob` is a message in `format`: a dict, or the framework's own pydantic object. `meta` is kept beside it,
        and no model reads it. Secrets are scrubbed from both. `file` belongs to a message in the format "acontext": to
        the part whose `file_field` is the one given. Raises NotFound for the session, InvalidInput for the message.

        >>> blob = {"role": "user", "content": "Where is my order?"}
        >>> message = await client.sessions.send_message(session.id, blob=blob)
        >>> message.text
        'Where is my order?'
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
        """Messages of a session, oldest first, as plain dicts in `format`, ready to be sent to a model.

        `limit` is the most messages returned (None = all of them); `time_desc` takes the newest ones. The format
        "acontext" names files by their SHA-256, and `with_asset_public_url` adds links to them (None = where a server
        answers the links); the other formats hold the files themselves. `edit_strategies` shorten what is returned,
        never what is stored; pinned at a message, they leave later messages alone. Raises NotFound, InvalidInput.

        >>> page = await client.sessions.get_messages(session.id, limit=1)
        >>> page.items
        [{'role': 'user', 'content': 'Where is my order?'}]
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
        """Change the meta of a message: given names replace what is there, names given as None are removed.

        Raises NotFound.
        """
        return await self._service.update_message(session_id, message_id, meta=meta)

    async def get_token_counts(self, session_id: str) -> TokenCounts:
        """How many tokens all messages have together, with tool results and media. Raises NotFound."""
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
        """A page of the session's tasks by their order, as far as they have been observed.

        `limit` is 1 to 200 tasks (20), `cursor` the `next_cursor` of the page before. Raises NotFound, InvalidInput.

        >>> page = await client.sessions.get_tasks(session.id)
        >>> [task.data["task_description"] for task in page.items]
        ['Where is my order?']
        """
        return await self._service.tasks(
            session_id, limit=20 if limit is None else limit, cursor=cursor, time_desc=bool(time_desc)
        )

    async def get_calls(self, session_id: str) -> Sequence[CallInfo]:
        """The tool calls of a session in order, each with what became of it. Raises NotFound."""
        return await self._service.calls(session_id)

    async def flush(self, session_id: str) -> FlushResult:
        """Observe all messages that were sent so far; return when the session's tasks are up to date.

        `status` of the result is 200 then; else `errmsg` says why they are not. Raises NotFound.

        >>> await client.sessions.flush(session.id)
        FlushResult(status=200, errmsg='')
        """
        await asyncio.to_thread(hand_over_all)
        return await self._service.flush_session(session_id)

    async def get_learning_status(self, session_id: str) -> LearningStatus:
        """How many finished tasks have been learned from, and how many wait. Raises NotFound."""
        return await self._service.learning_status(session_id)

    async def report(
        self, session_id: str, *, status: Literal["success", "failed"], reason: str = "", by: str = ""
    ) -> None:
        """Say how the session turned out, and why; this outranks every other sign of success.

        `by` names whose word it is, in 64 characters at most ("unit-tests"); see `outcome_sources`. Raises NotFound
        for the session, InvalidInput for the name.
        """
        name = by and check_source_name(by)
        await self._service.append(session_id, (), [Outcome(status=status, source="report", by=name, reason=reason)])


class AsyncSpaces(AsyncResource):
    """Spaces: where skills gather, and how they are searched and confirmed."""

    async def list(
        self, *, limit: int | None = None, cursor: str | None = None, time_desc: bool | None = None
    ) -> Page[Space]:
        """A page of spaces by time of creation. `limit` is 1 to 200 items (20), `cursor` as the page before gave it.

        Raises InvalidInput for a bad limit or cursor.
        """
        return await self._service.spaces(
            limit=20 if limit is None else limit, cursor=cursor, time_desc=bool(time_desc)
        )

    async def create(self, *, configs: Json | None = None, name: str | None = None) -> Space:
        """Create a space. Raises Conflict for a name that is taken.

        >>> space = await client.spaces.create(name="billing")
        >>> space.name
        'billing'
        """
        return await self._service.create_space(name=name, configs=configs)

    async def get(self, name: str, *, create: bool = False) -> Space:
        """The space of that name; with `create`, it is made where there is none. Raises NotFound otherwise.

        >>> space = await client.spaces.get("billing", create=True)
        >>> await client.spaces.get("billing") == space
        True
        """
        return await self._service.space_by_name(name, create=create)

    async def delete(self, space_id: str) -> None:
        """Delete the space with its skills; its sessions stay. Raises NotFound."""
        await self._service.delete_space(space_id)

    async def update_configs(self, space_id: str, *, configs: Json) -> None:
        """Replace all configs of the space. Raises NotFound."""
        await self._service.update_space(space_id, configs=configs)

    async def get_configs(self, space_id: str) -> Space:
        """The space, with its configs in `.configs`. Raises NotFound."""
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
        """The skills that fit `query`, best first; an empty list where none is relevant. Raises NotFound, InvalidInput.

        `limit` is the most skills returned, 1 to 50 (10). The mode "agentic" walks the tree of the space, with a model
        where one is set, and answers in `final_answer`; `max_iterations` is the number of turns that the model
        has. `semantic_threshold` is the cosine distance (0 to 2) above which a vector does not count. None = as in
        the settings.

        >>> found = await client.spaces.experience_search(space.id, query="please refund my broken lamp")
        >>> [item.title for item in found.cited_blocks]
        ['refund a broken item']
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
        """The active skills of a space; with `candidates`, those that wait for more evidence, too. Raises NotFound.

        >>> skills = await client.spaces.skills(space.id)
        >>> [skill.body.use_when for skill in skills]
        ['refund a broken item']
        """
        return await self._service.skills(space_id, statuses=None if candidates else ACTIVE)

    async def skill_versions(self, skill_id: str) -> Sequence[SkillVersion]:
        """All versions of a skill, oldest first. Raises NotFound."""
        return await self._service.skill_versions(skill_id)

    async def get_unconfirmed_experiences(
        self, space_id: str, *, limit: int | None = None, cursor: str | None = None, time_desc: bool | None = None
    ) -> Page[Confirmation]:
        """A page of skills, and new versions of skills, that wait until a person confirms them.

        `limit` is 1 to 200 items (20), `cursor` the `next_cursor` of the page before. Raises NotFound, InvalidInput.
        """
        return await self._service.confirmations(
            space_id, limit=20 if limit is None else limit, cursor=cursor, time_desc=bool(time_desc)
        )

    async def confirm_experience(
        self, space_id: str, experience_id: str, *, save: bool, experience_data: Json | None = None
    ) -> Confirmation | None:
        """Confirm a waiting skill (`save`), which is used from now on; or discard it for good.

        `experience_id` is the id that `get_unconfirmed_experiences` gave, `experience_data` what to save instead, in
        the form in which it was listed; fields that it lacks stay as they were. Automation never changes a skill that
        a person has changed. Raises NotFound where no such skill waits, InvalidInput for the data.
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
        """Calls, tokens and US dollars of models, of a space or (None) of the project: a sum for each value of `by`.

        `by` has any of "space", "session", "job", "model", "prompt", "day". Calls from `since` on and before `until`
        count: days (2026-01-31) or times (RFC 3339), in UTC. Raises InvalidInput.
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
        """Blocks under `parent_id` (None = at the root), in order; `tree` fills `children` all the way down.

        Raises NotFound for the space or the parent.
        """
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
        """Create a block at the end of its siblings: a "folder", a "page", or on a page a "text" or a skill ("sop").

        Raises NotFound for the space or the parent, InvalidInput where that type cannot stand there.
        """
        return await self._service.create_block(
            space_id, block_type=block_type, parent_id=parent_id, title=title, props=props
        )

    async def get_properties(self, space_id: str, block_id: str) -> Block:
        """The block with its title and props, without its children. Raises NotFound."""
        return await self._service.block(space_id, block_id)

    async def update_properties(
        self, space_id: str, block_id: str, *, title: str | None = None, props: Json | None = None
    ) -> None:
        """Change the title, the props or both. Automation leaves a skill alone once a person has changed it.

        Raises NotFound, InvalidInput.
        """
        await self._service.update_block(space_id, block_id, title=title, props=props)

    async def move(
        self, space_id: str, block_id: str, *, parent_id: str | None = None, sort: int | None = None
    ) -> None:
        """Move a block under `parent_id` (None = the root), to position `sort` from 0 on (None = the end).

        Raises NotFound, and InvalidInput where the block cannot stand there.
        """
        await self._service.move_block(space_id, block_id, parent_id=parent_id, sort=sort)

    async def update_sort(self, space_id: str, block_id: str, *, sort: int) -> None:
        """Move a block to position `sort` among its siblings, from 0 on. Raises NotFound."""
        await self._service.sort_block(space_id, block_id, sort)

    async def delete(self, space_id: str, block_id: str) -> None:
        """Delete a block and all below it. Raises NotFound."""
        await self._service.delete_block(space_id, block_id)


class AsyncTools(AsyncResource):
    """The tools that skills call."""

    async def get_tool_name(self) -> Sequence[ToolName]:
        """The tools that active skills call, by name, and how many skills call each."""
        return await self._service.tool_names()

    async def rename_tool_name(self, *, rename: Sequence[Mapping[str, str]]) -> FlagResult:
        """Rename tools in all that was learned: `[{"old_name": ..., "new_name": ...}]`. Unknown names change nothing.

        `changed` of the result is the number of changed skills. Raises InvalidInput that names the bad entry.
        """
        return FlagResult(changed=await self._service.rename_tools(renames(rename)))


class AsyncAcontext(BaseClient):
    """The asynchronous client. Use it with `async with`, or `await client.aclose()`.

    >>> async with AsyncAcontext("sqlite:///memory.db") as client:
    ...     space = await client.spaces.get("support", create=True)
    ...     session = await client.sessions.create(space_id=space.id)
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        project: str | None = None,
        settings: Settings | None = None,
        llm: LLM | None = None,
        embedder: Embedder | None = None,
    ) -> None:
        """Open a database or a server, with the settings of the environment for all that is not given here.

        `url` is `sqlite:///path.db`, or `http(s)://host:8029/api/v1` of a server; None = ~/.acontext/acontext.db.
        `project` names whose data it is (None = "default"). `settings` come instead of both, and of the environment.
        `llm` and `embedder` come instead of the models that the settings name. Raises InvalidInput for settings that
        cannot be, or that differ from those of an open client of the same database; StoreUnavailable where the
        database cannot be opened, IncompatibleStore where another version of this package wrote it.
        """
        super().__init__(url, project, settings, llm, embedder)
        self.sessions = AsyncSessions(self.connection)
        self.spaces = AsyncSpaces(self.connection)
        self.blocks = AsyncBlocks(self.connection)
        self.tools = AsyncTools(self.connection)
        self.disks = AsyncDisks(self.connection)
        self.artifacts = self.disks.artifacts
        self.jobs = AsyncJobs(self.connection)
        self.outcome_sources = AsyncOutcomeSources(self.connection)

    async def ping(self) -> str:
        """ "pong", when the database answers."""
        return await self.connection.opened().engine.ping()

    async def flush(self, timeout: float | None = None) -> bool:
        """Wait until all that was recorded so far is durable, observed and learned from.

        True when it is; False when `timeout` seconds (None = no limit) ran out first. Raises Closed.

        >>> await client.flush(timeout=60)
        True
        """
        await asyncio.to_thread(hand_over_all, timeout)
        return await self.connection.opened().engine.flush(timeout)

    async def aclose(self) -> None:
        """Write what is recorded, and close the engine unless another client uses it. Safe to call twice.

        >>> client = AsyncAcontext("sqlite:///memory.db")
        >>> await client.aclose()
        """
        await asyncio.to_thread(self.connection.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
