"""Where skills stand in a history that a host sends again. Pure; nothing in here knows a format.

A host sends its own history, without our text. So each turn of the user has a name, made of its words, of the model's
words before it and of how often that was so before, and what was placed behind a turn is placed there again. Where a
turn is gone (a window, a summary, an edited history), so is what stood behind it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence

from acontext_plugins.inject.recall import HEAD, ShownTurns, SkillsBlock

from .resent_history import Item


def turn_names(items: Sequence[Item], *, salt: str = "") -> list[str]:
    """The name of each item that is a turn of the user, "" for the others.

    `salt` tells apart the turns of requests that show no history.
    """
    names = []
    counts: Counter[bytes] = Counter()
    before = salt.encode("utf-8", "surrogatepass")
    for one in items:
        if one.kind == "user":
            said = before + one.key
            counts[said] += 1
            names.append(hashlib.blake2b(b"%d:%b" % (counts[said], said), digest_size=9).hexdigest())
            continue
        if one.kind == "model":
            before = one.key
        names.append("")
    return names


def shown_turns(items: Sequence[Item], names: Iterable[str], *, held: bool = False) -> ShownTurns:
    """What a run says of its request. `held`: the provider has what came before these items."""
    opens = not held and all(one.kind in ("user", "host") for one in items)
    return ShownTurns(tuple(name for name in names if name), opens, held)


def place_blocks(names: Sequence[str], blocks: Iterable[SkillsBlock]) -> tuple[str, dict[int, str]]:
    """The text behind the instructions, and the texts behind items, by the positions of those in `names`."""
    places = {name: at for at, name in reversed(list(enumerate(names))) if name}
    head: list[str] = []
    behind: dict[int, list[str]] = {}
    for block in blocks:
        if block.anchor == HEAD:
            head.append(block.text)
        elif block.anchor in places:
            behind.setdefault(places[block.anchor], []).append(block.text)
    return "\n\n".join(head), {at: "\n\n".join(texts) for at, texts in sorted(behind.items())}


class RequestTurns:
    """The turns of one request: what a run says of them, and where its blocks go in it."""

    def __init__(self, items: Iterable[Item], *, held: bool = False) -> None:
        """`held`: the provider has what came before these items."""
        kept = list(items)
        self._names = turn_names(kept)
        self.shown = shown_turns(kept, self._names, held=held)

    def place(self, blocks: Iterable[SkillsBlock]) -> tuple[str, dict[int, str]]:
        """The text behind the instructions, and the texts behind items, by their positions."""
        return place_blocks(self._names, blocks)


def words_in(content: str | Iterable[object]) -> list[str]:
    """The words of a turn: a text, or those parts of it that are texts."""
    return [content] if isinstance(content, str) else [one for one in content if isinstance(one, str)]


def appended(content: str | Iterable[object], text: str) -> str | list[object]:
    """A turn with a text behind it: a longer text, or one part more."""
    return f"{content}\n\n{text}" if isinstance(content, str) else [*content, text]
