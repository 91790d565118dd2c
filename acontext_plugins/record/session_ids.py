"""Which session a recording belongs to: the host's key for a conversation, and the user who speaks in it. Pure."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable

from acontext_store.errors import NotFound
from acontext_store.records import session_id_of
from acontext_store.types import Session

__all__ = ["chosen_session_id", "masked_name"]


def chosen_session_id(project_id: str, key: str, principal: str | None, session: Callable[[str], Session]) -> str:
    """The id of the session into which a run of `principal` is recorded. `session` reads one, and raises NotFound.

    What was made under the key alone goes on where it is this principal's, and where the key is the id of a session
    that has no principal.
    """
    under_key = session_id_of(project_id, key)
    if principal is None:
        return under_key
    with contextlib.suppress(NotFound):
        found = session(under_key)
        if found.principal == principal or (found.principal is None and found.key is None):
            return under_key
    return session_id_of(project_id, key, principal)


def masked_name(name: str, masked: str) -> str:
    """A name without its secrets, which still tells its bearer from others: by the hash of what it was."""
    if masked == name:
        return name
    return f"{masked} {hashlib.sha256(name.encode()).hexdigest()[:8]}"
