"""Secrets that a sentence announces: codes that were sent, "log in with bob / ...", the word for password abroad.

The everyday case costs a few searches for fixed words; patterns run only around a word that was found.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from .names import is_no_secret, looks_random

#: How far behind the word that announces it a secret may stand, and how long it may be.
_REACH = 360

# ------------------------------------------------------------------------------------------ the word for password

#: The word in other languages than English, by its stem; an ending may follow.
#: Taken from the languages' own interfaces (sign-in pages of Windows, Android and Wikipedia).
_ABROAD_ASCII = (
    "passwort",  # German; with a colon the rules for names find it too
    "kennwort",
    "senha",  # Portuguese
    "palavra-passe",
    "mot de passe",  # French
    "mdp",
    "clave",  # Spanish
    "parola",  # Italian, Romanian, Turkish
    "wachtwoord",  # Dutch
    "haslo",  # Polish and Czech without their signs
    "heslo",
    "salasana",  # Finnish
    "passord",  # Norwegian
    "adgangskode",  # Danish
    "kodeord",
    "losenord",  # Swedish without its sign
    "sifre",  # Turkish without its sign
    "jelszo",
    "lozinka",  # Croatian, Serbian
    "kata sandi",  # Indonesian
    "mat khau",
    "slaptazodis",
    "parool",  # Estonian
)
_ABROAD = (
    "contraseña",
    "contraseñ",
    "hasł",  # Polish
    "парол",  # Russian, Bulgarian, Ukrainian
    "лозинк",
    "şifre",  # Turkish
    "parolă",
    "parolei",
    "lösenord",
    "jelsz",  # Hungarian
    "geslo",
    "κωδικό",  # Greek
    "סיסמ",  # Hebrew
    "كلمة المرور",  # Arabic
    "كلمة السر",
    "كلمة مرور",
    "رمز عبور",  # Persian
    "گذرواژه",
    "पासवर्ड",  # Hindi
    "पासवर्ड",
    "পাসওয়ার্ড",  # Bengali
    "รหัสผ่าน",  # Thai
    "mật khẩu",  # Vietnamese
    "密码",  # Chinese
    "密碼",
    "口令",
    "パスワード",  # Japanese
    "暗証番号",
    "비밀번호",  # Korean
    "암호",
    "패스워드",
)
#: What stands between the word and the secret: of what it is the password, then a sign or "is".
_IS = (
    r"(?:es|est|ist|lautet|war|é|è|e|eh|is|jest|to|je|är|er|on|este|είναι|là|adalah|olarak|это|є|е|هي|هو"
    r"|است|है|হল|คือ"
    r"|是|为|為|は|が|を|은|는|이|가)"
)
_SAID_ABROAD = re.compile(
    r"[^\W\d_]{0,10}[\"'`»”*]{0,3}(?:[ \t][^\n\r.!?;:：=「『\"]{0,60}?|[^\n\r.!?;:：=\"A-Za-z0-9]{0,24}?)"
    rf"(?P<how>[ \t]{{0,4}}[:：=][ \t]{{0,4}}|[ \t]{{1,4}}{_IS}[ \t]{{1,4}}|(?:是|为|為|は|が|を|은|는|이"
    rf"|가)[ \t]{{0,4}}|[ \t]{{1,4}}[—–-][ \t]{{1,4}}|[ \t]{{1,4}}(?=[\"'«“「『`]))"
    r"(?P<open>[\"'`«“„「『]|\*\*|)"
)
_BESIDE_ABROAD = re.compile(r"[^\W\d_]{0,10}[ \t]{1,4}(?P<open>[\"'`«“„「『]|)")
_CLOSES = {'"': '"', "'": "'", "`": "`", "«": "»", "“": "”", "„": "“", "「": "」", "『": "』", "**": "**"}
#: Where the letters of other scripts begin: before it a plain word may be one of the language itself.
_LATIN = 0x250
#: A secret is typed on a keyboard: ASCII without spaces.
_TYPED = re.compile(r"[!-~]{4,128}")

# ------------------------------------------------------------------------------------------ codes that were sent

#: What makes a code one that was sent to sign in: the words before it, or, in one word, around it.
_CODE_OF = re.compile(
    r"(?:(?:verification|verify|security|log-?in|log in|sign-?in|sign in|auth|authentication|one[- ]time"
    r"|2fa|mfa|two[- ]factor"
    r"|two[- ]step|sms|otp|access|unlock|single[- ]use)[ -]{1,2}(?:pass|)|pass|(?:best[äa]tigungs"
    r"|verifizierungs|sicherheits"
    r"|anmelde|zugangs|freischalt|verificatie))$"
)
_CODE_FOR = re.compile(
    r"(?:code de (?:v[ée]rification|s[ée]curit[ée])|c[óo]digo de (?:verifica\w{0,6}|seguridad|seguran\w{1,3}|acceso)"
    r"|codice di (?:verifica|sicurezza|accesso)|kod(?:u|) (?:weryfikacyjn\w{1,3}|potwierdzaj\w{1,4})"
    r"|код(?:ом|а|) (?:подтверждения|доступа|безопасности|проверки)|код підтвердження)"
)
_CODE_WORDS_BEFORE = re.compile(r"(?:do[ğg]rulama|onay|güvenlik|проверочный) $")
_CODES_SAID = (
    "验证码",
    "驗證碼",
    "校验码",
    "动态码",
    "認証コード",
    "確認コード",
    "인증번호",
    "인증코드",
    "رمز التحقق",
    "رمز التأكيد",
    "ओटीपी",
)
_CODE_BEHIND = re.compile(
    r"[ \t]{0,3}(?:\(?[^\n\d:：=.]{0,48}?)(?:[:：=]|\b(?:is|was|are|est|es|ist|è|é)\b|是|为|為|は|은|는|—"
    r"|-)?[\s\"'`*(<>「]{0,6}"
    r"(?P<code>[A-Z]{1,3}-\d{4,8}|\d{3}[ \-]\d{3}|\d{4,8}|[A-Z0-9]{6,10}(?<=[A-Z0-9]))(?![A-Za-z0-9_\-%])"
)
_CODE_BEFORE = re.compile(
    r"(?<![\w.\-#$€£/])(?P<code>[A-Z]{1,3}-\d{4,8}|\d{3}[ \-]\d{3}|\d{4,8})[\"'`*]{0,3}[ \t]{1,3}"
    r"(?:is|as|ist|est|es|è|é|—|-|это)[ \t]{1,3}[^\n.!?]{0,40}$"
)
_USE_CODE = re.compile(
    r"\b(?:code|use|enter|type|pin|otp)[ \t:]{1,3}(?P<code>[A-Z]{1,3}-\d{4,8}|\d{3}[ \-]\d{3}|\d{4,8})"
    r"(?![\w\-%.,]?\d)"
    r"[ \t]{1,3}(?:to (?:log|sign|verify|confirm|authenticate|complete your|access)|as your|when (?:asked|prompted))",
    re.IGNORECASE,
)
_RECOVERY_OF = re.compile(r"(?:recovery|backup|scratch|emergency|rescue|one[- ]time|2fa|mfa|wiederherstellungs)[ -]?$")
_RECOVERY_FOR = re.compile(r" de (?:recupera\w{0,6}|respaldo|secours|r[ée]cup[ée]ration)")
_RECOVERY_CODE = re.compile(
    r"(?:[\s,;|•*\"'`\[\]]|\d{1,2}[.)](?=[ \t])|-(?=[ \t])){0,24}(?P<code>[A-Za-z0-9]{4,10}(?:[\- ]"
    r"(?=[A-Za-z0-9])[A-Za-z0-9]{4,10}){1,4}|[A-Za-z0-9]{8,20})(?![\w\-])"
)
_BEFORE_LIST = re.compile(r"[^\n:：\[]{0,80}(?:[:：]|\[|\n)")

# ------------------------------------------------------------------------------------------ a user and a password

_SIGN_IN = (
    "log in",
    "login",
    "log on",
    "logged in",
    "logging in",
    "sign in",
    "sign on",
    "signed in",
    "creds",
    "credential",
    "credenciales",
    "authenticate",
    "zugangsdaten",
    "identifiants",
    "логин",
)
_REST_OF_WORD = re.compile(r"[a-zа-я]{0,4}")
_PAIR = re.compile(
    r"(?:[^\n,;:/|]{0,48}?[ \t](?:with|as|using|via|mit|con|avec|com|are|is|to be|sind)"
    r"|[ \t]{0,2})[ \t:=\-]{1,4}[\"'`(]{0,2}"
    r"(?P<user>[A-Za-z0-9][\w.@+\-]{1,63})(?:[\"'`]{0,1}(?P<between>[ \t]{0,2}[/|:][ \t]{0,2}|[ \t]{1,2}"
    r"(?:and|with|&|und|y|et|pw|pass|pwd)[ \t:]{1,3}))"
    r"[\"'`]{0,1}(?P<secret>[!-~]{3,64})"
)
_USER_NAMES = frozenset(
    "admin administrator root test demo guest user sa postgres oracle tomcat pi ubuntu sysadmin".split()
)


def secrets_in_sentences(text: str, lower: str, start: int, end: int) -> Iterator[tuple[int, int, str]]:
    """(start, end, kind) of each; `lower` is the text from `start` on in small letters, a little beyond `end`."""
    stop = end - start
    for word in _ABROAD_ASCII if lower.isascii() else (*_ABROAD_ASCII, *_ABROAD):
        for at in _places(lower, word, stop):
            yield from _abroad(text, start + at, start + at + len(word))
    yield from _codes(text, lower, start, stop)
    for word in _SIGN_IN:
        for at in _places(lower, word, stop):
            rest = _REST_OF_WORD.match(lower, at + len(word))
            yield from _pair(text, start + at + len(word) + (len(rest.group()) if rest else 0))


_CODE_SIGNS = ("code", "otp", "kodu", "kod ", "codice", "codigo")
_CODE_SIGNS_ABROAD = ("código", "код", *_CODES_SAID)
_PURPOSES = ("to log", "to sign", "to verify", "to confirm", "to auth", "as your")
#: What a text in small letters must hold for this module to find anything in it; in other scripts, these too.
WORDS = (*_ABROAD_ASCII, *_PURPOSES, *_CODE_SIGNS, *_SIGN_IN[:-1])
WORDS_ABROAD = (*_ABROAD, *_CODE_SIGNS_ABROAD, _SIGN_IN[-1])


def _places(lower: str, word: str, stop: int) -> Iterator[int]:
    at = lower.find(word)
    while 0 <= at < stop:
        yield at
        at = lower.find(word, at + len(word))


def _abroad(text: str, begin: int, stop: int) -> Iterator[tuple[int, int, str]]:
    if text[begin - 1 : begin].isascii() and text[begin - 1 : begin].isalnum():
        return  # inside a longer word
    said = _SAID_ABROAD.match(text, stop, min(len(text), stop + _REACH))
    beside = said is None
    match = said or _BESIDE_ABROAD.match(text, stop, min(len(text), stop + _REACH))
    if match is None:
        return
    at = match.end()
    if opening := match["open"]:
        close = text.find(_CLOSES[opening], at, at + 256)
        at += len(text[at : max(at, close)]) - len(text[at : max(at, close)].lstrip(" \u00a0\u202f"))
        close = at + len(text[at : max(at, close)].rstrip(" \u00a0\u202f"))
        if at < close and not is_no_secret(text[at:close]) and "\n" not in text[at:close]:
            yield at, close, "password"
        return
    typed = _TYPED.match(text, at)
    if typed is None:
        return
    value = typed.group().rstrip(".,;:?)]}\"'`>")
    follows = text[at + len(typed.group()) : at + len(typed.group()) + 1]
    if len(value) < 4 or is_no_secret(value) or value.startswith(("http", "/", "<", "{", "$")):
        return
    sure = any(char.isdigit() for char in value) or looks_random(value)
    if not sure and (beside or ord(text[begin]) < _LATIN or (follows and follows.isalpha())):
        return  # a word of the language itself: `contraseña: obligatoria`
    if beside and len(value) < 6:
        return
    yield at, at + len(value), "password"


def _codes(text: str, lower: str, start: int, stop: int) -> Iterator[tuple[int, int, str]]:
    for sign in _CODE_SIGNS if lower.isascii() else (*_CODE_SIGNS, *_CODE_SIGNS_ABROAD):
        for at in _places(lower, sign, stop):
            head = lower[max(0, at - 24) : at]
            end = _end_of_code_word(lower, head, sign, at)
            after = at + len(sign)
            if (
                sign in ("code", "código", "codigo")
                and lower.startswith("s", after)
                and (_RECOVERY_OF.search(head) or _RECOVERY_FOR.match(lower, after + 1))
            ):
                yield from _recovery(text, start + after + 1)
            if end:
                yield from _code(text, start + at - len(head), start + end)
    if any(word in lower for word in _PURPOSES):
        for match in _USE_CODE.finditer(text, start, min(len(text), start + stop + _REACH)):
            if match.start() < start + stop:
                yield match.start("code"), match.end("code"), "one-time-code"


def _end_of_code_word(lower: str, head: str, sign: str, at: int) -> int:
    """Where the words end that announce a code, which `sign` is a part of; 0 = they announce none."""
    end = at + len(sign)
    if sign in _CODES_SAID:
        return end
    if sign == "kodu":
        end += len(lower[end : end + 8]) - len(lower[end : end + 8].lstrip("abcdefghijklmnopqrstuvwxyzığüşöç"))
    alone = not lower[end : end + 1].isalpha()
    if sign == "otp":
        return end if alone and not head[-1:].isalpha() else 0
    if alone and sign == "code" and _CODE_OF.search(head):
        return end
    if alone and _CODE_WORDS_BEFORE.search(head):
        return end
    spoken = _CODE_FOR.match(lower, at)
    return spoken.end() if spoken is not None else 0


def _code(text: str, window: int, end: int) -> Iterator[tuple[int, int, str]]:
    behind = _CODE_BEHIND.match(text, end, min(len(text), end + 160))
    if behind is not None and any(char.isdigit() for char in behind["code"]):
        yield behind.start("code"), behind.end("code"), "one-time-code"
        return
    first = max(0, window - 72)
    before = _CODE_BEFORE.search(text[first:end])
    if before is not None:
        yield first + before.start("code"), first + before.end("code"), "one-time-code"


def _recovery(text: str, at: int) -> Iterator[tuple[int, int, str]]:
    lead = _BEFORE_LIST.match(text, at, min(len(text), at + 96))
    at = at if lead is None else lead.end()
    for _ in range(24):
        code = _RECOVERY_CODE.match(text, at, min(len(text), at + 96))
        if code is None or not any(char.isdigit() for char in code["code"]):
            break
        yield code.start("code"), code.end("code"), "recovery-code"
        at = code.end()


def _pair(text: str, at: int) -> Iterator[tuple[int, int, str]]:
    match = _PAIR.match(text, at, min(len(text), at + _REACH))
    if match is None:
        return
    user, between, secret = match["user"], match["between"], match["secret"].rstrip(".,;:?!)]}\"'`>")
    if len(secret) < 4 or is_no_secret(secret) or secret.startswith(("/", "<", "$", "{", "http")):
        return
    known = user.lower() in _USER_NAMES or "@" in user
    spoken = between.strip(" \t") not in ("/", ":", "|")
    if (
        spoken
        and between.strip(" \t:") in ("and", "with", "&", "und", "y", "et")
        and not known
        and not _typed_secret(secret)
    ):
        return
    if not _typed_secret(secret) and not known:
        return
    if is_no_secret(user) and not (known and not spoken):
        return
    if between.strip() in ("/", ":") and not known and (secret.isdecimal() or "/" in secret or "." in user):
        return  # a path, a host and its port
    if user.lower() in ("port", "at", "step", "line", "page", "version", "error", "chapter"):
        return
    start = match.start("secret")
    yield start, start + len(secret), "password"


def _typed_secret(value: str) -> bool:
    return len(value) >= 5 and looks_random(value) and any(char.isalpha() for char in value)
