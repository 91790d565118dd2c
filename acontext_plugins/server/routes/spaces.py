"""Spaces: routes 14 to 20, and the two searches of older SDKs."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response

from acontext_store.types import BlockType, Json, Page

from ...service import Confirmation, SearchItem, Service, SpaceSearchResult
from .. import schemas
from ..parameters import Caller, Cursor, Limit, PathId, RequestModel, StrictRoute, TimeDesc
from ..responses import ApiResponse, EmptyResponse, answer

router = APIRouter(tags=["spaces"], route_class=StrictRoute)
_Words = Annotated[str, Query(min_length=1, max_length=20_000)]
_Few = Annotated[int, Query(ge=1, le=50)]
_Distance = Annotated[float, Query(ge=0, le=2)]


class NewSpace(RequestModel):
    configs: Json | None = None
    #: Your own name for it; unique in the project.
    name: str | None = None
    user: str | None = None


class SpaceConfigs(RequestModel):
    configs: Json


class Decision(RequestModel):
    save: bool
    #: What to save instead, in the form in which it was listed; what it does not mention stays.
    experience_data: Json | None = None


@router.get("/space", response_model=ApiResponse[Page[schemas.SpaceOut]])
async def list_spaces(
    service: Caller,
    user: Annotated[str | None, Query()] = None,
    limit: Limit = 20,
    cursor: Cursor = None,
    time_desc: TimeDesc = False,
) -> Response:
    schemas.nobodys(user, "spaces")
    return answer(schemas.page(await service.spaces(limit=limit, cursor=cursor, time_desc=time_desc), schemas.space))


@router.post("/space", status_code=201, response_model=ApiResponse[schemas.SpaceOut])
async def create_space(service: Caller, body: NewSpace | None = None) -> Response:
    given = body or NewSpace()
    schemas.nobodys(given.user, "spaces")
    return answer(schemas.space(await service.create_space(name=given.name, configs=given.configs)), status=201)


@router.delete("/space/{space_id}", response_model=EmptyResponse)
async def delete_space(service: Caller, space_id: PathId) -> Response:
    await service.delete_space(space_id)
    return answer()


@router.put("/space/{space_id}/configs", response_model=ApiResponse[schemas.SpaceOut])
async def update_space_configs(service: Caller, space_id: PathId, body: SpaceConfigs) -> Response:
    return answer(schemas.space(await service.update_space(space_id, configs=body.configs)))


@router.get("/space/{space_id}/configs", response_model=ApiResponse[schemas.SpaceOut])
async def get_space_configs(service: Caller, space_id: PathId) -> Response:
    return answer(schemas.space(await service.space(space_id)))


@router.get("/space/{space_id}/experience_search", response_model=ApiResponse[SpaceSearchResult])
async def experience_search(
    service: Caller,
    space_id: PathId,
    query: _Words,
    limit: _Few = 10,
    mode: Literal["fast", "agentic"] = "fast",
    semantic_threshold: Annotated[float | None, Query(ge=0, le=2)] = None,
    max_iterations: Annotated[int | None, Query(ge=1, le=100)] = None,
) -> Response:
    """`semantic_threshold` is for spaces with embeddings, `max_iterations` for agentic searches with a model."""
    found = await service.experience_search(
        space_id,
        query=query,
        limit=limit,
        mode=mode,
        semantic_threshold=semantic_threshold,
        max_iterations=max_iterations,
    )
    return answer(found)


@router.get("/space/{space_id}/semantic_glob", response_model=ApiResponse[list[SearchItem]])
async def semantic_glob(
    service: Caller, space_id: PathId, query: _Words, limit: _Few = 10, threshold: _Distance = 2.0
) -> Response:
    """Folders and pages by the words of their titles."""
    return await _found(service, space_id, query, ("folder", "page"), limit, threshold)


@router.get("/space/{space_id}/semantic_grep", response_model=ApiResponse[list[SearchItem]])
async def semantic_grep(
    service: Caller, space_id: PathId, query: _Words, limit: _Few = 10, threshold: _Distance = 2.0
) -> Response:
    """Skills and texts by what they say."""
    return await _found(service, space_id, query, ("sop", "text"), limit, threshold)


@router.get("/space/{space_id}/experience_confirmations", response_model=ApiResponse[Page[Confirmation]])
async def list_confirmations(
    service: Caller, space_id: PathId, limit: Limit = 20, cursor: Cursor = None, time_desc: TimeDesc = False
) -> Response:
    found = await service.confirmations(space_id, limit=limit, cursor=cursor, time_desc=time_desc)
    return answer(schemas.page(found, schemas.noun))


@router.put(
    "/space/{space_id}/experience_confirmations/{experience_id}", response_model=ApiResponse[Confirmation | None]
)
@router.patch(
    "/space/{space_id}/experience_confirmations/{experience_id}", response_model=ApiResponse[Confirmation | None]
)
async def confirm_experience(service: Caller, space_id: PathId, experience_id: PathId, body: Decision) -> Response:
    """`experience_id` may be the id of the skill, too: whatever waits there now."""
    found = await service.confirm(space_id, experience_id, save=body.save, experience_data=body.experience_data)
    return answer(found)


async def _found(
    service: Service, space_id: str, query: str, types: tuple[BlockType, ...], limit: int, threshold: float
) -> Response:
    found = await service.find_blocks(space_id, query=query, types=types, limit=limit)
    return answer([item for item in found if item.distance is None or item.distance <= threshold])
