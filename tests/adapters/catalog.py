"""What a catalog must show, whichever framework the agent is of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from acontext_plugins import Acontext
from acontext_plugins.inject.render import READ_SKILL

TITLE, STEP = "refund a broken lamp", "issue_refund with what the user said"
ASKED = "Please refund a broken lamp."


def skill_of(folder: Path) -> tuple[Acontext, str]:
    """A client whose space "support" has one skill, and what a catalog calls it."""
    client = Acontext(f"sqlite:///{folder / 'catalog.db'}")
    space = client.spaces.create(name="support").id
    page = client.blocks.create(space, block_type="page", title="Skills").id
    props = {"tool_sops": [{"tool_name": "issue_refund", "action": STEP}]}
    made = client.blocks.create(space, block_type="sop", parent_id=page, title=TITLE, props=props)
    client.flush()
    return client, made.id[:8]


def check_catalog(client: Acontext, name: str, prompts: Sequence[str], results: Sequence[Any]) -> None:
    """The prompts have a line of the skill, the tool gave the rest of it, and nothing was learned from that call."""
    try:
        for prompt in prompts:
            assert f"- {name}: {TITLE}" in prompt
        assert STEP not in prompts[0]
        assert any(STEP in str(result) for result in results)
        client.flush()
        embedded: Any = client.connection.opened()
        [session] = client.sessions.list().items
        kept = embedded.loop.run(embedded.engine.messages(session.id)).items
        assert READ_SKILL in [(call.meta or {}).get("name") for message in kept for call in message.tool_calls]
        assert embedded.loop.run(embedded.engine.calls(session.id)) == []
    finally:
        client.close()
