"""Users, as later SDKs list them: whoever the words of a session are of."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from acontext_store.cursors import decode_cursor, encode_cursor
from acontext_store.errors import NotFound
from acontext_store.types import Page, Session, stable_id

from ...service import Service
from .. import schemas
from ..parameters import Caller, Cursor, RequestModel, StrictRoute, TimeDesc
from ..responses import ApiResponse, EmptyResponse, answer

router = APIRouter(tags=["users"], route_class=StrictRoute)
_Identifier = Annotated[str, Path(max_length=512)]


class User(RequestModel):
    """Made by the first session that names them; they go with their last one."""

    id: str
    project_id: str
    identifier: str
    created_at: str
    updated_at: str


class Counts(RequestModel):
    sessions_count: int
    #: Spaces, disks and skills belong to the whole project.
    spaces_count: int = 0
    disks_count: int = 0
    skills_count: int = 0


class Resources(RequestModel):
    counts: Counts


@router.get("/user/ls", response_model=ApiResponse[Page[User]])
async def list_users(
    service: Caller,
    limit: Annotated[int, Query(ge=0, le=200, description="0 = all")] = 0,
    cursor: Cursor = None,
    time_desc: TimeDesc = False,
) -> Response:
    found: dict[str, User] = {}
    async for session in _sessions(service):
        if session.principal is None:
            continue
        known = found.get(session.principal)
        found[session.principal] = User(
            id=stable_id(service.project_id, "user", session.principal),
            project_id=service.project_id,
            identifier=session.principal,
            created_at=known.created_at if known is not None else session.created_at,
            updated_at=max(known.updated_at, session.updated_at) if known is not None else session.updated_at,
        )
    users = sorted(found.values(), key=_place, reverse=time_desc)
    if cursor is not None:
        at = decode_cursor(cursor)
        users = [user for user in users if (_place(user) < at if time_desc else _place(user) > at)]
    shown = users[:limit] if limit else users
    following = encode_cursor(*_place(shown[-1])) if len(shown) < len(users) else None
    return answer(schemas.page(Page(items=shown, next_cursor=following, has_more=following is not None), schemas.noun))


@router.get("/user/{identifier:path}/resources", response_model=ApiResponse[Resources])
async def user_resources(service: Caller, identifier: _Identifier) -> Response:
    count = len([session async for session in _sessions(service, identifier)])
    if not count:
        raise NotFound("user", identifier)
    return answer(Resources(counts=Counts(sessions_count=count)))


@router.delete("/user/{identifier:path}", response_model=EmptyResponse)
async def delete_user(service: Caller, identifier: _Identifier) -> Response:
    """With all of their sessions. What was learned from these stays, without the evidence."""
    ids = [session.id async for session in _sessions(service, identifier)]
    if not ids:
        raise NotFound("user", identifier)
    for id in ids:
        await service.delete_session(id)
    return answer()


def _place(user: User) -> tuple[str, str]:
    return user.created_at, user.id


async def _sessions(service: Service, principal: str | None = None) -> AsyncIterator[Session]:
    """All of them, oldest first; of one user, or of everybody."""
    cursor: str | None = None
    while True:
        page = await service.sessions(principal=principal, limit=200, cursor=cursor)
        for session in page.items:
            yield session
        if not page.has_more:
            return
        cursor = page.next_cursor
