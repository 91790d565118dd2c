"""Secrets that can be told by their shape alone: one table, and the cheap gate in front of it.

Most keys carry a prefix that ends in a separator (`ghp_`, `glpat-`, `SG.`). The gate looks at separators that
have enough behind them to be a key; the full pattern of a shape runs just where its prefix stands before one.
Every quantifier is bounded, and no pattern can match the same text in two ways, so the time is linear.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

#: No secret that is told by its shape is longer (private key blocks are found otherwise).
LONGEST = 4096

_LEFT = r"(?<![A-Za-z0-9])"
#: For shapes without any punctuation in their prefix: not inside base64.
_LEFT_STRICT = r"(?<![A-Za-z0-9+/_\-])"
_RIGHT = r"(?![A-Za-z0-9])"
_RIGHT_STRICT = r"(?![A-Za-z0-9+/_\-])"


@dataclass(frozen=True, slots=True)
class Shape:
    """A kind of key: the prefix the gate looks for, and the pattern of all of it."""

    kind: str
    prefix: str
    pattern: re.Pattern[str]
    needs_digit: bool = False


def _prefixed(kind: str, prefixes: str, rest: str, *, needs_digit: bool = False) -> list[Shape]:
    return [
        Shape(kind, prefix, re.compile(_LEFT + re.escape(prefix) + rest), needs_digit) for prefix in prefixes.split()
    ]


_WORD = r"[A-Za-z0-9_\-]"
_ALNUM = r"[A-Za-z0-9]"
_HEX = r"[0-9a-f]"

SHAPES: tuple[Shape, ...] = (
    *_prefixed("github-token", "ghp_ gho_ ghu_ ghs_ ghr_", rf"{_ALNUM}{{36,251}}"),
    *_prefixed("github-token", "github_pat_", r"[A-Za-z0-9_]{40,251}"),
    *_prefixed(
        "gitlab-token",
        "glpat- gldt- glrt- glcbt- glptt- glft- glsoat- gloas- glimt- glagent- glffct-",
        r"[A-Za-z0-9_\-.]{20,300}",
    ),
    *_prefixed(
        "slack-token",
        "xoxb- xoxp- xoxa- xoxr- xoxs- xoxe- xoxc- xoxd- xapp-",
        r"[A-Za-z0-9\-%]{10,300}",
        needs_digit=True,
    ),
    *_prefixed("stripe-key", "sk_live_ rk_live_ sk_test_ rk_test_ sk_prod_ rk_prod_", rf"{_ALNUM}{{10,247}}"),
    *_prefixed("stripe-webhook-secret", "whsec_", r"[A-Za-z0-9+/=]{24,128}"),
    *_prefixed("acontext-key", "sk-ac-", rf"{_WORD}{{8,255}}"),
    *_prefixed("anthropic-key", "sk-ant-", rf"{_WORD}{{20,300}}"),
    *_prefixed("openrouter-key", "sk-or-", rf"{_WORD}{{20,300}}"),
    *_prefixed("langfuse-key", "sk-lf-", rf"{_WORD}{{20,300}}"),
    *_prefixed("openai-key", "sk-", rf"(?!ac-|ant-|or-|lf-){_WORD}{{20,300}}", needs_digit=True),
    *_prefixed("google-oauth-secret", "GOCSPX-", rf"{_WORD}{{20,40}}"),
    *_prefixed("google-oauth-token", "ya29.", r"[A-Za-z0-9_\-.]{20,2000}"),
    *_prefixed("huggingface-token", "hf_ api_org_", rf"{_ALNUM}{{30,128}}"),
    *_prefixed("npm-token", "npm_", rf"{_ALNUM}{{36,128}}"),
    *_prefixed("pypi-token", "pypi-", r"AgE[A-Za-z0-9_\-]{40,1000}"),
    *_prefixed("rubygems-key", "rubygems_", rf"{_HEX}{{40,64}}"),
    *_prefixed("docker-token", "dckr_pat_ dckr_oat_", rf"{_WORD}{{20,128}}"),
    *_prefixed("sendgrid-key", "SG.", rf"{_WORD}{{16,32}}\.{_WORD}{{30,64}}"),
    *_prefixed("brevo-key", "xkeysib- xsmtpsib-", r"[0-9a-f]{40,64}-[A-Za-z0-9]{10,32}"),
    *_prefixed("resend-key", "re_", r"[A-Za-z0-9]{6,12}_[A-Za-z0-9]{20,32}", needs_digit=True),
    *_prefixed("mailgun-key", "key-", rf"{_HEX}{{32}}{_RIGHT}"),
    *_prefixed("shopify-token", "shpat_ shpca_ shppa_ shpss_", r"[0-9a-fA-F]{32,64}"),
    *_prefixed("square-token", "sq0atp- sq0csp- sq0idp-", rf"{_WORD}{{20,64}}"),
    *_prefixed("paypal-token", "access_token$production$ access_token$sandbox$", r"[0-9a-z]{10,32}\$[0-9a-f]{32}"),
    *_prefixed("digitalocean-token", "dop_v1_ doo_v1_ dor_v1_", rf"{_HEX}{{64}}"),
    *_prefixed("heroku-key", "HRKU-", rf"{_WORD}{{30,100}}"),
    *_prefixed("linear-key", "lin_api_ lin_oauth_", rf"{_ALNUM}{{32,64}}"),
    *_prefixed("notion-token", "ntn_", rf"{_ALNUM}{{40,64}}"),
    *_prefixed("notion-token", "secret_", rf"{_ALNUM}{{43}}{_RIGHT}"),
    *_prefixed("figma-token", "figd_ figo_ figu_", rf"{_WORD}{{30,64}}"),
    *_prefixed("newrelic-key", "NRAK- NRJS- NRII- NRAL-", rf"{_WORD}{{16,64}}"),
    *_prefixed("grafana-token", "glc_ glsa_", r"[A-Za-z0-9_+/=]{32,400}"),
    *_prefixed("vault-token", "hvs. hvb. hvr.", rf"{_WORD}{{20,300}}"),
    *_prefixed("pulumi-token", "pul-", rf"{_HEX}{{40}}"),
    *_prefixed("planetscale-token", "pscale_tkn_ pscale_pw_ pscale_oauth_", r"[A-Za-z0-9_\-.=]{32,64}"),
    *_prefixed("doppler-token", "dp.pt. dp.ct. dp.sa. dp.scim. dp.audit.", rf"{_ALNUM}{{40,44}}"),
    *_prefixed("doppler-token", "dp.st.", r"(?:[a-z0-9\-_]{2,35}\.)?[A-Za-z0-9]{40,44}"),
    *_prefixed("postman-key", "PMAK-", r"[0-9a-f]{24}-[0-9a-f]{34}"),
    *_prefixed("sentry-token", "sntrys_ sntryu_", r"[A-Za-z0-9+/=_\-]{40,600}"),
    *_prefixed("replicate-token", "r8_", rf"{_ALNUM}{{37,40}}"),
    *_prefixed("groq-key", "gsk_", rf"{_ALNUM}{{40,64}}"),
    *_prefixed("xai-key", "xai-", rf"{_ALNUM}{{60,100}}"),
    *_prefixed("perplexity-key", "pplx-", rf"{_ALNUM}{{40,64}}"),
    *_prefixed("fireworks-key", "fw_", rf"{_ALNUM}{{22,28}}{_RIGHT}", needs_digit=True),
    *_prefixed("langsmith-key", "lsv2_pt_ lsv2_sk_", r"[0-9a-f]{32}_[0-9a-f]{10}"),
    *_prefixed("voyage-key", "pa-", rf"{_WORD}{{43}}{_RIGHT}", needs_digit=True),
    *_prefixed("tavily-key", "tvly-", rf"{_WORD}{{20,64}}", needs_digit=True),
    *_prefixed("firecrawl-key", "fc-", rf"{_HEX}{{32}}{_RIGHT}"),
    *_prefixed("e2b-key", "e2b_", rf"{_HEX}{{40}}"),
    *_prefixed("jina-key", "jina_", rf"{_WORD}{{40,80}}"),
    *_prefixed("nvidia-key", "nvapi-", rf"{_WORD}{{40,80}}"),
    *_prefixed("elevenlabs-key", "sk_", rf"{_HEX}{{48}}{_RIGHT}"),
    *_prefixed("pinecone-key", "pcsk_", r"[A-Za-z0-9_]{40,100}"),
    *_prefixed("wandb-key", "wandb_v1_", r"[A-Za-z0-9_]{40,120}"),
    *_prefixed("supabase-key", "sbp_", rf"{_HEX}{{40}}"),
    *_prefixed("supabase-key", "sb_secret_", rf"{_WORD}{{20,64}}"),
    *_prefixed("vercel-token", "vcp_ vci_ vca_ vcr_ vck_", rf"{_ALNUM}{{24,80}}", needs_digit=True),
    *_prefixed("netlify-token", "nfp_ nfc_ nfo_ nfu_", rf"{_ALNUM}{{36,64}}"),
    *_prefixed("fly-token", "fm2_ fm1r_ fm1a_ fo1_", r"[A-Za-z0-9+/=_\-]{40,2000}"),
    *_prefixed("cloudflare-key", "v1.0-", r"[0-9a-f]{24}-[0-9a-f]{146}"),
    *_prefixed("cloudflare-token", "cfut_ cfat_ cfk_", rf"{_WORD}{{36,80}}"),
    *_prefixed("flutterwave-key", "FLWSECK_TEST- FLWSECK-", r"[0-9A-Za-z\-]{12,64}"),
    *_prefixed("dropbox-token", "sl.", rf"(?:u\.)?{_WORD}{{100,2000}}"),
    *_prefixed("prefect-key", "pnu_ pnb_", rf"{_ALNUM}{{36}}"),
    *_prefixed("readme-key", "rdme_", r"[0-9a-z]{60,80}"),
    *_prefixed("shippo-token", "shippo_live_ shippo_test_", rf"{_HEX}{{40}}"),
    *_prefixed("duffel-token", "duffel_live_ duffel_test_", rf"{_WORD}{{43}}"),
    *_prefixed("adafruit-key", "aio_", rf"{_ALNUM}{{28}}{_RIGHT}"),
    *_prefixed("buildkite-token", "bkua_ bkaj_ bkct_", rf"{_HEX}{{40}}"),
    *_prefixed("circleci-token", "CCIPAT_ CCIPRJ_", rf"{_ALNUM}{{16,32}}_[0-9a-f]{{40}}"),
    *_prefixed("clojars-token", "CLOJARS_", r"[0-9a-z]{60}"),
    *_prefixed("contentful-token", "CFPAT-", rf"{_WORD}{{40,64}}"),
    *_prefixed("hubspot-token", "pat-na1- pat-na2- pat-eu1- pat-ap1-", r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
    *_prefixed("launchdarkly-key", "sdk- api-", r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
    *_prefixed("sourcegraph-token", "sgp_", r"(?:[0-9a-f]{16}_|local_)?[0-9a-f]{40}"),
    *_prefixed("typeform-token", "tfp_", r"[A-Za-z0-9_\-.=]{40,80}"),
    *_prefixed("tailscale-key", "tskey-", r"(?:auth|api|client|scim|webhook)?-?[A-Za-z0-9]{6,24}-[A-Za-z0-9]{16,64}"),
    *_prefixed("infracost-key", "ico-", rf"{_ALNUM}{{32}}{_RIGHT}"),
    *_prefixed("databricks-token", "dkea-", rf"{_HEX}{{32}}"),
    *_prefixed("age-key", "AGE-SECRET-KEY-", r"1[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{50,60}"),
    *_prefixed("zapier-key", "zpka_", rf"{_WORD}{{30,64}}"),
    *_prefixed("crates-token", "cio_", rf"{_ALNUM}{{32}}"),
    *_prefixed("mongodb-key", "mdb_sa_sk_", rf"{_WORD}{{30,64}}"),
    *_prefixed("snowflake-token", "ver:1-hint:", r"[A-Za-z0-9\-_:+/=]{40,600}"),
)

_BY_PREFIX: dict[str, list[Shape]] = {}
for _shape in SHAPES:
    _BY_PREFIX.setdefault(_shape.prefix, []).append(_shape)

#: Shapes that start with plain letters.
_PLAIN: tuple[tuple[str, str], ...] = (
    ("aws-access-key-id", rf"{_LEFT_STRICT}AKIA[A-Z0-9]{{16}}{_RIGHT_STRICT}"),
    ("aws-access-key-id", rf"{_LEFT_STRICT}ASIA[A-Z0-9]{{16}}{_RIGHT_STRICT}"),
    ("aws-bedrock-key", rf"{_LEFT_STRICT}ABSK[A-Za-z0-9+/]{{100,400}}={{0,2}}"),
    ("google-api-key", rf"{_LEFT_STRICT}AIza[A-Za-z0-9_\-]{{35}}{_RIGHT_STRICT}"),
    ("atlassian-token", rf"{_LEFT_STRICT}ATATT[A-Za-z0-9+/=_\-]{{60,400}}"),
    ("atlassian-token", rf"{_LEFT_STRICT}ATCTT[A-Za-z0-9+/=_\-]{{60,400}}"),
    ("bitbucket-token", rf"{_LEFT_STRICT}ATBB[A-Za-z0-9]{{28,36}}{_RIGHT_STRICT}"),
    ("twilio-account-sid", rf"{_LEFT_STRICT}AC{_HEX}{{32}}{_RIGHT_STRICT}"),
    ("twilio-key", rf"{_LEFT_STRICT}SK{_HEX}{{32}}{_RIGHT_STRICT}"),
    ("square-token", rf"{_LEFT_STRICT}EAAA[A-Za-z0-9_\-]{{60}}{_RIGHT_STRICT}"),
    ("facebook-token", rf"{_LEFT_STRICT}EAA[A-Za-z0-9]{{80,300}}{_RIGHT_STRICT}"),
    ("databricks-token", rf"{_LEFT_STRICT}dapi{_HEX}{{32}}(?:-\d)?{_RIGHT_STRICT}"),
    ("alibaba-key", rf"{_LEFT_STRICT}LTAI[A-Za-z0-9]{{12,24}}{_RIGHT_STRICT}"),
    ("easypost-key", rf"{_LEFT_STRICT}EZ[AT]K[A-Za-z0-9]{{54}}{_RIGHT_STRICT}"),
)
_PLAIN_PATTERNS = tuple((kind, re.compile(pattern)) for kind, pattern in _PLAIN)


#: A separator with enough behind it to be a key, or the first letters of a key that has no separator.
GATE = re.compile(
    r"[_\-.:$~ASELd](?:(?<=[_\-.:$~])(?:[\w.+/$=~\-]{16}|us\d{1,2}(?![\w\-]))"
    r"|KIA[A-Z0-9]{4}|SIA[A-Z0-9]{4}|BSK[A-Za-z0-9]{4}|Iza|TATT|TCTT|TBB|[CK][0-9a-f]{8}|AA[A-Z]|TAI[A-Za-z0-9]{4}"
    r"|Z[AT]K|api[0-9a-f]{4}|(?<=\$)(?:argon2|scrypt|pbkdf2|\d{4,6}:))"
)
#: How far the gate looks ahead of where it starts.
_GATE_REACH = 32
_PREFIXES = tuple(_BY_PREFIX)
_LENGTHS = sorted({len(prefix) for prefix in _PREFIXES}, reverse=True)
_LONGEST_PREFIX = _LENGTHS[0]

_JWT = re.compile(r"eyJ[A-Za-z0-9_\-]{6,2048}\.eyJ[A-Za-z0-9_\-]{4,8192}(?:\.[A-Za-z0-9_\-]{0,2048}){0,3}")
_DISCORD = re.compile(rf"{_LEFT}[MNO][A-Za-z\d]{{22,27}}\.[\w\-]{{6}}\.[\w\-]{{27,40}}")
_TELEGRAM = re.compile(rf"(?<![\dA-Za-z])\d{{8,10}}:AA[\w\-]{{30,36}}{_RIGHT}")
_MAILCHIMP = re.compile(rf"(?<![0-9A-Za-z])[0-9a-f]{{32}}-us\d{{1,2}}{_RIGHT}")
_AZURE_AD = re.compile(rf"{_LEFT}[\w~.\-]{{3}}\dQ~[\w~.\-]{{31,34}}")
_TERRAFORM = re.compile(rf"{_LEFT}[A-Za-z0-9]{{14}}\.atlasv1\.[\w\-=]{{60,70}}")
#: Hashes of passwords as systems keep them: crypt(3), Argon2, scrypt, passlib's and Django's PBKDF2, SCRAM, LDAP.
_HASHES = (
    re.compile(r"\$2[abxy]?\$\d{2}\$[./A-Za-z0-9]{53}"),
    re.compile(r"\$(?:argon2(?:id|i|d)|scrypt|pbkdf2(?:-sha\d{1,3})?|bcrypt-sha256)\$[A-Za-z0-9=,$./+\-]{20,400}"),
    re.compile(r"\$(?:1|5|6|7|y|gy|apr1|md5|sha1|P|H)\$(?:rounds=\d{1,9}\$)?[./A-Za-z0-9$]{22,200}"),
)
_DJANGO_HASH = re.compile(
    r"(?<![\w$])(?:pbkdf2_sha(?:1|256)|bcrypt_sha256|argon2|scrypt|md5|sha1)\$[\w$./+=,\-]{20,400}"
)
_SCRAM_HASH = re.compile(r"SCRAM-SHA-(?:1|256|512)\$\d{3,8}:[A-Za-z0-9+/=]{8,64}\$[A-Za-z0-9+/=:]{40,400}")
#: Ends of a scheme in braces: a quick look for the hashes of directories.
LDAP_ENDS = ("A}", "5}", "6}", "2}", "T}")
_LDAP_HASH = re.compile(
    r"\{(?:S?SHA(?:256|384|512)?|S?MD5|CRYPT|PBKDF2[\w\-]{0,12}|ARGON2)\}[A-Za-z0-9+/=$.,\-]{16,400}"
)
_AIRTABLE = re.compile(rf"{_LEFT}pat[A-Za-z0-9]{{14}}\.[0-9a-f]{{64}}")

_BASE64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"


def shapes_in(text: str, start: int, end: int) -> list[tuple[int, int, str]]:
    """(start, end, kind) of each secret told by its shape that the gate sees between `start` and `end`."""
    found: list[tuple[int, int, str]] = []
    at = start
    stop = min(len(text), end + _GATE_REACH)
    while (hit := GATE.search(text, at, stop)) is not None:
        at = hit.start()
        if at >= end:
            break
        span = _shape_at(text, at)
        at += 1
        if span is not None:
            found.append(span)
            at = max(at, span[1])
    return found


def _shape_at(text: str, at: int) -> tuple[int, int, str] | None:
    char = text[at]
    if char == "$" and (span := _hash_at(text, at)) is not None:
        return span
    if char in "ASELd":
        for kind, pattern in _PLAIN_PATTERNS:
            match = pattern.match(text, at)
            if match is not None:
                return match.start(), match.end(), kind
        return None
    head = text[max(0, at - _LONGEST_PREFIX) : at + 1]
    if head.endswith(_PREFIXES):
        for length in _LENGTHS:
            prefix = head[-length:]
            if prefix in _BY_PREFIX:
                span = _prefixed_at(text, at + 1 - len(prefix), prefix)
                if span is not None:
                    return span
    if char == ".":
        if text.startswith("eyJ", at + 1):
            return _jwt_at(text, at)
        if text.endswith(".atlasv1.", 0, at + 1):
            return _back(_TERRAFORM, text, at - 22, "terraform-token")
        if text[at + 7 : at + 8] == ".":
            head = text[max(0, at - 32) : at]
            return _back(_DISCORD, text, at - len(head) + len(head.rstrip(_BASE64URL)), "discord-token")
        if text[at - 17 : at - 14] == "pat":
            return _back(_AIRTABLE, text, at - 17, "airtable-token")
    elif char == ":":
        if text.startswith("AA", at + 1):
            head = text[max(0, at - 12) : at]
            return _back(_TELEGRAM, text, at - len(head) + len(head.rstrip("0123456789")), "telegram-token")
    elif char == "~":
        return _back(_AZURE_AD, text, at - 5, "azure-client-secret")
    elif char == "-" and text.startswith("us", at + 1):
        return _back(_MAILCHIMP, text, at - 32, "mailchimp-key")
    return None


def _hash_at(text: str, at: int) -> tuple[int, int, str] | None:
    for pattern in _HASHES:
        match = pattern.match(text, at)
        if match is not None:
            return match.start(), _trimmed(text, match.start(), match.end()), "password-hash"
    head = text[max(0, at - 16) : at]
    if head.endswith(("SHA-1", "SHA-256", "SHA-512")):
        return _back(_SCRAM_HASH, text, text.rfind("SCRAM", max(0, at - 16), at), "password-hash")
    named = head[len(head.rstrip("abcdefghijklmnopqrstuvwxyz_0123456789")) :]
    return _back(_DJANGO_HASH, text, at - len(named), "password-hash") if named else None


def ldap_hashes_in(text: str, start: int, end: int) -> list[tuple[int, int, str]]:
    """(start, end, kind) of each password hash as directories write them, `{SSHA}...`."""
    found = _LDAP_HASH.finditer(text, start, min(len(text), end + LONGEST))
    return [(match.start(), match.end(), "password-hash") for match in found if match.start() < end]


def _back(pattern: re.Pattern[str], text: str, start: int, kind: str) -> tuple[int, int, str] | None:
    match = pattern.match(text, start) if start >= 0 else None
    return None if match is None else (match.start(), match.end(), kind)


def _prefixed_at(text: str, start: int, prefix: str) -> tuple[int, int, str] | None:
    for shape in _BY_PREFIX[prefix]:
        match = shape.pattern.match(text, start)
        if match is None:
            continue
        if shape.needs_digit and not _mixed(match.group()[len(prefix) :]):
            continue
        return match.start(), _trimmed(text, match.start(), match.end()), shape.kind
    return None


def _mixed(rest: str) -> bool:
    """Random-looking: a digit, and letters in a run that is no word chain like `learn-2-classify`."""
    if not any(char.isdigit() for char in rest):
        return False
    return any(len(run) >= 12 and any(c.isdigit() for c in run) for run in re.split(r"[-_]", rest)) or (
        rest.lower() != rest and rest.upper() != rest
    )


def _trimmed(text: str, start: int, end: int) -> int:
    """Without the punctuation of the sentence around it."""
    while end > start and text[end - 1] in ".-_%":
        end -= 1
    return end


def _jwt_at(text: str, dot: int) -> tuple[int, int, str] | None:
    head = text[max(0, dot - 2048) : dot]
    start = dot - (len(head) - len(head.rstrip(_BASE64URL)))
    begin = text.find("eyJ", start, dot)
    if begin < 0 or (begin > start and text[begin - 1].isalnum()):
        return None
    match = _JWT.match(text, begin)
    return None if match is None else (begin, match.end(), "jwt")
