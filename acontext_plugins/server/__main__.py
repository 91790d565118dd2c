"""`python -m acontext_plugins.server FD`: one of several processes that answer on one port; see `supervisor`."""

from __future__ import annotations

import socket
import sys


def main() -> None:
    """One of several: the same as a server that is alone, on a port that is open already."""
    from ..settings import load_settings
    from .run import serve

    serve(load_settings(), socket.socket(fileno=int(sys.argv[1])))


if __name__ == "__main__":
    main()
