"""The service over HTTP: everything that the embedded engine does, asked of a server."""

from .connection import open_remote

__all__ = ["open_remote"]
