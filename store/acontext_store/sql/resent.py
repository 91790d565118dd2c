"""What a session has already of messages that are sent again, or that come with an id that is taken."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Sequence

from ..types import Json, Message
from .database import Tx

#: Messages of a session in which those of a turn that goes on are looked for.
_LOOK_BACK = 256


def said_already(tx: Tx, session_id: str, shown: Iterable[tuple[str, str, list[Json]]]) -> dict[str, str]:
    """Of these messages (id, role, parts): the ids which the session has for those it says already.

    It says all of them where they stand somewhere in a row, and the first ones where it ends with these.
    """
    query = (
        "SELECT id, role, body FROM messages WHERE project_id = ? AND session_id = ? ORDER BY seq DESC LIMIT "
        f"{_LOOK_BACK}"
    )
    rows = tx.raw.execute(query, (tx.project_id, session_id)).fetchall()[::-1]
    said = _sorted_results([(_signature(role, json.loads(body)["parts"]), id) for id, role, body in rows])
    wanted = _sorted_results([(_signature(role, parts), id) for id, role, parts in shown])
    for start in range(len(said) - 1, -1, -1):
        found = said[start : start + len(wanted)]  # shorter where the session ends
        if all(one[0] == other[0] for one, other in zip(found, wanted, strict=False)):
            return {asked: kept for (_, kept), (_, asked) in zip(found, wanted, strict=False)}
    return {}


def _signature(role: str, parts: Iterable[Json]) -> tuple[str, ...]:
    """What a message says, whoever wrote it down: an answer as it was made, and as a client sends it again."""
    words: list[str] = [role]
    for part in parts:
        meta = part.get("meta") or {}
        if part["type"] == "tool-call":
            words += ["call", str(meta.get("id")), str(meta.get("name"))]
        elif part["type"] == "tool-result":
            words += ["result", str(meta.get("tool_call_id"))]
        elif part.get("text") or part.get("asset"):
            words += [part["type"], part.get("text") or "", part.get("asset") or ""]
    return tuple(words)


def _sorted_results(rows: Sequence[tuple[tuple[str, ...], str]]) -> list[tuple[tuple[str, ...], str]]:
    """Neighbouring results of tools in one order: they arrive in any."""
    ordered: list[tuple[tuple[str, ...], str]] = []
    for role, group in itertools.groupby(rows, key=lambda row: row[0][0]):
        neighbours = list(group)
        ordered += sorted(neighbours) if role == "tool" else neighbours
    return ordered


def is_over(tx: Tx, session_id: str, message: Message) -> bool:
    """Whether the other side has spoken behind the message that has this one's id."""
    sides = "role != 'assistant'" if message.role == "assistant" else "role = 'assistant'"
    of_session = tx.project_id, session_id
    found = tx.raw.execute(
        f"SELECT 1 FROM messages WHERE project_id = ? AND session_id = ? AND {sides} AND seq > "
        "(SELECT seq FROM messages WHERE project_id = ? AND session_id = ? AND id = ?) LIMIT 1",
        (*of_session, *of_session, message.id),
    )
    return found.fetchone() is not None
