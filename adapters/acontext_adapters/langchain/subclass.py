"""Learned objects: copies of the host's, of a subclass of their class that bears the same name."""

from __future__ import annotations

import copy
import weakref
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, PrivateAttr

from acontext_plugins.runs import Runtime

_classes: weakref.WeakKeyDictionary[type, dict[type, type]] = weakref.WeakKeyDictionary()


@dataclass(frozen=True, slots=True, eq=False)
class Mark:
    """How an object was learned, and from which one."""

    runtime: Runtime
    original: Any
    #: The callback handler of a runnable that tells of its runs in no other way.
    handler: Any = None


def class_of(mixin: type, kind: type) -> type:
    """`kind` with what `mixin` overrides. Made once for each."""
    made = _classes.setdefault(kind, {})
    if mixin not in made:
        namespace: dict[str, Any] = {
            "__module__": kind.__module__,
            "__qualname__": kind.__qualname__,
            "__doc__": kind.__doc__,
        }
        if issubclass(kind, BaseModel):
            namespace["_acontext"] = PrivateAttr(default=None)
        made[mixin] = type(kind)(kind.__name__, (mixin, kind), namespace)
    return made[mixin]


def learned(mixin: type, target: Any, mark: Mark) -> Any:
    """A shallow copy of `target` that goes through `mixin`."""
    kind = class_of(mixin, type(target))
    clone: Any = object.__new__(kind)
    if isinstance(target, BaseModel):
        private = {**(target.__pydantic_private__ or {}), "_acontext": mark}
        object.__setattr__(clone, "__dict__", dict(vars(target)))
        object.__setattr__(clone, "__pydantic_extra__", copy.copy(target.__pydantic_extra__))
        object.__setattr__(clone, "__pydantic_fields_set__", set(target.__pydantic_fields_set__))
        object.__setattr__(clone, "__pydantic_private__", private)
    else:
        vars(clone).update(vars(target))
        clone._acontext = mark
    return clone


def mark_of(target: Any) -> Mark | None:
    """How it was learned; None where it was not."""
    mark = getattr(target, "_acontext", None)
    return mark if isinstance(mark, Mark) else None
