"""Fitting: which messages stay when a conversation has to become shorter."""

from __future__ import annotations

from collections.abc import Sequence

from acontext_store.types import Message

from .groups import Group, groups_of, is_request
from .tokens import Counter, part_tokens, total_tokens

#: A text that is cut to less than this says nothing any more.
_LEAST = 16
#: Thoughts may be sealed by the provider: whole, or not at all.
_CUTTABLE = frozenset({"text", "tool-result"})


def oldest_out(messages: Sequence[Message], limit: int, count: Counter) -> list[Message]:
    """Without the oldest messages, so many that the rest takes at most `limit` tokens."""
    groups = groups_of(messages, count)
    excess = sum(group.tokens for group in groups) - limit
    if excess <= 0:
        return list(messages)
    kept = _Kept(messages, groups)
    for group in groups[:-1]:
        if excess <= 0:
            break
        if not kept.dear(group):
            excess -= kept.drop(group)
    kept.begin_with_a_request()
    return _fitted(kept, limit, count)


def middle_out(messages: Sequence[Message], limit: int, count: Counter) -> list[Message]:
    """Without messages in the middle, so many that the rest takes at most `limit` tokens."""
    groups = groups_of(messages, count)
    excess = sum(group.tokens for group in groups) - limit
    if excess <= 0:
        return list(messages)
    kept = _Kept(messages, groups)
    for group in _from_the_middle(groups[1:-1]):
        if excess <= 0:
            break
        if not kept.dear(group):
            excess -= kept.drop(group)
    if excess > 0 and groups and not kept.dear(groups[0]) and len(groups) > 1:
        kept.drop(groups[0])
    return _fitted(kept, limit, count)


def _from_the_middle(groups: Sequence[Group]) -> list[Group]:
    """The middle one first, then its neighbours, outwards."""
    above = len(groups) // 2
    below = above - 1
    order: list[Group] = []
    while above < len(groups) or below >= 0:
        if above < len(groups):
            order.append(groups[above])
        if below >= 0:
            order.append(groups[below])
        above, below = above + 1, below - 1
    return order


class _Kept:
    """The groups that are still there."""

    def __init__(self, messages: Sequence[Message], groups: Sequence[Group]) -> None:
        self.messages = messages
        self.groups = dict.fromkeys(groups)
        #: The request that is being worked on.
        self.request = next((place for place in range(len(messages) - 1, -1, -1) if is_request(messages[place])), -1)

    def dear(self, group: Group) -> bool:
        """What goes last: the system prompt, and the newest request."""
        return self.request in group.places or self.system(group)

    def system(self, group: Group) -> bool:
        return all(self.messages[place].role == "system" for place in group.places)

    def drop(self, group: Group) -> int:
        del self.groups[group]
        return group.tokens

    def begin_with_a_request(self) -> None:
        """An answer without its question says little, and some providers refuse it at the beginning."""
        if self.request < 0:
            return
        for group in list(self.groups):
            if any(is_request(self.messages[place]) for place in group.places):
                return
            if not self.system(group):
                self.drop(group)

    @property
    def left(self) -> list[Message]:
        return [self.messages[place] for group in self.groups for place in group.places]


def _fitted(kept: _Kept, limit: int, count: Counter) -> list[Message]:
    """What is left, cut in the middle of its longest texts where it is still too much."""
    groups = list(kept.groups)
    newest = groups[-1:] if groups and not kept.dear(groups[-1]) else []
    system = [group for group in groups if kept.system(group)]
    rest = [group for group in groups if group not in newest and group not in system]
    for group in (None, *newest, *system, *rest):
        if group is not None:
            kept.drop(group)
        left = kept.left
        if total_tokens(left, count) <= limit:
            return left
        cut = _cut(left, limit, count)
        if cut is not None:
            return cut
    return []


def _cut(messages: list[Message], limit: int, count: Counter) -> list[Message] | None:
    """The longest texts shortened to one common length, so that all together fit; None where they can't.

    System prompts are not cut: half a rule is worse than none.
    """
    sizes: dict[tuple[int, int], int] = {}
    fixed = 0
    for place, message in enumerate(messages):
        for number, part in enumerate(message.parts):
            tokens = part_tokens(part, count)
            if part.type in _CUTTABLE and message.role != "system":
                sizes[place, number] = tokens
            else:
                fixed += tokens
    cap = _common(sorted(sizes.values()), limit - fixed)
    if cap < _LEAST:
        return None
    cut = list(messages)
    for (place, number), tokens in sizes.items():
        if tokens > cap:
            parts = list(cut[place].parts)
            text = _without_middle(parts[number].text or "", cap, count)
            parts[number] = parts[number].model_copy(update={"text": text, "asset": None})
            cut[place] = cut[place].model_copy(update={"parts": tuple(parts), "native": None})
    return cut


def _common(sizes: Sequence[int], room: int) -> int:
    """The greatest length such that all sizes, cut to it, fit into `room` (sizes ascending)."""
    for done, size in enumerate(sizes):
        share = room // (len(sizes) - done)
        if size > share:
            return share
        room -= size
    return max(sizes, default=0)


def _without_middle(text: str, cap: int, count: Counter) -> str:
    """Beginning and end of a text, in at most `cap` tokens, with a word on how much is missing."""
    room = min(len(text), cap * 4)
    while room > 0:
        head, tail = text[: (room + 1) // 2], text[len(text) - room // 2 :]
        short = f"{head}\n[... {len(text) - room} characters left out ...]\n{tail}"
        if count(short) <= cap:
            return short
        room = room * 7 // 8
    return ""
