"""The REST API: the service behind HTTP, as the `acontext` SDK speaks it.

Keys and settings of a server are managed without the packages that it is served with, so those are imported late.
"""

from typing import TYPE_CHECKING

from acontext_plugins.extras import resolve

if TYPE_CHECKING:
    from .app import create_app

__all__ = ["create_app"]


def __getattr__(name: str) -> object:
    return resolve(__name__, {"create_app": "app"}, name)
