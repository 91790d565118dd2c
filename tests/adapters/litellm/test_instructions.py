"""Responses repeat the request's instructions: hosts of LiteLLM read their own there."""

from __future__ import annotations

from typing import Any

import litellm
import pytest

from acontext_adapters.litellm import AcontextLogger
from acontext_adapters.testing import SKILLS, MemoryClient
from acontext_plugins.learning import learning

from .test_sdk import ask, asked, both_ways
from .upstream import Upstream

owns = pytest.mark.parametrize("own", [None, "Help."])


def instructions_in(result: Any) -> list[str | None]:
    """What an answer, or each event with a response in it, says that was asked for."""
    said = [getattr(one, "response", None) for one in result] if isinstance(result, list) else [result]
    return [one.instructions for one in said if one is not None]


@owns
@both_ways
@pytest.mark.parametrize("name", ["responses", "aresponses"])
async def test_functions_give_the_hosts_own(name: str, own: str | None, streamed: bool, upstream: Upstream) -> None:
    upstream.say("ok")
    function = learning(getattr(litellm, name), space="s", client=MemoryClient(SKILLS))
    more: dict[str, Any] = {"stream": True} if streamed else {}
    result = await ask(function, **asked(name, upstream, **({} if own is None else {"instructions": own}), **more))
    assert set(instructions_in(result)) == {own}
    assert "acontext-skills" not in repr(result)
    assert SKILLS in upstream.seen[-1].system


@owns
async def test_the_callback_gives_the_hosts_own(own: str | None, upstream: Upstream) -> None:
    upstream.say("ok")
    litellm.callbacks.append(AcontextLogger(space="s", client=MemoryClient(SKILLS)))
    result = await litellm.aresponses(**asked("aresponses", upstream, **({} if own is None else {"instructions": own})))
    assert instructions_in(result) == [own]
    assert SKILLS in upstream.seen[-1].system
