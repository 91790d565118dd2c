"""Redactor: scrub secrets before anything reaches the disk, or a model."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote

from cachetools import FIFOCache, LRUCache

from acontext_store.errors import InvalidInput
from acontext_store.forks import renewed_in_child
from acontext_store.types import SOURCE_NAME_CHARS, CallFate, Json, Message, Outcome, Part

from .commands import secrets_in_arguments
from .names import kind_of_name, worth_masking, worth_remembering
from .scanner import PLACEHOLDER, Span, is_json_like, is_media, names_a_secret, occurrences, secrets_in, settled

__all__ = ["Redacted", "Redactor", "Scrubber", "fates_without_secrets", "placeholder", "without_secrets"]

#: Longer JSON is not parsed (that would hold the interpreter): its text is scanned like any other.
_LONGEST_JSON = 65_536
#: Deeper values are not looked into; they are masked.
_DEEPEST = 200
#: Names and handles that a framework needs unchanged: they pair calls with results, or are sealed by the provider.
_STRUCTURE = frozenset(
    "id call_id tool_call_id tool_use_id toolUseId toolCallId item_id response_id previous_response_id message_id "
    "approval_request_id container_id file_id type role object model status finish_reason encrypted_content "
    "signature thought_signature thoughtSignature server_label created created_at system_fingerprint".split()
)
#: What stands under these belongs to the agent's task: any key in there may hold a secret.
_PAYLOAD = frozenset("arguments args input output result results parameters params response kwargs".split())
#: Kinds of secrets that may be numbers.
_NUMBERS = frozenset({"password", "pin", "card-code", "one-time-code", "credit-card"})
_RESULT_KEYS = frozenset({"tool_call_id", "name", "is_error"})
_CALL_KEYS = frozenset({"id", "name", "arguments", "type"})
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+\-]?\d+)?")
_BYTES = frozenset("data file_data b64_json bytes".split())


class Redacted(NamedTuple):
    """What may be stored, and how many places in it were masked."""

    messages: tuple[Message, ...]
    outcomes: tuple[Outcome, ...]
    masked: int


def placeholder(kind: str) -> str:
    """What stands in place of a secret of this kind."""
    return f"[redacted:{kind}]"


class Redactor:
    """Masks secrets in messages and outcomes, and remembers their values for the rest of the session.

    A value that was a secret once in a session is masked wherever it occurs in that session from then on, and in
    all of the batch in which it was found. Values are remembered in memory only, for the `sessions` most recently
    used sessions and at most `values` each. May be called from any thread.
    """

    def __init__(
        self,
        *,
        enabled: bool = True,
        extra_patterns: Iterable[str | re.Pattern[str]] = (),
        allow: Iterable[str] = (),
        pii: bool = False,
        sessions: int = 1024,
        values: int = 256,
    ) -> None:
        """`extra_patterns`: more secrets, by regular expression (its first group, where it has one).

        `allow`: values that are never masked. `pii`: mask e-mail addresses, phone numbers, IBANs and social
        security numbers too; agents often need those for their task, so it is off by default.
        """
        self.enabled = enabled
        self.pii = pii
        self._extra = tuple(_compiled(pattern) for pattern in extra_patterns)
        self._allow = frozenset(allow)
        #: By session, values and what kind of secret each is.
        self._sessions: LRUCache[str, FIFOCache[str, str]] = LRUCache(max(1, sessions))
        self._most_values = max(1, values)
        self._lock = renewed_in_child(self, "_lock", threading.Lock)

    def redact(self, session_id: str, messages: Sequence[Message], outcomes: Sequence[Outcome] = ()) -> Redacted:
        """The same messages and outcomes without their secrets; the very objects that came, where there are none."""
        if not self.enabled:
            return Redacted(tuple(messages), tuple(outcomes), 0)
        with self._lock:
            return _Batch(self, self._values(session_id)).redacted(messages, outcomes)

    def redact_text(self, session_id: str, text: str) -> str:
        """One text without its secrets."""
        if not self.enabled:
            return text
        with self._lock:
            return _Batch(self, self._values(session_id)).settle_text(text)

    def remember(self, session_id: str, values: Iterable[str], kind: str = "secret") -> None:
        """Mask these values in that session from now on: after a restart, or where the host knows them."""
        with self._lock:
            known = self._values(session_id)
            for value in values:
                self._keep(known, value, kind)

    def forget(self, session_id: str) -> None:
        """Drop what is remembered of a session."""
        with self._lock:
            self._sessions.pop(session_id, None)

    def _values(self, session_id: str) -> FIFOCache[str, str]:
        known = self._sessions.get(session_id)
        if known is None:
            known = self._sessions[session_id] = FIFOCache(self._most_values)
        return known

    def _keep(self, known: FIFOCache[str, str], value: str, kind: str) -> None:
        if value not in self._allow and not PLACEHOLDER.search(value):
            known[value] = known.get(value, kind)


def _compiled(pattern: str | re.Pattern[str]) -> re.Pattern[str]:
    if isinstance(pattern, re.Pattern):
        return pattern
    try:
        return re.compile(pattern)
    except re.error as error:
        raise InvalidInput(f"extra_patterns: {pattern!r} is no regular expression: {error}") from error


class _Batch:
    """One call: every text is looked at, then masked with all that was found in any of them."""

    def __init__(self, redactor: Redactor, known: FIFOCache[str, str]) -> None:
        self._redactor = redactor
        self._known = known
        self._scanned: dict[str, Sequence[Span]] = {}
        self._count = 0
        self._learned = False

    def redacted(self, messages: Sequence[Message], outcomes: Sequence[Outcome]) -> Redacted:
        for _ in range(4):
            self._count, self._learned = 0, False
            clean = tuple([self._message(message) for message in messages])
            ends = tuple([self._outcome(outcome) for outcome in outcomes])
            if not self._learned:
                break
        return Redacted(clean, ends, self._count)

    def settle_text(self, text: str) -> str:
        for _ in range(4):
            self._learned = False
            clean = self._text(text)
            if not self._learned:
                break
        return clean

    # -- nouns

    def _message(self, message: Message) -> Message:
        changes: dict[str, Any] = {}
        parts = message.parts
        for at, part in enumerate(parts):
            clean = self._part(part)
            if clean is not part:
                changes["parts"] = (*changes.get("parts", parts)[:at], clean, *parts[at + 1 :])
        if message.native is not None:
            native = self._value(message.native, 0, payload=False)
            if native is not message.native:
                changes["native"] = native
        if message.meta:
            meta = self._value(message.meta, 0, payload=False)
            if meta is not message.meta:
                changes["meta"] = meta
        return message.model_copy(update=changes) if changes else message

    def _part(self, part: Part) -> Part:
        text, meta, filename = part.text, part.meta, part.filename
        if text:
            text = self._text(text)
        if meta and not (part.type == "tool-result" and meta.keys() <= _RESULT_KEYS):
            if part.type == "tool-call" and meta.keys() <= _CALL_KEYS and isinstance(meta["arguments"], str):
                arguments = self._json(meta["arguments"], 0)
                if arguments is not meta["arguments"]:
                    meta = {**meta, "arguments": arguments}
            else:
                meta = self._value(meta, 0, payload=False)
        if filename:
            filename = self._text(filename)
        if text is part.text and meta is part.meta and filename is part.filename:
            return part
        return part.model_copy(update={"text": text, "meta": meta, "filename": filename})

    def _outcome(self, outcome: Outcome) -> Outcome:
        if not outcome.reason and not outcome.by:
            return outcome
        reason, by = self._text(outcome.reason), self._text(outcome.by)
        if reason is outcome.reason and by is outcome.by:
            return outcome
        return outcome.model_copy(update={"reason": reason, "by": by[:SOURCE_NAME_CHARS]})

    # -- values

    def _value(self, value: Any, depth: int, *, payload: bool) -> Any:
        """A JSON value without its secrets; the very value that came, where there are none."""
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, int) and self._known and not isinstance(value, bool) and abs(value) < 10**20:
            known = self._known.get(str(value))
            if known is None:
                return value
            self._count += 1
            return placeholder(known)
        if isinstance(value, dict):
            if depth > _DEEPEST:
                self._count += 1
                return placeholder("nested-too-deep")
            return self._object(value, depth, payload=payload)
        if isinstance(value, list | tuple):
            if depth > _DEEPEST:
                self._count += 1
                return placeholder("nested-too-deep")
            items = self._pair(value) or self._arguments(value)
            if items is None:
                items = [self._value(item, depth + 1, payload=payload) for item in value]
            if all(new is old for new, old in zip(items, value, strict=True)):
                return value
            return type(value)(items) if type(value) in (list, tuple) else items
        return value

    def _object(self, value: dict[Any, Any], depth: int, *, payload: bool) -> Any:
        changes: dict[Any, Any] = {}
        names: dict[Any, str] = {}
        announced = self._announced_by_sibling(value) if payload else None
        for key, item in value.items():
            if not payload and (key in _STRUCTURE or key in _BYTES) and not isinstance(item, dict | list):
                continue
            kind = kind_of_name(key) if isinstance(key, str) else None
            if kind is None and announced is not None and key in ("value", "secret_value", "default"):
                kind = announced
            if isinstance(item, str) and key == "arguments":
                new: Any = self._json(item, depth)
            elif kind is not None:
                new = self._named(kind, item, depth, payload=payload)
            else:
                new = self._value(item, depth + 1, payload=payload or key in _PAYLOAD)
            if new is not item:
                changes[key] = new
            if isinstance(key, str) and (len(key) >= 16 or self._known):
                name = self._text(key)
                if name is not key:
                    names[key] = name
        if not changes and not names:
            return value
        clean: dict[Any, Any] = {}
        for key, item in value.items():
            name = names.get(key, key)
            while name in clean:
                name += "_"
            clean[name] = changes.get(key, item)
        return clean

    def _announced_by_sibling(self, value: dict[Any, Any]) -> str | None:
        """`{"name": "DB_PASSWORD", "value": "..."}`: the name stands beside the value."""
        if "value" not in value and "secret_value" not in value:
            return None
        for key in ("name", "key", "field", "header", "variable"):
            name = value.get(key)
            if isinstance(name, str):
                kind = kind_of_name(name)
                if kind is not None:
                    return kind
        return None

    def _pair(self, value: Sequence[Any]) -> list[Any] | None:
        """`["Authorization", "Bearer ..."]`: a header as a pair."""
        if len(value) != 2 or not isinstance(value[0], str) or not isinstance(value[1], str):
            return None
        kind = kind_of_name(value[0])
        if kind is None or kind_of_name(value[1]) is not None:
            return None
        return [value[0], self._named(kind, value[1], 0, payload=True)]

    def _arguments(self, value: Sequence[Any]) -> list[Any] | None:
        """`["sshpass", "-p", "..."]`: the arguments of a program that takes a secret."""
        if len(value) < 2 or not all(isinstance(item, str) for item in value):
            return None
        items = list(value)
        for at, start, end in secrets_in_arguments(value):
            self._remember(items[at][start:end], "password")
            self._count += 1
            items[at] = items[at][:start] + placeholder("password") + items[at][end:]
        if all(new is old for new, old in zip(items, value, strict=True)):
            return None
        return [self._text(item) for item in items]

    def _named(self, kind: str, value: Any, depth: int, *, payload: bool) -> Any:
        """The value of a key whose name announces a secret."""
        if isinstance(value, str):
            known = self._known.get(value)
            if known is not None:
                self._count += 1
                return placeholder(known)
            if value in self._redactor._allow:
                return value
            plain = value
            if kind == "authorization" and " " in value:
                plain = value.split(" ", 1)[1]
            clean = self._text(value)
            if clean is not value:
                return clean
            if PLACEHOLDER.search(value) or not worth_masking(kind, plain, "quoted"):
                return value
            self._remember(plain, kind)
            self._count += 1
            return value[: len(value) - len(plain)] + placeholder(kind)
        if isinstance(value, int) and not isinstance(value, bool):
            digits = str(value) if 0 <= value < 10**20 else ""
            if kind not in _NUMBERS or len(digits) < 3 or not worth_masking(kind, digits, "quoted"):
                return value
            self._remember(digits, kind)
            self._count += 1
            return placeholder(kind)
        if isinstance(value, list):
            items = [
                self._named(kind, item, depth + 1, payload=payload)
                if isinstance(item, str)
                else self._value(item, depth + 1, payload=payload)
                for item in value
            ]
            return value if all(new is old for new, old in zip(items, value, strict=True)) else items
        return self._value(value, depth + 1, payload=True)

    # -- texts

    def _json(self, text: str, depth: int) -> str:
        """The arguments of a call: masked inside the parsed JSON, so that they stay JSON."""
        if not self._suspicious(text):
            return text
        if len(text) <= _LONGEST_JSON:
            parsed = _parsed(text)
            if parsed is not None:
                clean = self._value(parsed, depth + 1, payload=True)
                if clean is parsed:
                    return text
                return _dumped(clean, text)
        return self._text(text)

    def _suspicious(self, text: str) -> bool:
        return (
            bool(self._scan(text))
            or any(value in text for value in self._known)
            or (len(text) <= _LONGEST_JSON and ("\\u" in text or names_a_secret(text)))
        )

    def _text(self, text: str) -> str:
        """A text without its secrets; the very text that came, where there are none."""
        if not self._scan(text) and not self._known:
            return text
        original = text
        for _ in range(3):
            spans = self._scan(text)
            if self._known:
                spans = self._with_known(text, spans)
            if not spans:
                return text
            text = self._masked(text, spans)
            if text == original:
                return original
        return text

    def _scan(self, text: str) -> Sequence[Span]:
        if len(text) < 4:
            return []
        spans = self._scanned.get(text)
        if spans is None:
            spans = secrets_in(text, extra=self._redactor._extra, pii=self._redactor.pii)
            if spans and self._redactor._allow:
                spans = [span for span in spans if text[span.start : span.end] not in self._redactor._allow]
            self._scanned[text] = spans
            for span in spans:
                self._remember(text[span.start : span.end], span.kind)
                for value in span.also:
                    self._remember(value, "password")
            if is_json_like(text) and len(text) <= _LONGEST_JSON and (spans or _holds_pairs(text)):
                parsed = _parsed(text)
                if parsed is not None:  # values behind escapes: found here, masked by value
                    before = self._count
                    self._value(parsed, 1, payload=True)
                    self._count = before
        return spans

    def _with_known(self, text: str, spans: Sequence[Span]) -> Sequence[Span]:
        extra: list[Span] = []
        for value, kind in self._known.items():
            if len(text) <= 65_536 and value not in text:
                continue
            if is_media(text):
                return spans
            for at in occurrences(text, value):
                end = at + len(value)
                if len(value) < 16 and (_joins(text, at, value[0]) or _joins_after(text, end, value[-1])):
                    continue
                mark = ""
                if _NUMBER.fullmatch(value):
                    if text[end : end + 1] == "." or text[at - 1 : at] in (".", "-"):
                        continue
                    mark = '"' if is_json_like(text) and not _in_string(text, at) else ""
                extra.append(Span(at, end, kind, 0, mark))
        if not extra:
            return spans
        return settled(text, [*spans, *extra])

    def _masked(self, text: str, spans: Sequence[Span]) -> str:
        pieces: list[str] = []
        at = 0
        for span in spans:
            value = text[span.start : span.end]
            kind = self._known.get(value, span.kind)
            pieces += (text[at : span.start], span.quote, placeholder(kind), span.quote)
            at = span.end
        pieces.append(text[at:])
        self._count += len(spans)
        return "".join(pieces)

    def _remember(self, value: str, kind: str) -> None:
        """From now on this value is masked wherever it stands, however it is written."""
        if not worth_remembering(value) or len(value) > 512:
            return
        for spelling in _spellings(value):
            if spelling not in self._known:
                self._learned = True
            self._redactor._keep(self._known, spelling, kind)


def _holds_pairs(text: str) -> bool:
    """Whether JSON may hold secrets that only its structure tells: a name beside a value, a name behind escapes."""
    return ('"value"' in text and names_a_secret(text)) or "\\u00" in text


def _spellings(value: str) -> Iterable[str]:
    """The ways in which a value is written: as it is, in JSON, in a URL."""
    yield value
    if "\\" in value:
        decoded = _parsed(f'"{value}"')
        if isinstance(decoded, str) and decoded != value and worth_remembering(decoded):
            yield from _spellings(decoded)
    if not value.isalnum():
        written = json.dumps(value, ensure_ascii=False)[1:-1]
        if written != value:
            yield written
        try:
            in_url = quote(value, safe="")
        except UnicodeEncodeError:
            return
        if in_url != value:
            yield in_url


def _in_string(text: str, at: int) -> bool:
    """Whether a place in JSON is inside a string: an odd number of quotes stands before it."""
    return bool((text.count('"', 0, at) - text.count('\\"', 0, at)) % 2)


def _joins(text: str, at: int, first: str) -> bool:
    return at > 0 and first.isalnum() and text[at - 1].isalnum() and not _escape_ends(text, at)


def _escape_ends(text: str, at: int) -> bool:
    """Whether the letter before `at` belongs to an escape (`\\n`), not to a word."""
    return at > 1 and text[at - 2] == "\\"


def _joins_after(text: str, end: int, last: str) -> bool:
    return end < len(text) and last.isalnum() and text[end].isalnum()


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _dumped(value: Any, like: str) -> str:
    compact = '": ' not in like
    separators = (",", ":") if compact else (", ", ": ")
    text = json.dumps(value, ensure_ascii=like.isascii(), separators=separators)
    try:
        text.encode()
    except UnicodeEncodeError:
        text = json.dumps(value, separators=separators)
    return text


# ---------------------------------------------------------------------- what else is freed of secrets, as messages are


class Scrubber(Protocol):
    """Takes secrets out of messages. May be called from any thread."""

    def redact(
        self, session_id: str, messages: Sequence[Message], outcomes: Sequence[Outcome]
    ) -> tuple[Sequence[Message], Sequence[Outcome], int]: ...

    def redact_text(self, session_id: str, text: str) -> str:
        """One text without its secrets."""


def without_secrets(scrubber: Scrubber, key: str, meta: Json) -> Json:
    """The meta of something, its secrets masked; `key` = of which session or disk it is."""
    (message,), _, _ = scrubber.redact(key, [Message(role="system", parts=(), meta=meta)], ())
    return message.meta


def fates_without_secrets(scrubber: Scrubber, key: str, fates: Sequence[CallFate]) -> list[CallFate]:
    """The fates, the secrets in their arguments and reasons masked; `key` = of which session they are."""
    return [_clean_fate(scrubber, key, fate) if fate.arguments or fate.reason else fate for fate in fates]


def _clean_fate(scrubber: Scrubber, key: str, fate: CallFate) -> CallFate:
    meta = {"id": fate.call_id, "name": fate.name or "", "arguments": json.dumps(fate.arguments, default=str)}
    parts = (Part(type="tool-call", meta=meta), Part(type="text", text=fate.reason))
    (message,), _, masked = scrubber.redact(key, [Message(role="assistant", parts=parts)], ())
    if not masked:
        return fate
    call, reason = message.parts
    return fate.model_copy(
        update={"arguments": json.loads((call.meta or meta)["arguments"]), "reason": reason.text or ""}
    )
