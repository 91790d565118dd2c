"""Backoff: how long to wait before something is tried again."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

#: Not the program's own numbers: a host that has seeded them gets the same ones with us as without.
_chance = random.SystemRandom()
#: Powers beyond it are no floats any more; pauses have reached any `longest` long before.
_MOST_TRIES = 100


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses that grow from `first` to `longest` seconds, by `factor` from one to the next.

    A pause is the half to the whole of that, by chance ("equal jitter", M. Brooker, AWS Architecture Blog 2015): who
    failed together does not come back together, and nobody waits longer than `longest`.
    """

    first: float
    longest: float = math.inf
    factor: float = 2.0

    def ceiling(self, tries: int) -> float:
        """Seconds that no pause after `tries` earlier pauses is longer than."""
        return min(self.first * self.factor ** min(tries, _MOST_TRIES), self.longest)

    def pause(self, tries: int) -> float:
        """Seconds to wait after `tries` earlier pauses: 0 for the first."""
        return self.ceiling(tries) * _chance.uniform(0.5, 1.0)


def as_asked(seconds: float) -> float:
    """The seconds that somebody asked us to wait, and up to a tenth more: others were told the same."""
    return seconds * _chance.uniform(1.0, 1.1)
