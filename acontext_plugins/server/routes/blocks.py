"""Blocks: routes 21 to 26. Tools: routes 35 and 36."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from acontext_store.types import Block, BlockType, Json, ToolName

from ...service import FlagResult, renames
from ..parameters import Caller, Id, PathId, QueryId, RequestModel, StrictRoute
from ..responses import ApiResponse, EmptyResponse, answer

router = APIRouter(tags=["blocks"], route_class=StrictRoute)
tools = APIRouter(tags=["tools"], route_class=StrictRoute)
_BLOCK = "/space/{space_id}/block/{block_id}"


class NewBlock(RequestModel):
    type: BlockType
    parent_id: Id | None = None
    title: str | None = None
    props: Json | None = None


class Properties(RequestModel):
    title: str | None = None
    props: Json | None = None


class BlockPlace(RequestModel):
    #: Absent = to the root.
    parent_id: Id | None = None
    sort: int | None = None


class Sort(RequestModel):
    sort: int


class Rename(RequestModel):
    old_name: str
    new_name: str


class Renames(RequestModel):
    rename: list[Rename]


@router.get("/space/{space_id}/block", response_model=ApiResponse[list[Block]])
async def list_blocks(
    service: Caller,
    space_id: PathId,
    type: BlockType | None = None,
    parent_id: QueryId = None,
    tree: Annotated[bool, Query(description="fill `children` all the way down")] = False,
) -> Response:
    return answer(await service.blocks(space_id, parent_id=parent_id, block_type=type, tree=tree))


@router.post("/space/{space_id}/block", status_code=201, response_model=ApiResponse[Block])
async def create_block(service: Caller, space_id: PathId, body: NewBlock) -> Response:
    made = await service.create_block(
        space_id, block_type=body.type, parent_id=body.parent_id, title=body.title, props=body.props
    )
    return answer(made, status=201)


@router.delete(_BLOCK, response_model=EmptyResponse)
async def delete_block(service: Caller, space_id: PathId, block_id: PathId) -> Response:
    await service.delete_block(space_id, block_id)
    return answer()


@router.get(_BLOCK + "/properties", response_model=ApiResponse[Block])
async def get_block_properties(service: Caller, space_id: PathId, block_id: PathId) -> Response:
    return answer(await service.block(space_id, block_id))


@router.put(_BLOCK + "/properties", response_model=ApiResponse[Block])
async def update_block_properties(service: Caller, space_id: PathId, block_id: PathId, body: Properties) -> Response:
    return answer(await service.update_block(space_id, block_id, title=body.title, props=body.props))


@router.put(_BLOCK + "/move", response_model=ApiResponse[Block])
async def move_block(service: Caller, space_id: PathId, block_id: PathId, body: BlockPlace) -> Response:
    return answer(await service.move_block(space_id, block_id, parent_id=body.parent_id, sort=body.sort))


@router.put(_BLOCK + "/sort", response_model=ApiResponse[Block])
async def sort_block(service: Caller, space_id: PathId, block_id: PathId, body: Sort) -> Response:
    return answer(await service.sort_block(space_id, block_id, body.sort))


@tools.get("/tool/name", response_model=ApiResponse[list[ToolName]])
async def list_tool_names(service: Caller) -> Response:
    return answer(await service.tool_names())


@tools.put("/tool/name", response_model=ApiResponse[FlagResult])
async def rename_tools(service: Caller, body: Renames) -> Response:
    changed = await service.rename_tools(renames([one.model_dump() for one in body.rename]))
    return answer(FlagResult(changed=changed))
