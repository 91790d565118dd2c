"""What `Acontext` offers: sessions of `AsyncAcontext`, each method waited for.

Generated from the modules of the asynchronous client by `python -m tests.sync_client`: change those.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from acontext_store.types import (
    Json,
    LearningStatus,
    ObservingStatus,
    Page,
    Session,
    StoredMessage,
    Task,
)

from ..files.service import Upload
from ..service import (
    CallInfo,
    FlushResult,
    MessagesPage,
    TokenCounts,
)
from .asynchronous import AsyncSessions, Blob
from .connection import Connection, Resource


class Sessions(Resource):
    """Conversations: their messages, and the tasks that were observed in them."""

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
        """A page of sessions by time of creation; `not_connected` selects those without a space.

        `user` selects the sessions of one user, `filter_by_configs` those whose configs contain all of it:
        `{"tenant": "a"}`, nested objects too; case and type count, and {} is no filter. `limit` is 1 to 200 items
        (20), `cursor` the `next_cursor` of the page before. Raises InvalidInput.
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
        """Create a session; `key` is your own name for it, `user` (or `principal`) the user who speaks in it.

        Skills are learned into the space `space_id`; without one, the session is only kept. `disable_task_tracking`
        keeps its messages without observing tasks. `use_uuid` is the id of the session, kept in small letters.
        Raises Conflict where that id or the key is taken, InvalidInput where the id is no UUID or a key is given too,
        NotFound for the space.

        >>> session = client.sessions.create(space_id=space.id, user="ann")
        >>> session.principal
        'ann'
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
        """Delete the session with its messages and tasks. Raises NotFound."""
        return self._run(self._async.delete(session_id))

    def update_configs(self, session_id: str, *, configs: Json) -> None:
        """Replace all configs of the session. Raises NotFound."""
        return self._run(self._async.update_configs(session_id, configs=configs))

    def get_configs(self, session_id: str) -> Session:
        """The session, with its configs in `.configs`. Raises NotFound."""
        return self._run(self._async.get_configs(session_id))

    def connect_to_space(self, session_id: str, *, space_id: str) -> None:
        """Learn from this session into the space `space_id` from now on. Raises NotFound for either id."""
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
        """Keep one message, and return it when it is durable. The method `store_message` is the same.

        `blob` is a message in `format`: a dict, or the framework's own pydantic object. `meta` is kept beside it,
        and no model reads it. Secrets are scrubbed from both. `file` belongs to a message in the format "acontext": to
        the part whose `file_field` is the one given. Raises NotFound for the session, InvalidInput for the message.

        >>> blob = {"role": "user", "content": "Where is my order?"}
        >>> message = client.sessions.send_message(session.id, blob=blob)
        >>> message.text
        'Where is my order?'
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
        """Messages of a session, oldest first, as plain dicts in `format`, ready to be sent to a model.

        `limit` is the most messages returned (None = all of them); `time_desc` takes the newest ones. The format
        "acontext" names files by their SHA-256, and `with_asset_public_url` adds links to them (None = where a server
        answers the links); the other formats hold the files themselves. `edit_strategies` shorten what is returned,
        never what is stored; pinned at a message, they leave later messages alone. Raises NotFound, InvalidInput.

        >>> page = client.sessions.get_messages(session.id, limit=1)
        >>> page.items
        [{'role': 'user', 'content': 'Where is my order?'}]
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
        """Change the meta of a message: given names replace what is there, names given as None are removed.

        Raises NotFound.
        """
        return self._run(self._async.update_message_meta(session_id, message_id, meta=meta))

    def get_token_counts(self, session_id: str) -> TokenCounts:
        """How many tokens all messages have together, with tool results and media. Raises NotFound."""
        return self._run(self._async.get_token_counts(session_id))

    def messages_observing_status(self, session_id: str) -> ObservingStatus:
        """How many messages have been observed, are being observed, or wait. Raises NotFound."""
        return self._run(self._async.messages_observing_status(session_id))

    def get_tasks(
        self, session_id: str, *, limit: int | None = None, cursor: str | None = None, time_desc: bool | None = None
    ) -> Page[Task]:
        """A page of the session's tasks by their order, as far as they have been observed.

        `limit` is 1 to 200 tasks (20), `cursor` the `next_cursor` of the page before. Raises NotFound, InvalidInput.

        >>> page = client.sessions.get_tasks(session.id)
        >>> [task.data["task_description"] for task in page.items]
        ['Where is my order?']
        """
        return self._run(self._async.get_tasks(session_id, limit=limit, cursor=cursor, time_desc=time_desc))

    def get_calls(self, session_id: str) -> Sequence[CallInfo]:
        """The tool calls of a session in order, each with what became of it. Raises NotFound."""
        return self._run(self._async.get_calls(session_id))

    def flush(self, session_id: str) -> FlushResult:
        """Observe all messages that were sent so far; return when the session's tasks are up to date.

        `status` of the result is 200 then; else `errmsg` says why they are not. Raises NotFound.

        >>> client.sessions.flush(session.id)
        FlushResult(status=200, errmsg='')
        """
        return self._run(self._async.flush(session_id))

    def get_learning_status(self, session_id: str) -> LearningStatus:
        """How many finished tasks have been learned from, and how many wait. Raises NotFound."""
        return self._run(self._async.get_learning_status(session_id))

    def report(self, session_id: str, *, status: Literal["success", "failed"], reason: str = "", by: str = "") -> None:
        """Say how the session turned out, and why; this outranks every other sign of success.

        `by` names whose word it is, in 64 characters at most ("unit-tests"); see `outcome_sources`. Raises NotFound
        for the session, InvalidInput for the name.
        """
        return self._run(self._async.report(session_id, status=status, reason=reason, by=by))
