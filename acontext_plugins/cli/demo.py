"""`acontext demo`: a real agent of the OpenAI Agents SDK stumbles, learns, and does better."""

from __future__ import annotations

import click


@click.command()
@click.option("--withhold", is_flag=True, help="Do not inject the skill in the second run, to see what it is worth.")
@click.option("--keep", metavar="FILE", help="Keep the demo's database there, to look at it afterwards.")
@click.pass_context
def demo(ctx: click.Context, withhold: bool, keep: str | None) -> None:
    """Watch an agent learn from one conversation: no key, no network, the SDK's own scripted model."""
    try:
        import agents.testing  # noqa: F401
    except ImportError:
        raise click.ClickException(
            "the demo needs the OpenAI Agents SDK (0.23 or newer): pip install 'acontext-plugins[openai-agents]'"
        ) from None
    from .demo_agent import run_demo

    ctx.exit(run_demo(withhold=withhold, keep=keep))
