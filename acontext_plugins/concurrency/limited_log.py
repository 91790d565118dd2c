"""A log that repeats nothing more often than once a minute, for what would be said at each try."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Hashable

#: Kinds of trouble that are remembered; with one more, all are forgotten.
_KINDS = 1024


class LimitedLog:
    """Warnings, each kind of which is logged at most once in `every` seconds.

    It stands where an error must not reach the host, so it rests on nothing that could fail, and holds no lock that a
    forked child would wait for: threads that share it may both log what they say at the same moment.
    """

    def __init__(
        self, logger: logging.Logger, *, every: float = 60.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`clock`: seconds, from any beginning."""
        self._logger = logger
        self._every = every
        self._clock = clock
        #: When each kind was logged last, on the clock.
        self._logged: dict[Hashable, float] = {}

    def warning(self, kind: Hashable, text: str, *arguments: object, exc_info: BaseException | None = None) -> None:
        """Log `text % arguments`, unless something of this `kind` was logged less than `every` seconds ago."""
        moment = self._clock()
        if moment - self._logged.get(kind, -math.inf) < self._every:
            return
        if len(self._logged) >= _KINDS:
            self._logged.clear()
        self._logged[kind] = moment
        self._logger.warning(text, *arguments, exc_info=exc_info, stacklevel=2)
