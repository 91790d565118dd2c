"""Responses: every response is one envelope, `{"code", "data", "msg"}`, or with an error `{"code", "msg", "error"}`."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter
from starlette.responses import Response

from acontext_store.errors import AcontextError, NotFound

T = TypeVar("T")

_ANY: TypeAdapter[Any] = TypeAdapter(Any, config=ConfigDict(ser_json_inf_nan="null"))
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


class ApiResponse(BaseModel, Generic[T]):
    """What a request was answered with. `data` is absent where there is nothing to say."""

    model_config = ConfigDict(extra="allow")

    code: int = 0
    data: T
    msg: str = ""


class EmptyResponse(BaseModel):
    """It is done, and there is nothing to say about it."""

    code: int = 0
    msg: str = ""


class ErrorResponse(BaseModel):
    """Why a request was refused. `error` is stable: programs may rely on it."""

    code: int
    msg: str
    error: str


def answer(data: object = None, *, status: int = 200, msg: str = "") -> Response:
    """A response that says `data`: plain JSON values, nouns, or lists of them."""
    if isinstance(data, BaseModel | dict | list):
        with contextlib.suppress(ValueError, TypeError, RecursionError):
            said = _ANY.dump_json(data, warnings=False)
            return _json(b'{"code":0,"data":' + said + b',"msg":' + encoded(msg) + b"}", status)
    body: dict[str, Any] = {"code": 0}
    if data is not None:
        body["data"] = plain(data)
    body["msg"] = msg
    return _json(encoded(body), status)


def problem(status: int, msg: str, error: str, *, more: Mapping[str, object] | None = None) -> Response:
    """A response that says why not."""
    response = _json(encoded({"code": status, "msg": msg, "error": error, **(more or {})}), status)
    if status == 401:
        response.headers["www-authenticate"] = "Bearer"
    return response


def problem_of(error: AcontextError) -> Response:
    """The same for one of our exceptions; a client can make the exception of it again."""
    more = {"kind": error.kind, "id": error.id} if isinstance(error, NotFound) else {}
    return problem(error.status, str(error), error.code, more=more)


def plain(value: object) -> Any:
    """As JSON values. What was kept past validation (half a surrogate pair) comes out as it is."""
    if isinstance(value, BaseModel):
        return value.model_dump(warnings=False)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def encoded(value: object) -> bytes:
    """JSON as ASCII, so that any text can be said; numbers that JSON has no word for become null."""
    try:
        return _encode(value).encode()
    except ValueError:
        return _encode(_finite(value)).encode()


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def _json(said: bytes, status: int) -> Response:
    return Response(said, status, media_type="application/json")
