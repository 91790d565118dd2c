"""The end of a process: what still waits is written then, wherever anybody is told that it ends.

Python tells by `atexit`: at the end of a program, also by `sys.exit` or an error, and in children of a bare `os.fork`.
Forked children of `multiprocessing` (and so of Pool, of ProcessPoolExecutor, and with the start method forkserver)
leave by `os._exit`, which runs nothing of it; they tell by multiprocessing's own finalizers. Nobody tells of `os._exit`
itself, nor of a signal that nobody handles: `Pool.terminate` sends one.
"""

from __future__ import annotations

import atexit
import contextlib
import sys
import threading
from typing import Protocol

from .forks import LOCKS, at_fork


class Ending(Protocol):
    """What somebody has to do at the end. `last` = nothing comes after it; else there may be another end later."""

    def __call__(self, *, last: bool) -> None: ...


def at_end(turn: int, act: Ending) -> None:
    """Have `act` called in its turn when this process ends, and when a child that is forked from it does.

    The turns are those of `forks`. Errors of `act` go nowhere.
    """
    _endings.append((turn, act))
    _endings.sort(key=lambda ending: ending[0])


_endings: list[tuple[int, Ending]] = []


def _end(*, last: bool) -> None:
    for _, act in list(_endings):
        with contextlib.suppress(Exception):
            act(last=last)


# ------------------------------------------------------------------------------------ children of multiprocessing

#: After all other finalizers: the lowest of the standard library's is -100.
_AFTER_ALL = -1_000
_watching = False


def _watch() -> None:
    """Have multiprocessing tell us, here and in its children. Where nobody has imported it, it has none."""
    global _watching
    util = sys.modules.get("multiprocessing.util")
    if util is not None and not _watching:
        _watching = True
        util.register_after_fork(sys.modules[__name__], _listen)  # a child forgets what it has not registered itself
        _listen()


def _listen(_: object = None) -> None:
    sys.modules["multiprocessing.util"].Finalize(None, _told, exitpriority=_AFTER_ALL)


def _told() -> None:
    """The function of a child has returned or raised; Python then waits for threads, and then the child is gone.

    A program's own process, and a child that was spawned, hear it too, but go on to `atexit`.
    """
    _end(last=False)
    multiprocessing = sys.modules["multiprocessing"]
    if multiprocessing.parent_process() is None or multiprocessing.get_start_method(allow_none=True) == "spawn":
        return
    if _others():
        threading.Thread(target=_end_after_others, name="acontext-end").start()
    else:
        _end(last=True)


def _end_after_others() -> None:
    """On a thread that Python waits for, after all others that it waits for: they may still record something."""
    while others := _others():
        for thread in others:
            thread.join()
    _end(last=True)


def _others() -> list[threading.Thread]:
    mine = (threading.current_thread(), threading.main_thread())
    return [thread for thread in threading.enumerate() if not thread.daemon and thread not in mine]


atexit.register(_end, last=True)
at_fork(LOCKS, after_in_child=_watch)
_watch()
