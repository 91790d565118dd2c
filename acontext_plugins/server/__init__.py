"""The REST API: the service behind HTTP, as the `acontext` SDK speaks it.

Keys and settings of a server are managed without the packages that it is served with, so those are imported late.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .app import create_app

__all__ = ["create_app"]


def __getattr__(name: str) -> object:
    if name != "create_app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .app import create_app

    return create_app
