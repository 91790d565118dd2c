"""Turns: single calls of a model, seen from a client or a proxy, as the runs of an agent that they are.

A *turn* is a run: from the newest words of a user until an answer that calls no tools. Its calls share one run id,
one recall (so that the same bytes are injected in each of them) and one outcome.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from cachetools import FIFOCache

from acontext_plugins.concurrency.caches import SharedCache
from acontext_plugins.formats.blob import copied
from acontext_plugins.inject.recall import Recall, ShownTurns
from acontext_plugins.runs import Run, Runtime, current_run
from acontext_plugins.service import Recording
from acontext_store.forks import renewed_in_child
from acontext_store.types import CallFate, Json, Message, Outcome, OutcomeStatus, new_id, stable_id

from ..shared.placement import place_blocks, shown_turns, turn_names
from ..shared.resent_history import Conversations, Sent, item
from .delayed_failures import DelayedFailures
from .edits import HostEdits
from .format import ModelAnswer, Piece, WireFormat
from .instructions import SentInstructions

_MOST = 4096


class _Turn:
    """A turn that may go on. Holds words and nouns only, so that no client lives on for it."""

    __slots__ = ("around", "name", "recall", "run_id", "waiting")

    def __init__(self, name: tuple[str, str, str], run_id: str, around: str) -> None:
        #: Scope, session and run.
        self.name = name
        self.run_id = run_id
        #: The id of the function's run that it is part of.
        self.around = around
        #: What is injected in each of its calls, once that was asked for.
        self.recall: Recall | None = None
        #: The ids of calls that the host has to answer.
        self.waiting: frozenset[str] = frozenset()


class RecordedCall:
    """One call of a model. Say how it ends with `answered`, `failed` or `cancelled`: the first one counts.

    A call inside an agent's run of another adapter is silent: `run` is None, nothing is recorded nor injected.
    """

    def __init__(self, calls: CallRecorder, runtime: Runtime, wire: WireFormat, body: Json) -> None:
        self._calls = calls
        self.runtime = runtime
        self.wire = wire
        self.body = body
        #: The run of the turn that this call belongs to.
        self.run: Run | None = None
        self._turn: _Turn | None = None
        self._sent: Sent | None = None
        self._scope = ""
        #: The items of the request, by position in its list, with the names of the user's turns among them.
        self._places: list[int] = []
        self._names: list[str] = []
        self._shown = ShownTurns()
        self._id = ""
        self._ended = False
        #: What is to be recorded once it is known that nobody has blocked the request; None = at once.
        self._held: list[Callable[[], None]] | None = None
        #: Set where skills stand in the request's `instructions`.
        self.instructions: SentInstructions | None = None

    @property
    def session_key(self) -> str | None:
        return self._sent.session_key if self._sent is not None else None

    # -- injecting
    @property
    def wanted(self) -> bool:
        """Whether skills are to be asked for: `prepared` would not give the body back at once."""
        options = self.runtime.options
        return self.run is not None and options.inject and options.space is not None

    def prepared(self) -> Json:
        """The body to send: the one given, or one like it with skills. It blocks up to the deadline. Never raises."""
        run = self.run
        if run is None:
            return self.body
        with self.runtime.guard("skills"):
            run.recall(*self._asked(), shown=self._shown)
            return self._prepared()
        return self.body

    async def aprepared(self) -> Json:
        """The same in a coroutine."""
        run = self.run
        if run is None:
            return self.body
        with self.runtime.guard("skills"):
            await run.arecall(*self._asked(), shown=self._shown)
            return self._prepared()
        return self.body

    def _asked(self) -> tuple[str, list[str] | None]:
        return self.wire.query(self.body), self.wire.tools(self.body)

    def _prepared(self) -> Json:
        if self._turn is not None and self.run is not None:
            self._turn.recall = self.run.skills
        made = self.placed
        self.sends(made, self.body)
        return made

    @property
    def placed(self) -> Json:
        """The body with the skills that the run has been given; the same object where there are none."""
        if self.run is None:
            return self.body
        head, behind = place_blocks(self._names, self.run.blocks)
        return self.wire.with_skills(self.body, head, {self._places[at]: text for at, text in behind.items()})

    def sends(self, made: Json, given: Mapping[str, Any]) -> None:
        """The request goes out with the fields of `made`, in place of those that the host has given."""
        sent, own = made.get("instructions"), given.get("instructions")
        if isinstance(sent, str) and sent != own:
            self.instructions = SentInstructions(sent, own)

    def put_back(self, said: Any) -> Any:
        """What the provider says, with the host's own instructions in it. Never raises, unless `strict`."""
        if self.instructions is not None:
            with self.runtime.guard("instructions"):
                return self.instructions.put_back(said)
        return said

    # -- ending
    def answered(self, response: Json) -> None:
        """The response, as its format has it when it is not streamed (an `Assembler` puts streams together)."""
        with self.runtime.guard("answer"):
            if self.run is not None and not self._ended:
                self._release()
                answer = self.wire.answer(response, self.body)
                if answer.status == "open":
                    self._calls._opened(self, answer.id)
                    return
                self._ended = True
                self._calls._answered(self, answer)

    def failed(self, reason: str, *, retried_within: float | None = None) -> None:
        """There is no answer. `retried_within`: seconds in which the same call may be made again (`call_id`); only
        when it is not, it has failed."""
        with self.runtime.guard("failure"):
            if self.run is None or self._ended:
                return
            self._ended = True
            self._release()
            self._calls._unanswered(self)
            if retried_within is not None and self._id:
                self._calls._held(self, reason, retried_within)
            else:
                self._calls._ended(self, "failed", reason)

    def cancelled(self) -> None:
        """Nobody waits for the answer any more."""
        with self.runtime.guard("cancellation"):
            if self.run is not None and not self._ended:
                self._ended = True
                self._release()
                self._calls._unanswered(self)
                self._calls._ended(self, "cancelled", "")

    def blocked(self) -> None:
        """The host's own guardrails have refused it, or its answer: no word of it is kept (see `begin(holds=True)`)."""
        with self.runtime.guard("blocked request"):
            if self.run is not None and not self._ended:
                self._ended = True
                self._held = None
                self._calls._withdrawn(self)

    def _release(self) -> None:
        held, self._held = self._held, None
        for record in held or ():
            record()

    @property
    def ended(self) -> bool:
        return self._ended

    def report(self, status: Literal["success", "failed"], reason: str = "") -> None:
        """What the host knows about a task: of the turn before where this request begins another, else of this one."""
        with self.runtime.guard("report"):
            run, sent = self.run, self._sent
            if run is None or sent is None:
                return
            if self._held is not None:
                self._held.append(functools.partial(self.report, status, reason))
                return
            if sent.before < 0 or run.adopted:
                run.report(status, reason)
                return
            run_id = stable_id(sent.session_key, "turn", sent.ids[sent.before])
            outcome = Outcome(status=status, source="report", reason=reason[:2000], run_id=run_id)
            self.runtime.client.record(Recording(run.session, outcomes=(outcome,)))


class CallRecorder:
    """What is known of conversations and turns that go on; one for each adapter of the process. Thread safe, bounded.

    How an adapter uses it:

        call = calls.begin(runtime, CHAT, body, session_key=..., scope=..., call_id=...)
        body = await call.aprepared()       # or call.prepared() where nothing else waits
        ...                                 # the model is called
        call.answered(response)             # or call.failed("503: overloaded"), or call.cancelled()

    `body` is the request as a dict; it is never changed. What is new in it is recorded when the call begins, so that
    the turn of a call that fails is kept, too. Streams: feed the events to `wire.assembler()`, and give its
    `response` to `answered` when it is `finished`; call `cancelled()` when the consumer leaves before.
    """

    def __init__(self, *, turns: int = _MOST, sessions: int = _MOST) -> None:
        self.conversations = Conversations(sessions=sessions)
        #: Turns that go on, by scope, session and run.
        self._turns: FIFOCache[tuple[str, str, str], _Turn] = FIFOCache(turns)
        #: Which of them wait for a result, by scope, session and the id of the call.
        self._waiting: FIFOCache[tuple[str, str, str], _Turn] = FIFOCache(turns)
        #: Failures that are none yet, by scope and call: several where the same was asked more than once.
        self._failed: dict[str, list[RecordedCall]] = {}
        self._hold = DelayedFailures()
        self._edits = HostEdits(turns)
        #: Sessions by the id of an answer, for requests that only go on from it.
        self._sessions: SharedCache[tuple[str, str], str] = SharedCache(_MOST)
        #: Calls whose answer is being made in the background.
        self._open: FIFOCache[str, RecordedCall] = FIFOCache(turns)
        self._lock = renewed_in_child(self, "_lock", threading.RLock)

    def __len__(self) -> int:
        """How many turns and calls are being kept."""
        return len(self._turns) + len(self._hold) + len(self._open)

    def begin(
        self,
        runtime: Runtime,
        wire: WireFormat,
        body: Json,
        *,
        session_key: str | None = None,
        principal: str | None = None,
        scope: str = "",
        call_id: str | None = None,
        attempt: int = 0,
        label: str | None = None,
        retry: bool = False,
        holds: bool = False,
    ) -> RecordedCall:
        """A call is about to be made. Records what is new in its request. Never raises, unless `strict`.

        `session_key` is the host's own name for the conversation (what the request's metadata say comes after it);
        without any, the conversation is found by its history. `principal` is the user who speaks in it, and `scope`
        what else keeps conversations apart (hashes of keys), beyond what the runtime keeps apart. `call_id` is the
        same for each attempt of one call: a later `attempt` than 0 goes on with the one whose failure is held. `label`
        names the agent. `retry`: the client says that it has sent this request before, perhaps without waiting for an
        answer. `holds`: nothing is recorded before it is said how the call ends, for it may be `blocked`.
        """
        call = RecordedCall(self, runtime, wire, body)
        call._held = [] if holds else None
        with runtime.guard("call"):
            around = current_run()
            if around is None or around.kind == "container":
                call._id = json.dumps([principal, scope, call_id]) if call_id else ""
                if not (attempt and self._again(call)):
                    self._begin(call, around, session_key, principal, scope, label, retry or attempt > 0)
        return call

    def opened(self, response_id: str) -> RecordedCall | None:
        """The call whose answer was not there yet, now that somebody asks for it."""
        with self._lock:
            return self._open.get(response_id)

    def flush(self) -> None:
        """Failures that might have been retried are failures now."""
        self._hold.flush()

    # -- beginning
    def _begin(
        self,
        call: RecordedCall,
        around: Run | None,
        session_key: str | None,
        principal: str | None,
        scope: str,
        label: str | None,
        retry: bool,
    ) -> None:
        runtime, wire, body = call.runtime, call.wire, call.body
        call._scope = json.dumps([runtime.scope, principal, scope])
        pieces = wire.pieces(body)
        after = wire.after(body)
        key = session_key or wire.session_key(body) or runtime.options.session
        if key is None and after:
            key = self._sessions.get((call._scope, after))
        if around is not None:
            key = around.session.key
        items = self._edits.items(call._scope, pieces)
        sent = self.conversations.sent(call._scope, key, items, after=after, retry=retry)
        call._sent = sent
        name = call._scope, sent.session_key, _run_id(sent)
        with self._lock:
            turn = self._going_on(name, sent, pieces, around)
            if turn is None:
                turn = _Turn(name, name[2], around.id if around is not None else "")
                self._turns[name] = turn
        call._turn = turn
        call.run = runtime.start(
            label=label or str(body.get("model") or wire.name),
            session_key=sent.session_key,
            principal=principal,
            run_id=turn.run_id,
            recall=turn.recall,
        )
        call._places = [piece.place for piece in pieces]
        call._names = turn_names([piece.item for piece in pieces], salt="" if after is None else call.run.id)
        call._shown = shown_turns([piece.item for piece in pieces], call._names, held=after is not None)
        named = _new_pieces(sent, pieces)
        new = [pieces[place] for place, _, _ in named]
        if new:
            taken = [new_id() if beside in sent.unsure else "" for _, beside, _ in named]
            shown = sum(beside in sent.context for _, beside, _ in named)  # they come first
            fates = [fate for piece in new for fate in wire.told(piece)]
            fates += self._edits.seen(call._scope, sent.session_key, wire, pieces)
            ids = [id for _, _, id in named]
            record = functools.partial(_record, call.run, wire, new, ids, taken, shown=shown, fates=fates)
            if call._held is None:
                record()
            else:
                call._held.append(record)

    def _again(self, call: RecordedCall) -> bool:
        """Another attempt of a call whose failure is held: it goes on."""
        while call._id:
            with self._lock:
                held = self._failed.get(call._id)
                before = held.pop(0) if held else None
                if held is not None and not held:
                    del self._failed[call._id]
            if before is None:
                break
            if self._hold.take(before):
                call.run, call._turn = before.run, before._turn
                call._sent, call._scope = before._sent, before._scope
                call._places, call._names, call._shown = before._places, before._names, before._shown
                return True
        return False

    def _going_on(
        self, name: tuple[str, str, str], sent: Sent, pieces: Sequence[Piece], around: Run | None
    ) -> _Turn | None:
        """The turn that this request belongs to: it answers its calls, or is what it began with."""
        turn: _Turn | None = None
        last = max((at for at, piece in enumerate(pieces) if piece.item.kind in ("model", "call")), default=-1)
        for place in sent.new:
            if place > last and pieces[place].item.kind == "result":
                for id in pieces[place].call_ids:
                    turn = turn or self._waiting.get((name[0], name[1], id))
        turn = turn or self._turns.get(name)
        return turn if turn is not None and turn.around == (around.id if around is not None else "") else None

    # -- ending
    def _answered(self, call: RecordedCall, answer: ModelAnswer) -> None:
        run, turn, sent = call.run, call._turn, call._sent
        assert run is not None
        assert turn is not None
        assert sent is not None
        pieces = answer.pieces
        items = [piece.item for piece in pieces]
        if all(one.kind == "host" for one in items) and answer.status in ("success", "unknown"):
            items.append(item("model"))  # the host may show that it said nothing, or leave it out
            reason = answer.reason or "the model said nothing"
            answer = dataclasses.replace(answer, status="unknown", reason=reason)
        others = [piece.item for piece in answer.others]
        ids = self.conversations.answered(call._scope, sent, items, others=others)[: len(pieces)]
        self._forget(call)
        if answer.id:
            with self._lock:
                self._sessions[(call._scope, answer.id)] = sent.session_key
        said = [piece for piece in pieces if piece.blob]
        if said:
            first = next((id for id in ids if id), "") or stable_id(turn.run_id, answer.id or new_id())
            taken = [new_id() if sent.unsure_answer else "" for _ in ids]
            made = [id or _id_of_silent(first, at) for at, id in enumerate(ids)]
            _record(run, call.wire, said, made, taken, others=answer.others, fates=answer.fates)
        self._edits.asked(call._scope, sent.session_key, call.wire, pieces + answer.others)
        if answer.call_ids:
            self._wait(turn, answer.call_ids)
        if answer.status == "calls":
            return
        status: OutcomeStatus = "unknown" if answer.status == "open" else answer.status
        self._ended(call, status, answer.reason, keep=bool(answer.call_ids))

    def _unanswered(self, call: RecordedCall) -> None:
        if call._sent is not None:
            self.conversations.unanswered(call._scope, call._sent)

    def _withdrawn(self, call: RecordedCall) -> None:
        if call._sent is not None:
            self.conversations.withdrawn(call._scope, call._sent)
        turn = call._turn
        if turn is not None and not turn.waiting:
            with self._lock:
                self._turns.pop(turn.name, None)

    def _ended(self, call: RecordedCall, status: OutcomeStatus, reason: str, *, keep: bool = False) -> None:
        run, turn, sent = call.run, call._turn, call._sent
        if run is None or turn is None:
            return
        if sent is None or sent.known or sent.new or status not in ("failed", "cancelled"):
            run.end(status, reason)  # else nothing was said that could have gone wrong
        self._forget(call)
        if not keep:
            self._wait(turn, ())
            with self._lock:
                self._turns.pop(turn.name, None)

    def _wait(self, turn: _Turn, call_ids: Sequence[str]) -> None:
        scope, session_key, _ = turn.name
        with self._lock:
            for id in turn.waiting:
                self._waiting.pop((scope, session_key, id), None)
            turn.waiting = frozenset(call_ids)
            for id in call_ids:
                self._waiting[(scope, session_key, id)] = turn

    def _held(self, call: RecordedCall, reason: str, seconds: float) -> None:
        def fail() -> None:
            with self._lock:
                held = self._failed.get(call._id, [])
                if call in held:
                    held.remove(call)
                if not held:
                    self._failed.pop(call._id, None)
            with call.runtime.guard("failure"):
                self._ended(call, "failed", reason)

        with self._lock:
            self._failed.setdefault(call._id, []).append(call)
        self._hold.put(call, seconds, fail)

    def _opened(self, call: RecordedCall, response_id: str) -> None:
        with self._lock:
            self._open[response_id] = call
            if call._sent is not None:
                self._sessions[(call._scope, response_id)] = call._sent.session_key

    def _forget(self, call: RecordedCall) -> None:
        with self._lock:
            for id in [id for id, known in self._open.items() if known is call]:
                del self._open[id]


def _run_id(sent: Sent) -> str:
    """The run of a turn: the same in each of its calls, and in every process."""
    first = sent.ids[sent.turn] if sent.turn < len(sent.ids) else ""
    return stable_id(sent.session_key, "turn", first or sent.digest.hex())


def _new_pieces(sent: Sent, pieces: Sequence[Piece]) -> list[tuple[int, int, str]]:
    """The positions of what is new in a request, each with that of the item it is new with, and its id.

    Silent items belong to the words or the call of the model that they stand before, else to what they stand behind.
    """
    new = set(sent.new)
    made: list[tuple[int, int, str]] = []
    silent: list[int] = []
    last, start = -1, 0  # the last item that is not silent, and where the model's newest answer begins

    def settle(owner: int) -> None:
        if owner in new:
            first = next((id for id in sent.ids[start:owner] if id), sent.ids[owner])
            made.extend((at, owner, _id_of_silent(first, at - start)) for at in silent)
        silent.clear()

    for at, piece in enumerate(pieces):
        if piece.silent:
            silent.append(at)
            continue
        of_model = piece.item.kind in ("model", "call")
        settle(at if of_model else last)
        if at in new:
            made.append((at, at, sent.ids[at]))
        if not of_model:
            start = at + 1
        last = at
    settle(last)
    return made


def _id_of_silent(first: str, number: int) -> str:
    """The id of an item of an answer that has none: by the first one that is there, and its place in the answer."""
    return stable_id(first, str(number))


def _record(
    run: Run,
    wire: WireFormat,
    pieces: Sequence[Piece],
    ids: Sequence[str],
    taken: Sequence[str],
    *,
    shown: int = 0,
    others: Sequence[Piece] = (),
    fates: Sequence[CallFate] = (),
) -> None:
    """`taken`: an id for each piece whose own one may be another's, "" for the others.

    The first `shown` pieces are of a turn that goes on: somebody else may have recorded them. `others` are what the
    model said beside them, as choices: they are kept in the meta of the first message.
    """
    blobs = [copied(piece.blob) for piece in pieces]
    names = [(id, other, at < shown) for at, (id, other) in enumerate(zip(ids, taken, strict=True))]
    choices = [copied(piece.blob) for piece in others]
    size = sum(map(_size, (*blobs, *choices)))
    run.record(make=lambda: _named(wire.messages(blobs), names, choices), fates=fates, size=size)


def _named(
    made: Sequence[Sequence[Message]], names: Sequence[tuple[str, str, bool]], choices: Sequence[Json]
) -> list[Message]:
    """Messages with the ids of the pieces that they were made of."""
    named = [
        message.model_copy(
            update={
                "id": _numbered(id, number),
                "id_if_taken": _numbered(taken, number) or None,
                "if_unsaid": shown,
            }
        )
        for messages, (id, taken, shown) in zip(made, names, strict=True)
        for number, message in enumerate(messages)
    ]
    if choices and named:
        named[0] = named[0].model_copy(update={"meta": {**named[0].meta, "other_choices": list(choices)}})
    return named


def _numbered(id: str, number: int) -> str:
    return stable_id(id, str(number)) if id and number else id


def _size(blob: Json) -> int:
    """About how many bytes an item takes."""
    total, rest = 256, [blob]
    while rest:
        value: Any = rest.pop()
        if isinstance(value, str):
            total += len(value)
        elif isinstance(value, dict):
            rest.extend(value.values())
        elif isinstance(value, list):
            rest.extend(value)
    return total
