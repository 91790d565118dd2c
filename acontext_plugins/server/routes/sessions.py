"""Sessions: routes 2 to 7 and 10 to 13."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from acontext_store.errors import InvalidInput
from acontext_store.types import Json, LearningStatus, ObservingStatus, Page, Task

from ...service import FlushResult, TokenCounts
from .. import schemas
from ..parameters import Caller, Cursor, Id, Limit, PathId, QueryId, RequestModel, StrictRoute, TimeDesc, strict_json
from ..responses import ApiResponse, EmptyResponse, answer

router = APIRouter(tags=["sessions"], route_class=StrictRoute)
_User = Annotated[str | None, Query(max_length=512)]


class NewSession(RequestModel):
    space_id: Id | None = None
    disable_task_tracking: bool | None = None
    configs: Json | None = None
    #: Whose words it holds.
    user: str | None = None
    #: Your own name for it.
    key: str | None = None
    #: The same as `user`, by our own name.
    principal: str | None = None
    #: The id that it is to have.
    use_uuid: Id | None = None


class SessionConfigs(RequestModel):
    configs: Json


class SpaceConnection(RequestModel):
    space_id: Id


@router.get("/session", response_model=ApiResponse[Page[schemas.SessionOut]])
async def list_sessions(
    service: Caller,
    space_id: QueryId = None,
    not_connected: bool = False,
    user: _User = None,
    filter_by_configs: Annotated[str | None, Query(description="a JSON object that their configs contain")] = None,
    limit: Limit = 20,
    cursor: Cursor = None,
    time_desc: TimeDesc = False,
) -> Response:
    found = await service.sessions(
        space_id=space_id,
        not_connected=not_connected,
        principal=user,
        filter_by_configs=_filter(filter_by_configs),
        limit=limit,
        cursor=cursor,
        time_desc=time_desc,
    )
    return answer(schemas.page(found, schemas.session))


@router.post("/session", status_code=201, response_model=ApiResponse[schemas.SessionOut])
async def create_session(service: Caller, body: NewSession | None = None) -> Response:
    given = body or NewSession()
    made = await service.create_session(
        space_id=given.space_id,
        key=given.key,
        principal=given.user if given.user is not None else given.principal,
        disable_task_tracking=bool(given.disable_task_tracking),
        configs=given.configs,
        use_uuid=given.use_uuid,
    )
    return answer(schemas.session(made), status=201)


@router.delete("/session/{session_id}", response_model=EmptyResponse)
async def delete_session(service: Caller, session_id: PathId) -> Response:
    await service.delete_session(session_id)
    return answer()


@router.put("/session/{session_id}/configs", response_model=ApiResponse[schemas.SessionOut])
async def update_session_configs(service: Caller, session_id: PathId, body: SessionConfigs) -> Response:
    return answer(schemas.session(await service.update_session(session_id, configs=body.configs)))


@router.patch("/session/{session_id}/configs", response_model=ApiResponse[schemas.SessionOut])
async def patch_session_configs(service: Caller, session_id: PathId, body: SessionConfigs) -> Response:
    """Given names replace what is there, names given as null are removed. Of two at the same moment the later wins."""
    there = (await service.session(session_id)).configs or {}
    kept = {name: value for name, value in {**there, **body.configs}.items() if value is not None}
    return answer(schemas.session(await service.update_session(session_id, configs=kept)))


@router.get("/session/{session_id}/configs", response_model=ApiResponse[schemas.SessionOut])
async def get_session_configs(service: Caller, session_id: PathId) -> Response:
    return answer(schemas.session(await service.session(session_id)))


@router.post("/session/{session_id}/connect_to_space", response_model=ApiResponse[schemas.SessionOut])
async def connect_to_space(service: Caller, session_id: PathId, body: SpaceConnection) -> Response:
    return answer(schemas.session(await service.update_session(session_id, space_id=body.space_id)))


@router.post("/session/{session_id}/flush", response_model=ApiResponse[FlushResult])
async def flush_session(service: Caller, request: Request, session_id: PathId) -> Response:
    """Within the time that clients wait; work that takes longer goes on."""
    seconds: float = request.app.state.settings.flush_timeout
    work = asyncio.ensure_future(service.flush_session(session_id))
    done, _ = await asyncio.wait([work], timeout=seconds)
    if not done:
        work.cancel()
        return answer(FlushResult(status=202, errmsg=f"still at work after {seconds:g} s: ask again"))
    return answer(work.result())


@router.get("/session/{session_id}/task", response_model=ApiResponse[Page[Task]])
async def list_tasks(
    service: Caller, session_id: PathId, limit: Limit = 20, cursor: Cursor = None, time_desc: TimeDesc = False
) -> Response:
    found = await service.tasks(session_id, limit=limit, cursor=cursor, time_desc=time_desc)
    return answer(schemas.page(found, schemas.noun))


@router.get("/session/{session_id}/get_learning_status", response_model=ApiResponse[LearningStatus])
async def get_learning_status(service: Caller, session_id: PathId) -> Response:
    return answer(await service.learning_status(session_id))


@router.get("/session/{session_id}/token_counts", response_model=ApiResponse[TokenCounts])
async def get_token_counts(service: Caller, session_id: PathId) -> Response:
    return answer(await service.token_counts(session_id))


@router.get("/session/{session_id}/observing_status", response_model=ApiResponse[ObservingStatus])
async def get_observing_status(service: Caller, session_id: PathId) -> Response:
    return answer(await service.observing_status(session_id))


def _filter(text: str | None) -> Json | None:
    if text is None:
        return None
    found = strict_json(text, "filter_by_configs")
    if found is not None and not isinstance(found, dict):
        raise InvalidInput(f"filter_by_configs: expected the JSON of an object, found {type(found).__name__}")
    return found
