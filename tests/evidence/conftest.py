"""No test reaches a network: the SDK's traces are kept going, and exported to nobody."""

from __future__ import annotations

import os
from importlib.util import find_spec

os.environ.setdefault("OPENAI_API_KEY", "offline")
os.environ.setdefault("AGNO_TELEMETRY", "false")
if find_spec("agents"):
    import agents

    agents.set_trace_processors([])
