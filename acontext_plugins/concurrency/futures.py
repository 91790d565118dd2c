"""Futures that hand on what other futures end with."""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import CancelledError, Future
from typing import TypeVar

from acontext_store.errors import Closed
from acontext_store.protocols import Pending

T = TypeVar("T")


def copy_result(source: Future[T] | Pending[T], target: Future[T] | Pending[T]) -> None:
    """End `target` as `source` ends, on the thread that ends that one; one whose owner has cancelled it stays so.

    A source that is cancelled has nobody left to work on it: `target` raises Closed then.
    """

    def copy(ended: Future[T] | Pending[T]) -> None:
        if not target.set_running_or_notify_cancel():
            return
        try:
            result = ended.result()
        except CancelledError:
            target.set_exception(Closed("this client is closed: open another"))
        except BaseException as error:
            target.set_exception(error)
        else:
            target.set_result(result)

    source.add_done_callback(copy)


async def done_within(future: Future[T] | Pending[T], seconds: float) -> None:
    """On an event loop: wait until it is done, or the time is up."""
    loop = asyncio.get_running_loop()
    woken = asyncio.Event()

    def wake(_: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(woken.set)

    future.add_done_callback(wake)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):  # wait_for can forget a cancellation
            await woken.wait()
