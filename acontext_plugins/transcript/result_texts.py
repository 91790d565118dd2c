"""What frameworks write as the result of a call that did not run."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple


class KnownText(NamedTuple):
    """What a known text says of its call."""

    status: Literal["refused", "answered", "failed"]
    by: str


_REFUSED = re.compile(r"^\s*(?:Tool execution was not approved\.?)", re.IGNORECASE)


def known_text(text: str) -> KnownText | None:
    """What a result says where a framework wrote it; None where it is the tool's own."""
    return KnownText("refused", "person") if _REFUSED.match(text) else None
