"""Backends: what opens the databases and blobs that a URL names, found by the URL's scheme.

A package registers its backend as an entry point of the group `acontext_plugins.stores`: the scheme is the name, and
the object is a factory without arguments, as a subclass of Backend is. Ours need no registration, and no look at what
is installed. A backend is imported when a URL of its scheme is first opened.
"""

from __future__ import annotations

import functools
from importlib import import_module
from typing import TYPE_CHECKING, Literal

from .errors import InvalidInput, StoreUnavailable
from .protocols import BlobStore, KeyStore, Store
from .urls import scheme_of, without_secrets

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["Backend", "Durability", "backend_of", "installed"]

#: Of entry points.
GROUP = "acontext_plugins.stores"
#: Those that are always there, also in programs that are shipped without the metadata of packages.
_OURS = {"sqlite": "acontext_store.sql.backend:SqliteBackend", "file": "acontext_store.blobs.backend:FileBackend"}
#: What acknowledged writes survive: the end of the process, or that of the machine, too.
Durability = Literal["normal", "full"]


class Backend:
    """Opens what URLs of one scheme name. What a backend has none of, it leaves out: asking for that is refused.

    Each method gets the URL as the user wrote it, and raises InvalidInput for a URL that it cannot read,
    StoreUnavailable where what it names cannot be used now, and IncompatibleStore where a newer version wrote it;
    never an error of a library below. What is opened works in the process that opened it: a forked child opens its
    own.
    """

    def key_of(self, url: str) -> str:
        """The same text for all URLs of one database, however they are spelled: a process has one engine for each."""
        return url

    def open_store(self, url: str, *, project_id: str, durability: Durability, busy_timeout: float) -> Store:
        """The conversations, skills and due work of one project; made where there are none.

        With "full" durability, what was acknowledged survives the death of the machine; with "normal", of the
        process. `busy_timeout` = seconds that a write waits for others who hold the database.
        """
        raise _has_none(url, "conversations and skills")

    def open_blobs(self, url: str, *, project_id: str) -> BlobStore:
        """The bytes of one project. For the URL of a database, those that belong to it."""
        raise _has_none(url, "blobs")

    def open_keys(self, url: str) -> KeyStore:
        """The server's API keys, of all projects."""
        raise _has_none(url, "API keys, which a server needs")

    def open_secret(self, url: str) -> bytes:
        """At least 32 random bytes that sign links and hash keys: made once, the same for all who open the URL."""
        raise _has_none(url, "secret, which API keys and links to files need")


def backend_of(url: str) -> Backend:
    """The backend that is registered for the scheme of the URL.

    Raises InvalidInput where there is none (it names those that are installed), or more than one; StoreUnavailable
    where it cannot be loaded.
    """
    scheme = scheme_of(url)
    try:
        return _loaded(scheme)
    except KeyError:
        reason = f"no installed package opens {scheme}://" if scheme else "it is no URL"
        schemes = ", ".join(f"{name}://" for name in sorted({*_OURS, *installed()}))
        raise InvalidInput(
            f"cannot open {without_secrets(url)!r}: {reason}; installed are {schemes} (write sqlite:///path). "
            f"Another kind of storage comes with a package that registers its scheme (entry points {GROUP!r})"
        ) from None


def installed() -> dict[str, list[EntryPoint]]:
    """The entry points of others' backends by their scheme; more than one where packages contradict each other."""
    from importlib.metadata import entry_points

    found: dict[str, list[EntryPoint]] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        found.setdefault(point.name, []).append(point)
    return found


@functools.cache
def _loaded(scheme: str) -> Backend:
    """The backend, loaded once; what raises is looked for again. Raises KeyError where no package has it."""
    if scheme in _OURS:
        module, _, name = _OURS[scheme].partition(":")
        ours: Backend = getattr(import_module(module), name)()
        return ours
    point, *others = installed()[scheme]
    if others:
        named = " and ".join(_package(one) for one in (point, *others))
        raise InvalidInput(f"{scheme}:// is opened by {named}: uninstall all of them but one")
    try:
        backend = point.load()()
    except Exception as error:
        raise StoreUnavailable(
            f"{scheme}:// is opened by {_package(point)}, which cannot be loaded: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(backend, Backend):
        what = type(backend).__qualname__
        raise StoreUnavailable(f"{scheme}:// is opened by {_package(point)}, which gave a {what}: no Backend")
    return backend


def complete(kind: type, opened: object, backend: Backend) -> None:
    """Raises StoreUnavailable where what a backend has opened lacks methods of `kind`, one of the protocols."""
    lacking = [name for name in dir(kind) if not name.startswith("_") and not hasattr(opened, name)]
    if lacking:
        if callable(close := getattr(opened, "close", None)):
            close()
        made = type(backend)
        raise StoreUnavailable(
            f"{made.__module__}.{made.__qualname__} opened a {type(opened).__qualname__} without "
            f"{', '.join(lacking)}: it was written for another version; install one of both that go together"
        )


def _package(point: EntryPoint) -> str:
    return f"{point.dist.name if point.dist else 'a package'} ({point.value})"


def _has_none(url: str, what: str) -> InvalidInput:
    return InvalidInput(
        f"cannot open {without_secrets(url)!r} for this: its backend has no {what}; use the URL of another, such as "
        "sqlite:///path"
    )
