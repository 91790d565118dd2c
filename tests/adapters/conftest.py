"""No test of an adapter reaches a network: traces are kept going, and exported to nobody.

Each framework has a folder; one that is not installed here is left out, and `make test` runs it where it is.
"""

from __future__ import annotations

import os
from importlib.util import find_spec

import pytest

pytest.register_assert_rewrite("acontext_adapters.testing")
os.environ.setdefault("OPENAI_API_KEY", "offline")
os.environ.setdefault("AGNO_TELEMETRY", "false")

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
