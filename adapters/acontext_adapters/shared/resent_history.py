"""Histories that are sent again with each call of a model: which conversation is it, and what of it is new?

Nothing in here knows a format: an item is a key (the same words, the same key) and who made it. Rules:

- What a model said is recorded where it is made. Of a request, what stands behind all that is known is new; where
  that cannot be told, what stands behind the model's last words.
- Results are compared without their order, for parallel tools finish as they like. Prompts of the host don't count.
- Ids follow from the session, the item and what it follows on, so that another process that is sent the same
  history gives the same ids, and the store keeps one.
- A repeat is a repeat only where the request says so: by the history that it shows, or by being the same as one that
  nobody has answered. A request that shows nothing the model said is new each time. Where another process may have
  given the same id to another turn (`unsure`), the store decides by what stands behind the row that has it.
"""

from __future__ import annotations

import hashlib
import math
import threading
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeVar

from cachetools import FIFOCache, LRUCache

from acontext_store.forks import renewed_in_child
from acontext_store.types import new_id, stable_id

Kind = Literal["user", "model", "call", "result", "host"]
_MARKS: dict[Kind, bytes] = {"user": b"u", "model": b"m", "call": b"c", "result": b"r", "host": b"h"}
_MODEL = (b"m"[0], b"c"[0])
_LOOSE = (b"c"[0], b"r"[0])
_RESULT = b"r"[0]
_AMBIGUOUS = ""
#: How many requests of one conversation are remembered.
_REQUESTS = 32
V = TypeVar("V")


class Item(NamedTuple):
    """One item of a history, by what it says."""

    key: bytes
    kind: Kind


def item(kind: Kind, *words: str) -> Item:
    """The item that says these words. Results: the call's id; calls: the ids of all of them, sorted."""
    text = "\x1f".join(words).encode("utf-8", "surrogatepass")
    return Item(_MARKS[kind] + hashlib.blake2b(text, digest_size=15).digest(), kind)


#: An answer without words, where a host shows it.
_SAID_NOTHING = item("model").key


@dataclass(frozen=True, slots=True)
class Sent:
    """What was found out about a request. Positions are those of the items that were given."""

    session_key: str
    #: Whether anything of this conversation was known.
    known: bool
    #: Positions of the items that have not been seen before, in order.
    new: tuple[int, ...]
    #: The stable ids of the items that are new or begin one of the two newest turns; "" for the others.
    ids: tuple[str, ...]
    #: Where the newest turn of the user begins.
    turn: int
    #: Where the one before it begins; -1 where there is none, or where the newest has been gone on with.
    before: int
    #: The request as a whole, and its conversation in short: for `answered`.
    digest: bytes
    chain: bytes
    #: The items are the conversation from its beginning, as far as the host sends it.
    whole: bool
    #: The key of the last item, and what an answer follows on: the model's last words, or what stands for them.
    last: bytes
    anchor: bytes
    #: It shows nothing that the model said.
    alone: bool = False
    #: Positions of new items whose id an earlier turn may have, in another process or before this one began.
    unsure: frozenset[int] = frozenset()
    #: The same of the answer.
    unsure_answer: bool = False
    #: Positions of new items that the model has gone on from: another process may have recorded them.
    context: frozenset[int] = frozenset()
    #: How many of the items, from the first on, an earlier answer stands behind: also one that had no words.
    heard: int = 0
    #: The keys that came with it.
    added: tuple[bytes, ...] = ()


class _SentHistory:
    """The keys of one conversation, in order, and which requests have been seen."""

    __slots__ = ("answered", "asked", "choices", "keyed", "lone", "loose", "settled", "whole")

    def __init__(self, keyed: bool) -> None:
        self.settled: list[bytes] = []
        #: Results behind all that: more may come beside them, in any order.
        self.loose: list[bytes] = []
        #: Nothing has been forgotten of its beginning.
        self.whole = True
        self.keyed = keyed
        #: How many keys there were when a model last answered, in words or none.
        self.answered = 0
        #: Requests, and whether an answer has come.
        self.asked: FIFOCache[bytes, bool] = FIFOCache(_REQUESTS)
        #: Requests without history that nobody has answered: what an answer follows on, and whether they have failed.
        self.lone: FIFOCache[bytes, tuple[bytes, bool]] = FIFOCache(_REQUESTS)
        #: Other choices of an answer, each with the one that is known of it.
        self.choices: FIFOCache[bytes, bytes] = FIFOCache(_REQUESTS)

    def __len__(self) -> int:
        return len(self.settled) + len(self.loose)

    def __iter__(self) -> Iterator[bytes]:
        yield from self.settled
        yield from self.loose

    def extend(self, keys: Sequence[bytes], most: int) -> None:
        for key in keys:
            if key[0] == _RESULT:
                self.loose.append(key)
                continue
            if self.loose:
                self.settled += sorted(self.loose)
                self.loose = []
            self.settled.append(key)
        if len(self.settled) > most:
            del self.settled[: len(self.settled) - most // 2]
            self.whole = False

    def take_back(self, keys: Sequence[bytes], digest: bytes) -> None:
        """The newest request was not made, with which these came."""
        self.asked.pop(digest, None)
        self.lone.pop(digest, None)
        for key in reversed(keys):
            if key in self.loose:
                self.loose.remove(key)
            elif self.settled and self.settled[-1] == key:
                self.settled.pop()

    def shown(self, keys: Sequence[bytes]) -> set[bytes]:
        """The host goes on from these: what it shows of answers is what counts. Returns choices that are new by it.

        It may have taken another choice than the first, and have left out that the model said nothing.
        """
        taken = {key for key in keys if key in self.choices and key not in self.settled}
        for key in taken:
            first = self.choices[key]
            if first in self.settled and first not in keys:
                self.settled[len(self.settled) - 1 - self.settled[::-1].index(first)] = key
        if _SAID_NOTHING in self.settled and _SAID_NOTHING not in keys:
            rest = [key for key in self.settled if key != _SAID_NOTHING]
            if len(keys) > len(rest) and list(keys[: len(rest)]) == rest:
                self.answered -= len(self.settled) - len(rest)
                self.settled = rest
        return taken

    def heard(self, keys: Sequence[bytes]) -> int:
        """How many of `keys` are all that there is, where that has been answered and `keys` go on from it; else 0."""
        size = len(self)
        if not self.whole or not self.answered == size < len(keys) or keys[: len(self.settled)] != self.settled:
            return 0
        return size if keys[len(self.settled) : size] == sorted(self.loose) else 0

    def ask(self, digest: bytes, answered: bool) -> None:
        self.asked[digest] = answered
        if answered:
            self.lone.pop(digest, None)


class Conversations:
    """All that is known of conversations, within bounds: what was seen longest ago is forgotten first. Thread safe."""

    def __init__(self, *, sessions: int = 4096, keys: int = 100_000, keys_of_one: int = 4096) -> None:
        self._sessions = sessions
        self._most = keys
        self._most_of_one = keys_of_one
        self._ledgers: LRUCache[tuple[str, str], _SentHistory] = LRUCache(math.inf)
        self._size = 0
        #: Sessions by the fingerprint of the whole conversation up to some answer, or of its last two items.
        self._ends: FIFOCache[tuple[str, bytes], str] = FIFOCache(4 * sessions)
        self._lock = renewed_in_child(self, "_lock", threading.RLock)

    def __len__(self) -> int:
        return len(self._ledgers)

    @property
    def size(self) -> int:
        """How many keys are kept."""
        return self._size

    def sent(
        self,
        scope: str,
        session_key: str | None,
        items: Sequence[Item],
        *,
        after: str | None = None,
        retry: bool = False,
    ) -> Sent:
        """A request with these items: what is new in it, in which session.

        `scope` is what two requests of one conversation have in common beyond their items. Without a `session_key`
        the conversation is known by an earlier answer in the history; where that is nobody's or two sessions', it is
        a new one, and what came before the newest turn of the user is context (nobody saw it being made).
        `after`: the provider has the history, and the items only go on from there (the id of an answer, or "").
        `retry`: the client says that it has sent this before.
        """
        order = _order(items)
        keys = [items[place].key for place in order]
        with self._lock:
            found, heard = session_key, 0
            if session_key is None and after is None:
                found, heard = self._find(scope, keys)
            name = scope, found if found is not None else new_id()
            ledger = self._ledgers.get(name)
            known = ledger is not None
            taken: set[bytes] = set()
            if ledger is not None and after is None:
                self._size -= len(ledger)
                taken = ledger.shown(keys)
                self._size += len(ledger)
            turn = _turn(items)
            before = _before(items, turn)
            if after is None and ledger is not None and ledger.keyed:
                heard = ledger.heard(keys)
            alone = after is None and not _last_model(keys) and not heard
            anchor = b""
            if after:
                anchor = item("model", "response", after).key
            elif after is not None and ledger is not None:
                anchor = _last_model(ledger)
            digest = _digest(keys if after is None else [after.encode(), b"", *keys])
            counts: Counter[tuple[bytes, bytes]] = Counter()
            # a session that the host names may have turns that this process never saw
            unsure = session_key is not None and after is None
            behind = max((at for at, key in enumerate(keys) if key[0] in _MODEL), default=-1)
            context: set[int] = set()
            if ledger is None:
                ledger = self._ledgers[name] = _SentHistory(session_key is not None)
                fresh = _unseen(items, order, turn) if after is None else list(range(len(keys)))
                if unsure:
                    context = {order[at] for at in fresh if at <= behind}
            elif after is not None:
                asked = ledger.asked.get(digest)
                fresh = list(range(len(keys))) if asked is None or (asked and not after) else []
                counts = Counter(_pairs(ledger))
            elif alone:
                anchor, failed = ledger.lone.get(digest, (b"", False))
                repeated = failed or (retry and digest in ledger.lone)
                fresh = [] if repeated else _without(keys, 0, ledger.loose)
                anchor = anchor if repeated else new_id().encode()
                unsure = repeated and not anchor  # another try of what this process saw first
            else:
                fresh, follows = _fresh(ledger, keys, digest)
                if not follows:
                    counts = Counter(_pairs(ledger))
            settled = fresh
            if taken:
                fresh = sorted({*fresh, *(at for at, key in enumerate(keys) if key in taken)})
            heads = {at for at, place in enumerate(order) if place in (turn, before)}
            ids = _ids(name[1], keys, set(fresh), counts, anchor=anchor, heads=heads)
            added = keys if not known else [keys[at] for at in settled]
            self._extend(name, ledger, added)
            ledger.ask(digest, False)
            if alone:
                ledger.lone[digest] = anchor, False
        return Sent(
            session_key=name[1],
            known=known,
            new=tuple(sorted(order[at] for at in fresh)),
            ids=_placed(ids, order, len(items)),
            turn=turn,
            before=before,
            digest=digest,
            chain=_chained(b"", keys) if session_key is None else b"",
            whole=after is None,
            last=keys[-1] if keys else b"",
            anchor=_last_model(keys) or anchor,
            alone=alone,
            unsure=frozenset(order[at] for at in fresh if at > behind) if unsure else frozenset(),
            unsure_answer=unsure,
            context=frozenset(context),
            heard=max((place + 1 for place in order[:heard]), default=0),
            added=tuple(added),
        )

    def answered(
        self,
        scope: str,
        sent: Sent,
        items: Sequence[Item],
        *,
        behind: Item | None = None,
        others: Sequence[Item] = (),
    ) -> tuple[str, ...]:
        """What a model answered to that request, in words or none. Returns the stable id of each item.

        `behind`: what the last item may stand behind in the history that is sent next, where that is another one.
        `others`: choices of which the host may take one in place of the (only) item. Where hosts may show that the
        model said nothing, that is an item without words.
        """
        order = _order(items)
        keys = [items[place].key for place in order]
        with self._lock:
            name = scope, sent.session_key
            ledger = self._ledgers.get(name)
            if ledger is None:
                ledger = self._ledgers[name] = _SentHistory(True)
            repeated = not set(keys).isdisjoint(ledger.settled)
            counts = Counter(_pairs(ledger)) if repeated else Counter()
            ids = _ids(sent.session_key, keys, set(range(len(keys))), counts, anchor=sent.anchor)
            self._extend(name, ledger, keys)
            ledger.ask(sent.digest, True)
            ledger.answered = len(ledger)
            choices = [one.key for one in others if keys and one.key != keys[0]]
            ledger.choices.update((key, keys[0]) for key in choices)
            if sent.whole and not ledger.keyed:
                before = keys[-2] if len(keys) > 1 else sent.last
                for end in (keys, *([key] for key in choices)):
                    self._remember(scope, _chained(sent.chain, end), sent.session_key)
                    if before and end and end[-1][0] in _MODEL:
                        self._remember(scope, _tail(before, end[-1]), sent.session_key)
                if keys == [_SAID_NOTHING]:  # the host may leave that out
                    self._remember(scope, sent.chain, sent.session_key)
                if behind is not None and keys:
                    self._remember(scope, _tail(behind.key, keys[-1]), sent.session_key)
        return _placed(ids, order, len(items))

    def withdrawn(self, scope: str, sent: Sent) -> None:
        """That request was blocked, and nothing of it is recorded: it has not been made."""
        with self._lock:
            ledger = self._ledgers.get((scope, sent.session_key))
            if ledger is None:
                return
            self._size -= len(ledger)
            ledger.take_back(sent.added, sent.digest)
            self._size += len(ledger)
            if not sent.known and not len(ledger):
                del self._ledgers[scope, sent.session_key]

    def unanswered(self, scope: str, sent: Sent) -> None:
        """That request failed, or nobody waited for its answer: the same one again is another try of it."""
        with self._lock:
            ledger = self._ledgers.get((scope, sent.session_key))
            if ledger is not None and sent.alone:
                ledger.lone[sent.digest] = sent.anchor, True

    # -- finding
    def _find(self, scope: str, keys: Sequence[bytes]) -> tuple[str | None, int]:
        """The session of a history by its beginning, else by what its window shows of an end, and where that ends.

        What was answered without words, or by a tool, ends with what a model has not said: such a beginning counts only
        where the history goes on.
        """
        if not self._ends:
            return None, 0
        chain = b""
        found: tuple[str | None, int] = None, 0
        for at, key in enumerate(keys, 1):
            chain = _chained(chain, (key,))
            known = self._ends.get((scope, chain))
            if known is not None and (at < len(keys) or key[0] in _MODEL):
                found = (known, at) if known else (None, 0)
        if found[0] is not None:
            return found
        for at in range(len(keys) - 1, 0, -1):
            before, key = keys[at - 1], keys[at]
            if key[0] in _MODEL and (known := self._ends.get((scope, _tail(before, key)))):
                return known, at + 1
        return None, 0

    def _remember(self, scope: str, print_: bytes, session_key: str) -> None:
        """The conversation with this fingerprint is that session's. Two sessions with the same one: nobody's."""
        known = self._ends.get((scope, print_), session_key)
        self._ends[scope, print_] = session_key if known == session_key else _AMBIGUOUS

    # -- keeping
    def _extend(self, name: tuple[str, str], ledger: _SentHistory, keys: Sequence[bytes]) -> None:
        self._size -= len(ledger)
        ledger.extend(keys, self._most_of_one)
        self._size += len(ledger)
        while len(self._ledgers) > 1 and (len(self._ledgers) > self._sessions or self._size > self._most):
            self._size -= len(self._ledgers.popitem()[1])


# ------------------------------------------------------------------------------------------- sequences


def _order(items: Sequence[Item]) -> list[int]:
    """The positions of what counts, neighbouring results (or calls) sorted, so that their order does not matter."""
    order: list[int] = []
    run: list[int] = []
    for place, one in enumerate(items):
        if one.kind == "host":
            continue
        if run and items[run[0]].kind != one.kind:
            order += sorted(run, key=lambda at: items[at].key)
            run = []
        if one.kind in ("call", "result"):
            run.append(place)
        else:
            order.append(place)
    return order + sorted(run, key=lambda at: items[at].key)


def _turn(items: Sequence[Item]) -> int:
    """Where the newest turn of the user begins."""
    kinds = [one.kind for one in items]
    newest = max((place for place, kind in enumerate(kinds) if kind == "user"), default=0)
    turn = newest
    for place in range(newest - 1, -1, -1):
        if kinds[place] == "user":
            turn = place
        elif kinds[place] != "host":
            break
    return turn


def _before(items: Sequence[Item], turn: int) -> int:
    """Where the turn before the newest begins, in a request that says nothing but the newest; else -1."""
    if any(one.kind not in ("user", "host") for one in items[turn:]):
        return -1
    return _turn(items[:turn]) if any(one.kind == "user" for one in items[:turn]) else -1


def _unseen(items: Sequence[Item], order: Sequence[int], turn: int) -> list[int]:
    """What is new in a history that is not known: its newest turn."""
    behind = next((place + 1 for place in range(len(items) - 1, -1, -1) if items[place].kind in ("model", "call")), 0)
    start = min(turn, behind)
    return [at for at, place in enumerate(order) if place >= start]


def _fresh(ledger: _SentHistory, keys: Sequence[bytes], digest: bytes) -> tuple[list[int], bool]:
    """What is new in the next request of a known conversation, and whether all that is known is its beginning."""
    size = len(ledger.settled)
    models = [at for at, key in enumerate(keys) if key[0] in _MODEL]
    asked = ledger.asked.get(digest)
    if ledger.whole and list(keys[:size]) == ledger.settled:
        return _without(keys, size, ledger.loose), True
    same = 0
    if ledger.whole:
        same = next((at for at, (a, b) in enumerate(zip(ledger.settled, keys, strict=False)) if a != b), len(keys))
    end = _tail_end(ledger.settled, keys)
    if same == len(keys) and not end:
        return [], False  # asked again: the beginning, and no window of the end
    if end > same or same == len(keys):
        return _without(keys, end, ledger.loose), False
    if asked is False:
        return [], False  # sent again, for nobody has answered
    start = max(same, models[-1] + 1 if models else 0)
    known = Counter(pair for pair in _pairs(ledger) if pair[1][0] == _RESULT)
    fresh = []
    for at, pair in list(enumerate(_pairs(keys)))[start:]:
        if known[pair] > 0:
            known[pair] -= 1
        else:
            fresh.append(at)
    return fresh, False


def _without(keys: Sequence[bytes], start: int, loose: Sequence[bytes]) -> list[int]:
    """Positions of the new items from `start` on: all but the tool results at its beginning that are in `loose`."""
    known = Counter(loose)
    fresh = []
    for at in range(start, len(keys)):
        if keys[at][0] != _RESULT:
            known.clear()
        if known[keys[at]] > 0:
            known[keys[at]] -= 1
        else:
            fresh.append(at)
    return fresh


def _tail_end(stored: Sequence[bytes], keys: Sequence[bytes]) -> int:
    """Where in `keys` the longest end of `stored` ends that stands in it; 0 where none does. In linear time."""
    text = [*reversed(stored), b"", *reversed(keys)]
    size = len(stored)
    best = end = 0
    reach = [0] * len(text)
    left = right = 0
    for at in range(1, len(text)):
        length = min(right - at, reach[at - left]) if at < right else 0
        while at + length < len(text) and text[length] == text[at + length]:
            length += 1
        reach[at] = length
        if at + length > right:
            left, right = at, at + length
        if at > size and length > best:
            best, end = length, len(keys) - (at - size - 1)
    return end


def _ids(
    session_key: str,
    keys: Sequence[bytes],
    fresh: set[int],
    counts: Counter[tuple[bytes, bytes]],
    *,
    anchor: bytes = b"",
    heads: Collection[int] = (),
) -> list[str]:
    """Ids from the session, the item, the model's words that it follows on, and how often that was so before.

    Only for what is fresh, and for `heads`: an id costs more than all the rest.
    """
    pairs = list(_pairs(keys, anchor))
    old = Counter(pair for at, pair in enumerate(pairs) if at not in fresh)
    # a window shows the last ones of those that are known
    seen = Counter({pair: max(0, counts[pair] - shown) for pair, shown in old.items()})
    for pair in pairs:
        if pair not in seen:
            seen[pair] = counts[pair]
    ids = []
    for at, pair in enumerate(pairs):
        seen[pair] += 1
        named = at in fresh or at in heads
        ids.append(stable_id(session_key, pair[0].hex(), pair[1].hex(), str(seen[pair])) if named else "")
    return ids


def _placed(ids: Sequence[str], order: Sequence[int], size: int) -> tuple[str, ...]:
    """Ids in the order of the items that were given."""
    by_place = [""] * size
    for at, place in enumerate(order):
        by_place[place] = ids[at]
    return tuple(by_place)


def _last_model(keys: Any) -> bytes:
    """The key of the model's last words; b"" where it has said nothing."""
    return next((key for key in reversed(list(keys)) if key[0] in _MODEL), b"")


def _pairs(keys: Any, anchor: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
    """Each key with that of the model's last words before it."""
    for key in keys:
        yield anchor, key
        if key[0] in _MODEL:
            anchor = key


def _digest(keys: Sequence[bytes]) -> bytes:
    return hashlib.blake2b(b"".join(keys), digest_size=16).digest()


def _chained(chain: bytes, keys: Sequence[bytes]) -> bytes:
    for key in keys:
        chain = hashlib.blake2b(chain + key, digest_size=16).digest()
    return chain


def _tail(before: bytes, key: bytes) -> bytes:
    return b"tail" + _digest((before, key))
