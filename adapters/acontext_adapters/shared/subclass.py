"""Classes of wrapped objects: subclasses that pass for the class of the host's object, and can be copied and pickled.

A wrapped object is a copy of the host's, of a class that lies over the host's class. Methods of the host are found
when they are called, so what is patched on its class later is what runs. What an object is wrapped with, its mark,
goes with every copy of it.
"""

from __future__ import annotations

import sys
import threading
import types
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, PrivateAttr

from acontext_store.forks import renewed_in_child

#: Where an object has its mark: of pydantic's models it is a private attribute, of all others a slot.
MARK = "_acontext"
#: Where a class of ours says what it is made of: (what lies over, the class of the host).
_MADE_OF = "__acontext_made_of__"
#: The classes for each of the host's, as long as there is an object of them.
_classes: weakref.WeakKeyDictionary[type, weakref.WeakValueDictionary[type, type]] = weakref.WeakKeyDictionary()
_lock = renewed_in_child(sys.modules[__name__], "_lock", threading.RLock)


def class_over(kind: type, mixin: type) -> type:
    """`kind` with what `mixin` overrides, under the name of `kind`. The same class each time."""
    kind = class_under(kind)
    with _lock:
        made = _classes.setdefault(kind, weakref.WeakValueDictionary())
        known = made.get(mixin)
        if known is None:
            known = made[mixin] = _made(kind, mixin)
        return known


def class_under(kind: type) -> type:
    """The class of the host, of a class of ours or of its own."""
    found: tuple[type, type] | None = vars(kind).get(_MADE_OF)
    return kind if found is None else found[1]


def _made(kind: type, mixin: type) -> type:
    own = {name for one in mixin.__mro__[:-1] for name in vars(one)}
    names: dict[str, Any] = {
        "__module__": kind.__module__,
        "__qualname__": kind.__qualname__,
        "__doc__": kind.__doc__,
        "__class__": property(lambda self: kind),
        _MADE_OF: (mixin, kind),
    }
    if issubclass(kind, BaseModel):
        names[MARK] = PrivateAttr(default=None)
    else:
        names["__slots__"] = (MARK,)
    if "__reduce_ex__" not in own:
        names["__reduce_ex__"] = _reduce_ex
    if "__eq__" not in own and any("__eq__" in vars(one) for one in kind.__mro__[:-1]):
        names["__eq__"] = _equal
        names["__hash__"] = kind.__hash__
    return types.new_class(kind.__name__, (mixin, kind), exec_body=lambda body: body.update(names))


def over(target: Any, mixin: type, mark: object) -> Any:
    """A shallow copy of `target` that goes through `mixin`, marked with `mark`."""
    return _copied(target, class_over(type(target), mixin), mark)


def under(target: Any) -> Any:
    """A shallow copy of a wrapped object that is of the host's own class again."""
    return _copied(target, class_under(type(target)), None)


def mark_in(target: Any) -> Any:
    """What an object was wrapped with; None of one that was not."""
    return getattr(target, MARK, None) if _MADE_OF in vars(type(target)) else None


def set_mark(target: Any, mark: object) -> None:
    """Mark a wrapped object anew."""
    if isinstance(target, BaseModel):
        object.__setattr__(target, "__pydantic_private__", {**(target.__pydantic_private__ or {}), MARK: mark})
    else:
        object.__setattr__(target, MARK, mark)


def _copied(target: Any, kind: Any, mark: object) -> Any:
    made: Any = object.__new__(kind)
    if isinstance(target, BaseModel):
        private = {name: value for name, value in (target.__pydantic_private__ or {}).items() if name != MARK}
        object.__setattr__(made, "__dict__", dict(vars(target)))
        object.__setattr__(made, "__pydantic_extra__", target.__pydantic_extra__ and dict(target.__pydantic_extra__))
        object.__setattr__(made, "__pydantic_fields_set__", set(target.__pydantic_fields_set__))
        object.__setattr__(made, "__pydantic_private__", private if kind.__private_attributes__ else None)
    else:
        if hasattr(target, "__dict__"):
            vars(made).update(vars(target))
        for name in _slots(class_under(type(target))):
            if hasattr(target, name):
                object.__setattr__(made, name, getattr(target, name))
    if mark is not None:
        set_mark(made, mark)
    return made


def _slots(kind: type) -> Iterator[str]:
    for one in kind.__mro__:
        slots = vars(one).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name.startswith("__") and not name.endswith("__"):
                yield f"_{one.__name__.lstrip('_')}{name}"
            elif name not in ("__dict__", "__weakref__"):
                yield name


def _equal(self: Any, other: Any) -> Any:
    """What the host's class says of the two as they would be without us."""
    kind: Any = class_under(type(self))
    return kind.__eq__(under(self), under(other) if mark_in(other) is not None else other)


# -- copies. `copy` and `pickle` make an object from its class and its state; a class of ours is found by what it is of
@dataclass(frozen=True, slots=True)
class _ClassOver:
    kind: type
    mixin: type


def _reduce_ex(self: Any, protocol: int) -> Any:
    made = type(self)
    reduced = super(made, self).__reduce_ex__(max(protocol, 2))
    if isinstance(reduced, str):
        return reduced
    function, args, *rest = reduced
    mixin, kind = getattr(made, _MADE_OF)
    reference = _ClassOver(kind, mixin)
    given = [reference if one is made else one for one in (function, *args)]
    return _again, (None if isinstance(self, BaseModel) else mark_in(self), *given), *rest


def _again(mark: object, *given: Any) -> Any:
    function, *args = [class_over(one.kind, one.mixin) if isinstance(one, _ClassOver) else one for one in given]
    make: Callable[..., Any] = function
    made = make(*args)
    if mark is not None and _MADE_OF in vars(type(made)):
        set_mark(made, mark)
    return made
