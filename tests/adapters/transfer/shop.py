"""A small shop, and a model that works in it: the same for every framework.

The model knows nothing of refunds but what it is sent. With the learned skill in its instructions it takes the
skill's steps; without it, it stumbles like the first time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

INSTRUCTIONS = "You help customers of a small shop."
FIRST = (
    "Hello, I am ada@example.com. My espresso cups arrived broken, please refund them.",
    "No, that is wrong, I do not want store credit. Always refund to the original payment method, "
    "and send the receipt.",
    "Thank you, perfect!",
)
SECOND = ("Hi, grace@example.com here. The desk lamp came with a crack, I would like a refund.",)
_ORDERS = {
    "ada@example.com": {"order_id": "A-1001", "item": "espresso cups", "price": "24.50 EUR"},
    "grace@example.com": {"order_id": "A-2077", "item": "desk lamp", "price": "61.90 EUR"},
}


@dataclass
class Shop:
    """What was asked of it: (tool, arguments, whether it worked)."""

    log: list[tuple[str, dict[str, Any], bool]] = field(default_factory=list)

    def find_order(self, email: str) -> str:
        """Find a customer's last order."""
        found = _ORDERS.get(email)
        return self._answer("find_order", {"email": email}, found, "no such customer")

    def issue_refund(self, order_id: str, amount: str, method: str) -> str:
        """Refund an order."""
        done = {"status": "refunded", "order_id": order_id} if str(amount).isdigit() else None
        arguments = {"order_id": order_id, "amount": amount, "method": method}
        return self._answer("issue_refund", arguments, done, "amount must be an integer number of cents")

    def send_receipt(self, order_id: str) -> str:
        """Mail the receipt of a refund."""
        return self._answer("send_receipt", {"order_id": order_id}, {"status": "sent"}, "")

    def _answer(self, tool: str, arguments: dict[str, Any], found: dict[str, Any] | None, error: str) -> str:
        self.log.append((tool, arguments, found is not None))
        return json.dumps(found if found is not None else {"error": error})

    @property
    def tools(self) -> dict[str, Callable[..., str]]:
        return {"find_order": self.find_order, "issue_refund": self.issue_refund, "send_receipt": self.send_receipt}

    @property
    def refused(self) -> int:
        return sum(not worked for _, _, worked in self.log)


@dataclass(frozen=True)
class Said:
    """A piece of what a model is sent. A call has its tool's name in `words`."""

    who: Literal["user", "agent", "call", "result"]
    words: str


@dataclass(frozen=True)
class Use:
    """The model calls a tool."""

    tool: str
    arguments: dict[str, str]
    id: str


class Clerk:
    """The model. What skills stood in its prompts is kept."""

    def __init__(self) -> None:
        self.skills: list[str] = []

    def next(self, instructions: str, said: Sequence[Said]) -> Use | str:
        """A call, or words. Skills may stand in the instructions or in the user's newest turn."""
        newest = max(place for place, one in enumerate(said) if one.who == "user")
        words, turn = said[newest].words, said[newest + 1 :]
        skills = "".join(_BLOCK.findall(f"{instructions}\n{words}"))
        self.skills.append(skills)
        words = _BLOCK.sub("", words)
        if "thank" in words.lower():
            return "You are welcome."
        done = [one.words for one in turn if one.who == "call"]
        failed = bool(turn) and "error" in turn[-1].words
        everything = " ".join(one.words for one in said)
        order = _found(r'"order_id": "([^"]+)"', everything)
        price = _found(r'"price": "([\d.]+)', everything)
        corrected = "original payment" in words.lower()
        plan = steps_in(skills)
        if plan:
            wanted = [step for step in plan if step not in done]
        elif corrected:
            wanted = [step for step in ("issue_refund", "send_receipt") if step not in done]
        elif failed:
            wanted = ["issue_refund"]
        else:
            wanted = [step for step in ("find_order", "issue_refund") if step not in done]
        if not wanted:
            return "It is done."
        in_cents = corrected or failed or re.search(r"issue_refund\b.*\b(integer|whole number|digits)", skills)
        method = "original_payment" if "original payment" in (skills + words).lower() else "store_credit"
        arguments = {
            "find_order": {"email": _found(r"(\S+@\S+\.\w+)", everything)},
            "issue_refund": {"order_id": order, "amount": _cents(price) if in_cents else price, "method": method},
            "send_receipt": {"order_id": order},
        }
        number = sum(one.who == "call" for one in said) + 1
        return Use(wanted[0], arguments[wanted[0]], f"call_{number}")

    @property
    def injected(self) -> str:
        """The skills in its prompts; "" where there were none. Raises where they were not the same in each."""
        assert len(set(self.skills)) == 1, "skills changed while a run went on"
        return self.skills[0]


_BLOCK = re.compile(r"<acontext-skills.*?</acontext-skills>", re.DOTALL)


def steps_in(skills: str) -> list[str]:
    """The tools of the first skill, in order."""
    first = skills.split("Use when:")[1] if skills else ""
    return re.findall(r"^\d+\. (\w+):", first, re.MULTILINE)


def _found(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    return found.group(1) if found else ""


def _cents(price: str) -> str:
    return str(round(float(price) * 100)) if price else ""
