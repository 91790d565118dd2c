"""The provider's prompt cache of a long conversation is as good with skills as without."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import litellm
import pytest

from acontext_adapters.testing import ForwardingClient, Turn
from acontext_plugins.learning import learning

from ..prompt_cache import ANSWER, INSTRUCTIONS, SKILLS, TURNS, keeps_the_cache
from .scripted import MODEL, Json, provider, teach


@pytest.mark.parametrize("way", ["function", "router"])
async def test_twenty_turns_of_which_all_are_sent_again(tmp_path: Path, way: str) -> None:
    teach()

    async def play(client: ForwardingClient | None) -> list[str]:
        provider.script([Turn(turn, (ANSWER,)) for turn in TURNS])
        deployment = {"model_name": MODEL, "litellm_params": {"model": MODEL}}
        target: Any = litellm.Router(model_list=[deployment]) if way == "router" else litellm.acompletion
        if client is not None:
            target = learning(target, space="support", client=client)
        complete = target.acompletion if way == "router" else target
        tools = [{"type": "function", "function": {"name": name, "parameters": {}}} for name in SKILLS.values()]
        history: list[Json] = [{"role": "system", "content": INSTRUCTIONS}]
        for turn in TURNS:
            history.append({"role": "user", "content": turn})
            await complete(model=MODEL, messages=history, tools=tools)
            history.append({"role": "assistant", "content": ANSWER})
        return provider.prompts

    await keeps_the_cache(tmp_path, play)
