"""How many examples properties are tried with: as many as they say in `make test`, a fifth of that in `make check`."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import settings

_WHOLE = 100


def register() -> None:
    """The profiles that `--hypothesis-profile` may name; without one, it is `whole`."""
    # Machines differ in speed, so no example has a deadline; CI tries the same examples each time.
    settings.register_profile("whole", deadline=None, derandomize=bool(os.environ.get("CI")), max_examples=_WHOLE)
    settings.register_profile("brief", settings.get_profile("whole"), max_examples=_WHOLE // 5)
    settings.load_profile("whole")


def examples(count: int, **options: Any) -> settings:
    """`count` of them, where the profile says nothing less (`--hypothesis-profile brief`)."""
    return settings(max_examples=max(1, count * settings.default.max_examples // _WHOLE), **options)  # type: ignore[union-attr]
