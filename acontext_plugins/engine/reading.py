"""Reading: a session's messages as a model is going to read them, and how far the observer has come."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from acontext_store.cursors import decode_number_cursor, encode_cursor
from acontext_store.errors import InvalidInput
from acontext_store.protocols import BlobStore, Store
from acontext_store.types import Json, Message, ObservingStatus, Page, StoredMessage, Task

from ..editing import edit, parse_strategies, total_tokens
from ..formats import as_it_came, find_format, read_out
from ..formats.stored import to_stored
from ..record.recorder import is_outsourced, restore
from ..record.redaction.redactor import Scrubber, without_secrets
from ..service import CallInfo, MessagesPage, TokenCounts
from ..transcript.tool_calls import TranscriptCall, tool_calls
from .files import FileOperations, asset_of


class ConversationQueries:
    """Conversations of one project, read as they were said, or as a model is going to read them."""

    def __init__(self, store: Store, blobs: BlobStore, *, scrubber: Scrubber, files: FileOperations) -> None:
        self.store = store
        self.blobs = blobs
        self.scrubber = scrubber
        self.files = files

    async def messages(
        self, session_id: str, *, limit: int | None = None, cursor: str | None = None, time_desc: bool = False
    ) -> Page[StoredMessage]:
        page = await self.store.messages(session_id, limit=limit, cursor=cursor, time_desc=time_desc)
        if not any(map(is_outsourced, page.items)):
            return page
        items = await asyncio.to_thread(lambda: [restore(message, self.blobs) for message in page.items])
        return page.model_copy(update={"items": items})

    async def message(self, session_id: str, message_id: str) -> StoredMessage:
        return await self._whole(await self.store.message(session_id, message_id))

    async def update_message(self, session_id: str, message_id: str, *, meta: Json) -> StoredMessage:
        clean = without_secrets(self.scrubber, session_id, meta)
        return await self._whole(await self.store.update_message(session_id, message_id, meta=clean))

    async def calls(self, session_id: str) -> list[CallInfo]:
        page = await self.messages(session_id)
        return await asyncio.to_thread(lambda: [_call_info(call) for call in tool_calls(page.items)])

    async def _whole(self, message: StoredMessage) -> StoredMessage:
        return await asyncio.to_thread(restore, message, self.blobs) if is_outsourced(message) else message

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
        strategies = parse_strategies(edit_strategies)
        if not strategies:
            page = await self.messages(session_id, limit=limit, cursor=cursor, time_desc=time_desc)
            said, following = _between_turns(page.items, page.next_cursor, format, time_desc)
            edited_at = pin_at or (said[-1].id if said else None)
            return await self._page(session_id, said, format, following, edited_at, with_public_urls)
        if limit is not None and limit < 1:
            raise InvalidInput(f"limit is {limit}: it must be 1 or more")
        whole = await self.messages(session_id)
        tasks: Sequence[Task] = ()
        if any(strategy.type == "summary" for strategy in strategies):
            tasks = await all_tasks(self.store, session_id)
        done = edit(whole.items, strategies, tasks=tasks, pin_at=pin_at)
        await self.files.keep_offloads(session_id, done.offloads)
        shown, following = _between_turns(*_cut(done.messages, limit, cursor, time_desc), format, time_desc)
        return await self._page(session_id, shown, format, following, done.edited_at, with_public_urls)

    async def _page(
        self,
        session_id: str,
        messages: Sequence[Message],
        format: str,
        following: str | None,
        edited_at: str | None,
        with_public_urls: bool | None,
    ) -> MessagesPage:
        """Files go into the items of formats that know no assets; the others name them, and links lead to them."""
        if format != "acontext":
            if any(part.asset is not None for message in messages for part in message.parts):
                messages = await self.files.with_files(session_id, messages)
            return _rendered(messages, format, following, edited_at)
        page = _rendered(messages, format, following, edited_at)
        assets = [asset for message in messages for part in message.parts if (asset := asset_of(part))]
        wanted = self.files.links.public if with_public_urls is None else with_public_urls
        if not assets or not wanted:
            return page
        return page.model_copy(update={"public_urls": await self.files.asset_urls(session_id, assets)})

    async def token_counts(self, session_id: str) -> TokenCounts:
        return TokenCounts(total_tokens=total_tokens((await self.messages(session_id)).items))

    async def observing_status(self, session_id: str) -> ObservingStatus:
        return await self.store.observing_status(session_id)


def _cut(
    messages: Sequence[Message], limit: int | None, cursor: str | None, time_desc: bool
) -> tuple[Sequence[Message], str | None]:
    """A page of an edited conversation, oldest first, and where the next one begins."""
    if cursor is not None:
        at = decode_number_cursor(cursor)[0]
        messages = [one for one in messages if (_seq(one) < at if time_desc else _seq(one) > at)]
    if limit is None or len(messages) <= limit:
        return messages, None
    shown = messages[-limit:] if time_desc else messages[:limit]
    last = shown[0] if time_desc else shown[-1]
    return shown, encode_cursor(_seq(last), last.id)


def _between_turns(
    messages: Sequence[Message], following: str | None, format: str, time_desc: bool
) -> tuple[Sequence[Message], str | None]:
    """A page that does not end between calls and their results, where it becomes what an API takes.

    It is shorter then, and the next one begins with what it lacks; a turn that is longer than a page is cut.
    """
    if following is None or find_format(format).rules is None or as_it_came(messages, format):
        return messages, following
    kept = messages[_begun(messages) :] if time_desc else messages[: _complete(messages)]
    if not kept or len(kept) == len(messages):
        return messages, following
    last = kept[0] if time_desc else kept[-1]
    return kept, encode_cursor(_seq(last), last.id)


def _begun(messages: Sequence[Message]) -> int:
    """Where the results end whose calls stand on the page before."""
    called = {(part.meta or {}).get("id") for message in messages for part in message.tool_calls}
    for place, message in enumerate(messages):
        answered = {(part.meta or {}).get("tool_call_id") for part in message.tool_results}
        if message.role != "tool" or answered & called:
            return place
    return 0


def _complete(messages: Sequence[Message]) -> int:
    """Where the calls begin whose results stand on the page behind."""
    end, answered = len(messages), set()
    for place in range(len(messages) - 1, -1, -1):
        message = messages[place]
        answered |= {(part.meta or {}).get("tool_call_id") for part in message.tool_results}
        if message.role != "tool" and not message.tool_calls:
            break
        if {(part.meta or {}).get("id") for part in message.tool_calls} - answered:
            end = place
    return end


def _seq(message: Message) -> int:
    """Its place in the session; a summary stands before everything."""
    return message.seq if isinstance(message, StoredMessage) else 0


def _rendered(messages: Sequence[Message], format: str, following: str | None, edited_at: str | None) -> MessagesPage:
    items, lost = read_out(messages, format)
    if format == "acontext":
        items = [
            (message.id, to_stored(message) if isinstance(message, StoredMessage) else item)
            for message, (_, item) in zip(messages, items, strict=True)
        ]
    metas = {message.id: dict(message.meta) for message in messages}
    shown = {id for id, _ in items}
    named: dict[str, list[str]] = {}
    place = items[0][0] if items else ""
    for message in messages:  # what a message without an item has lost is named at the one before it
        place = message.id if message.id in shown else place
        if message.id in lost:
            named.setdefault(place, []).extend(lost[message.id])
    for id in named.keys() & shown:
        metas[id]["lost"] = named[id]
    return MessagesPage.model_construct(
        items=[item for _, item in items],
        ids=[id for id, _ in items],
        has_more=following is not None,
        next_cursor=following,
        this_time_tokens=total_tokens(messages),
        edit_at_message_id=edited_at,
        metas=[metas[id] for id, _ in items],
    )


async def all_tasks(store: Store, session_id: str) -> list[Task]:
    """All pages of a session's tasks."""
    found: list[Task] = []
    cursor: str | None = None
    while True:
        page = await store.tasks(session_id, limit=200, cursor=cursor)
        found += page.items
        if not page.has_more:
            return found
        cursor = page.next_cursor


def _call_info(call: TranscriptCall) -> CallInfo:
    changed = call.asked is not None
    return CallInfo(
        call_id=call.call_id,
        message_id=call.message_id,
        tool=call.asked_tool or call.tool,
        arguments=call.arguments if call.asked is None else call.asked,
        fate=call.fate,
        assumed=not call.told,
        failed=call.is_error,
        by=call.by,
        edited_by=call.edited_by,
        reason=call.reason,
        ran_tool=call.tool if changed else None,
        ran_arguments=call.arguments if changed else None,
    )
