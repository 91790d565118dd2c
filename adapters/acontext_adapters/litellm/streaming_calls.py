"""Streams that are watched while they are read. They stay what they are: of their class, with all that is in them."""

from __future__ import annotations

import asyncio
import functools
import types
import weakref
from collections.abc import AsyncGenerator
from typing import Any

from ..model_calls import RecordedCall
from ..model_calls.delayed_failures import DelayedFailures
from .streams import StreamRecorder

_STATE = "__acontext__"
_hold = DelayedFailures()


def watched(result: Any, call: RecordedCall) -> Any:
    """The stream that LiteLLM has given, whose reading is told to the call from now on."""
    stream = StreamRecorder(call)
    if isinstance(result, types.AsyncGeneratorType):
        return _generated(result, stream)
    with call.runtime.guard("stream"):
        kind: Any = type(result)
        result.__class__ = _watching(kind)
        setattr(result, _STATE, stream)
        # the garbage collector calls in the middle of anything: what is to be done is done elsewhere
        weakref.finalize(result, _hold.put, f"{id(stream)}", 0.0, call.cancelled)
    return result


async def _generated(chunks: AsyncGenerator[Any, None], stream: StreamRecorder) -> AsyncGenerator[Any, None]:
    try:
        async for chunk in chunks:
            stream.feed(chunk)
            yield stream.call.put_back(chunk)
    except BaseException as error:
        stream.broke(error)
        raise
    stream.ended()


@functools.lru_cache(maxsize=64)
def _watching(kind: type) -> type:
    """A class like this one that tells its stream what is read of it."""

    def __next__(self: Any) -> Any:  # noqa: N807
        stream: StreamRecorder = getattr(self, _STATE)
        try:
            chunk = kind.__next__(self)  # type: ignore[attr-defined]
        except StopIteration:
            stream.ended()
            raise
        except BaseException as error:
            stream.broke(error)
            raise
        stream.feed(chunk)
        return stream.call.put_back(chunk)

    async def __anext__(self: Any) -> Any:  # noqa: N807
        stream: StreamRecorder = getattr(self, _STATE)
        stream.reader = asyncio.current_task()
        try:
            chunk = await kind.__anext__(self)  # type: ignore[attr-defined]
        except StopAsyncIteration:
            stream.ended()
            raise
        except BaseException as error:
            stream.broke(error)
            raise
        finally:
            stream.reader = None
        stream.feed(chunk)
        return stream.call.put_back(chunk)

    async def aclose(self: Any) -> None:
        stream: StreamRecorder = getattr(self, _STATE)
        if stream.reader is None or stream.reader is not asyncio.current_task():
            stream.call.cancelled()  # else it closes itself, at its end or because it broke
        await kind.aclose(self)  # type: ignore[attr-defined]

    members: dict[str, Any] = {
        "__module__": kind.__module__,
        "__qualname__": kind.__qualname__,
        "__doc__": kind.__doc__,
    }
    for function in (__next__, __anext__, aclose):
        if hasattr(kind, function.__name__):
            members[function.__name__] = function
    return type(kind.__name__, (kind,), members)
