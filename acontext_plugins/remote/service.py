"""RemoteService: `Service`, asked of a server."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, TypeVar

import httpx
from pydantic import BaseModel

from acontext_store.containment import filter_text
from acontext_store.ledger import Cost, CostBy
from acontext_store.outcome_sources import NamedSource, Revocation, check_source_name
from acontext_store.protocols import Pending
from acontext_store.types import (
    SOURCE_NAME_CHARS,
    Appended,
    Block,
    BlockType,
    CallFate,
    Json,
    LearningStatus,
    Message,
    ObservingStatus,
    Outcome,
    Page,
    Session,
    Skill,
    SkillStatus,
    SkillVersion,
    Space,
    StoredMessage,
    Task,
    ToolName,
)

from ..concurrency.background import BackgroundEventLoop
from ..concurrency.futures import copy_result
from ..inject.recall import SkillsBlock
from ..record.redaction.redactor import Scrubber, fates_without_secrets, without_secrets
from ..service import (
    CallInfo,
    Confirmation,
    FlushResult,
    Job,
    MessagesPage,
    Recall,
    RecallQuery,
    Recording,
    SearchItem,
    SpaceSearchResult,
    TokenCounts,
    chosen_id,
)
from ..settings import Settings
from .files import RemoteFiles
from .http import Api, headers_of
from .paths import at
from .recorder import RemoteRecorder

N = TypeVar("N", bound=BaseModel)
#: Seconds that a recall may take at most; the agent waits less.
_RECALL = 5.0
#: Seconds that a server waits in one request for work to be done.
_FLUSH = 20.0


class RemoteService(RemoteFiles):
    """Everything that the embedded engine does, over HTTP; its coroutines belong to its own loop."""

    def __init__(
        self,
        settings: Settings,
        scrubber: Scrubber,
        loop: BackgroundEventLoop,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        recording_transport: httpx.BaseTransport | None = None,
    ) -> None:
        assert settings.api_key is not None
        key = settings.api_key.get_secret_value()
        self.settings = settings
        self.api = Api(settings.url, key, timeout=settings.timeout, transport=transport)
        self.recorder = RemoteRecorder(
            settings.url,
            key,
            scrubber,
            timeout=settings.timeout,
            settings=settings.recorder,
            remote=settings.remote,
            transport=recording_transport,
        )
        self.streams = httpx.Client(
            base_url=self.api.url, headers=headers_of(key), timeout=settings.timeout, transport=recording_transport
        )
        self.scrubber = scrubber
        self._loop = loop
        self._project: str | None = None

    @property
    def project_id(self) -> str:
        """The project of the key, once `whoami` has said it; until then that of the settings."""
        return self._project or self.settings.project

    async def whoami(self) -> str:
        """The project that the key opens."""
        found: str = (await self.api.get("/_acontext/whoami"))["project"]
        self._project = found
        return found

    async def stop(self) -> None:
        await self.api.aclose()

    def close(self) -> None:
        """Send what is recorded, or leave it in the spool."""
        self.recorder.close()
        self.streams.close()

    async def aclose(self) -> None:
        await asyncio.to_thread(self.close)
        await self.stop()

    # -- for agents
    def record(self, recording: Recording) -> None:
        self.recorder.record(recording)

    async def record_durably(self, recording: Recording) -> Appended:
        return await self.recorder.record_durably(recording)

    async def recall(self, query: RecallQuery) -> Recall:
        body: Json = {
            "space": query.space,
            "text": self._clean(query.session_key or query.space, query.text),
            "tools": sorted(query.tools) if query.tools is not None else None,
            "limit": query.limit,
            "token_budget": query.token_budget,
            "with_trace": query.with_trace,
            "session_key": query.session_key and self.recorder.masked(query.session_key),
            "principal": query.principal and self.recorder.masked(query.principal),
            "run_id": query.run_id,
            "log": query.log,
            "deadline": query.deadline,
            "shown": None if query.shown is None else dataclasses.asdict(query.shown),
            "head": query.head,
            "catalog": query.catalog,
        }
        timeout = min(_RECALL, self.settings.timeout)
        found = await self.api.ask("POST", "/_acontext/recall", body=body, timeout=timeout, attempts=1)
        blocks = tuple(SkillsBlock(block["anchor"], block["text"]) for block in found.get("blocks", ()))
        return Recall(found["text"], tuple(_all(Skill, found["skills"])), tuple(found["scores"]), blocks)

    def recall_pending(self, query: RecallQuery) -> Pending[Recall]:
        """The same, from any thread."""
        answer: Pending[Recall] = Pending()

        copy_result(self._loop.submit(self.recall(query)), answer)
        return answer

    async def flush(self, timeout: float | None = None) -> bool:
        deadline = None if timeout is None else time.monotonic() + timeout
        if not await asyncio.to_thread(self.recorder.flush, timeout):
            return False
        while True:
            left = _FLUSH if deadline is None else min(_FLUSH, deadline - time.monotonic())
            if left < 0:
                return False
            found = await self.api.ask(
                "POST", "/_acontext/flush", body={"timeout": left}, again=True, timeout=left + self.settings.timeout
            )
            if found["done"]:
                return True

    async def ping(self) -> str:
        await self.api.get("/ping")
        return "pong"

    def _clean(self, session: str, text: str) -> str:
        return self.scrubber.redact_text(session, text)

    # -- sessions
    async def create_session(
        self,
        *,
        space_id: str | None = None,
        key: str | None = None,
        principal: str | None = None,
        disable_task_tracking: bool = False,
        configs: Json | None = None,
        use_uuid: str | None = None,
    ) -> Session:
        body = _given(
            use_uuid=chosen_id(use_uuid, key),
            space_id=space_id,
            key=key,
            principal=principal,
            disable_task_tracking=disable_task_tracking,
            configs=configs,
        )
        return _one(Session, await self.api.ask("POST", "/session", body=body))

    async def session(self, session_id: str) -> Session:
        return _one(Session, await self.api.get(at("/_acontext/session/{session}", session_id)))

    async def sessions(
        self,
        *,
        space_id: str | None = None,
        not_connected: bool = False,
        principal: str | None = None,
        filter_by_configs: Json | None = None,
        limit: int = 20,
        cursor: str | None = None,
        time_desc: bool = False,
    ) -> Page[Session]:
        found = await self.api.get(
            "/session",
            space_id=space_id,
            not_connected=not_connected,
            user=principal,
            filter_by_configs=filter_text(filter_by_configs) if filter_by_configs is not None else None,
            limit=limit,
            cursor=cursor,
            time_desc=time_desc,
        )
        return _page(Session, found)

    async def update_session(
        self, session_id: str, *, configs: Json | None = None, space_id: str | None = None
    ) -> Session:
        found: Any = None
        if configs is not None:
            found = await self.api.ask("PUT", at("/session/{session}/configs", session_id), body={"configs": configs})
        if space_id is not None:
            path = at("/session/{session}/connect_to_space", session_id)
            found = await self.api.ask("POST", path, body={"space_id": space_id}, again=True)
        return _one(Session, found) if found is not None else await self.session(session_id)

    async def delete_session(self, session_id: str) -> None:
        await self.api.ask("DELETE", at("/session/{session}", session_id))

    async def append(
        self,
        session_id: str,
        messages: Sequence[Message],
        outcomes: Sequence[Outcome] = (),
        fates: Sequence[CallFate] = (),
    ) -> Appended:
        clean, said, _ = self.scrubber.redact(session_id, messages, outcomes)
        body = {
            "messages": [message.model_dump(mode="json") for message in clean],
            "outcomes": [outcome.model_dump(mode="json") for outcome in said],
        }
        if fates:
            told = fates_without_secrets(self.scrubber, session_id, fates)
            body["fates"] = [fate.model_dump(mode="json") for fate in told]
        path = at("/_acontext/session/{session}/messages", session_id)
        return _one(Appended, await self.api.ask("POST", path, body=body, again=True))

    async def messages(
        self,
        session_id: str,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        time_desc: bool = False,
    ) -> Page[StoredMessage]:
        path = at("/_acontext/session/{session}/messages", session_id)
        return _page(StoredMessage, await self.api.get(path, limit=limit, cursor=cursor, time_desc=time_desc))

    async def message(self, session_id: str, message_id: str) -> StoredMessage:
        return _one(
            StoredMessage,
            await self.api.get(at("/_acontext/session/{session}/messages/{message}", session_id, message_id)),
        )

    async def update_message(self, session_id: str, message_id: str, *, meta: Json) -> StoredMessage:
        clean = without_secrets(self.scrubber, session_id, meta)
        await self.api.ask(
            "PATCH", at("/session/{session}/messages/{message}/meta", session_id, message_id), body={"meta": clean}
        )
        return await self.message(session_id, message_id)

    async def conversation(
        self,
        session_id: str,
        *,
        format: str = "openai",
        limit: int | None = None,
        cursor: str | None = None,
        time_desc: bool = False,
        edit_strategies: Sequence[Json] | None = None,
        pin_at: str | None = None,
        with_public_urls: bool | None = None,
    ) -> MessagesPage:
        found = await self.api.get(
            at("/session/{session}/messages", session_id),
            format=format,
            limit=limit,
            cursor=cursor,
            time_desc=time_desc,
            edit_strategies=json.dumps(list(edit_strategies)) if edit_strategies is not None else None,
            pin_editing_strategies_at_message=pin_at,
            with_asset_public_url=with_public_urls,
        )
        return _one(MessagesPage, found)

    async def token_counts(self, session_id: str) -> TokenCounts:
        return _one(TokenCounts, await self.api.get(at("/session/{session}/token_counts", session_id)))

    async def observing_status(self, session_id: str) -> ObservingStatus:
        return _one(ObservingStatus, await self.api.get(at("/session/{session}/observing_status", session_id)))

    async def tasks(
        self, session_id: str, *, limit: int = 20, cursor: str | None = None, time_desc: bool = False
    ) -> Page[Task]:
        path = at("/session/{session}/task", session_id)
        return _page(Task, await self.api.get(path, limit=limit, cursor=cursor, time_desc=time_desc))

    async def flush_session(self, session_id: str) -> FlushResult:
        await asyncio.to_thread(self.recorder.flush, self.settings.timeout)
        path = at("/session/{session}/flush", session_id)
        while True:
            found = _one(FlushResult, await self.api.ask("POST", path, again=True))
            if found.status != 202:
                return found

    async def calls(self, session_id: str) -> list[CallInfo]:
        found = await self.api.get(at("/_acontext/session/{session}/calls", session_id))
        return [_one(CallInfo, call) for call in found]

    async def learning_status(self, session_id: str) -> LearningStatus:
        return _one(LearningStatus, await self.api.get(at("/session/{session}/get_learning_status", session_id)))

    # -- spaces
    async def create_space(self, *, name: str | None = None, configs: Json | None = None) -> Space:
        return _one(Space, await self.api.ask("POST", "/space", body=_given(name=name, configs=configs)))

    async def space(self, space_id: str) -> Space:
        return _one(Space, await self.api.get(at("/space/{space}/configs", space_id)))

    async def space_by_name(self, name: str, *, create: bool = False) -> Space:
        return _one(Space, await self.api.ask("PUT", "/_acontext/space", body={"name": name, "create": create}))

    async def spaces(self, *, limit: int = 20, cursor: str | None = None, time_desc: bool = False) -> Page[Space]:
        return _page(Space, await self.api.get("/space", limit=limit, cursor=cursor, time_desc=time_desc))

    async def update_space(self, space_id: str, *, configs: Json) -> Space:
        return _one(Space, await self.api.ask("PUT", at("/space/{space}/configs", space_id), body={"configs": configs}))

    async def delete_space(self, space_id: str) -> None:
        await self.api.ask("DELETE", at("/space/{space}", space_id))

    async def experience_search(
        self,
        space_id: str,
        *,
        query: str,
        limit: int = 10,
        mode: Literal["fast", "agentic"] = "fast",
        semantic_threshold: float | None = None,
        max_iterations: int | None = None,
    ) -> SpaceSearchResult:
        found = await self.api.get(
            at("/space/{space}/experience_search", space_id),
            query=query,
            limit=limit,
            mode=mode,
            semantic_threshold=semantic_threshold,
            max_iterations=max_iterations,
        )
        return _one(SpaceSearchResult, found)

    async def find_blocks(
        self, space_id: str, *, query: str, types: Collection[BlockType], limit: int = 10
    ) -> list[SearchItem]:
        found: list[SearchItem] = []
        for path, kinds in (
            (at("/space/{space}/semantic_glob", space_id), {"folder", "page"}),
            (at("/space/{space}/semantic_grep", space_id), {"sop", "text"}),
        ):
            if kinds & set(types):
                items = _all(SearchItem, await self.api.get(path, query=query, limit=limit))
                found += [item for item in items if item.type in types]
        found.sort(key=lambda item: item.distance if item.distance is not None else 2.0)
        return found[:limit]

    async def confirmations(
        self, space_id: str, *, limit: int = 20, cursor: str | None = None, time_desc: bool = False
    ) -> Page[Confirmation]:
        path = at("/space/{space}/experience_confirmations", space_id)
        return _page(Confirmation, await self.api.get(path, limit=limit, cursor=cursor, time_desc=time_desc))

    async def confirm(
        self, space_id: str, confirmation_id: str, *, save: bool, experience_data: Json | None = None
    ) -> Confirmation | None:
        path = at("/space/{space}/experience_confirmations/{experience confirmation}", space_id, confirmation_id)
        body = _given(save=save, experience_data=experience_data)
        found = await self.api.ask("PUT", path, body=body, again=False)
        return _one(Confirmation, found) if found is not None else None

    async def jobs(
        self,
        *,
        dead: bool | None = None,
        space_id: str | None = None,
        session_id: str | None = None,
        limit: int = 200,
    ) -> list[Job]:
        found = await self.api.get("/_acontext/jobs", dead=dead, space_id=space_id, session_id=session_id, limit=limit)
        return _all(Job, found)

    async def retry_jobs(self, *, space_id: str | None = None, session_id: str | None = None) -> int:
        body = _given(space_id=space_id, session_id=session_id)
        retried: int = (await self.api.ask("POST", "/_acontext/jobs/retry", body=body, again=True))["retried"]
        return retried

    async def costs(
        self,
        *,
        by: Collection[CostBy] = (),
        space_id: str | None = None,
        since: str | None = None,
        until: str | None = None,
    ) -> list[Cost]:
        path = "/_acontext/costs"
        return _all(Cost, await self.api.get(path, by=list(by), space_id=space_id, since=since, until=until))

    async def outcome_sources(self) -> list[NamedSource]:
        return _all(NamedSource, await self.api.get("/_acontext/outcome_sources"))

    async def register_outcome_source(
        self, name: str, *, strength: float = 1.0, note: str | None = None
    ) -> NamedSource:
        body = {"name": self._source(name), "strength": strength, "note": note and self._clean("outcome sources", note)}
        return _one(NamedSource, await self.api.ask("PUT", "/_acontext/outcome_sources", body=body))

    async def revoke_outcome_source(self, name: str, *, timeout: float | None = None) -> Revocation:
        deadline = None if timeout is None else time.monotonic() + timeout
        path, name = "/_acontext/outcome_sources/revoke", self._source(name)
        while True:
            left = _FLUSH if deadline is None else max(0.0, min(_FLUSH, deadline - time.monotonic()))
            body = {"name": name, "timeout": left}
            found = await self.api.ask("POST", path, body=body, again=True, timeout=left + self.settings.timeout)
            revoked = _one(Revocation, found)
            if revoked.waits_for != "time" or (deadline is not None and time.monotonic() >= deadline):
                return revoked

    def _source(self, name: str) -> str:
        return self._clean("outcome sources", check_source_name(name))[:SOURCE_NAME_CHARS]

    async def skills(self, space_id: str, *, statuses: Collection[SkillStatus] | None = None) -> list[Skill]:
        status = sorted(statuses) if statuses is not None else None
        if status == []:
            return []
        return _all(Skill, await self.api.get(at("/_acontext/space/{space}/skills", space_id), status=status))

    async def skill_versions(self, skill_id: str) -> list[SkillVersion]:
        return _all(SkillVersion, await self.api.get(at("/_acontext/skill/{skill}/versions", skill_id)))

    async def tool_names(self) -> list[ToolName]:
        return _all(ToolName, await self.api.get("/tool/name"))

    async def rename_tools(self, names: Mapping[str, str]) -> int:
        pairs = [{"old_name": old, "new_name": new} for old, new in names.items()]
        found = await self.api.ask("PUT", "/tool/name", body={"rename": pairs})
        return int(found.get("changed", 0))

    # -- blocks
    async def blocks(
        self,
        space_id: str,
        *,
        parent_id: str | None = None,
        block_type: BlockType | None = None,
        tree: bool = False,
    ) -> list[Block]:
        found = await self.api.get(
            at("/space/{space}/block", space_id), parent_id=parent_id, type=block_type, tree=tree
        )
        return _all(Block, found)

    async def block(self, space_id: str, block_id: str) -> Block:
        return _one(Block, await self.api.get(at("/space/{space}/block/{block}/properties", space_id, block_id)))

    async def create_block(
        self,
        space_id: str,
        *,
        block_type: BlockType,
        parent_id: str | None = None,
        title: str | None = None,
        props: Json | None = None,
    ) -> Block:
        body = _given(type=block_type, parent_id=parent_id, title=title, props=props)
        return _one(Block, await self.api.ask("POST", at("/space/{space}/block", space_id), body=body))

    async def update_block(
        self, space_id: str, block_id: str, *, title: str | None = None, props: Json | None = None
    ) -> Block:
        path = at("/space/{space}/block/{block}/properties", space_id, block_id)
        return _one(Block, await self.api.ask("PUT", path, body=_given(title=title, props=props)))

    async def move_block(
        self, space_id: str, block_id: str, *, parent_id: str | None = None, sort: int | None = None
    ) -> Block:
        path = at("/space/{space}/block/{block}/move", space_id, block_id)
        return _one(Block, await self.api.ask("PUT", path, body=_given(parent_id=parent_id, sort=sort)))

    async def sort_block(self, space_id: str, block_id: str, sort: int) -> Block:
        path = at("/space/{space}/block/{block}/sort", space_id, block_id)
        return _one(Block, await self.api.ask("PUT", path, body={"sort": sort}))

    async def delete_block(self, space_id: str, block_id: str) -> None:
        await self.api.ask("DELETE", at("/space/{space}/block/{block}", space_id, block_id))


def _given(**fields: Any) -> Json:
    """The fields that were given."""
    return {name: value for name, value in fields.items() if value is not None}


def _one(kind: type[N], found: Any) -> N:
    """A noun; fields of a newer server are left out."""
    return kind.model_validate({name: value for name, value in found.items() if name in kind.model_fields})


def _all(kind: type[N], found: Sequence[Any]) -> list[N]:
    return [_one(kind, item) for item in found]


def _page(kind: type[N], found: Any) -> Page[N]:
    return Page(items=_all(kind, found["items"]), next_cursor=found.get("next_cursor"), has_more=found["has_more"])
