"""`python -m tests.adapters.transfer`: the table. `learn` and `use` are its halves, for one framework."""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from .halves import FRAMEWORKS, Cell, learn, told, transfer, use


def main() -> int:
    """0 when every pair transfers."""
    os.environ.setdefault("OPENAI_API_KEY", "sk-not-used")
    os.environ.setdefault("OPENAI_AGENTS_DISABLE_TRACING", "1")
    os.environ.setdefault("AGNO_TELEMETRY", "false")
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    parser = argparse.ArgumentParser(prog="python -m tests.adapters.transfer", description=__doc__)
    parser.add_argument("verb", nargs="?", choices=["learn", "use"])
    parser.add_argument("--framework", choices=FRAMEWORKS)
    parser.add_argument("--db", type=Path)
    parser.add_argument("--withhold", action="store_true")
    given = parser.parse_args()
    if given.verb == "learn":
        print(told(learn(given.framework, given.db)))
        return 0
    if given.verb == "use":
        print(told(use(given.framework, given.db, withhold=given.withhold)))
        return 0
    cells = list(transfer())
    Console(width=140).print(table(cells))
    return 0 if all(fine(cell) for cell in cells) else 1


def fine(cell: Cell) -> bool:
    """Whether the skill was there, and made the difference."""
    return bool(cell.second.injected) and cell.second.refused == 0 < cell.withheld.refused


def table(cells: list[Cell]) -> Table:
    """Who learned down, who used it across."""
    title = (
        "Learned with (down), injected with (across): calls the shop refused with the skill / without; the text's hash"
    )
    found = Table(title=title, title_justify="left")
    found.add_column("")
    users = list(dict.fromkeys(cell.user for cell in cells))
    for user in users:
        found.add_column(user)
    for learner in dict.fromkeys(cell.learner for cell in cells):
        row = {cell.user: cell for cell in cells if cell.learner == learner}
        found.add_row(learner, *(_words(row[user]) for user in users))
    return found


def _words(cell: Cell) -> str:
    mark = hashlib.sha256(cell.second.injected.encode()).hexdigest()[:8] if cell.second.injected else "nothing"
    return f"{cell.second.refused} / {cell.withheld.refused}  {mark}{'' if fine(cell) else '  FAILS'}"


if __name__ == "__main__":
    sys.exit(main())
