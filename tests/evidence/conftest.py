"""No test reaches a network: the SDK's traces are kept going, and exported to nobody."""

from __future__ import annotations

import os
from importlib.util import find_spec

import pytest

os.environ.setdefault("OPENAI_API_KEY", "offline")
os.environ.setdefault("AGNO_TELEMETRY", "false")


@pytest.fixture(autouse=True)
def _traced() -> None:
    """Whatever other tests of this process have set: a run that is not traced does not tell how it failed."""
    if find_spec("agents"):
        import agents

        agents.set_tracing_disabled(False)
        agents.set_trace_processors([])
