"""A client whose requests go through an HTTP client of ours, which hands them to the one it had.

The user's HTTP client keeps all that it has (transport, proxies, timeouts, mounts, hooks, cookies); ours has nothing
of its own. openai 3 runs on httpx2, older ones on httpx: both are known by what they can do.
"""

from __future__ import annotations

import copy
import functools
import inspect
import sys
from types import MethodType
from typing import Any

from acontext_plugins.runs import Runtime

from .exchange import RecordedRequest, tee_class

_ROOTS = ("httpx", "httpx2")
#: Where a client of the SDK holds its HTTP client, and a part of it the client. A subclass may have others.
_HELD_AS = "_client"
#: Views of a part that older versions make with it: they hold methods of the old client in closures.
_VIEWS = ("WithRawResponse", "WithStreamedResponse", "WithStreamingResponse")


def wrap_client(client: Any, runtime: Runtime) -> Any:
    """A copy of the client over our HTTP client. Raises TypeError where its HTTP client is none that we know."""
    inner = http_client_of(client)
    bare = inner
    if hasattr(inner, "acontext_runtime"):
        if inner.acontext_runtime.same_as(runtime):
            return client
        bare = inner.acontext_inner
    return _Rebinding(client, inner, _over(bare, runtime, client.max_retries)).client


def http_client_of(client: Any) -> Any:
    """The HTTP client that a client sends its requests with. Raises TypeError where it has none that we know."""
    found = {name: one for name, one in vars(client).items() if _base_of(one) is not None}
    if not found:
        held = getattr(client, _HELD_AS, client)
        raise TypeError(f"learning() does not know the HTTP client {_named(type(held))} of {_named(type(client))}")
    return found.get(_HELD_AS, next(iter(found.values())))


class _Rebinding:
    """A client's shallow copy, whose parts belong to it, and which sends its requests with another HTTP client.

    Nothing is constructed: what a subclass wants for that, what the SDK's own copies leave out, and what was set on
    the client or on its parts later are all there.
    """

    def __init__(self, client: Any, before: Any, after: Any) -> None:
        self._old, self._before, self._after = client, before, after
        self.client = copy.copy(client)
        self._made: dict[int, Any] = {id(client): self.client}
        self._bind(self.client)

    def _bind(self, part: Any) -> None:
        for name, value in list(vars(part).items()):
            if self._is_computed(part, name, value):
                del vars(part)[name]
            elif (bound := self._bound(value)) is not value:
                vars(part)[name] = bound
        for name, value in list(vars(part).items()):
            if _is_sdks(type(value)) and type(value).__name__.endswith(_VIEWS):
                vars(part)[name] = type(value)(part)

    def _is_computed(self, part: Any, name: str, value: Any) -> bool:
        """Whether the SDK makes it anew when it is asked for: it may hold methods of the old client in closures."""
        computed = isinstance(inspect.getattr_static(type(part), name, None), functools.cached_property)
        return computed and _is_sdks(type(value)) and not self._is_part(value)

    def _bound(self, value: Any) -> Any:
        """`value` as a part of the copy, where it is one of the client."""
        if value is self._before:
            return self._after
        if id(value) in self._made:
            return self._made[id(value)]
        if isinstance(value, MethodType):
            owner = self._bound(value.__self__)
            return value if owner is value.__self__ else MethodType(value.__func__, owner)
        if not self._is_part(value):
            return value
        made = self._made[id(value)] = copy.copy(value)
        self._bind(made)
        return made

    def _is_part(self, value: Any) -> bool:
        return _is_sdks(type(value)) and getattr(value, _HELD_AS, None) is self._old


def _is_sdks(kind: type) -> bool:
    return any(base.__module__.partition(".")[0] == "openai" for base in kind.__mro__)


def _base_of(http_client: Any) -> Any:
    """The class of httpx, or httpx2, that an HTTP client is of."""
    for base in type(http_client).__mro__:
        if base.__name__ in ("Client", "AsyncClient") and base.__module__.partition(".")[0] in _ROOTS:
            return base
    return None


def _named(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _over(inner: Any, runtime: Runtime, max_retries: int) -> Any:
    return _learning_class(_base_of(inner))(inner, runtime, max_retries)


@functools.cache
def _learning_class(base: type[Any]) -> type[Any]:
    """A subclass of httpx's (or httpx2's) own class that hands everything to another one."""
    library = sys.modules[base.__module__.partition(".")[0]]
    is_async = base.__name__ == "AsyncClient"

    def start(self: Any, inner: Any, runtime: Runtime, max_retries: int) -> None:
        self.acontext_inner = inner
        self.acontext_runtime = runtime
        self.acontext_max_retries = max_retries

    def build_request(self: Any, *args: Any, **options: Any) -> Any:
        return self.acontext_inner.build_request(*args, **options)

    def send(self: Any, request: Any, **options: Any) -> Any:
        exchange: RecordedRequest | None = None
        with self.acontext_runtime.guard("request"):
            exchange = RecordedRequest.of(self, request)
        if exchange is None:
            return self.acontext_inner.send(request, **options)
        try:
            response = self.acontext_inner.send(exchange.prepared(), **options)
        except BaseException as error:
            exchange.raised(error)
            raise
        return exchange.answered(response)

    async def asend(self: Any, request: Any, **options: Any) -> Any:
        exchange: RecordedRequest | None = None
        with self.acontext_runtime.guard("request"):
            exchange = RecordedRequest.of(self, request)
        if exchange is None:
            return await self.acontext_inner.send(request, **options)
        try:
            response = await self.acontext_inner.send(await exchange.aprepared(), **options)
        except BaseException as error:
            exchange.raised(error)
            raise
        return exchange.answered(response)

    def reduce(self: Any, protocol: Any) -> Any:
        return _over, (self.acontext_inner, self.acontext_runtime, self.acontext_max_retries)

    def close(self: Any) -> None:
        self.acontext_inner.close()

    async def aclose(self: Any) -> None:
        await self.acontext_inner.aclose()

    members: dict[str, Any] = {"__init__": start, "build_request": build_request, "__module__": base.__module__}
    members |= {"__reduce_ex__": reduce}
    members |= {"send": asend, "aclose": aclose} if is_async else {"send": send, "close": close}
    members |= {"acontext_library": library, "acontext_tee": tee_class(library, is_async), **_context(is_async)}
    for kind in base.__mro__:
        for name, member in vars(kind).items():
            if isinstance(member, property) and not name.startswith("_"):
                members[name] = _handed_on(name)
    return type(base.__name__, (base,), members)


def _context(is_async: bool) -> dict[str, Any]:
    def enter(self: Any) -> Any:
        self.acontext_inner.__enter__()
        return self

    def leave(self: Any, *raised: Any) -> Any:
        return self.acontext_inner.__exit__(*raised)

    async def aenter(self: Any) -> Any:
        await self.acontext_inner.__aenter__()
        return self

    async def aleave(self: Any, *raised: Any) -> Any:
        return await self.acontext_inner.__aexit__(*raised)

    return {"__aenter__": aenter, "__aexit__": aleave} if is_async else {"__enter__": enter, "__exit__": leave}


def _handed_on(name: str) -> property:
    def get(self: Any) -> Any:
        return getattr(self.acontext_inner, name)

    def set(self: Any, value: Any) -> None:
        setattr(self.acontext_inner, name, value)

    return property(get, set)
