"""A client whose requests go through an HTTP client of ours, which hands them to the one it had.

The user's HTTP client keeps all that it has (transport, proxies, timeouts, mounts, hooks, cookies); ours has nothing
of its own. openai 3 runs on httpx2, older ones on httpx: both are known by what they can do.
"""

from __future__ import annotations

import copy
import functools
import sys
from typing import Any

from acontext_plugins.runs import Runtime

from .exchange import RecordedRequest, tee_class

_ROOTS = ("httpx", "httpx2")


def wrap_client(client: Any, runtime: Runtime) -> Any:
    """The same client over our HTTP client. Raises TypeError where its HTTP client is none that we know."""
    inner = http_client_of(client)
    if hasattr(inner, "acontext_runtime"):
        if inner.acontext_runtime.same_as(runtime):
            return client
        inner = inner.acontext_inner
    return client.with_options(http_client=_over(inner, runtime, client.max_retries))


def http_client_of(client: Any) -> Any:
    """The HTTP client that a client hands on to its copies: what `client.copy()` makes a copy with."""
    kind = type(client)

    def receive(self: Any, *args: Any, http_client: Any = None, **options: Any) -> None:
        self.received = http_client

    receiver = type(kind.__name__, (kind,), {"__init__": receive, "__module__": kind.__module__})
    twin = copy.copy(client)
    twin.__class__ = receiver
    return twin.copy().received


def _over(inner: Any, runtime: Runtime, max_retries: int) -> Any:
    for base in type(inner).__mro__:
        if base.__name__ in ("Client", "AsyncClient") and base.__module__.partition(".")[0] in _ROOTS:
            return _learning_class(base)(inner, runtime, max_retries)
    raise TypeError(f"learning() does not know the HTTP client {type(inner).__module__}.{type(inner).__qualname__}")


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

    def close(self: Any) -> None:
        self.acontext_inner.close()

    async def aclose(self: Any) -> None:
        await self.acontext_inner.aclose()

    members: dict[str, Any] = {"__init__": start, "build_request": build_request, "__module__": base.__module__}
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
