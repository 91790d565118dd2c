"""Forks: what is done before `os.fork` and after it, in an order that is written here and is not that of imports.

A child has one thread, and a copy of all else: locks that other threads held are held for ever, and what those threads
were doing is half done. So what is shared between threads says here how it gets ready, and how it begins anew.
"""

from __future__ import annotations

import itertools
import logging
import os
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import MethodType
from typing import TypeVar

log = logging.getLogger("acontext")

L = TypeVar("L")
_Act = Callable[[], object]

#: The turns before a fork, and at the end of a process, first to last: what is held back becomes a recording; what is
#: being opened is open; nobody is inside a database. After a fork it is the other way round: locks first.
HELD, CLIENTS, STORES, LOCKS = TURNS = range(4)


def at_fork(
    turn: int,
    *,
    before: _Act | None = None,
    after_in_parent: _Act | None = None,
    after_in_child: _Act | None = None,
) -> None:
    """Have these called around every fork of this process; those of one turn in the order in which they came.

    Methods are called for as long as their object lives: nothing is kept alive by this. What is registered while others
    are called before a fork, as by a thread that they wait for, has its turn too. Errors are logged.
    """
    number = next(_numbers)
    forget = partial(_hooks.pop, number)  # with the reference as what is given where nothing is found

    def held(act: _Act | None) -> Callable[[], _Act | None]:
        if not isinstance(act, MethodType):
            return lambda: act
        owner, method = weakref.ref(act.__self__, forget), act.__func__  # WeakMethod complains while Python exits
        return lambda: None if (found := owner()) is None else partial(method, found)

    _hooks[number] = _Hook(turn, held(before), held(after_in_parent), held(after_in_child))


def renewed_in_child(owner: object, name: str, make: Callable[[], L]) -> L:
    """A lock, or the like, to be kept as the attribute `name` of `owner`; `make` makes a fresh one in each child."""
    number = next(_numbers)
    known = weakref.ref(owner, partial(_hooks.pop, number))

    def renew() -> None:
        found = known()
        if found is not None:
            setattr(found, name, make())

    _hooks[number] = _Hook(LOCKS, _nothing, _nothing, lambda: renew)
    return make()


@dataclass(frozen=True, slots=True)
class _Hook:
    turn: int
    before: Callable[[], _Act | None]
    after_in_parent: Callable[[], _Act | None]
    after_in_child: Callable[[], _Act | None]


def _nothing() -> None:
    return None


_numbers = itertools.count()
#: In the order in which they came. A dict is copied and changed in one step, whatever other threads do.
_hooks: dict[int, _Hook] = {}


def _call(found: Callable[[], _Act | None]) -> None:
    act = found()
    if act is not None:
        try:
            act()
        except Exception:
            log.exception("acontext: something went wrong at a fork")


def _before() -> None:
    for turn in TURNS:
        for hook in [hook for hook in list(_hooks.values()) if hook.turn == turn]:
            _call(hook.before)


def _after_in_parent() -> None:
    for hook in _backwards():
        _call(hook.after_in_parent)


def _after_in_child() -> None:
    for hook in _backwards():
        _call(hook.after_in_child)


def _backwards() -> list[_Hook]:
    return sorted(_hooks.values(), key=lambda hook: -hook.turn)


if hasattr(os, "register_at_fork"):  # elsewhere there are no forks
    os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
