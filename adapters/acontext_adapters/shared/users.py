"""The user on whose behalf an agent runs, as hosts name one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID


def user_in(named: Any) -> str | None:
    """The `user_id` of a mapping or of an object: of a run's context, of its configuration or metadata."""
    try:
        user = named.get("user_id") if isinstance(named, Mapping) else getattr(named, "user_id", None)
    except Exception:  # a property of the host's own
        return None
    return str(user) or None if isinstance(user, str | int | UUID) and not isinstance(user, bool) else None
