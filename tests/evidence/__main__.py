"""`python -m tests.evidence` writes docs/evidence.md from the rows that are played; `--check` says if it is current."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .harness import WHAT, Missing, Row

PAGE = Path(__file__).parent.parent.parent / "docs" / "evidence.md"
INTRO = """\
# Evidence: what happened to a call, and what is recorded and learned of it

This page is written by `python -m tests.evidence` from the tests in `tests/evidence`, which play each row with the
framework itself and a scripted model: twice, as two conversations, each way that is named. What tools really did is
written down by the tools themselves, and compared. "told" = the framework says what became of the call; "assumed" =
nobody does, and a call with a result that is no known refusal or failure counts as executed.
"""


@dataclass(frozen=True)
class Framework:
    """The rows of one module."""

    name: str
    rows: Sequence[Row]
    missing: Sequence[Missing]

    @property
    def cells(self) -> int:
        return sum(len(row.ways) for row in self.rows)

    @property
    def told(self) -> int:
        return sum(len(row.ways) for row in self.rows if not is_assumed(row))


def is_assumed(row: Row) -> bool:
    """Whether nobody tells one of its fates."""
    return any(fate.endswith(": assumed") for fate in row.fates)


def frameworks() -> list[Framework]:
    """All modules with rows, by name."""
    found = []
    for file in sorted(Path(__file__).parent.glob("test_*.py")):
        module = importlib.import_module(f"{__package__}.{file.stem}")
        if hasattr(module, "ROWS"):
            found.append(Framework(module.FRAMEWORK, module.ROWS, module.MISSING))
    return found


def page(known: Sequence[Framework]) -> str:
    """The page as it should be."""
    lines = [INTRO, "| | cells | told | assumed |", "|---|---|---|---|"]
    lines += [f"| {one.name} | {one.cells} | {one.told} | {one.cells - one.told} |" for one in known]
    lines += ["", "## At a glance", "", f"| what happened | {' | '.join(one.name for one in known)} |"]
    lines.append("|---" * (len(known) + 1) + "|")
    for what, words in WHAT.items():
        lines.append(f"| {words} | {' | '.join(_short(one, what) for one in known)} |")
    for one in known:
        lines += ["", f"## {one.name}", "", "| what happened | fates | task | learned steps | warnings | ways |"]
        lines.append("|---|---|---|---|---|---|")
        order = list(WHAT)
        lines += [_line(row) for row in sorted(one.rows, key=lambda row: order.index(row.what))]
        lines += ["", *_notes(one)]
    return "\n".join(lines).rstrip() + "\n"


def _short(framework: Framework, what: str) -> str:
    """A cell of the overview."""
    found = [row for row in framework.rows if row.what == what]
    if not found:
        return "not there" if any(missing.what == what for missing in framework.missing) else ""
    told = "assumed" if any(map(is_assumed, found)) else "told"
    tasks = dict.fromkeys(task for row in found for task in row.tasks)
    return f"{told}; {', '.join(tasks) or 'no task'}"


def _line(row: Row) -> str:
    fates = "<br>".join(f"`{fate}`" for fate in row.fates)
    learned = ", ".join(f"`{step}`" for step in row.learned) or "nothing"
    warned = "<br>".join(row.warned)
    return f"| {WHAT[row.what]} | {fates} | {', '.join(row.tasks)} | {learned} | {warned} | {', '.join(row.ways)} |"


def _notes(framework: Framework) -> Iterable[str]:
    for row in framework.rows:
        for label, text in (("assumed", row.assumed), ("run elsewhere", row.elsewhere), ("note", row.note)):
            if text:
                yield f"- {WHAT[row.what]} ({label}): {text}"
    for missing in framework.missing:
        yield f"- {WHAT[missing.what]} (not there): {missing.why}"


def main() -> int:
    wanted = page(frameworks())
    if "--check" in sys.argv:
        return int(not PAGE.exists() or PAGE.read_text() != wanted)
    PAGE.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
