"""Our own injected text: what it stands between, and how it is taken out before anything is learned (T6)."""

from __future__ import annotations

import re

_OPEN = "<acontext-skills"
#: From an opening marker, whatever its attributes, to the next closing one or else to the end.
_INJECTED = re.compile(r"<acontext-skills\b.*?(?:</acontext-skills\s*>|\Z)", re.DOTALL | re.IGNORECASE)
_CLOSING = re.compile(r"</acontext-skills\s*>", re.IGNORECASE)


def strip_injected(text: str) -> str:
    """`text` without what we had put into it. An opening marker that is never closed hides all that follows."""
    if _OPEN not in text and "acontext-skills" not in text.lower():
        return text
    return _CLOSING.sub("", _INJECTED.sub("", text)).strip()
