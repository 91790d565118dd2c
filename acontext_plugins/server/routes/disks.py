"""Disks and artifacts: routes 27 to 34, grep and glob; and downloads, for who has a signed link or a key."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from acontext_store.errors import InvalidInput
from acontext_store.types import Artifact, ArtifactListing, Json, Page

from ...files import verify
from ...files.service import ArtifactResult, FileUpload
from ...service import Service
from .. import schemas
from ..downloads import sent
from ..parameters import Caller, Cursor, Limit, PathId, RequestModel, StrictRoute, TimeDesc, strict_json
from ..responses import ApiResponse, EmptyResponse, answer
from ..uploads import Form

router = APIRouter(tags=["disks"], route_class=StrictRoute)
_ARTIFACT = "/disk/{disk_id}/artifact"
_FilePath = Annotated[str, Query(min_length=1, max_length=4_096, description="the whole path, /notes/todo.md")]
_Pattern = Annotated[str, Query(min_length=1, max_length=1_024)]
_Many = Annotated[int, Query(ge=1, le=1_000)]
_UPLOAD = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "file_path": {"type": "string", "description": "the folder; / where there is none"},
                        "meta": {"type": "string", "description": "a JSON object"},
                    },
                }
            }
        },
    }
}


class NewDisk(RequestModel):
    user: str | None = None


class ArtifactMeta(RequestModel):
    file_path: str
    #: JSON as text, as the SDK sends it, or the object itself.
    meta: str | Json


class Changed(RequestModel):
    artifact: Artifact


@router.get("/disk", response_model=ApiResponse[Page[schemas.DiskOut]])
async def list_disks(
    service: Caller,
    user: Annotated[str | None, Query()] = None,
    limit: Limit = 20,
    cursor: Cursor = None,
    time_desc: TimeDesc = False,
) -> Response:
    schemas.nobodys(user, "disks")
    return answer(schemas.page(await service.disks(limit=limit, cursor=cursor, time_desc=time_desc), schemas.disk))


@router.post("/disk", status_code=201, response_model=ApiResponse[schemas.DiskOut])
async def create_disk(service: Caller, body: NewDisk | None = None) -> Response:
    schemas.nobodys(body.user if body is not None else None, "disks")
    return answer(schemas.disk(await service.create_disk()), status=201)


@router.delete("/disk/{disk_id}", response_model=EmptyResponse)
async def delete_disk(service: Caller, disk_id: PathId) -> Response:
    await service.delete_disk(disk_id)
    return answer()


@router.post(_ARTIFACT, status_code=201, response_model=ApiResponse[Artifact], openapi_extra=_UPLOAD)
async def upsert_artifact(service: Caller, request: Request, disk_id: PathId) -> Response:
    """In place of the file of that name there; where it fails, the old one is still there."""
    await service.disk(disk_id)
    async with Form(request) as form:
        file = form.file("file")
        upload = FileUpload(file.filename or "", file.file, file.content_type or "application/octet-stream")
        made = await service.upsert_artifact(
            disk_id,
            file=upload,
            file_path=form.text("file_path", ""),
            meta=_meta(form.text("meta", "")),
            if_sha256=form.text("if_sha256", "") or None,
        )
    return answer(schemas.noun(made), status=201)


@router.get(_ARTIFACT, response_model=ApiResponse[ArtifactResult])
async def get_artifact(
    service: Caller,
    disk_id: PathId,
    file_path: _FilePath,
    with_public_url: bool = True,
    with_content: bool = True,
    expire: int = 3_600,
) -> Response:
    found = await service.artifact(
        disk_id, file_path, with_public_url=with_public_url, with_content=with_content, expire=expire
    )
    said: Json = {"artifact": schemas.noun(found.artifact)}
    if found.public_url is not None:
        said["public_url"] = found.public_url
    if found.content is not None:
        said["content"] = schemas.noun(found.content)
    return answer(said)


@router.put(_ARTIFACT, response_model=ApiResponse[Changed])
async def update_artifact(service: Caller, disk_id: PathId, body: ArtifactMeta) -> Response:
    meta = _meta(body.meta) if isinstance(body.meta, str) else body.meta
    changed = await service.update_artifact(disk_id, body.file_path, meta=meta)
    return answer({"artifact": schemas.noun(changed)})


@router.delete(_ARTIFACT, response_model=EmptyResponse)
async def delete_artifact(service: Caller, disk_id: PathId, file_path: _FilePath) -> Response:
    await service.delete_artifact(disk_id, file_path)
    return answer()


@router.get(_ARTIFACT + "/ls", response_model=ApiResponse[ArtifactListing])
async def list_artifacts(
    service: Caller, disk_id: PathId, path: Annotated[str, Query(max_length=4_096)] = "/"
) -> Response:
    found = await service.list_artifacts(disk_id, path)
    return answer({"artifacts": [schemas.noun(one) for one in found.artifacts], "directories": found.directories})


@router.get(_ARTIFACT + "/grep", response_model=ApiResponse[list[Artifact]])
async def grep_artifacts(service: Caller, disk_id: PathId, query: _Pattern, limit: _Many = 100) -> Response:
    """Text files in which the regular expression occurs."""
    found = await service.grep_artifacts(disk_id, query=query, limit=limit)
    return answer([schemas.noun(one) for one in found])


@router.get(_ARTIFACT + "/glob", response_model=ApiResponse[list[Artifact]])
async def glob_artifacts(service: Caller, disk_id: PathId, query: _Pattern, limit: _Many = 100) -> Response:
    """Files whose path fits the pattern."""
    found = await service.glob_artifacts(disk_id, query=query, limit=limit)
    return answer([schemas.noun(one) for one in found])


@router.head("/download", include_in_schema=False)
@router.get("/download", response_class=Response)
async def download(request: Request) -> Response:
    """The file that a signed link names. Needs no key: the link is one, for one file and some time."""
    query = dict(request.query_params)
    link = verify(request.app.state.doorkeeper.secret, query)
    service: Service = await request.app.state.projects.service(link.project)
    return sent(request, await service.open_link(query))


@router.head(_ARTIFACT + "/download", include_in_schema=False)
@router.get(_ARTIFACT + "/download", response_class=Response)
async def download_artifact(service: Caller, request: Request, disk_id: PathId, file_path: _FilePath) -> Response:
    """The bytes, in ranges where they are asked for."""
    return sent(request, await service.download_artifact(disk_id, file_path))


def _meta(text: str) -> Json:
    if not text.strip():
        return {}
    found = strict_json(text, "meta")
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise InvalidInput(f"meta: expected the JSON of an object, found {type(found).__name__}")
    return found
