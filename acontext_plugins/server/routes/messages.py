"""Messages: routes 8 and 9, and what is said about a message later."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from starlette.exceptions import HTTPException

from acontext_store.errors import InvalidInput
from acontext_store.types import Json

from ...formats import to_message
from ...formats.stored import to_stored
from ...service import MessagesPage
from ..parameters import (
    Caller,
    Cursor,
    FormatName,
    PathId,
    RequestModel,
    StrictRoute,
    TimeDesc,
    checked,
    is_json,
    media_type,
    strict_json,
)
from ..responses import ApiResponse, answer
from ..uploads import Form, with_files

router = APIRouter(tags=["messages"], route_class=StrictRoute)
_PATH = "/session/{session_id}/messages"


class NewMessage(RequestModel):
    #: A message of that format.
    blob: Json
    format: FormatName | None = None
    #: Kept beside the message; not part of what a model reads.
    meta: Json | None = None


class MessageMeta(RequestModel):
    #: Names given as null are removed.
    meta: Json


class PartOut(RequestModel):
    type: str
    text: str | None = None
    asset: Json | None = None
    filename: str | None = None
    meta: Json | None = None


class MessageOut(RequestModel):
    """A message as it is kept."""

    id: str
    session_id: str
    parent_id: str | None = None
    role: str
    meta: Json
    parts: list[PartOut]
    task_id: str | None = None
    session_task_process_status: str
    created_at: str
    updated_at: str


_BODIES: Any = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": NewMessage.model_json_schema()},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["payload"],
                    "properties": {"payload": {"type": "string", "description": "the JSON of the other kind of body"}},
                    "additionalProperties": {"type": "string", "format": "binary"},
                }
            },
        },
    }
}


@router.post(_PATH, status_code=201, response_model=ApiResponse[MessageOut], openapi_extra=_BODIES)
async def store_message(service: Caller, request: Request, session_id: PathId) -> Response:
    """Durable when it is answered. Files go with a message of the acontext format, each under its `file_field`."""
    kind = media_type(request)
    if kind == "multipart/form-data":
        async with Form(request) as form:
            given = checked(NewMessage, strict_json(form.text("payload"), "payload"))
            await service.session(session_id)
            blob = await with_files(service, given.blob, given.format, form)
            return await _store(service, session_id, given, blob)
    if not is_json(kind):
        raise HTTPException(415, f"the body is {kind or 'of no type'}: send JSON or multipart/form-data")
    given = checked(NewMessage, strict_json(await request.body()))
    return await _store(service, session_id, given, given.blob)


async def _store(service: Caller, session_id: str, given: NewMessage, blob: Json) -> Response:
    message = to_message(blob, given.format or "openai", **({} if given.meta is None else {"meta": given.meta}))
    await service.append(session_id, [message])
    return answer(to_stored(await service.message(session_id, message.id)), status=201)


@router.get(_PATH, response_model=ApiResponse[MessagesPage])
async def get_messages(
    service: Caller,
    session_id: PathId,
    format: FormatName = "openai",
    limit: Annotated[int, Query(ge=0, le=200, description="0 = all")] = 0,
    cursor: Cursor = None,
    with_asset_public_url: bool = True,
    time_desc: TimeDesc = False,
    edit_strategies: Annotated[str | None, Query(description="a JSON list of {type, params}")] = None,
    pin_editing_strategies_at_message: Annotated[str | None, Query(max_length=512)] = None,
) -> Response:
    """Oldest first, always. `time_desc` with a `limit` gives the newest ones."""
    found = await service.conversation(
        session_id,
        format=format,
        limit=limit or None,
        cursor=cursor,
        time_desc=time_desc,
        edit_strategies=_strategies(edit_strategies),
        pin_at=pin_editing_strategies_at_message,
        with_public_urls=with_asset_public_url,
    )
    return answer(found)


@router.patch(_PATH + "/{message_id}/meta", response_model=ApiResponse[MessageMeta])
async def update_message_meta(
    service: Caller, session_id: PathId, message_id: Annotated[str, Path(max_length=512)], body: MessageMeta
) -> Response:
    changed = await service.update_message(session_id, message_id, meta=body.meta)
    return answer({"meta": changed.meta})


def _strategies(text: str | None) -> list[Json] | None:
    if text is None:
        return None
    found = strict_json(text, "edit_strategies")
    if found is not None and not isinstance(found, list):
        raise InvalidInput(f"edit_strategies: found {type(found).__name__}, expected a list of {{type, params}}")
    return found
