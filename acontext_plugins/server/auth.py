"""Who may come in: API keys, each of one project, kept as keyed hashes."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading

from cachetools import TTLCache

from acontext_store.errors import Unauthorized
from acontext_store.forks import renewed_in_child
from acontext_store.protocols import KeyStore
from acontext_store.types import ApiKey

from ..settings import is_loopback

#: Every key begins with it, so that scanners for leaked secrets know it.
PREFIX = "sk-ac-"
#: The key that every installation and every example has. It opens nothing but a server that only this machine reaches.
WELL_KNOWN = "sk-ac-your-root-api-bearer-token"
_SHOWN = len(PREFIX) + 6
_REMEMBERED = 10_000
_LONGEST = 512


def make_key(project_id: str, secret: bytes, *, name: str = "") -> tuple[str, ApiKey]:
    """A new random key, which is shown once, and what is kept of it."""
    text = PREFIX + secrets.token_urlsafe(32)
    return text, ApiKey(project_id=project_id, name=name, hint=text[:_SHOWN], hash=hash_key(text, secret))


def hash_key(text: str, secret: bytes) -> str:
    """HMAC-SHA256. Keys are random, so a slow hash would protect nothing and cost every request."""
    return hmac.new(secret, text.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()


class Authenticator:
    """Tells from a request's headers which project it may use.

    What the database says about a key is remembered for `memory` seconds: so long a revoked key may still open.
    """

    def __init__(
        self,
        keys: KeyStore,
        secret: bytes,
        *,
        project_id: str,
        own_key: str | None = None,
        well_known: bool = False,
        memory: float = 1.0,
    ) -> None:
        """`own_key` opens `project_id`; so does the well-known key, where it is allowed."""
        self._keys = keys
        #: What keys are hashed with, and links signed.
        self.secret = secret
        self._known: TTLCache[str, str | None] = TTLCache(_REMEMBERED, memory)
        self._lock = renewed_in_child(self, "_lock", threading.Lock)
        self._fixed = {hash_key(own_key, secret): project_id} if own_key else {}
        self._well_known = (hash_key(WELL_KNOWN, secret), project_id) if well_known and not own_key else None

    def remembered(self, authorization: str, host: str) -> str | None:
        """The project, where it is known without asking the database; None where `find` must be asked.

        Raises Unauthorized.
        """
        hashed = self._hash(authorization)
        for own, project_id in self._fixed.items():
            if hmac.compare_digest(own, hashed):
                return project_id
        if self._well_known is not None and hmac.compare_digest(self._well_known[0], hashed):
            if not is_loopback(_name_of(host)):
                # a web page can make a browser call this machine under the page's own name
                raise Unauthorized(
                    f"the well-known key is only for requests to localhost, not to {host[:80]!r}: "
                    "make a key of your own with `acontext keys create`"
                )
            return self._well_known[1]
        with self._lock:
            try:
                known = self._known[hashed]
            except KeyError:
                return None
        return self._checked(known)

    def find(self, authorization: str) -> str:
        """The project, from the database. Blocks; raises Unauthorized."""
        hashed = self._hash(authorization)
        key = self._keys.find(hashed)
        good = key is not None and key.revoked_at is None and hmac.compare_digest(key.hash, hashed)
        project_id = key.project_id if key is not None and good else None
        with self._lock:
            self._known[hashed] = project_id
        return self._checked(project_id)

    def _hash(self, authorization: str) -> str:
        scheme, _, text = authorization.partition(" ")
        text = text.strip()
        if scheme.lower() != "bearer" or not text:
            raise Unauthorized("no API key: send the header `Authorization: Bearer sk-ac-...`")
        if len(text) > _LONGEST:
            raise Unauthorized("Unauthorized: this is no API key of this server")
        return hash_key(text, self.secret)

    def _checked(self, project_id: str | None) -> str:
        if project_id is None:
            raise Unauthorized("Unauthorized: this API key is unknown here, or has been revoked")
        return project_id


def _name_of(host: str) -> str:
    """The name in a Host header, without the port."""
    if host.startswith("["):
        return host.partition("]")[0]
    return host.rpartition(":")[0] if host.count(":") == 1 else host
