"""An endpoint on loopback, and LiteLLM as it is where nobody set anything."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
os.environ.setdefault("LITELLM_TELEMETRY", "False")

from acontext_plugins.testing.scripted_server import ScriptedServer

if find_spec("litellm") is None:
    names = ("costs_cli", "embedder", "gateway", "guest", "searches", "thinkers", "troubles")
    collect_ignore = [f"test_{name}.py" for name in names]

#: What LiteLLM itself warns of, in some versions: its own types, and how it serializes answers.
_THEIRS = (
    r"ignore:Items? '.+' on TypedDict class '\w+' (is|are) using the `ReadOnly` qualifier:UserWarning",
    r"ignore:Pydantic serializer warnings:UserWarning",
)


def pytest_itemcollected(item: pytest.Item) -> None:
    if Path(__file__).parent in item.path.parents:
        for warning in _THEIRS:
            item.add_marker(pytest.mark.filterwarnings(warning))


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    """An endpoint with nothing to say yet."""
    with ScriptedServer() as server:
        yield server
