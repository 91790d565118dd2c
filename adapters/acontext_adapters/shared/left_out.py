"""What an adapter says of an item that it cannot convert."""

from __future__ import annotations

import logging

from acontext_plugins.concurrency.limited_log import LimitedLog
from acontext_plugins.runs import reason_of

_log = LimitedLog(logging.getLogger("acontext"))


def left_out(error: Exception) -> None:
    """Log that an item was left out, and why: once a minute, for a history is sent again with each request."""
    _log.warning(
        type(error).__name__, "acontext: an item could not be converted and was left out: %s", reason_of(error)
    )
