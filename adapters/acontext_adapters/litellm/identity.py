"""Who speaks, in which conversation, about which space: read from a request to the proxy. Pure.

Names that a client chooses (sessions, end users) are kept apart by the virtual key that it has used: two keys share
a conversation or a user only where the proxy itself says that they belong to one user.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

#: Longer names are cut: they are names, not content.
_LONGEST = 200
_ANTHROPIC_SESSION = re.compile(r"_session_([A-Za-z0-9_-]{8,128})\Z")
_STATUS_TAG = re.compile(r"acontext-task-status[:=](success|failed)\Z")
#: What the proxy says of a session that it has made up for one call.
_GENERATED = "litellm_session_id_generated"
#: How often the OpenAI and the Anthropic client have sent a request before.
_RETRY_COUNT = "x-stainless-retry-count"


@dataclass(frozen=True, slots=True)
class Caller:
    """What a request says about itself."""

    #: What its conversations have in common, and share with no other key.
    scope: str
    #: The conversation's key, under its scope; None where the client names none.
    session: str | None
    space: str | None
    principal: str | None
    #: How the task turned out, where the client says so.
    status: Literal["success", "failed"] | None
    reason: str
    #: The client says that it sends this again.
    retry: bool


def caller_of(data: Mapping[str, Any], key: object, default_space: str | None) -> Caller:
    """Who sends this request. `data` is the request as the proxy's hooks see it, `key` what it knows of the key.

    A space that the key or its team names cannot be changed by the client; else the header `x-acontext-space` or the
    metadata's `acontext_space` names it, else it is the default.
    """
    headers = _headers(data)
    scope = caller_scope(key)
    session = headers.get("x-acontext-session-id") or session_of(data)
    status, reason = _status(data, headers)
    return Caller(
        scope=scope,
        session=f"{scope}/{session[:_LONGEST]}" if session else None,
        space=_owned_space(key) or _text(headers.get("x-acontext-space")) or _asked_space(data) or default_space,
        principal=_principal(data, key, scope),
        status=status,
        reason=reason,
        retry=headers.get(_RETRY_COUNT, "0") != "0",
    )


def _headers(data: Mapping[str, Any]) -> dict[str, str]:
    request = data.get("proxy_server_request")
    found = request.get("headers") if isinstance(request, Mapping) else None
    if not isinstance(found, Mapping):
        return {}
    return {name.lower(): value for name, value in found.items() if isinstance(name, str) and isinstance(value, str)}


def _metadata(data: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Where the client's and the proxy's words about a request may stand, the proxy's own first."""
    for name in ("litellm_metadata", "metadata"):
        bucket = data.get(name)
        if isinstance(bucket, Mapping):
            yield bucket
            asked = bucket.get("requester_metadata")
            if isinstance(asked, Mapping):
                yield asked


def _text(value: object) -> str | None:
    return value.strip()[:_LONGEST] or None if isinstance(value, str) else None


def caller_scope(key: object) -> str:
    """A name of the virtual key that gives nothing of it away."""
    secret = getattr(key, "token", None) or getattr(key, "api_key", None)
    if not isinstance(secret, str) or not secret:
        return "no-key"
    return f"key-{hashlib.sha256(secret.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"


def session_of(data: Mapping[str, Any]) -> str | None:
    """The name that a request gives its conversation, as it stands there."""
    buckets = list(_metadata(data))
    if not any(bucket.get(_GENERATED) for bucket in buckets):
        for value in (data.get("litellm_session_id"), *(bucket.get("session_id") for bucket in buckets)):
            if (session := _text(value)) is not None:
                return session
    for bucket in buckets:
        user = bucket.get("user_id")
        if isinstance(user, Mapping):
            user = f"_session_{user.get('session_id')}"
        if isinstance(user, str) and (match := _ANTHROPIC_SESSION.search(user)):
            return match[1]
    return None


def user_of(data: Mapping[str, Any]) -> str | None:
    """The end user whom a request names. Anthropic's clients put their session behind it."""
    named = (data.get("user"), *(bucket.get("user_id") for bucket in _metadata(data)))
    user = next((user for value in named if (user := _text(value)) is not None), None)
    return None if user is None else _ANTHROPIC_SESSION.sub("", user) or None


def _owned_space(key: object) -> str | None:
    for owner in ("metadata", "team_metadata"):
        told = getattr(key, owner, None)
        if isinstance(told, Mapping) and (space := _text(told.get("acontext_space"))) is not None:
            return space
    return None


def _asked_space(data: Mapping[str, Any]) -> str | None:
    for bucket in _metadata(data):
        if (space := _text(bucket.get("acontext_space"))) is not None:
            return space
    return None


def _principal(data: Mapping[str, Any], key: object, scope: str) -> str | None:
    end_user = _text(getattr(key, "end_user_id", None)) or user_of(data)
    if end_user is not None:
        end_user = _ANTHROPIC_SESSION.sub("", end_user)
    owner = _text(getattr(key, "user_id", None))
    if end_user:
        return f"{scope}/{end_user}"
    return f"user/{owner}" if owner is not None else scope


def _status(data: Mapping[str, Any], headers: Mapping[str, str]) -> tuple[Literal["success", "failed"] | None, str]:
    said = headers.get("x-acontext-task-status", "").strip().lower()
    if not said:
        tags = [tag for bucket in _metadata(data) for tag in _tags(bucket)]
        matches = [match for tag in tags if (match := _STATUS_TAG.match(tag.strip().lower()))]
        said = matches[-1][1] if matches else ""
    reason = headers.get("x-acontext-task-reason", "")
    if said == "success":
        return "success", reason
    if said == "failed":
        return "failed", reason
    return None, ""


def _tags(bucket: Mapping[str, Any]) -> list[str]:
    tags = bucket.get("tags")
    return [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []
