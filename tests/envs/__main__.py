"""`python -m tests.envs [NAME ...]`: builds environments, runs their tests, prints one table."""

from __future__ import annotations

import argparse
import os
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed

from rich.console import Console
from rich.table import Table

from .build import Report, check, lock
from .definitions import environments


def main(arguments: list[str] | None = None) -> int:
    """0 when every environment could be built and held its framework, and no test failed or was skipped."""
    known = environments()
    parser = argparse.ArgumentParser(prog="python -m tests.envs", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)}; none = all")
    parser.add_argument("--lock", action="store_true", help="resolve anew, write the versions to tests/envs/NAME.txt")
    parser.add_argument("--jobs", type=int, default=min(4, os.cpu_count() or 1), help="environments at once")
    parser.add_argument("--tests", nargs="+", default=[], metavar="PATH", help="instead of the environment's own")
    given = parser.parse_args(arguments)
    unknown = [name for name in given.names if name not in known]
    if unknown:
        parser.error(f"no environment {', '.join(unknown)}; there are: {', '.join(known)}")
    chosen = [known[name] for name in given.names or known]
    if given.lock:
        for environment in chosen:
            lock(environment)
        return 0
    console = Console(width=max(140, Console().width), highlight=False)
    reports: dict[str, Report] = {}
    with ThreadPoolExecutor(given.jobs) as workers:
        for future in as_completed([workers.submit(check, environment, given.tests) for environment in chosen]):
            report = future.result()
            reports[report.name] = report
            if not report.fine:
                console.rule(f"{report.name}: {report.trouble}")
                console.print(report.output, markup=False)
            console.print(f"{report.name}: {report.trouble or f'{report.passed} passed'}")
    console.print(_table([reports[environment.name] for environment in chosen]))
    return 0 if all(report.fine for report in reports.values()) else 1


def _table(reports: list[Report]) -> Table:
    table = Table(title="Environments", title_justify="left")
    for column in ("environment", "versions"):
        table.add_column(column, no_wrap=True)
    for column in ("built in", "passed", "failed", "skipped", "tests took"):
        table.add_column(column, justify="right")
    table.add_column("")
    for report in reports:
        table.add_row(
            report.name,
            ", ".join(f"{name} {version}" for name, version in report.versions.items()),
            f"{report.built:.0f} s" if report.fresh else "there",
            str(report.passed),
            str(report.failed),
            str(report.skipped),
            f"{report.tested:.0f} s",
            report.trouble or "ok",
        )
    return table


if __name__ == "__main__":
    sys.exit(main())
