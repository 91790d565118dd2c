"""Requests: what every route takes, and bodies that are read strictly."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError
from starlette.exceptions import HTTPException

from ..service import Service

_UUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")
#: JSON that is nested deeper than this is refused.
_DEEPEST = 100


def _uuid(text: str) -> str:
    if not _UUID.fullmatch(text):
        raise ValueError("expected a UUID in 36 characters")
    return text


async def _service(request: Request) -> Service:
    service: Service = request.state.service
    return service


#: The caller's project.
Caller = Annotated[Service, Depends(_service)]
Id = Annotated[str, AfterValidator(_uuid)]
PathId = Annotated[str, Path(json_schema_extra={"format": "uuid"}), AfterValidator(_uuid)]
QueryId = Annotated[Id | None, Query(json_schema_extra={"format": "uuid"})]
Limit = Annotated[int, Query(ge=1, le=200)]
Cursor = Annotated[str | None, Query(max_length=1024)]
TimeDesc = Annotated[bool, Query()]


class Body(BaseModel):
    """What a request says. Names that are not known here are those of other versions, and change nothing."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class _StrictRequest(Request):
    """JSON as the standard has it: no NaN, no infinities, and not too deep."""

    async def json(self) -> Any:
        return strict_json(await self.body())


def strict_json(text: bytes | str, what: str = "the body") -> Any:
    """Raises HTTPException that says what is wrong, and where."""
    try:
        return _shallow(json.loads(text, parse_constant=_refuse))
    except RecursionError:
        raise HTTPException(
            400, f"{what}: nested more than {_DEEPEST} levels deep; flatten it, or send it as text"
        ) from None
    except UnicodeDecodeError as error:
        raise HTTPException(400, f"{what}: no UTF-8 (byte {error.start + 1})") from None
    except json.JSONDecodeError as error:
        raise HTTPException(400, f"{what}: no JSON ({error.msg}, line {error.lineno} column {error.colno})") from None
    except ValueError as error:
        raise HTTPException(400, f"{what}: no usable JSON ({error})") from None


B = TypeVar("B", bound=BaseModel)


def checked(kind: type[B], value: Any) -> B:
    """The value as a body of that kind. Raises RequestValidationError."""
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        raise RequestValidationError([{**one, "loc": ("body", *one["loc"])} for one in error.errors()]) from None


def _shallow(value: Any) -> Any:
    level = [value]
    for _ in range(_DEEPEST + 1):
        level = [
            item
            for inner in level
            if isinstance(inner, dict | list)
            for item in (inner.values() if isinstance(inner, dict) else inner)
        ]
        if not level:
            return value
    raise RecursionError


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON number")


class StrictRoute(APIRoute):
    """A route whose JSON body is read strictly."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        takes_json = self.body_field is not None

        async def strictly(request: Request) -> Response:
            if takes_json:
                kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
                length = request.headers.get("content-length")
                empty = length == "0" or (length is None and "transfer-encoding" not in request.headers)
                if not empty and kind != "application/json" and not kind.endswith("+json"):
                    raise HTTPException(
                        415, f"the body is {kind or 'of no type'}: send JSON, with `Content-Type: application/json`"
                    )
            return await handle(_StrictRequest(request.scope, request.receive))

        return strictly
