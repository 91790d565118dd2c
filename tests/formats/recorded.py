"""The recorded payloads of providers, where they are beside the repository."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

RECORDED = Path(__file__).parents[3] / "shared" / "data" / "message_formats_dev.jsonl"


def payloads(provider: str) -> Iterator[dict[str, Any]]:
    """What was sent to this provider, the answer appended."""
    for line in RECORDED.read_text().splitlines():
        row = json.loads(line)
        if row["provider"] == provider:
            yield row["payload"]
