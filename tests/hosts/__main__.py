"""`python -m tests.hosts [NAME ...]`: runs the released suites of the hosts with everything in them wrapped.

A test that fails wrapped is run again bare, with an empty space, and with the test's own objects made learned ones.
What fails bare is not ours; what fails wrapped alone is a regression, unless allowed.toml explains it.
"""

from __future__ import annotations

import argparse
import sys

from rich.console import Console
from rich.table import Table

from ..envs.build import lock
from .running import Report, check
from .suites import suites


def main(arguments: list[str] | None = None) -> int:
    """0 when no suite has a regression that nothing explains, and all of it was really wrapped."""
    known = suites()
    parser = argparse.ArgumentParser(prog="python -m tests.hosts", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)}; none = all")
    parser.add_argument("--subset", action="store_true", help="a part that takes seconds, drawn by the seed")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="which part is drawn (default 0)")
    parser.add_argument("--tests", nargs="+", default=[], metavar="ID", help="these tests of the one suite named")
    parser.add_argument("--lock", action="store_true", help="resolve anew, write the versions to ENVIRONMENT.txt")
    given = parser.parse_args(arguments)
    unknown = [name for name in given.names if name not in known]
    if unknown:
        parser.error(f"no suite {', '.join(unknown)}; there are: {', '.join(known)}")
    if given.tests and len(given.names) != 1:
        parser.error("--tests needs the name of their suite")
    chosen = [known[name] for name in given.names or known]
    if given.lock:
        for environment in {suite.environment.name: suite.environment for suite in chosen}.values():
            lock(environment)
        return 0
    console = Console(width=max(140, Console().width), highlight=False)
    reports = []
    for suite in chosen:
        report = check(suite, part=given.subset, seed=given.seed, only=given.tests)
        reports.append(report)
        _tell(console, report)
    console.print(_table(reports))
    return 0 if all(report.fine for report in reports) else 1


def _tell(console: Console, report: Report) -> None:
    console.rule(f"{report.suite} {report.version}")
    if report.unreachable:
        console.print(f"not run: {report.unreachable}", markup=False)
    for trouble in report.troubles:
        console.print(trouble, markup=False)
    for regression in report.unexplained:
        passes = ", ".join(regression.passes) or "nothing"
        console.print(f"{regression.test.id}: {regression.test.reason} (passes: {passes})", markup=False)
    for id in report.again:
        console.print(f"{id}: failed once, passed when it was run again", markup=False)


def _table(reports: list[Report]) -> Table:
    table = Table(title="Suites of the hosts, wrapped", title_justify="left")
    table.add_column("suite", no_wrap=True)
    for column in ("tests", "wrapped in", "wraps", "injections", "fail bare", "explained", "unexplained", "took"):
        table.add_column(column, justify="right")
    table.add_column("")
    for report in reports:
        table.add_row(
            f"{report.suite} {report.version}",
            *map(str, (report.tests, report.wrapped, report.wraps, report.injections, len(report.theirs))),
            str(len(report.regressions) - len(report.unexplained)),
            str(len(report.unexplained)),
            f"{report.seconds:.0f} s",
            "not run" if report.unreachable else "ok" if report.fine else "regressions or trouble",
        )
    return table


if __name__ == "__main__":
    sys.exit(main())
