"""What docs/server.md shows of the published SDK runs with it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from .conftest import Served

PAGE = Path(__file__).parents[2] / "docs" / "server.md"


def test_the_snippet_of_the_page_runs(served: Served) -> None:
    from acontext.resources.sessions import SessionsAPI

    (snippet,) = re.findall(r"^```py\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    snippet = snippet.replace(":8029/", f":{served.port}/")
    if not hasattr(SessionsAPI, "send_message"):  # its name from 0.0.10 on
        snippet = snippet.replace("send_message", "store_message")
    done = subprocess.run([sys.executable, "-c", snippet], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Hello" in done.stdout
