"""No test of an adapter reaches a network: traces are kept going, and exported to nobody.

Each framework has a folder; one that is not installed here is left out, and `make test` runs it where it is.
"""

from __future__ import annotations

import os
from importlib.util import find_spec

import pytest

from ..envs.definitions import VARIABLE

pytest.register_assert_rewrite("acontext_adapters.testing")
from acontext_adapters.testing import AdapterContract  # noqa: E402

os.environ.setdefault("OPENAI_API_KEY", "offline")
os.environ.setdefault("AGNO_TELEMETRY", "false")

#: Runs of a leak test at most where another environment than the development one repeats it, by what its name ends in.
REPEATED = {"newest": 60, "lowest": 24}


def pytest_itemcollected(item: pytest.Item) -> None:
    tests = getattr(item, "cls", None) or object
    if VARIABLE in os.environ and issubclass(tests, AdapterContract):
        tests.runs = min(tests.runs, REPEATED[os.environ[VARIABLE].rpartition("-")[2]])


FRAMEWORKS = {
    "openai_agents": "agents",
    "langchain": "langchain",
    "agno": "agno",
    "litellm": "litellm",
    "openai": "openai",
}
collect_ignore = [folder for folder, module in FRAMEWORKS.items() if find_spec(module) is None]
if "openai_agents" not in collect_ignore:
    import agents

    agents.set_trace_processors([])
