"""Names that announce a secret (`db_password`, `X-Api-Key`), and values that cannot be one.

A name alone is never enough: `password = get_password()` and `"token": "string"` name no secret.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

#: How a secret was announced: `"password": "..."`, PASSWORD=..., "my password is ...", "use password ...".
Form = Literal["quoted", "assigned", "said", "beside"]

_WORDS = re.compile(r"[A-Z]{1,40}(?![a-z])|[A-Z]?[a-z]{1,40}|\d{1,20}")

_PASSWORD = frozenset(
    "password passwd pwd passphrase passcode passwort kennwort contrasena senha motdepasse wachtwoord".split()
)
_FILLER = frozenset(
    "value plaintext plain raw text string str b64 base64 encoded env var confirmation confirm again".split()
)
_NO_TOKEN_AFTER = frozenset(
    "page next prev previous continuation continue cursor start end sync pagination resume stop bos eos pad unk mask "
    "sep cls special first last per max min num total count nft base quote lp governance utility input output "
    "prompt completion cached reasoning from to in out position by each every current single new word sub".split()
)
_KEY_AFTER = frozenset(
    "api access secret private encryption decryption signing auth authentication subscription admin master ssh gpg pgp "
    "consumer account storage webhook hmac jwt rsa deploy app application client service license shared function "
    "ingestion developer root server".split()
)
#: Some of these are no secrets when spoken of alone ("my account key", "the app key"): only as a JSON key or header.
_TOGETHER = {
    "apikey": "api-key",
    "apitoken": "token",
    "secretkey": "api-key",
    "privatekey": "private-key",
    "authtoken": "token",
    "accesstoken": "token",
    "refreshtoken": "token",
    "sessiontoken": "token",
    "idtoken": "token",
    "clientsecret": "secret",
    "appsecret": "secret",
}
_COOKIES = frozenset(
    "cookie setcookie sessioncookie phpsessid jsessionid aspsessionid connectsid laravelsession".split()
)
_PHRASES = frozenset("seedphrase recoveryphrase mnemonicphrase secretphrase walletmnemonic".split())
_CODES = frozenset(
    "otp totp mfacode otpcode twofactorcode 2facode verificationcode onetimecode smscode logincode passcode".split()
)
_RECOVERY = frozenset("recoverycode recoverycodes backupcode backupcodes scratchcodes mfarecoverycodes".split())
_HASHES = frozenset("passwordhash hashedpassword pwdhash passwdhash hashedpw pwhash encryptedpassword".split())
_CARD = frozenset("cardnumber creditcardnumber ccnumber cardno creditcardno ccnum debitcardnumber pan".split())
_CVV = frozenset("cvv cvc cvv2 cvc2 cardcvv cardcvc cardcvv2 cvvcode cvccode cardsecuritycode".split())
_PIN = frozenset("pin pinnumber cardpin accountpin".split())


@lru_cache(maxsize=8192)
def kind_of_name(name: str) -> str | None:
    """What kind of secret a key, variable, header or parameter of this name holds; None = none."""
    if not 2 < len(name) <= 80:
        return None
    words = [word.lower() for word in _WORDS.findall(name)]
    while len(words) > 1 and (words[-1] in _FILLER or words[-1].isdigit()):
        words.pop()
    if not words:
        return None
    joined = "".join(words)
    last, before = words[-1], words[-2] if len(words) > 1 else ""
    if last in _PASSWORD or last[:-1] in _PASSWORD or joined.endswith(("password", "passwd", "passphrase")):
        return "password"
    if last == "pass" and (len(words) == 1 or before in _PASS_AFTER):
        return "password"
    if joined.endswith(_RUN_TOGETHER):
        return "password"
    if joined in _CVV:
        return "card-code"
    if joined in _CARD:
        return "credit-card"
    if joined in _PIN:
        return "pin"
    if joined in _CODES:
        return "one-time-code"
    if joined in _RECOVERY:
        return "recovery-code"
    if joined.endswith(tuple(_HASHES)):
        return "password-hash"
    if joined in _PHRASES or last == "mnemonic":
        return "seed-phrase"
    if joined in _COOKIES:
        return "cookie"
    if joined in ("authorization", "proxyauthorization", "xauthorization", "authorizationheader", "auth"):
        return "authorization"
    if last in ("secret", "secrets"):
        return "secret"
    if last == "token":
        return None if before in _NO_TOKEN_AFTER and before else "token"
    if last in ("key", "keys"):
        if before == "access" and "secret" in words:
            return "aws-secret-key"
        if before == "private":
            return "private-key"
        if before in _KEY_AFTER:
            return "api-key"
        return _TOGETHER.get(before + "key")
    if last == "tokens" and before in ("access", "refresh", "auth", "api", "bearer"):
        return "token"
    if last in ("credential", "credentials", "creds"):
        return "secret"
    for end, kind in _TOGETHER.items():
        if last.endswith(end):
            return kind
    return None


_PASS_AFTER = frozenset(
    "default db database smtp user admin root mysql postgres pg redis ftp sftp ssh login auth mail imap wifi".split()
)

#: Written as one word: `storepass`, `requirepass`.
_RUN_TOGETHER = (
    "storepass",
    "keypass",
    "requirepass",
    "masterauth",
    "userpass",
    "dbpass",
    "rootpass",
    "adminpass",
    "smtppass",
    "loginpass",
    "passkey",
    "presharedkey",
    "wpapsk",
    "enablesecret",
)

#: Words that stand where a secret would, and are none.
_NOT_SECRETS = frozenset(
    """
    a an the and or not no none null nil true false undefined empty missing required optional string str text int
    integer number boolean bool bytes object array list dict any unknown example sample placeholder changeme change
    todo tbd na n/a redacted masked hidden secret password passwd passphrase passcode pwd token key apikey api_key
    username user login email value default test invalid valid incorrect correct wrong right expired revoked reset
    changed updated set unset stored saved sent hashed encrypted protected forgotten lost weak strong safe secure
    insecure short long too very case being in on at by for from with your my our their his her its this that these
    those it is was be been are were will would can cannot could should must may might do does did done has have had
    same new old different temporary temp available unavailable here there below above shown displayed visible needed
    necessary mandatory allowed denied accepted rejected refused compromised leaked exposed public private
    sensitive confidential unique blank provided generated created deleted removed rotated used unused working broken
    ok okay fine good bad easy hard simple complex also still already now then only just again always never
    something anything everything nothing what which who when where why how if unless until because so but as of to
    into onto up down out off over under about after before between both either neither each every all some most more
    less many few one two three four five case-sensitive case-insensitive sha1 sha224 sha256 sha384 sha512 md5 bcrypt
    scrypt argon2 argon2i argon2id pbkdf2 base32 base64 utf8 utf-8 ascii oauth oauth2 oidc saml saml2 jwt bearer basic
    digest hmac rsa rs256 hs256 es256 ed25519 x509 aes128 aes256 ntlm ldap sso mfa 2fa totp otp http https http2
    correctly successfully given recovery management manager policy policies protection rules field fields page form
    """.split()
)
_REFERENCE = re.compile(
    r"\$\{|\$\(|\{\{|\{|%\(|%[A-Za-z_]\w{0,40}%$|\$[A-Za-z_]\w{0,80}$|<|&lt;|process\.env|os\.environ|os\.getenv|getenv"
    r"|(?i:your[_\-]|my[_\-]|\.\.\.|enter[_\-])|env\.|ENV\[|env\(|secrets\.|vault:|ref:|arn:|op://|keyring|config\.|settings\.|self\.|this\.|request\.|args\."
)
_BLANKED = re.compile(r"[*xX•.#_\-=?…]{2,512}$")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z_\-]{0,80}(?:(?:\.|->|::)[A-Za-z_]\w{0,80}){0,6}$")
_DOTTED = re.compile(r"[A-Za-z_]\w{0,40}(?:(?:\.|->|::)[A-Za-z_]\w{0,80}){0,5}(?:\.|->|::)[A-Za-z_]{1,80}$")
_CALL = re.compile(r"[A-Za-z_]\w{0,80}(?:\.\w{1,80}){0,6}[(\[]")
_COLOUR = re.compile(r"#[0-9A-Fa-f]{3,8}$")
_DIGIT = re.compile(r"\d")
_LETTER = re.compile(r"[^\W\d_]")
_SYMBOL = re.compile(r"[^\w\s]")
_UPPER, _LOWER = re.compile(r"[A-Z]"), re.compile(r"[a-z]")
_UNIT = re.compile(r"\d[\d.,]{0,12}[A-Za-z%]{0,3}$|\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}$")


def looks_random(value: str) -> bool:
    """Letters and digits together, or a symbol among them: more than a word, a number or a date."""
    if _UNIT.match(value):
        return False
    digit, letter = _DIGIT.search(value), _LETTER.search(value)
    if digit and letter:
        return True
    inner = _SYMBOL.search(value.strip(".,;:!?'\"()-/"))
    if inner and (digit or letter) and not value.startswith(("http", "/", "@", "#")):
        return bool(digit or (_UPPER.search(value) and _LOWER.search(value))) or inner.group() in "!$%^*&+=~"
    return False


def is_no_secret(value: str) -> bool:
    """A placeholder, a reference to where the secret is, or an everyday word."""
    return (
        len(value) < 3
        or value.lower().strip("'\"`.,:;!?()") in _NOT_SECRETS
        or _REFERENCE.match(value) is not None
        or _BLANKED.match(value) is not None
        or value.startswith("[redacted")
        or _COLOUR.match(value) is not None
    )


def _ends_like_no_password(word: str) -> bool:
    return word.endswith(("ed", "ing", "ly", "able", "ible"))


def worth_masking(kind: str, value: str, form: Form) -> bool:
    """Whether a value that stands where a secret of this kind would is one."""
    if is_no_secret(value) or "://" in value:
        return False
    if kind in ("password", "seed-phrase"):
        if form in ("quoted", "assigned"):
            return len(value) >= 3
        if form == "beside":
            return len(value) >= 6 and looks_random(value) and not _IDENTIFIER.match(value)
        if looks_random(value) or _DIGIT.search(value):
            return len(value) >= 4
        return len(value) >= 5 and not _ends_like_no_password(value.lower())
    if kind in ("pin", "card-code", "one-time-code"):
        return value.isdecimal() and 3 <= len(value) <= 8
    if kind == "recovery-code":
        return len(value) >= 6 and _DIGIT.search(value) is not None
    if kind == "password-hash":
        return len(value) >= 16
    if kind == "credit-card":
        return is_card_number(value)
    if kind == "cookie":
        return "=" in value or len(value) >= 16
    if any(char.isspace() for char in value):
        return False
    if form in ("said", "beside"):
        least = 16 if form == "beside" else 6
        return len(value) >= least and _DIGIT.search(value) is not None and not _UNIT.match(value)
    if kind in ("secret", "aws-secret-key") or (kind in ("authorization", "private-key") and len(value) >= 8):
        return len(value) >= 4
    if _DIGIT.search(value):
        return len(value) >= 6
    mixed = _UPPER.search(value) and _LOWER.search(value)
    return len(value) >= (12 if mixed or _SYMBOL.search(value) or "_" in value else 24)


def worth_remembering(value: str) -> bool:
    """Whether masking this value wherever it occurs does more good than harm."""
    if len(value) > 4096 or is_no_secret(value):
        return False
    if _DIGIT.search(value) and (_LETTER.search(value) or _SYMBOL.search(value)):
        return len(value) >= 5
    return len(value) >= 6


def is_reference_in_code(value: str) -> bool:
    """`user.password`, `get_secret`, `s3_credentials`: an expression, where a literal would be the secret."""
    return (
        _IDENTIFIER.match(value) is not None
        or _DOTTED.match(value) is not None
        or (value.isidentifier() and kind_of_name(value) is not None)
    )


def is_call_in_code(value: str) -> bool:
    """`base64.b64decode(secret)`, `tokens[0]`: computed, not said."""
    return _CALL.match(value) is not None


def is_card_number(value: str) -> bool:
    """13 to 19 digits of a known issuer whose check digit fits."""
    digits = [int(char) for char in value if char.isdecimal()]
    if not 13 <= len(digits) <= 19 or digits[0] not in (2, 3, 4, 5, 6) or len(set(digits)) < 2:
        return False
    total = 0
    for place, digit in enumerate(reversed(digits)):
        doubled = digit * 2 if place % 2 else digit
        total += doubled - 9 if doubled > 9 else doubled
    return total % 10 == 0
