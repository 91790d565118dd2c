"""A provider's prompt cache, counted; and a conversation of twenty turns that is played bare and with skills."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

from acontext_adapters.testing import ForwardingClient
from acontext_plugins import Acontext

#: A provider keeps what it has read in blocks of tokens, from so many on. A token is four characters here.
BLOCK, LEAST = 128, 1024
INSTRUCTIONS = "You help the customers of a shop. " + "Be kind, and be brief. " * 200
ANSWER = "That is done, and here is what I did for you. " * 12
SKILLS = {
    "refund a broken lamp": "issue_refund",
    "change the delivery address": "change_address",
    "cancel a subscription": "cancel_plan",
    "send a new password": "reset_password",
}
#: Something else fits every few turns; some fit nothing, some fit what is shown already.
TURNS = [
    f"{number}: {words}, please. {'The customer has told me more than I wanted to know. ' * 8}"
    for number, words in enumerate([*SKILLS, "thank you", "go on", "refund a broken lamp once more"] * 3)
][:20]

#: Plays the turns with an agent that is wrapped for the client, or bare (None); gives the text of each request, in the
#: order in which a provider reads it.
Play = Callable[[ForwardingClient | None], Awaitable[Sequence[str]]]


def cached(requests: Sequence[str]) -> int:
    """How many tokens of these requests a provider does not read anew: it has read them in an earlier one."""
    total = 0
    for number, request in enumerate(requests):
        lengths = (len(os.path.commonprefix([request, before])) for before in requests[:number])  # noqa: RUF071
        longest = max(lengths, default=0)
        found = longest // 4
        total += found // BLOCK * BLOCK if found >= LEAST else 0
    return total


@contextlib.contextmanager
def taught(folder: Path) -> Iterator[Acontext]:
    """A client of a space, "support", that has learned."""
    client = Acontext(f"sqlite:///{folder / 'cache.db'}")
    try:
        space = client.spaces.create(name="support").id
        page = client.blocks.create(space, block_type="page", title="Skills").id
        for title, tool in SKILLS.items():
            props = {"tool_sops": [{"tool_name": tool, "action": f"{tool} with what the user said"}]}
            client.blocks.create(space, block_type="sop", parent_id=page, title=title, props=props)
        client.flush()
        yield client
    finally:
        client.close()


async def keeps_the_cache(folder: Path, play: Play, *, share: float = 0.95) -> list[str]:
    """Plays it bare and with skills; asserts that the provider's cache is as good. Gives the requests with skills."""
    bare = list(await play(None))
    with taught(folder) as client:
        requests = list(await play(ForwardingClient(client)))
    assert len(bare) == len(requests) >= len(TURNS)
    for title in SKILLS:
        assert f"Use when: {title}" in requests[-1], f"{title!r} is not there any more"
        assert requests[-1].count(f"Use when: {title}") == 1
    assert cached(bare) > 0
    assert cached(requests) >= share * cached(bare)
    return requests
