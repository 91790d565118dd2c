"""The engines of this process: one for each project of a database, shared by all clients of it, and counted.

Whoever comes first opens it; whoever goes last closes it. So there is one queue, one worker and one set of caches
for a database, and `flush` of any client waits for what any agent recorded.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel

from acontext_store.ending import at_end
from acontext_store.errors import InvalidInput
from acontext_store.forks import CLIENTS, at_fork, renewed_in_child
from acontext_store.open import database_key
from acontext_store.urls import without_secrets

from ..engine.embedded import EmbeddedEngine, open_engine
from ..llm import LLM, Embedder
from ..record.redaction import Redactor
from ..settings import Settings, load_settings

if TYPE_CHECKING:
    from ..remote.connection import RemoteEngine

    AnyEngine = EmbeddedEngine | RemoteEngine

#: Settings that do not reach an engine: where it is, whose data it shows, and what other programs read.
_NOT_THE_ENGINES = {"url", "api_key", "project", "space", "server"}

#: What keeps data safer, of the settings where that is the question.
_STRONGER: dict[str, object] = {"redaction.enabled": True, "redaction.pii": True, "durability": "full"}


@dataclass(frozen=True, slots=True)
class ClientModels:
    """The models that a client brought itself, instead of those that the settings name."""

    llm: LLM | None = None
    embedder: Embedder | None = None


class _Database:
    """One database, as this process names it. Its lock is held while an engine of it is opened."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.engines: dict[str, _Shared] = {}


class _Shared:
    """An engine, what it was opened with, and how many clients have it."""

    def __init__(self, database: _Database, engine: AnyEngine, settings: Settings, models: ClientModels) -> None:
        self.database = database
        self.engine = engine
        self.settings = settings
        self.models = models
        self.clients = 0


#: Seconds for which a fork waits for an engine that is being opened.
_OPENING = 10.0
#: Databases that somebody is opening or has open, by what tells one from another.
_databases: weakref.WeakValueDictionary[str, _Database] = weakref.WeakValueDictionary()
_lock = renewed_in_child(sys.modules[__name__], "_lock", threading.Lock)
#: Open engines, also where nobody has their client any more: they may still have to write.
_open: dict[AnyEngine, _Shared] = {}
#: Engines of the parent process, kept so that a child never closes what it did not open.
_inherited: list[AnyEngine] = []


def share_engine(settings: Settings, models: ClientModels, *, as_it_is: bool = False) -> AnyEngine:
    """The engine of the settings' database and project, opened where no client of this process has it open yet.

    Give it back by `give_back`. `as_it_is` is for agents that were given no client, and so ask for little. Raises
    InvalidInput that names both where another client opened it with other models or settings than this one asks for;
    StoreUnavailable, IncompatibleStore, and Unauthorized for a server without a key.
    """
    key = _key(settings)
    with _lock:
        database = _databases.get(key) or _databases.setdefault(key, _Database())
    with database.lock:
        shared = database.engines.get(settings.project)
        if shared is None:
            engine = _open_engine(settings, models)
            shared = database.engines[settings.project] = _open[engine] = _Shared(database, engine, settings, models)
        else:
            _check_same(shared, settings, models, as_it_is=as_it_is)
        shared.clients += 1
    if settings.worker.enabled:
        shared.engine.work()
    return shared.engine


def give_back(engine: AnyEngine) -> None:
    """This client is done with it: write what is recorded; the last one closes it."""
    shared = _open.get(engine)
    if shared is None:  # of the parent process, or closed as the program ends
        engine.close()
        return
    with shared.database.lock:
        shared.clients -= 1
        last = shared.clients == 0
        if last:
            del shared.database.engines[shared.settings.project]
            _open.pop(engine, None)
    if last:
        engine.close()
    else:
        engine.write()


def _key(settings: Settings) -> str:
    """What tells a database from others, however its URL is spelled; with a server, the key opens the project."""
    if settings.is_remote:
        key = settings.api_key.get_secret_value() if settings.api_key else ""
        return f"{settings.url.rstrip('/')} {key}"
    return database_key(settings.store_url)


def _open_engine(settings: Settings, models: ClientModels) -> AnyEngine:
    if not settings.is_remote:
        return open_engine(settings, llm=models.llm, embedder=models.embedder)
    if models.llm is not None or models.embedder is not None:
        raise InvalidInput(f"llm and embedder are for an engine in this process: {settings.url} has models of its own")
    from ..remote import open_remote

    return open_remote(settings, Redactor(enabled=settings.redaction.enabled, pii=settings.redaction.pii))


def _check_same(shared: _Shared, settings: Settings, models: ClientModels, *, as_it_is: bool) -> None:
    """Raise InvalidInput where the engine that is open is not what a client asks for.

    It asks for its models, for redaction and durability not weaker than its settings', and for each setting that it
    states otherwise than the environment does; `as_it_is` for redaction and durability alone.
    """
    has, asked = _flat(shared.settings), _flat(settings)
    differ = {name for name in has if has[name] != asked[name]}
    if differ and not as_it_is:
        unstated = _flat(load_settings())
        stated = {name for name in differ if asked[name] != unstated[name]}
    else:
        stated = set()
    weaker = {name for name in differ.intersection(_STRONGER) if asked[name] == _STRONGER[name]}
    found = [(name, repr(has[name]), repr(asked[name])) for name in has if name in stated | weaker]
    for name in ("llm", "embedder"):
        one, other = getattr(shared.models, name), getattr(models, name)
        if other is not None and not _same(one, other):
            found.append((name, _named(one), _named(other)))
    if found:
        raise InvalidInput(
            f"{without_secrets(settings.url or settings.store_url)} is open in this process with "
            f"{', '.join(f'{name}={one}' for name, one, _ in found)}, and this client asks for "
            f"{', '.join(f'{name}={other}' for name, _, other in found)}: give both the same, close the other client "
            "first, or use it for both (learning(client=...))"
        )


def _flat(settings: Settings) -> dict[str, object]:
    """What reaches an engine, each setting by its dotted name."""
    found: dict[str, object] = {}
    for name, value in settings:
        if name not in _NOT_THE_ENGINES:
            if isinstance(value, BaseModel):
                found |= {f"{name}.{field}": inner for field, inner in value}
            else:
                found[name] = value
    del found["worker.enabled"]  # a worker runs if anybody wants it to
    return found


def _same(one: object, other: object) -> bool:
    """Whether two models answer alike: the same object, or one made anew from the same values."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    with contextlib.suppress(Exception):  # their own `==` may do anything
        return bool(one == other or vars(one) == vars(other))
    return False


def _named(model: object) -> str:
    return "None" if model is None else f"<{type(model).__qualname__} at {id(model):#x}>"


def _before_fork() -> None:
    """Wait for who is opening an engine: a child would inherit by half what they import and open."""
    for database in list(_databases.values()):
        if database.lock.acquire(timeout=_OPENING):
            database.lock.release()


def _after_fork() -> None:
    _inherited.extend(_open)
    _open.clear()
    _databases.clear()


def _at_end(*, last: bool) -> None:
    for engine in list(_open):
        with contextlib.suppress(Exception):  # each for itself
            if last:
                shared = _open.pop(engine)
                shared.database.engines.pop(shared.settings.project, None)
                engine.close()
            else:
                engine.write()


at_end(CLIENTS, _at_end)
at_fork(CLIENTS, before=_before_fork, after_in_child=_after_fork)
