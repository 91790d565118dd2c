"""The REST API: the service behind HTTP, as the `acontext` SDK speaks it."""

from .app import create_app

__all__ = ["create_app"]
