"""Find the secrets in a text, in linear time and in small bites.

Nothing here runs over more than one window in a single call into C, so other threads get the interpreter often.
A window is only where hits may begin: what is looked at around a hit has its own bound.
"""

from __future__ import annotations

import base64
import binascii
import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .commands import SIGNS, secrets_in_commands, sets_a_variable
from .names import (
    Form,
    is_call_in_code,
    is_card_number,
    is_no_secret,
    is_reference_in_code,
    kind_of_name,
    looks_random,
    worth_masking,
)
from .neighbours import secrets_beside
from .shapes import GATE, LDAP_ENDS, LONGEST, ldap_hashes_in, shapes_in
from .spoken import WORDS, WORDS_ABROAD, secrets_in_sentences

#: How much text one call into C may search.
WINDOW = 16_384
#: Longest private key block that is masked in one piece.
_LONGEST_BLOCK = 32_768


class Span(NamedTuple):
    """A secret in a text. `rank` decides between overlapping ones: the kind told by shape says more."""

    start: int
    end: int
    kind: str
    rank: int = 1
    #: Put quotes of this sort around the replacement: a bare number in JSON becomes a string.
    quote: str = ""
    #: Other words to keep secret from now on (the password inside a Basic header).
    also: tuple[str, ...] = ()


PLACEHOLDER = re.compile(r"\[redacted:[a-z0-9][a-z0-9\-]{1,40}\]")

#: Each alternative starts at a letter that is rare in prose, which is not always the first of its word.
_KEYWORD = re.compile(
    r"p(?:ass(?:w|phr|code|(?![a-z]))|wd|in(?![a-z])|hrase|(?<=otp)(?![a-z])|hpsessid)"
    r"|k(?:en(?<=token)|eys?(?![a-z])|ie(?<=cookie)|ennwort)"
    r"|c(?:ret(?<=secret)|red(?:s|en)|ard|v[vc]|ontrase)"
    r"|u(?<=au)th(?:ori[sz]ation)?(?![a-z])|b(?:earer |asic )|visa|m(?:ex(?<=amex)|nemonic|fa_?code)"
    r"|g(?<=sig)(?:nature)?=|jsessionid"
)
_KEYWORD_REACH = 16
_NAME_CHARS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-."
_NAME_REST = re.compile(r"[\w\-.]{0,64}")
#: Names that are two words when spoken: what stands before them decides.
_SPOKEN = frozenset("key keys token tokens phrase number code secret id".split())

_ASSIGN = re.compile(
    r"""(?P<close>\\{0,3}["'`]|\*\*|)(?:\]|)[ \t]{0,8}"""
    r"""(?P<sep>:[ \t]?[A-Za-z_][\w.]{0,40}(?:\[[\w, ]{0,40}\])?[ \t]=[ \t]|=>|:=|={1,3}(?!>)|:(?!:))"""
    r"""(?:\*\*|)(?P<gap>[ \t]{0,16})"""
)
_SAID = re.compile(
    r"(?:[ \t]{1,4}(?:for|to|of|on|at|in)[ \t]{1,4}[^\n.:;?!\"'=]{1,60}?|)"
    r"(?:[ \t]{1,4}(?:is|was|are|to be|to|as|will be|should be|would be|must be)[ \t]{0,4}:?[ \t]{1,4}"
    r"(?:still |now |just |simply |set to |exactly |currently |)|[ \t]{0,4}[:=][ \t]{0,4}|'s[ \t]{1,4})",
    re.IGNORECASE,
)
_TO = re.compile(r"[ \t]to[ \t]{1,4}$", re.IGNORECASE)
_BESIDE = re.compile(r"[ \t]{1,4}\(?")
_QUOTING = re.compile(r"""["'`\\()\[\]{}<>]""")
_QUOTE = re.compile(r"""[rbfuRBFU]{0,2}(\\{0,3}["'`]|[“‘«])""")
_QUOTE_IN_JSON = re.compile(r'(?<!\\)"')
_CLOSING = {"“": "”", "‘": "’", "«": "»"}
_BARE = re.compile(r"""[^\s"'`<>\\,;&]{1,4096}""")
_SPOKEN_BARE = re.compile(r"""[^\s"'`<>\\]{1,512}""")
_NUMBER = re.compile(r"\d{4,64}(?=[\s,}\])]|$)")
_SENTENCE_GOES_ON = re.compile(
    r"[.,;:!?)\]}\"']{0,3}(?:\s{0,8}$|\s{0,8}[\r\n]|[ \t]{1,8}(?:and|for|but|or|on|please|thanks|user|username|so)\b)"
    r"|[.,;!?)]{1,3}[ \t\"']"
)
_SCHEME = re.compile(r"(?:bearer|basic|token|apikey|api-key|digest|negotiate|key|ntlm|oauth)[ \t]{1,8}", re.IGNORECASE)
_SCHEME_VALUE = re.compile(r"""[A-Za-z0-9\-._~+/=:|]{6,4096}""")
_COOKIE_LINE = re.compile(r"""[^\s=;:"'\\]{1,128}=[^\r\n"'\\]{4,4096}""")
_COOKIE_FIRST = re.compile(r"""[^\s=;:"'\\]{1,128}=[^\r\n"'\\;]{4,4096}""")
_BASIC = re.compile(r"[A-Za-z0-9+/]{8,1024}={0,2}")
_SIGNATURE = re.compile(r"[A-Za-z0-9+/_\-]{20,512}(?:[A-Za-z0-9+/%_\-]{0,40})={0,2}")
_CARD_NUMBER = re.compile(r"\d(?<![\w.\-]\d)(?:[ \-]?\d){12,18}(?![\w\-])")
_WORDS_PHRASE = re.compile(r"[a-z]{3,8}(?:[ ,]{1,2}[a-z]{3,8}){11,23}")

_URL_SECRET = re.compile(r"://([^\s:/@\"'`<>\\\[\]{}]{0,128}):([^\s/\"'`<>\\]{1,256})@(?=[\w\[.\-$])")
_URL_TOKEN = re.compile(r"://([A-Za-z0-9_\-]{20,128})@(?=[\w\[.\-])")
_HOOK = re.compile(
    r"://(?:hooks\.slack(?:-gov)?\.com/(?:services|workflows|triggers)/([A-Za-z0-9/_\-]{20,120})"
    r"|(?:\w{1,12}\.)?discord(?:app)?\.com/api/(?:v\d{1,2}/)?webhooks/(\d{10,24}/[\w\-]{30,100})"
    r"|[\w\-]{1,64}\.webhook\.office\.com/(webhookb2/[\w@/\-]{30,300})"
    r"|chat\.googleapis\.com/v1/spaces/([\w\-/?=&%.]{30,300})"
    r"|api\.telegram\.org/(?:file/)?bot(\d{8,10}:[\w\-]{30,40})"
    r"|hooks\.zapier\.com/hooks/catch/([\w/]{10,60}))"
)
_BLOCK = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_BLOCK_BODY = re.compile(r"[A-Za-z0-9+/=\s\\:,.\-]{32,8192}")
_AWS_SECRET = re.compile(r"(?<![A-Za-z0-9/+=])[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])")
_HEX32 = re.compile(r"(?<![A-Za-z0-9])[0-9a-f]{32}(?![A-Za-z0-9])")
_BASE64_ONLY = re.compile(r"[A-Za-z0-9+/=_\-]+")

_PII = (
    ("email", re.compile(r"(?<![\w.+\-])[\w.+\-]{1,64}@[A-Za-z0-9\-]{1,63}(?:\.[A-Za-z0-9\-]{1,63}){1,4}")),
    ("iban", re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?![A-Za-z0-9])")),
    ("ssn", re.compile(r"(?<![\w\-])\d{3}-\d{2}-\d{4}(?![\w\-])")),
    ("phone", re.compile(r"(?<![\w.\-/#])(?:\+\d{1,3}[ .\-]?)?\(?\d{3}\)?[ .\-]\d{3}[ .\-]\d{4}(?![\w\-])")),
    ("phone", re.compile(r"(?<![\w.\-/#])\+\d{1,3}(?:[ .\-]?\d{2,4}){2,5}(?![\w\-])")),
)


def names_a_secret(text: str) -> bool:
    """Whether a text of at most a window holds a word that may announce a secret."""
    return _KEYWORD.search(text.lower()) is not None


def is_media(text: str) -> bool:
    """Base64 of a picture, a sound or a file: no words in it, and too long for a key."""
    if text.startswith("data:"):
        return ";base64," in text[:128]
    return (
        len(text) > 8192
        and _BASE64_ONLY.fullmatch(text, 0, 512) is not None
        and _BASE64_ONLY.fullmatch(text, len(text) - 512) is not None
    )


def windows(length: int, size: int = WINDOW) -> Iterable[tuple[int, int]]:
    """Cuts of a long text, one after the other: where hits may begin."""
    return ((start, min(start + size, length)) for start in range(0, max(length, 1), size))


def occurrences(text: str, needle: str) -> list[int]:
    """Where a text holds these words, without overlaps; never in one long call."""
    found: list[int] = []
    at = 0
    for start, end in windows(len(text), WINDOW * 8):
        at = max(at, start)
        while (hit := text.find(needle, at, end + len(needle) - 1)) >= 0:
            found.append(hit)
            at = hit + len(needle)
    return found


def secrets_in(text: str, *, extra: Sequence[re.Pattern[str]] = (), pii: bool = False) -> Sequence[Span]:
    """All secrets of a text, in order and without overlaps."""
    length = len(text)
    if length < 4:
        return ()
    if length <= WINDOW and not extra and not pii:
        # The common case: two searches over a text without secrets, and nothing else.
        lower = text.lower()
        if (
            GATE.search(text) is None
            and _KEYWORD.search(lower) is None
            and "://" not in text
            and "-----BEGIN" not in text
            and not any(sign in text for sign in (*SIGNS, *LDAP_ENDS))
            and not any(word in lower for word in WORDS)
            and (text.isascii() or not any(word in lower for word in WORDS_ABROAD))
        ):
            return ()
    if is_media(text):
        return ()
    found: list[Span] = []
    for start, end in windows(length):
        _scan(text, start, end, found)
        if pii:
            for kind, pattern in _PII:
                found += (Span(m.start(), m.end(), kind) for m in _hits(pattern, text, start, end))
        for pattern in extra:
            for match in _hits(pattern, text, start, end):
                group = 1 if pattern.groups and match.group(1) else 0
                if match.group(group):
                    found.append(Span(match.start(group), match.end(group), "custom", 3))
    return settled(text, found) if found else ()


def _hits(pattern: re.Pattern[str], text: str, start: int, end: int) -> Iterable[re.Match[str]]:
    return (m for m in pattern.finditer(text, start, min(len(text), end + LONGEST)) if m.start() < end)


def _scan(text: str, start: int, end: int, found: list[Span]) -> None:
    for begin, stop, kind in shapes_in(text, start, end):
        found.append(Span(begin, stop, kind, 2))
        if kind == "aws-access-key-id":
            _companion(text, stop, _AWS_SECRET, "aws-secret-key", found)
        elif kind == "twilio-account-sid":
            _companion(text, stop, _HEX32, "twilio-auth-token", found)
    whole = start == 0 and end == len(text)
    piece = text if whole else text[start : end + _KEYWORD_REACH]
    lower = piece.lower()
    if len(lower) != len(piece):
        lower = "".join(char.lower() if char.isascii() else char for char in piece)
    seen = start - 1
    for hit in _KEYWORD.finditer(lower):
        at = start + hit.start()
        if at >= end:
            break
        seen = _around_keyword(text, at, hit.group(), seen, found)
    if any(end in piece for end in LDAP_ENDS):
        found += (Span(*hit, 2) for hit in ldap_hashes_in(text, start, end))
    if "://" in piece:
        _urls(text, start, end, found)
    if "-----BEGIN" in piece:
        _blocks(text, start, end, found)
    if any(word in lower for word in WORDS) or not lower.isascii():
        found += (Span(*hit) for hit in secrets_in_sentences(text, lower, start, end))
    if any(sign in piece for sign in SIGNS):
        found += (Span(begin, stop, "password") for begin, stop in secrets_in_commands(text, start, end))


def _companion(text: str, at: int, pattern: re.Pattern[str], kind: str, found: list[Span]) -> None:
    """The second half of a pair of keys, close behind the first."""
    match = pattern.search(text, at, min(len(text), at + 160))
    if match is not None and looks_random(match.group()):
        found.append(Span(match.start(), match.end(), kind, 2))


# ------------------------------------------------------------------------------------------ by context


def _around_keyword(text: str, at: int, keyword: str, seen: int, found: list[Span]) -> int:
    """What the word at `at` announces. Returns how far names have been read, so that none is read twice."""
    if keyword == "bearer ":
        match = _SCHEME_VALUE.match(text, _SPACE.match(text, at + 7).end())  # type: ignore[union-attr]
        if match and len(match.group()) >= 16 and not is_reference_in_code(match.group()):
            found.append(Span(match.start(), _end_of(text, match), "bearer-token", 2))
        return seen
    if keyword == "basic ":
        _basic(text, _SPACE.match(text, at + 6).end(), found)  # type: ignore[union-attr]
        return seen
    if keyword[0] == "g":
        match = _SIGNATURE.match(text, at + len(keyword))
        if match and looks_random(match.group()):
            found.append(Span(match.start(), match.end(), "signature", 1))
        return seen
    if keyword in ("card", "visa", "mex", "cvv", "cvc"):
        _cards(text, at, found)
    if at < seen:
        return seen
    head = text[max(0, at - 64) : at]
    stem = head.rstrip(_NAME_CHARS)
    begin = at - (len(head) - len(stem))
    rest = _NAME_REST.match(text, at)
    stop = at if rest is None else rest.end()
    if stop - begin > 80 or stem.endswith("[redacted:"):
        return stop
    while stop > at and text[stop - 1] in "-.":
        stop -= 1
    name = text[begin:stop]
    alone = name.lower()
    if alone in _SPOKEN and stem.endswith(" "):
        before = stem.rstrip(" ")
        name = before[len(before.rstrip(_NAME_CHARS)) :] + "_" + name
    kind = kind_of_name(name)
    if kind is not None:
        _announced(text, begin, stop, kind, alone, found)
    return stop


_SPACE = re.compile(r"[ \t]{0,8}")


def _announced(text: str, begin: int, stop: int, kind: str, name: str, found: list[Span]) -> None:
    """A name of a secret stands in `text[begin:stop]`: take what it says the secret is."""
    if text[begin - 1 : begin] == "<" and text[stop : stop + 1] == ">":
        end = text.find("<", stop, stop + LONGEST)
        if end > 0 and worth_masking(kind, text[stop + 1 : end], "quoted"):
            found.append(Span(stop + 1, end, kind))
        return
    beside = [Span(*hit, kind) for hit in secrets_beside(text, begin, stop, kind)]
    if beside:
        found += beside
        return
    assign = _ASSIGN.match(text, stop)
    if assign is not None:
        if kind == "cookie" or (kind == "authorization" and name == "cookie"):
            quoted = _QUOTE.match(text, assign.end()) is not None
            if quoted == bool(assign["close"]) or not (quoted or is_json_like(text)):
                _cookie(text, assign.end(), name, found)
        else:
            _assigned(text, begin, assign, kind, found)
        return
    if name.startswith("-") or sets_a_variable(text, begin):
        gap = _BESIDE.match(text, stop)
        value = _BARE.match(text, gap.end()) if gap else None
        if value and not value.group().startswith("-") and worth_masking(kind, value.group(), "assigned"):
            found.append(Span(value.start(), value.end(), kind))
        elif gap:
            _quoted(text, gap.end(), kind, found)
        return
    if kind == "seed-phrase":
        match = _WORDS_PHRASE.search(text, stop, min(len(text), stop + 320))
        if match is not None:
            found.append(Span(match.start(), match.end(), kind))
        return
    if name == "pass" or kind in ("cookie", "authorization", "credit-card"):
        return
    said = _SAID.match(text, stop)
    if said is not None:
        loose = _TO.search(text, max(stop, said.end() - 8), said.end()) is not None
        if _spoken(text, said.end(), kind, "beside" if loose else "said", found):
            return
    gap = _BESIDE.match(text, stop)
    if gap is not None and _spoken(text, gap.end(), kind, "beside", found):
        return
    _said_before(text, begin, kind, found)


def _assigned(text: str, begin: int, assign: re.Match[str], kind: str, found: list[Span]) -> None:
    at = assign.end()
    if at < len(text) and text[at] in "\r\n":
        return
    separator, gap, close = assign["sep"], assign["gap"], assign["close"]
    if _quoted(text, at, kind, found, named=close == '"'):
        return
    if close and close != "**":  # a key in quotes: JSON or a literal of a program; bare values are numbers or names
        number = _NUMBER.match(text, at)
        if number and kind in ("password", "pin", "card-code", "one-time-code"):
            found.append(Span(number.start(), number.end(), kind, 1, close))
        return
    if kind == "authorization":
        scheme = _SCHEME.match(text, at)
        value = _SCHEME_VALUE.match(text, scheme.end() if scheme else at)
        if value and (scheme or len(value.group()) >= 8) and worth_masking(kind, value.group(), "assigned"):
            if scheme is None and is_reference_in_code(value.group()):
                return
            found.append(Span(value.start(), _end_of(text, value), kind))
        return
    if kind == "seed-phrase":
        phrase = _WORDS_PHRASE.match(text, at)
        if phrase is not None:
            found.append(Span(phrase.start(), phrase.end(), kind))
        return
    colon = separator == ":" and bool(gap)
    bare = (_SPOKEN_BARE if colon else _BARE).match(text, at)
    if bare is None:
        return
    end = _end_of(text, bare)
    value_text = text[at:end]
    if is_reference_in_code(value_text):
        follows = text[end : end + 1]
        if follows and follows in "([":
            return
        plain = value_text.isalpha() and kind == "password"
        if separator == "=" and not gap:
            if not plain or follows in (")", ","):
                return
        elif not (colon and plain and value_text.islower() and _SENTENCE_GOES_ON.match(text, end)):
            return
        if colon and not worth_masking(kind, value_text, "said"):
            return
    elif is_call_in_code(value_text):
        return
    if worth_masking(kind, value_text, "assigned"):
        found.append(Span(at, end, kind))


def _end_of(text: str, match: re.Match[str]) -> int:
    """Without the punctuation of the sentence, or of the code, behind it."""
    start, end = match.span()
    while end > start and text[end - 1] in ".,;:?)]}|":
        if text[end - 1] in ")]}" and {")": "(", "]": "[", "}": "{"}[text[end - 1]] in text[start:end]:
            break
        end -= 1
    if end - start > 6 and text[end - 1] == "!" and not any(c in "!@#$%^&*" for c in text[start : end - 1]):
        return end
    return end


def is_json_like(text: str) -> bool:
    """Whether a text is an object or a list: there a quote may be the end of a string, not the start of one."""
    return text[:32].lstrip()[:1] in ("{", "[")


def _quoted(text: str, at: int, kind: str, found: list[Span], form: Form = "quoted", *, named: bool = False) -> bool:
    """Whether something in quotes stands here; masks it where it is a secret. `named`: its name is in quotes too."""
    opening = _QUOTE.match(text, at)
    if opening is None:
        return False
    quote = opening.group(1)
    start = opening.end()
    in_json = is_json_like(text)
    if in_json and quote == '"' and not named:
        return True
    closing = _CLOSING.get(quote, quote)
    end = text.find(closing, start, start + LONGEST)
    while end > 0 and len(closing) == 1 and _escaped(text, start, end):
        end = text.find(closing, end + 1, start + LONGEST)
    if end <= start:
        return end == start
    value = text[start:end]
    if in_json and quote != '"' and (cut := _QUOTE_IN_JSON.search(value)) is not None:
        end = start + cut.start()
        value = text[start:end]
    if "\n" in value:
        return True
    if kind == "authorization":
        scheme = _SCHEME.match(value)
        if scheme is not None:
            start += scheme.end()
            value = text[start:end]
    if worth_masking(kind, value, form):
        found.append(Span(start, end, kind))
    return True


def _escaped(text: str, start: int, at: int) -> bool:
    head = text[max(start, at - 16) : at]
    return (len(head) - len(head.rstrip("\\"))) % 2 == 1


def _spoken(text: str, at: int, kind: str, form: Form, found: list[Span]) -> bool:
    """A value in a sentence: in quotes, or a word that looks like a secret."""
    if _QUOTE.match(text, at):
        before = len(found)
        _quoted(text, at, kind, found, "quoted" if kind == "password" else "said")
        return len(found) > before
    bare = _SPOKEN_BARE.match(text, at)
    if bare is None:
        return False
    end = _end_of(text, bare)
    value = text[at:end]
    if not worth_masking(kind, value, form):
        return False
    plain = not looks_random(value) and not any(char.isdigit() for char in value)
    if kind == "password" and form == "said" and plain and not _SENTENCE_GOES_ON.match(text, end):
        return False
    found.append(Span(at, end, kind))
    return True


def _said_before(text: str, begin: int, kind: str, found: list[Span]) -> None:
    """`hunter2 is my password`: the secret stands in front."""
    head = text[max(0, begin - 160) : begin]
    if not head.endswith((" my ", " the ", " our ", " your ", " his ", " her ", " their ", " as ")):
        return
    words = head.split()
    del words[-1]
    if words and words[-1] in ("is", "was", "as"):
        del words[-1]
    elif not head.endswith(" as "):
        return
    if not words:
        return
    value = _QUOTING.split(words[-1].rstrip("\"'`.,;:()[]{}"))[-1]
    at = text.rfind(value, max(0, begin - 160), begin) if value else -1
    if at >= 0 and worth_masking(kind, value, "beside"):
        found.append(Span(at, at + len(value), kind))


def _cookie(text: str, at: int, name: str, found: list[Span]) -> None:
    opening = _QUOTE.match(text, at)
    start = opening.end() if opening else at
    match = (_COOKIE_FIRST if name.startswith("set") else _COOKIE_LINE).match(text, start)
    if match is not None and "[redacted:" not in match.group():
        end = match.end()
        while text[end - 1] in " \t.,":
            end -= 1
        found.append(Span(start, end, "cookie"))
    elif match is None and opening is not None:
        _quoted(text, at, "cookie", found)
    elif match is None:
        bare = _BARE.match(text, at)
        if bare and len(bare.group()) >= 16 and looks_random(bare.group()):
            found.append(Span(at, _end_of(text, bare), "cookie"))


def _basic(text: str, at: int, found: list[Span]) -> None:
    match = _BASIC.match(text, at)
    if match is None:
        return
    raw = match.group().rstrip("=")
    try:
        plain = base64.b64decode(raw + "=" * (-len(raw) % 4), validate=True).decode()
    except (binascii.Error, ValueError):
        return
    user, colon, password = plain.partition(":")
    if colon and plain.isprintable() and user.strip() == user:
        found.append(Span(match.start(), match.end(), "basic-auth", 2, "", (password,)))


def _cards(text: str, at: int, found: list[Span]) -> None:
    for match in _CARD_NUMBER.finditer(text, max(0, at - 80), min(len(text), at + 160)):
        if is_card_number(match.group()):
            found.append(Span(match.start(), match.end(), "credit-card", 2))


def _urls(text: str, start: int, end: int, found: list[Span]) -> None:
    at = text.find("://", start, end + 2)
    while 0 <= at < end:
        following = text.find("://", at + 3, at + 1024)
        stop = len(text) if following < 0 else following
        match = _URL_SECRET.match(text, at, min(len(text), stop + 2))
        if match is not None:
            if not is_no_secret(match[2]) or len(match[2]) < 3:
                found.append(Span(match.start(2), match.end(2), "url-password", 1))
        elif (token := _URL_TOKEN.match(text, at, min(len(text), stop))) is not None:
            if looks_random(token[1]):
                found.append(Span(token.start(1), token.end(1), "url-password", 1))
        else:
            hook = _HOOK.match(text, at)
            if hook is not None:
                found.append(Span(hook.start(hook.lastindex or 0), hook.end(hook.lastindex or 0), "webhook-url", 3))
        at = text.find("://", at + 3, end + 2)


def _blocks(text: str, start: int, end: int, found: list[Span]) -> None:
    at = text.find("-----BEGIN", start, end + 10)
    while 0 <= at < end:
        header = _BLOCK.match(text, at)
        following = at + 10
        if header is not None:
            limit = at + _LONGEST_BLOCK
            again = text.find("-----BEGIN", header.end(), limit)
            close = text.find("-----END", header.end(), limit if again < 0 else again)
            if close > 0 and _QUOTE_IN_JSON.search(text, header.end(), close) is None:
                tail = text.find("-----", close + 8, close + 80)
                following = close + 8 if tail < 0 else tail + 5
                found.append(Span(at, following, "private-key", 4))
            else:
                stop = len(text) if again < 0 else again
                body = _BLOCK_BODY.match(text, header.end(), stop if close < 0 else min(stop, close))
                if body is not None:
                    following = body.end()
                    found.append(Span(at, following, "private-key", 4))
        at = text.find("-----BEGIN", max(following, at + 10), end + 10)


# -------------------------------------------------------------------------------------------- together


def settled(text: str, found: Iterable[Span]) -> list[Span]:
    """In order, joined where they overlap, and never inside what has been masked before."""
    ordered = sorted(found, key=lambda span: (span.start, -span.end))
    if "[redacted:" in text:
        ordered = _outside_of_masks(text, ordered)
    joined: list[Span] = []
    for span in ordered:
        if joined and span.start < joined[-1].end:
            last = joined[-1]
            best = span if span.rank > last.rank else last
            joined[-1] = Span(
                last.start,
                max(last.end, span.end),
                best.kind,
                best.rank,
                last.quote or span.quote,
                last.also + span.also,
            )
        else:
            joined.append(span)
    return joined


def _outside_of_masks(text: str, ordered: Sequence[Span]) -> list[Span]:
    masks = [match.span() for cut in windows(len(text)) for match in _hits(PLACEHOLDER, text, *cut)]
    starts = [start for start, _ in masks]
    outside: list[Span] = []
    for span in ordered:
        before = bisect_left(starts, span.end) - 1  # the last mask that starts before the span ends
        if before < 0 or masks[before][1] <= span.start:
            outside.append(span)
    return outside
