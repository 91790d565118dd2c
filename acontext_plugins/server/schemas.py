"""Schemas: our nouns as the `acontext` SDK reads them. What it does not know is beside it, and ignored by it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import BaseModel

from acontext_store.errors import InvalidInput
from acontext_store.types import Disk, Json, Page, Session, Space

T = TypeVar("T")


def page(found: Page[T], say: Callable[[T], Any]) -> Json:
    """A page of a listing; `next_cursor` only where there is more."""
    body: Json = {"items": [say(item) for item in found.items], "has_more": found.has_more}
    if found.has_more:
        body["next_cursor"] = found.next_cursor
    return body


def noun(found: BaseModel) -> Json:
    """One that both sides know by the same names."""
    return found.model_dump(warnings=False)


class SessionOut(Session):
    """A session; `user_id` is whose words it holds."""

    user_id: str | None = None


class SpaceOut(Space):
    user_id: str | None = None


class DiskOut(Disk):
    user_id: str | None = None


def session(found: Session) -> Json:
    return {**found.model_dump(warnings=False), "user_id": found.principal}


def disk(found: Disk) -> Json:
    return {**found.model_dump(warnings=False), "user_id": None}


def nobodys(user: str | None, things: str) -> None:
    """Raises InvalidInput where things of one user are asked for: only sessions are."""
    if user is not None:
        raise InvalidInput(
            f"user: {things} belong to the whole project here; give `user` to sessions, or make a project for each user"
        )


def space(found: Space) -> Json:
    return {**found.model_dump(warnings=False), "user_id": None}
