"""What our own clients ask beyond the SDK: recordings in batches, recall, whole messages, skills with their evidence.

Repeating any of it changes nothing: messages and outcomes carry their ids, and what is kept already is kept once.
"""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import Field

from acontext_store.errors import AcontextError, NotFound
from acontext_store.ledger import Cost, CostBy
from acontext_store.outcome_sources import NamedSource, Revocation
from acontext_store.types import (
    SOURCE_NAME_CHARS,
    Appended,
    Asset,
    CallFate,
    Disk,
    Json,
    Message,
    Outcome,
    Page,
    Session,
    Skill,
    SkillStatus,
    SkillVersion,
    Space,
    StoredMessage,
)

from ...files.service import PublicUrl
from ...inject.recall import ShownTurns
from ...service import CallInfo, Job, RecallQuery, Recording, SessionRef
from .. import schemas
from ..parameters import Caller, Cursor, Id, PathId, QueryId, RequestModel, StrictRoute, TimeDesc
from ..responses import ApiResponse, answer, plain
from ..uploads import Form, bodies_of, said

router = APIRouter(prefix="/_acontext", tags=["our own clients"], route_class=StrictRoute)
_MOST_RECORDINGS = 1_000
_Moment = Annotated[str | None, Query(max_length=64, description="2026-01-31, or 2026-01-31T12:00:00Z")]
_Name = Annotated[str, Field(min_length=1, max_length=1_024)]


class Ref(RequestModel):
    """A session by the host's own name for it; made, with its space, where there is none."""

    key: _Name
    space: _Name | None = None
    principal: str | None = None
    agent: str | None = None
    track_tasks: bool = True
    configs: Json | None = None


class OneRecording(RequestModel):
    session: Ref
    messages: list[Message] = Field(default_factory=list)
    outcomes: list[Outcome] = Field(default_factory=list)
    fates: list[CallFate] = Field(default_factory=list)


class Recordings(RequestModel):
    recordings: Annotated[list[OneRecording], Field(max_length=_MOST_RECORDINGS)]


class KeptRecordings(RequestModel):
    """For each recording, in order: what was kept, or why not."""

    kept: list[Appended | Json]


class TurnsRequest(RequestModel):
    """See `ShownTurns`."""

    names: Annotated[list[str], Field(max_length=10_000)]
    opens: bool = False
    held: bool = False


class RecallRequest(RequestModel):
    """See `RecallQuery`."""

    space: _Name
    text: str
    tools: list[str] | None = None
    limit: Annotated[int, Field(ge=1, le=50)] = 3
    token_budget: Annotated[int, Field(ge=1, le=100_000)] = 400
    with_trace: bool = False
    session_key: str | None = None
    principal: str | None = None
    run_id: str | None = None
    log: bool = True
    deadline: Annotated[float, Field(ge=0, le=60)] = 0.3
    shown: TurnsRequest | None = None
    head: str | None = ""
    catalog: bool = False


class BlockResponse(RequestModel):
    anchor: str
    text: str


class RecallResponse(RequestModel):
    text: str
    skills: list[Skill]
    scores: list[float]
    blocks: list[BlockResponse]


class Flush(RequestModel):
    timeout: Annotated[float, Field(ge=0)] | None = None


class Flushed(RequestModel):
    done: bool


class Name(RequestModel):
    name: _Name
    create: bool = False


class Addition(RequestModel):
    messages: list[Message] = Field(default_factory=list)
    outcomes: list[Outcome] = Field(default_factory=list)
    fates: list[CallFate] = Field(default_factory=list)


class Assets(RequestModel):
    assets: list[Asset]
    expire: Annotated[int, Field(gt=0)] = 24 * 3600


class Uploaded(RequestModel):
    sha256: str
    size: int


class Retry(RequestModel):
    space_id: Id | None = None
    session_id: Id | None = None


class Retried(RequestModel):
    retried: int


class SourceRequest(RequestModel):
    name: Annotated[str, Field(max_length=SOURCE_NAME_CHARS)]
    strength: Annotated[float, Field(ge=0, le=1, description="the most that its word weighs")] = 1.0
    note: Annotated[str | None, Field(max_length=1_024)] = None


class RevokedSource(RequestModel):
    name: Annotated[str, Field(max_length=SOURCE_NAME_CHARS)]
    timeout: Annotated[float, Field(ge=0, description="seconds")] | None = None


class UserRequest(RequestModel):
    project: str


@router.get("/whoami", response_model=ApiResponse[UserRequest])
async def whoami(service: Caller) -> Response:
    return answer({"project": service.project_id})


@router.post("/record", response_model=ApiResponse[KeptRecordings], openapi_extra=bodies_of(Recordings))
async def record(service: Caller, request: Request) -> Response:
    """Durable when it is answered, in the order given. One that cannot be kept does not hold up the others."""
    body = await said(request, Recordings)
    done = await asyncio.gather(
        *(
            service.record_durably(
                Recording(SessionRef(**one.session.model_dump()), one.messages, one.outcomes, one.fates)
            )
            for one in body.recordings
        ),
        return_exceptions=True,
    )
    return answer({"kept": [_kept(one) for one in done]})


@router.post("/recall", response_model=ApiResponse[RecallResponse])
async def recall(service: Caller, body: RecallRequest) -> Response:
    shown = body.shown
    turns = None if shown is None else ShownTurns(tuple(shown.names), shown.opens, shown.held)
    found = await service.recall(RecallQuery(**body.model_dump(exclude={"shown"}), shown=turns))
    blocks = [{"anchor": block.anchor, "text": block.text} for block in found.blocks]
    return answer({"text": found.text, "skills": plain(found.skills), "scores": found.scores, "blocks": blocks})


@router.post("/flush", response_model=ApiResponse[Flushed])
async def flush(service: Caller, request: Request, body: Flush | None = None) -> Response:
    """Waits for at most as long as a request may take: ask again where it was not done."""
    most: float = request.app.state.settings.flush_timeout
    asked = body.timeout if body is not None else None
    return answer({"done": await service.flush(most if asked is None else min(asked, most))})


@router.put("/space", response_model=ApiResponse[Space])
async def space_by_name(service: Caller, body: Name) -> Response:
    return answer(await service.space_by_name(body.name, create=body.create))


@router.get("/session/{session_id}", response_model=ApiResponse[Session])
async def session(service: Caller, session_id: PathId) -> Response:
    return answer(await service.session(session_id))


@router.post("/session/{session_id}/messages", status_code=201, response_model=ApiResponse[Appended])
async def append(service: Caller, session_id: PathId, body: Addition) -> Response:
    return answer(await service.append(session_id, body.messages, body.outcomes, body.fates), status=201)


@router.get("/session/{session_id}/messages", response_model=ApiResponse[Page[StoredMessage]])
async def messages(
    service: Caller,
    session_id: PathId,
    limit: Annotated[int, Query(ge=0, le=10_000, description="0 = all")] = 0,
    cursor: Cursor = None,
    time_desc: TimeDesc = False,
) -> Response:
    found = await service.messages(session_id, limit=limit or None, cursor=cursor, time_desc=time_desc)
    return answer(schemas.page(found, schemas.noun))


@router.get("/session/{session_id}/messages/{message_id}", response_model=ApiResponse[StoredMessage])
async def message(service: Caller, session_id: PathId, message_id: Annotated[str, Path(max_length=512)]) -> Response:
    return answer(await service.message(session_id, message_id))


@router.get("/session/{session_id}/calls", response_model=ApiResponse[list[CallInfo]])
async def calls(service: Caller, session_id: PathId) -> Response:
    """What became of each tool call: executed, with what, or why it was not."""
    return answer(await service.calls(session_id))


@router.get("/space/{space_id}/skills", response_model=ApiResponse[list[Skill]])
async def skills(
    service: Caller, space_id: PathId, status: Annotated[list[SkillStatus] | None, Query()] = None
) -> Response:
    return answer(await service.skills(space_id, statuses=status))


@router.get("/costs", response_model=ApiResponse[list[Cost]])
async def costs(
    service: Caller,
    by: Annotated[list[CostBy] | None, Query()] = None,
    space_id: QueryId = None,
    since: _Moment = None,
    until: _Moment = None,
) -> Response:
    """What models have taken, one row for each value of what `by` names; days and moments are in UTC."""
    return answer(await service.costs(by=by or (), space_id=space_id, since=since, until=until))


@router.get("/jobs", response_model=ApiResponse[list[Job]])
async def jobs(
    service: Caller,
    dead: Annotated[bool | None, Query()] = None,
    space_id: QueryId = None,
    session_id: QueryId = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 200,
) -> Response:
    """Work in the background; `dead=true`: what has failed and waits until it is retried."""
    return answer(await service.jobs(dead=dead, space_id=space_id, session_id=session_id, limit=limit))


@router.post("/jobs/retry", response_model=ApiResponse[Retried])
async def retry_jobs(service: Caller, body: Retry | None = None) -> Response:
    """All that failed is done again now: of the space, of the session, or of the project."""
    given = body or Retry()
    retried = await service.retry_jobs(space_id=given.space_id, session_id=given.session_id)
    return answer({"retried": retried})


@router.get("/outcome_sources", response_model=ApiResponse[list[NamedSource]])
async def outcome_sources(service: Caller) -> Response:
    """By whose word runs went well, what each may claim, and how often each has spoken."""
    return answer(await service.outcome_sources())


@router.put("/outcome_sources", response_model=ApiResponse[NamedSource])
async def register_outcome_source(service: Caller, body: SourceRequest) -> Response:
    """What outcomes of that name may claim from now on; also of one that was revoked."""
    return answer(await service.register_outcome_source(body.name, strength=body.strength, note=body.note))


@router.post("/outcome_sources/revoke", response_model=ApiResponse[Revocation])
async def revoke_outcome_source(service: Caller, request: Request, body: RevokedSource) -> Response:
    """Nothing that it said counts any more. Waits for at most as long as a request may take: ask again for the rest."""
    most: float = request.app.state.settings.flush_timeout
    timeout = most if body.timeout is None else min(body.timeout, most)
    return answer(await service.revoke_outcome_source(body.name, timeout=timeout))


@router.put("/session/{session_id}/disk", response_model=ApiResponse[Disk])
async def disk_of_session(service: Caller, session_id: PathId) -> Response:
    """The session's own disk, made on first use."""
    return answer(await service.disk_of_session(session_id))


@router.post("/session/{session_id}/asset_urls", response_model=ApiResponse[dict[str, PublicUrl]])
async def asset_urls(service: Caller, session_id: PathId, body: Assets) -> Response:
    found = await service.asset_urls(session_id, body.assets, expire=body.expire)
    return answer({sha256: plain(one) for sha256, one in found.items()})


@router.post("/asset", status_code=201, response_model=ApiResponse[Uploaded])
async def upload(service: Caller, request: Request) -> Response:
    """Bytes that a message is going to name, as the field `file` of a multipart body."""
    async with Form(request) as form:
        kept = await service.upload(form.file("file").file)
    return answer({"sha256": kept.sha256, "size": kept.size}, status=201)


@router.get("/disk/{disk_id}", response_model=ApiResponse[Disk])
async def disk(service: Caller, disk_id: PathId) -> Response:
    return answer(await service.disk(disk_id))


@router.get("/skill/{skill_id}/versions", response_model=ApiResponse[list[SkillVersion]])
async def skill_versions(service: Caller, skill_id: PathId) -> Response:
    return answer(await service.skill_versions(skill_id))


def _kept(done: Appended | BaseException) -> Json:
    if isinstance(done, Appended):
        return done.model_dump()
    if isinstance(done, AcontextError):
        more = {"kind": done.kind, "id": done.id} if isinstance(done, NotFound) else {}
        return {"code": done.status, "msg": str(done), "error": done.code, **more}
    raise done
