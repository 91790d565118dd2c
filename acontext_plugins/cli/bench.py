"""`acontext bench`: what memory costs, each figure beside its raw limit from the same run.

Absolute times belong to the machine; the ratios and the flatness are what the budgets are about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict

import click

from acontext_plugins.bench.adapters import compare
from acontext_plugins.bench.core import PARTS
from acontext_plugins.bench.figures import Figure
from acontext_plugins.bench.players import CALLS, FRAMEWORKS, TOOLS

from .common import emit, json_option, say


@click.command()
@click.option("--only", multiple=True, type=click.Choice(list(PARTS)), help="One part; repeat for more. [default: all]")
@click.option("--adapters", is_flag=True, help="Instead: what each installed framework's adapter costs its host.")
@click.option("--http", is_flag=True, help="Instead: `acontext serve` under load, beside a bare FastAPI route.")
@click.option("--proxy", is_flag=True, help="Instead: a LiteLLM proxy with our handler, beside a bare one.")
@click.option("--learning", is_flag=True, help="Instead: calls and tokens of learning with a model, and its speed.")
@click.option("--data", metavar="FILE", help="With --learning: conversations too, as `acontext learn` takes them.")
@click.option("--outcome-field", default="outcome", show_default=True, metavar="FIELD", help="With --data.")
@click.option("--embeddings", is_flag=True, help="Instead: search by meaning, the embedding model's time left out.")
@click.option("--quick", is_flag=True, help="Smaller counts: seconds instead of minutes, coarser figures.")
@json_option
@click.pass_context
def bench(
    ctx: click.Context,
    only: tuple[str, ...],
    adapters: bool,
    http: bool,
    proxy: bool,
    learning: bool,
    data: str | None,
    outcome_field: str,
    embeddings: bool,
    quick: bool,
    as_json: bool,
) -> None:
    """Measure recording, appending, growth, search and import, each against its raw limit."""
    if adapters:
        ctx.exit(0 if _show_adapters(quick=quick, as_json=as_json) else 1)
    if data is not None and not learning:
        raise click.UsageError("--data goes with --learning")
    figures: list[Figure] = []
    runners: list[Callable[[bool], Iterator[Figure]]] = []
    if http:
        from acontext_plugins.bench.http import figures as http_figures

        runners.append(http_figures)
    if proxy:
        from acontext_plugins.bench.proxy import figures as proxy_figures

        runners.append(proxy_figures)
    if learning:
        from acontext_plugins.bench.learning import figures as learning_figures

        runners.append(lambda quick: learning_figures(quick, data, outcome_field))
    if embeddings:
        from acontext_plugins.bench.embeddings import figures as embedding_figures

        runners.append(embedding_figures)
    if not runners:
        runners = [PARTS[part] for part in only or PARTS]
    for runner in runners:
        for figure in runner(quick):
            figures.append(figure)
            if as_json:
                emit({**asdict(figure), "ratio": figure.ratio})
            else:
                _row(figure, header=len(figures) == 1)
    missed = [figure for figure in figures if figure.met is False]
    if missed and not as_json:
        click.echo(f"\n{len(missed)} over budget: {', '.join(figure.name for figure in missed)}")
    ctx.exit(1 if missed else 0)


def _row(figure: Figure, *, header: bool) -> None:
    if header:
        click.echo(f"{'what':<46} {'ours':>12} {'raw':>12} {'ratio':>8}  budget")
    raw = f"{figure.raw:,.1f}" if figure.raw else ""
    ratio = f"{figure.ratio:.2f}" if figure.ratio else ""
    verdict = {True: "ok   ", False: "OVER ", None: "     "}[figure.met]
    against = f" (raw: {figure.raw_name})" if figure.raw_name else ""
    value = f"{figure.value:,.1f} {figure.unit}"
    click.echo(f"{figure.name:<46} {value:>12} {raw:>12} {ratio:>8}  {verdict}{figure.budget}{against}")


def _show_adapters(*, quick: bool, as_json: bool) -> bool:
    """Measure every framework that is installed, and say so; whether all of them keep the budget."""
    seconds, rounds = (3.0, 1) if quick else (8.0, 3)
    fine = True
    for name, framework in FRAMEWORKS.items():
        if not framework.installed:
            say(f"{name}: not installed")
            continue
        first, found = compare(name, seconds=seconds, rounds=rounds)
        fine &= all(one.met for one in found)
        if as_json:
            emit({"first run": asdict(first)})
            for one in found:
                emit({**asdict(one), "ratio": one.ratio, "met": one.met})
            continue
        click.echo(f"{name}, one run = {CALLS} model calls and {len(TOOLS)} tool calls")
        for one in found:
            verdict = "ok  " if one.met else "OVER"
            click.echo(
                f"  {one.load:<14} {one.wrapped:8.2f} ms a run, bare {one.bare:8.2f}, {one.ratio:5.2f}x;"
                f" a model call +{one.added:.2f} ms  {verdict}"
            )
            for who, late in (("bare", one.bare_late), ("wrapped", one.wrapped_late)):
                p99, p999, latest, share = late
                click.echo(
                    f"    loop, {who:<8} late p99 {p99:6.1f} ms, p99.9 {p999:6.1f}, latest {latest:6.1f};"
                    f" {share:.3%} of ticks > 10 ms"
                )
            if one.lost or one.injected < 1:
                click.echo(f"    {one.lost} recordings lost; skills in {one.injected:.0%} of runs")
        click.echo(
            f"  first run      {first.wrapped:8.0f} ms, bare {first.bare:.0f};"
            f" loop late by at most {first.wrapped_late:.0f} ms, bare {first.bare_late:.0f}"
        )
    return fine
