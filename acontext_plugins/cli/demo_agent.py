"""The demo's world, its agent, and what it prints.

The model is the SDK's ScriptedModel: each of its answers is computed from what the agent really sent to it, by the
policy in `Clerk`. It knows nothing of refunds but what stands in its instructions: with the learned skill in the
system prompt it takes the skill's steps, without it it stumbles like the first time.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agents import Agent, Runner, SQLiteSession, function_tool, set_tracing_disabled
from agents.testing import ModelStep, ScriptedModel, assistant_message, function_call
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from acontext_plugins.client import Acontext
from acontext_plugins.learning import learning
from acontext_plugins.settings import LearnSettings, ObserveSettings, Settings
from acontext_store.open import database_url
from acontext_store.types import Skill

SPACE = "support"


# ------------------------------------------------------------------------------------------- the tool world


@dataclass
class Shop:
    """Orders, and what was refunded."""

    orders: dict[str, dict[str, Any]] = field(
        default_factory=lambda: {
            "ada@example.com": {"order_id": "A-1001", "item": "espresso cups", "price": "24.50 EUR"},
            "grace@example.com": {"order_id": "A-2077", "item": "desk lamp", "price": "61.90 EUR"},
        }
    )
    refunds: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: Every call in order: (tool, arguments, whether it worked).
    log: list[tuple[str, dict[str, Any], bool]] = field(default_factory=list)

    def tools(self) -> list[Any]:
        """The shop's counter, as the SDK's function tools."""

        @function_tool
        def find_order(email: str) -> str:
            """Find a customer's last order."""
            found = self.orders.get(email)
            self.log.append(("find_order", {"email": email}, found is not None))
            return json.dumps(found) if found else json.dumps({"error": "no such customer"})

        @function_tool(strict_mode=False)
        def issue_refund(order_id: str, amount: str | int, method: str) -> str:
            """Refund an order."""
            arguments = {"order_id": order_id, "amount": amount, "method": method}
            fine = isinstance(amount, int) or str(amount).isdigit()
            self.log.append(("issue_refund", arguments, fine))
            if not fine:
                return json.dumps({"error": "amount must be an integer number of cents"})
            self.refunds[order_id] = {"amount": int(amount), "method": method}
            return json.dumps({"status": "refunded", "order_id": order_id})

        @function_tool
        def send_receipt(order_id: str) -> str:
            """Mail the receipt of a refund."""
            self.log.append(("send_receipt", {"order_id": order_id}, order_id in self.refunds))
            return json.dumps({"status": "sent"})

        return [find_order, issue_refund, send_receipt]


# ------------------------------------------------------------------------------------------ the scripted model


class Clerk:
    """Decides the next call from the instructions and the conversation, and from nothing else."""

    def answer(self, call: Any) -> Any:
        """One model response."""
        instructions = call.system_instructions or ""
        items = [item for item in call.input if isinstance(item, dict)]
        number = f"call_{sum(item.get('type') == 'function_call' for item in items) + 1}"
        last_user = max(i for i, item in enumerate(items) if item.get("role") == "user")
        turn = items[last_user + 1 :]
        done = [item["name"] for item in turn if item.get("type") == "function_call"]
        failed = any("error" in str(item.get("output")) for item in turn[-1:])
        words = str(items[last_user].get("content"))
        everything = " ".join(str(item.get("content") or item.get("output")) for item in items)
        if re.search(r"\bthank", words, re.IGNORECASE):
            return [assistant_message("You are welcome.")]
        order = re.search(r'"order_id": "([^"]+)"', everything)
        price = re.search(r'"price": "([\d.]+)', everything)
        amount = price.group(1) if price else ""
        cents = round(float(amount) * 100) if amount else 0
        plan = skill_steps(instructions)
        knows_cents = bool(re.search(r"issue_refund\b.*\b(integer|whole number|digits)", instructions))
        method = "original_payment" if "original payment" in (instructions + words).lower() else "store_credit"
        if plan:
            wanted = [step for step in plan if step not in done]
        elif method == "original_payment":  # the correction
            wanted = [step for step in ("issue_refund", "send_receipt") if step not in done]
            knows_cents = True
        else:
            wanted = [step for step in ("find_order", "issue_refund") if step not in done]
            if failed:
                wanted, knows_cents = ["issue_refund"], True
        if not wanted:
            return [assistant_message(f"Done: {amount} EUR, by {method.replace('_', ' ')}.")]
        arguments: dict[str, dict[str, Any]] = {
            "find_order": {"email": "".join(re.findall(r"\S+@\S+\.\w+", everything)[:1])},
            "issue_refund": {
                "order_id": order.group(1) if order else "",
                "amount": cents if knows_cents else amount,
                "method": method,
            },
            "send_receipt": {"order_id": order.group(1) if order else ""},
        }
        return [function_call(wanted[0], arguments[wanted[0]], call_id=number)]


def skill_steps(instructions: str) -> list[str]:
    """The tool names of the first skill that was injected, in order."""
    block = re.search(r"<acontext-skills.*?</acontext-skills>", instructions, re.DOTALL)
    if block is None:
        return []
    first = block.group(0).split("Use when:")[1] if "Use when:" in block.group(0) else ""
    return re.findall(r"^\d+\. (\w+):", first, re.MULTILINE)


# ----------------------------------------------------------------------------------------------- the two runs


@dataclass
class DemoRun:
    """What one conversation came to."""

    said: list[tuple[str, str]]
    calls: list[tuple[str, dict[str, Any], bool]]
    injected: str
    refund: dict[str, Any]

    @property
    def errors(self) -> int:
        """Calls that the shop refused."""
        return sum(not fine for _, _, fine in self.calls)


async def converse(client: Acontext, turns: list[str], *, inject: bool, key: str) -> DemoRun:
    """One conversation of the wrapped agent with its user."""
    shop = Shop()
    clerk = Clerk()
    model = ScriptedModel([ModelStep.respond(clerk.answer) for _ in range(40)])
    agent = Agent(name="support", instructions="You help customers of a small shop.", tools=shop.tools(), model=model)
    agent = learning(agent, space=SPACE, client=client, inject=inject, deadline=5.0)
    session = SQLiteSession(key)
    said = []
    for turn in turns:
        result = await Runner.run(agent, turn, session=session)
        said.append((turn, str(result.final_output)))
    session.close()
    prompt = model.calls[0].system_instructions or ""
    block = re.search(r"<acontext-skills.*?</acontext-skills>", prompt, re.DOTALL)
    refund = next(iter(shop.refunds.values()), {})
    return DemoRun(said, shop.log, block.group(0) if block else "", refund)


FIRST = [
    "Hello, I am ada@example.com. My espresso cups arrived broken, please refund them.",
    "No, that is wrong, I do not want store credit. Always refund to the original payment method, "
    "and send the receipt.",
    "Thank you, perfect!",
]
SECOND = ["Hi, grace@example.com here. The desk lamp came with a crack, I would like a refund."]


def play(client: Acontext, *, withhold: bool) -> tuple[DemoRun, list[Skill], DemoRun]:
    """The first run, what was learned from it, and the second run."""
    first = asyncio.run(converse(client, FIRST, inject=True, key="ada"))
    client.flush(30)
    space = client.spaces.get(SPACE)
    learned = list(client.spaces.skills(space.id, candidates=True))
    second = asyncio.run(converse(client, SECOND, inject=not withhold, key="grace"))
    client.flush(30)
    return first, learned, second


@contextmanager
def demo_client(keep: str | None) -> Iterator[Acontext]:
    """A client on a database of the demo's own."""
    with tempfile.TemporaryDirectory(prefix="acontext-demo-") as folder:
        path = Path(keep).expanduser().absolute() if keep else Path(folder) / "demo.db"
        settings = Settings(
            url=database_url(path), observe=ObserveSettings(quiet=0.05), learn=LearnSettings(quiet=0.05)
        )
        with Acontext(settings=settings) as client:
            yield client


def run_demo(*, withhold: bool, keep: str | None) -> int:
    """Play it and print it; 0 when the second run was better than the first."""
    os.environ.setdefault("OPENAI_API_KEY", "sk-not-used")
    set_tracing_disabled(True)
    console = Console(width=min(Console().width, 110))
    console.rule("[bold]acontext demo")
    console.print(
        "A real agent of the OpenAI Agents SDK, wrapped with [bold]learning(agent, space='support')[/bold], works for "
        "a small shop.\nIts model is the SDK's own ScriptedModel (said so because it matters): no key, no network. "
        "Each answer is computed\nfrom the prompt that the agent sends, so that what is in the prompt decides.\n"
    )
    with demo_client(keep) as client:
        first, learned, second = play(client, withhold=withhold)
        _conversation(console, "1. The first run", first)
        _skills(console, client, learned)
        _conversation(console, "3. The second run, another customer", second)
        _injected(console, second, withhold)
        _compare(console, first, second)
        better = second.errors == 0 and len(second.calls) < len(first.calls)
        _next(console, keep, withhold)
    return 0 if better or withhold else 1


def _conversation(console: Console, title: str, run: DemoRun) -> None:
    console.rule(title, align="left")
    for user, agent in run.said:
        console.print(Text("user   ", "bold cyan") + Text(user))
        console.print(Text("agent  ", "bold green") + Text(agent))
    console.print()
    for number, (tool, arguments, fine) in enumerate(run.calls, 1):
        console.print(
            Text(f"  {number}. {tool}({', '.join(f'{k}={v!r}' for k, v in arguments.items())})  ")
            + Text("ok" if fine else "refused", "green" if fine else "bold red")
        )
    console.print()


def _skills(console: Console, client: Acontext, learned: list[Skill]) -> None:
    console.rule("2. What was learned, and from which messages", align="left")
    for skill in learned:
        lines = [f"use when   {skill.body.use_when}"]
        if skill.body.preferences:
            lines.append(f"prefer     {skill.body.preferences}")
        lines += [f"{n}.         {step.tool_name}: {step.action}" for n, step in enumerate(skill.body.tool_sops, 1)]
        lines += [f"avoid      {pitfall}" for pitfall in skill.body.pitfalls]
        lines.append(f"score      {skill.score:g} ({', '.join(skill.score_reasons)})")
        console.print(Panel("\n".join(lines), title=f"{skill.status}, version {skill.version}", title_align="left"))
        for evidence in skill.evidence:
            _taught(console, client, evidence.session_id, set(evidence.message_ids))
    if not learned:
        console.print("nothing\n")


def _taught(console: Console, client: Acontext, session_id: str, ids: set[str]) -> None:
    page = client.sessions.get_messages(session_id)
    for id, item in zip(page.ids, page.items, strict=True):
        if id in ids:
            calls = ", ".join(
                f"{call['function']['name']}({call['function']['arguments']})" for call in item.get("tool_calls") or []
            )
            console.print(f"  taught by  {item['role']}: {(item.get('content') or calls)!s:.90}", highlight=False)
    console.print()


def _injected(console: Console, run: DemoRun, withhold: bool) -> None:
    console.rule("4. The exact text that stood in its system prompt", align="left")
    console.print(Text(run.injected or ("nothing: withheld" if withhold else "nothing")))
    console.print()


def _compare(console: Console, first: DemoRun, second: DemoRun) -> None:
    table = Table(title="Side by side", title_justify="left")
    for column in ("", "first run", "second run"):
        table.add_column(column)
    table.add_row("tool calls", str(len(first.calls)), str(len(second.calls)))
    table.add_row("refused calls", str(first.errors), str(second.errors))
    table.add_row("corrections by the user", str(len(first.said) - 2), str(len(second.said) - 1))
    table.add_row("refund", str(first.refund), str(second.refund))
    table.add_row("skill in the prompt", "yes" if first.injected else "no", "yes" if second.injected else "no")
    console.print(table)


def _next(console: Console, keep: str | None, withhold: bool) -> None:
    path = keep or "demo.db"
    program = "acontext" if shutil.which("acontext") else os.path.relpath(sys.argv[0])
    lines = ["", "What to type next:"]
    if not withhold:
        lines.append(f"  {program} demo --withhold           the same, the skill withheld: it stumbles again")
    if keep is None:
        lines.append(f"  {program} demo --keep demo.db       keep the database, then look into it:")
    lines += [
        f"  {program} skills --space {SPACE} --url {database_url(path)}",
        f"  {program} tasks --space {SPACE} --url {database_url(path)}",
        f"  {program} learn FILE --space NAME   learn from conversations of your own",
    ]
    console.print("\n".join(lines), soft_wrap=True, highlight=False)
