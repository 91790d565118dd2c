"""Parameters: what every route takes, and routes that read it strictly, and quickly."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Coroutine
from inspect import Parameter, signature
from typing import Annotated, Any, TypeVar, get_args, get_origin
from urllib.parse import parse_qsl

from fastapi import Depends, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import AfterValidator, BaseModel, ConfigDict, TypeAdapter, ValidationError, WithJsonSchema, create_model
from starlette.exceptions import HTTPException

from ..formats import all_formats
from ..service import Service

_UUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")
#: JSON that is nested deeper than this is refused.
_DEEPEST = 100


def _uuid(text: str) -> str:
    if not _UUID.fullmatch(text):
        raise ValueError("expected a UUID in 36 characters")
    return text.lower()  # as all ids are kept


async def _service(request: Request) -> Service:
    service: Service = request.state.service
    return service


_CALLER = Depends(_service)
#: The caller's project.
Caller = Annotated[Service, _CALLER]
Id = Annotated[str, AfterValidator(_uuid)]
PathId = Annotated[str, Path(json_schema_extra={"format": "uuid"}), AfterValidator(_uuid)]
QueryId = Annotated[Id | None, Query(json_schema_extra={"format": "uuid"})]
Limit = Annotated[int, Query(ge=1, le=200)]
Cursor = Annotated[str | None, Query(max_length=1024)]
TimeDesc = Annotated[bool, Query()]


def _format(name: str) -> str:
    if name not in all_formats():
        raise ValueError(f"expected one of {', '.join(all_formats())}")
    return name


#: The name of a format of messages.
FormatName = Annotated[str, AfterValidator(_format), WithJsonSchema({"type": "string", "enum": list(all_formats())})]


class RequestModel(BaseModel):
    """What a request says. Names that are not known here are those of other versions, and change nothing."""

    model_config = ConfigDict(extra="ignore", frozen=True)


def strict_json(text: bytes | str, what: str = "the body") -> Any:
    """JSON as the standard has it: no NaN, no infinities, and not too deep.

    Raises HTTPException that says what is wrong, and where.
    """
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
        raise _invalid(error, "body") from None


def _invalid(error: ValidationError, place: str) -> RequestValidationError:
    return RequestValidationError([{**one, "loc": (place, *one["loc"])} for one in error.errors()])


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


Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class StrictRoute(APIRoute):
    """A route whose parameters are read in one go: FastAPI describes them, and pydantic checks them together.

    FastAPI reads them one by one, which takes longer than all that most of our routes do. What such a route may take
    is its Caller, the Request, parameters of the path and of the query, and one Body.
    """

    def get_route_handler(self) -> Handler:
        endpoint: Callable[..., Coroutine[Any, Any, Response]] = self.endpoint
        plan = _plan_of(endpoint)

        async def handle(request: Request) -> Response:
            return await endpoint(**await plan.read(request))

        return handle


class _Plan:
    """How an endpoint's arguments come from a request."""

    def __init__(self, endpoint: Callable[..., Any]) -> None:
        self._service = self._request = self._body = ""
        self._takes: TypeAdapter[Any] | None = None
        self._needs_body = False
        self._lists: set[str] = set()
        fields: dict[str, Any] = {}
        for parameter in signature(endpoint, eval_str=True).parameters.values():
            name, kind, default = parameter.name, parameter.annotation, parameter.default
            inner, *marks = get_args(kind) if get_origin(kind) is Annotated else (kind,)
            kinds = (inner, *get_args(inner))
            if _CALLER in marks:
                self._service = name
            elif inner is Request:
                self._request = name
            elif any(isinstance(one, type) and issubclass(one, RequestModel) for one in kinds):
                self._body, self._takes, self._needs_body = name, TypeAdapter(kind), default is Parameter.empty
            else:
                fields[name] = (kind, ... if default is Parameter.empty else default)
                if any(get_origin(one) is list for one in kinds):
                    self._lists.add(name)
        self._fields = create_model("Parameters", **fields) if fields else None

    async def read(self, request: Request) -> dict[str, Any]:
        """The arguments. Raises RequestValidationError and HTTPException."""
        found: dict[str, Any] = {}
        if self._fields is not None:
            scope = request.scope
            given = self._queried(scope["query_string"]) if scope["query_string"] else {}
            given.update(scope["path_params"])
            try:
                found.update(self._fields.model_validate(given).__dict__)
            except ValidationError as error:
                raise _invalid(error, "query") from None
        if self._service:
            found[self._service] = request.scope["state"]["service"]
        if self._request:
            found[self._request] = request
        if self._takes is not None:
            found[self._body] = await self._said(request, self._takes)
        return found

    def _queried(self, text: bytes) -> dict[str, Any]:
        """What the query says: of several values of one name the last, but for lists."""
        given: dict[str, Any] = {}
        for name, value in parse_qsl(text.decode("latin-1"), keep_blank_values=True):
            if name in self._lists:
                given.setdefault(name, []).append(value)
            else:
                given[name] = value
        return given

    async def _said(self, request: Request, kind: TypeAdapter[Any]) -> Any:
        length = request.headers.get("content-length")
        if length == "0" or (length is None and "transfer-encoding" not in request.headers):
            if self._needs_body:
                raise HTTPException(400, "the body is empty: send JSON")
            return None
        said = media_type(request)
        if not is_json(said):
            raise HTTPException(
                415, f"the body is {said or 'of no type'}: send JSON, with `Content-Type: application/json`"
            )
        try:
            return kind.validate_python(strict_json(await request.body()))
        except ValidationError as error:
            raise _invalid(error, "body") from None


@functools.cache
def _plan_of(endpoint: Callable[..., Any]) -> _Plan:
    """Made once for each endpoint, and not again for each application: the plans of all take 60 ms."""
    return _Plan(endpoint)


def media_type(request: Request) -> str:
    """What the body is said to be, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def is_json(kind: str) -> bool:
    """Whether a body of that type is JSON."""
    return kind == "application/json" or kind.endswith("+json")
