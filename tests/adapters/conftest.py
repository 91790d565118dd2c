"""No test of an adapter reaches a network: traces are kept going, and exported to nobody."""

from __future__ import annotations

import os

os.environ.setdefault("OPENAI_API_KEY", "offline")

try:
    import agents
except ImportError:
    collect_ignore_glob = ["*openai*", "*docs*"]
else:
    agents.set_trace_processors([])
