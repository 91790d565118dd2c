"""The provider's prompt cache of a long conversation is as good with skills as without."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI

from acontext_adapters.testing import ForwardingClient
from acontext_plugins.learning import learning

from ..prompt_cache import ANSWER, INSTRUCTIONS, SKILLS, TURNS, keeps_the_cache
from . import loop
from .scripted import Json, Provider


@pytest.mark.parametrize("where", ["system", "user"])
@pytest.mark.parametrize("wire", ["chat", "responses"])
async def test_twenty_turns_of_which_all_are_sent_again(tmp_path: Path, wire: str, where: Any) -> None:
    async def play(memory: ForwardingClient | None) -> list[str]:
        provider = Provider(*(ANSWER for _ in TURNS))
        client: Any = loop.client(provider, OpenAI)
        if memory is not None:
            client = learning(client, space="support", client=memory, inject_as=where)
        history: list[Json] = []
        for turn in TURNS:
            history.append({"role": "user", "content": turn})
            if wire == "chat":
                tools = [{"type": "function", "function": {"name": name}} for name in SKILLS.values()]
                system = {"role": "system", "content": INSTRUCTIONS}
                client.chat.completions.create(model="m", messages=[system, *history], tools=tools)
            else:
                tools = [{"type": "function", "name": name, "parameters": {}} for name in SKILLS.values()]
                client.responses.create(model="m", instructions=INSTRUCTIONS, input=history, tools=tools)
            history.append({"role": "assistant", "content": ANSWER})
        return [
            f"{body.get('instructions')}\n{json.dumps(body.get('messages', body.get('input')))[:-1]}"
            for body in provider.bodies
        ]

    await keeps_the_cache(tmp_path, play)


async def test_turns_that_the_provider_holds_send_their_instructions_again_and_what_is_new(tmp_path: Path) -> None:
    from ..prompt_cache import taught

    with taught(tmp_path) as memory:
        provider = Provider(*(ANSWER for _ in range(3)))
        client: Any = learning(loop.client(provider, OpenAI), space="support", client=ForwardingClient(memory))
        tools = [{"type": "function", "name": name, "parameters": {}} for name in SKILLS.values()]
        previous: Any = None
        for turn in list(SKILLS)[:3]:
            more = {"previous_response_id": previous} if previous else {}
            previous = client.responses.create(model="m", instructions=INSTRUCTIONS, input=turn, tools=tools, **more).id
    heads = {body["instructions"] for body in provider.bodies}
    assert len(heads) == 1
    assert "Use when: refund a broken lamp" in heads.pop()
    said = [body["input"] for body in provider.bodies]
    assert said[0] == "refund a broken lamp"
    for turn, words in zip(list(SKILLS)[1:3], said[1:], strict=True):
        assert [title for title in SKILLS if f"Use when: {title}" in words] == [turn]
