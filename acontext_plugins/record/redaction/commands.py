"""Secrets that only their command announces: `curl -u bob:...`, `mysql -p...`, `echo ... | docker login`.

A command line is read as its shell reads it, as far as that matters here: words, quotes, and where it ends. The
same table serves a list of arguments (`["sshpass", "-p", "..."]`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from .names import is_no_secret, looks_random, worth_masking

#: How far a command line is read, in characters and in words.
LONGEST_COMMAND = 2_048
_MOST_WORDS = 96


class Word(NamedTuple):
    """One word of a command line: where it stands without its quotes, and what it says."""

    start: int
    end: int
    text: str


class _Program(NamedTuple):
    """Which options of a program hold a secret."""

    #: Options whose value is the secret, behind a space, behind `=`, or glued to a short option.
    value: frozenset[str] = frozenset()
    #: Short options whose secret is glued to them; a word behind a space is something else.
    glued: frozenset[str] = frozenset()
    #: Options whose value is a user and a secret; the character between them.
    pair: Mapping[str, str] = {}
    #: One of these words must stand on the line, where the option means something else otherwise.
    only_with: frozenset[str] = frozenset()
    #: The words that are no options and hold the secret, counted from the last one or from the first.
    positional: int | None = None
    #: An option that must be there for the words above to count.
    needs: str = ""


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_LOGIN = _set("login auth")
_MYSQL = _Program(glued=_set("-p"))
_MONGO = _Program(value=_set("-p"))
_REGISTRY = _Program(value=_set("-p"), only_with=_LOGIN)
_LDAP = _Program(value=_set("-w"))
_PUTTY = _Program(value=_set("-pw"))
_STORE = _Program(value=_set("-storepass -keypass -srcstorepass -deststorepass -srckeypass -destkeypass -new"))
_COPY = _Program(
    value=_set("-p"),
    pair={"--creds": ":", "--src-creds": ":", "--dest-creds": ":"},
    only_with=_set("login copy inspect"),
)
_SMB = _Program(pair={"-U": "%", "--user": "%"})
_SPRAY = _Program(value=_set("-p -H"))

#: By the name of the program. Sources: the manual page of each.
PROGRAMS: dict[str, tuple[_Program, ...]] = {
    "curl": (
        _Program(
            value=_set("--pass --proxy-pass --oauth2-bearer --tlspassword --proxy-tlspassword"),
            pair={"-u": ":", "--user": ":", "-U": ":", "--proxy-user": ":"},
        ),
    ),
    "http": (_Program(pair={"-a": ":", "--auth": ":"}),),
    "https": (_Program(pair={"-a": ":", "--auth": ":"}),),
    "xh": (_Program(pair={"-a": ":", "--auth": ":"}),),
    "wget": (_Program(value=_set("--password --http-password --ftp-password --proxy-password")),),
    "aria2c": (_Program(value=_set("--http-passwd --ftp-passwd --rpc-secret")),),
    "ab": (_Program(pair={"-A": ":", "-P": ":"}),),
    "hydra": (_Program(value=_set("-p")),),
    "lftp": (_Program(pair={"-u": ",", "--user": ","}),),
    "ncftp": (_Program(value=_set("-p")),),
    "ncftpput": (_Program(value=_set("-p")),),
    "ncftpget": (_Program(value=_set("-p")),),
    "sshpass": (_Program(value=_set("-p")),),
    **dict.fromkeys(
        "mysql mysqldump mysqladmin mysqlimport mysqlshow mysqlcheck mysqlsh mysqlbinlog mysqlslap mariadb "
        "mariadb-dump mariadb-admin mariadb-import mariadb-show mariadb-check mycli xtrabackup mydumper".split(),
        (_MYSQL,),
    ),
    **dict.fromkeys(
        "mongo mongosh mongodump mongorestore mongoexport mongoimport mongostat mongotop mongofiles".split(), (_MONGO,)
    ),
    **dict.fromkeys("docker podman nerdctl buildah helm oras crane az acr oc cf jfrog".split(), (_REGISTRY,)),
    "skopeo": (_COPY,),
    "redis-cli": (_Program(value=_set("-a --pass")),),
    "valkey-cli": (_Program(value=_set("-a --pass")),),
    "keydb-cli": (_Program(value=_set("-a --pass")),),
    "redis-benchmark": (_Program(value=_set("-a")),),
    "clickhouse-client": (_Program(value=_set("--password")),),
    "cqlsh": (_Program(value=_set("-p")),),
    "cypher-shell": (_Program(value=_set("-p")),),
    "influx": (_Program(value=_set("-password -p --password")),),
    "sqlcmd": (_Program(value=_set("-P")),),
    "bcp": (_Program(value=_set("-P")),),
    "isql": (_Program(value=_set("-P")),),
    "tsql": (_Program(value=_set("-P")),),
    "osql": (_Program(value=_set("-P")),),
    **dict.fromkeys("sqlplus sqlldr expdp impdp exp imp rman tnsping".split(), (_Program(pair={"": "/"}),)),
    **dict.fromkeys("ldapsearch ldapadd ldapmodify ldapdelete ldapwhoami ldapcompare ldapmodrdn".split(), (_LDAP,)),
    "ldappasswd": (_Program(value=_set("-w -a -s")),),
    **dict.fromkeys("smbclient rpcclient smbcacls smbget smbspool wmic winexe nmblookup".split(), (_SMB,)),
    **dict.fromkeys("smbmap evil-winrm crackmapexec netexec nxc impacket-psexec".split(), (_SPRAY,)),
    **dict.fromkeys("plink pscp psftp puttygen klink".split(), (_PUTTY,)),
    **dict.fromkeys("keytool jarsigner apksigner".split(), (_STORE,)),
    "openssl": (
        _Program(value=_set("-k")),
        _Program(pair=dict.fromkeys(("-passin", "-passout", "-pass"), "pass:")),
        _Program(only_with=_set("passwd"), positional=-1),
    ),
    "zip": (_Program(value=_set("-P --password")),),
    "unzip": (_Program(value=_set("-P")),),
    **dict.fromkeys("7z 7za 7zr 7zz rar unrar".split(), (_Program(glued=_set("-p -hp")),)),
    "qpdf": (_Program(value=_set("--password --owner-password --user-password")),),
    "pdftotext": (_Program(value=_set("-upw -opw")),),
    "pdftk": (_Program(value=_set("user_pw owner_pw input_pw")),),
    "gpg": (_Program(value=_set("--passphrase")),),
    "gpg2": (_Program(value=_set("--passphrase")),),
    "ssh-keygen": (_Program(value=_set("-N -P")),),
    "ipmitool": (_Program(value=_set("-P")),),
    **dict.fromkeys("snmpwalk snmpget snmpset snmpbulkwalk snmptrap".split(), (_Program(value=_set("-A -X -c")),)),
    "rdesktop": (_Program(value=_set("-p")),),
    **dict.fromkeys("xfreerdp xfreerdp3 wlfreerdp mstsc".split(), (_Program(pair={"/p": ":", "/password": ":"}),)),
    "vncpasswd": (_Program(value=_set("-f")),),
    "htpasswd": (_Program(positional=-1, needs="b"),),
    "wpa_passphrase": (_Program(positional=-1),),
    "nmcli": (_Program(value=_set("password wifi-sec.psk 802-11-wireless-security.psk")),),
    "svn": (_Program(value=_set("--password")),),
    "rabbitmqctl": (_Program(only_with=_set("add_user change_password authenticate_user"), positional=-1),),
    "rabbitmqadmin": (_Program(value=_set("-p --password")),),
    "mosquitto_pub": (_Program(value=_set("-P --pw")),),
    "mosquitto_sub": (_Program(value=_set("-P --pw")),),
    "mosquitto_passwd": (_Program(positional=-1, needs="b"),),
    "net": (_Program(only_with=_set("user use"), positional=-1),),
    "useradd": (_Program(value=_set("-p --password")),),
    "usermod": (_Program(value=_set("-p --password")),),
    "kinit": (_Program(value=_set("--password")),),
    "gh": (_Program(value=_set("-b --body"), only_with=_set("secret")),),
    "vercel": (_Program(value=_set("-t --token")),),
    "netlify": (_Program(value=_set("-a --auth")),),
    "twine": (_Program(value=_set("-p --password")),),
    "cargo": (_Program(only_with=_set("login"), positional=-1),),
    "psexec": (_Program(value=_set("-p")),),
    "schtasks": (_Program(value=_set("/rp /p")),),
    "tableau": (_Program(value=_set("-p --password")),),
    "tabcmd": (_Program(value=_set("-p --password")),),
    "wpscan": (_Program(value=_set("--api-token")),),
    "borg": (_Program(value=_set("--passphrase")),),
    "runas": (_Program(value=_set("/savecred")),),
}
#: Programs that read a secret from the pipe: what was echoed into it is the secret (`user:secret` for these two).
_READS_SECRET = re.compile(
    r"\|[ \t]{0,4}(?:sudo[ \t]{1,4}|)(?:(?P<pairs>chpasswd|htpasswd)\b|[^|;&\n]{0,200}?"
    r"(?:--password-stdin|--passphrase-fd|--stdin\b|-passin stdin|--with-token|--token-stdin|cryptsetup|\bkinit\b"
    r"|smbpasswd[ \t][^|;&\n]{0,80}-s|sudo[ \t]{1,4}-\w{0,4}S|su[ \t]{1,4}-c|pass[ \t]{1,4}insert"
    r"|op[ \t]{1,4}signin))"
)
_ECHO = re.compile(
    r"(?:^|[^\w\-])(?:echo|printf|Write-Output)[ \t]{1,4}(?:-[neE]{1,3}[ \t]{1,4}|)(?:[\"']%s(?:\\n"
    r"|)[\"'][ \t]{1,4}|)"
)
_HERE = re.compile(r"(?:--password-stdin|--stdin|-S|cryptsetup|passwd)[^|;&\n]{0,120}?<<<[ \t]{0,4}")
#: `ENV DB_PASSWORD x`, `setx`, `config set`, `requirepass x`: a name, and a value behind a space.
_SETS = re.compile(
    r"(?:\bENV|\bARG|\bsetx|\bsetenv|\bset -gx|\bset -x|\bconfig set|\bconfigure set|\bconfig:set|\bsecrets? set"
    r"|\benv add|\bsecret put|\bvariable set)[ \t]{1,4}(?:-\S{1,40}[ \t]{1,4}|){0,2}[\"']?$"
)
_PROGRAM = re.compile(
    r"(?<![\w\-])(?:"
    + "|".join(re.escape(name) for name in sorted(PROGRAMS, key=len, reverse=True))
    + r")(?:\.exe|\.py|)"
    r"(?=[ \t\"']|\\\r?\n)"
)
#: An option: what a program with a secret on its line has, most of them.
_OPTION = re.compile(r"-(?<=[ \t\n\"']-)(?=[A-Za-z\-])")
#: These need none.
_BARE = (
    "sqlplus",
    "sqlldr",
    "expdp",
    "impdp",
    "wpa_passphrase",
    "add_user",
    "_password",
    "net us",
    "cargo login",
    "/p:",
)
#: What a text must hold for a command line that takes a secret to stand in it.
SIGNS = (*_BARE, " -", "\n-", "'-", '"-', "|", "<<<")
_SPACE = re.compile(r"(?:[ \t]|\\\r?\n){1,64}")
_COMMA = re.compile(r"\s{0,16},\s{0,16}[rbf]?")
_ENDS = frozenset("\r\n;|&)`")
_ESCAPED_QUOTE = re.compile(r"""\\{1,3}["']""")
#: Users of an interface whose key is the name, and nothing stands behind the colon.
_NO_PASSWORD = frozenset({"", "x", "X", "x-oauth-basic", "api_token", "none"})


def secrets_in_commands(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Where the secrets of the command lines stand whose options stand between `start` and `end`."""
    searched = start
    for at in _signs(text, start, end):
        if at < searched:
            continue
        first = max(searched - 32, at - LONGEST_COMMAND, text.rfind("\n\n", max(0, at - LONGEST_COMMAND), at), 0)
        searched = at + 1
        for match in _PROGRAM.finditer(text, first, min(len(text), at + 64)):
            limit = min(len(text), match.end() + LONGEST_COMMAND)
            words = list(_words(text, match.end(), limit))
            name = match.group().removesuffix(".exe").removesuffix(".py")
            for rule in PROGRAMS[name]:
                yield from _secrets_of(rule, words)
            if words:
                searched = max(searched, words[-1].end)
    if "|" in text:
        yield from _piped(text, start, end)
    if "<<<" in text:
        for match in _HERE.finditer(text, start, min(len(text), end + LONGEST_COMMAND)):
            if match.start() >= end:
                break
            here = _shell_words(text, match.end(), min(len(text), match.end() + 512), spaced=False)
            for word in list(here)[:1]:
                yield from _value(word, 0, "")


def _signs(text: str, start: int, end: int) -> list[int]:
    """Where command lines with a secret may stand: their options, and the programs that need none."""
    found = [match.start() for match in _OPTION.finditer(text, start, min(len(text), end + 2)) if match.start() < end]
    for sign in _BARE:
        at = text.find(sign, start, end + len(sign) - 1)
        while at >= 0:
            found.append(at)
            at = text.find(sign, at + 1, end + len(sign) - 1)
    return sorted(found)


def secrets_in_arguments(words: Sequence[str]) -> Iterator[tuple[int, int, int]]:
    """(which argument, start, end) of each secret in the arguments of a program, its name among them."""
    for at, word in enumerate(words[:8]):
        name = word.replace("\\", "/").rsplit("/", 1)[-1].removesuffix(".exe")
        rules = PROGRAMS.get(name)
        if rules is None:
            continue
        #: Each word at a place of its own, so that the place tells which one it is.
        step = 1 << 24
        rest = [
            Word(step * (at + 1 + n), step * (at + 1 + n) + len(text), text)
            for n, text in enumerate(words[at + 1 : at + 1 + _MOST_WORDS])
        ]
        for rule in rules:
            for start, end in _secrets_of(rule, rest):
                yield start // step, start % step, (end - 1) % step + 1


def sets_a_variable(text: str, begin: int) -> bool:
    """Whether what stands before a name is a command that sets it: `setx DB_PASSWORD x`."""
    return _SETS.search(text, max(0, begin - 96), begin) is not None


def _secrets_of(rule: _Program, words: list[Word]) -> Iterator[tuple[int, int]]:
    if rule.only_with and not any(word.text in rule.only_with for word in words):
        return
    plain: list[Word] = []
    waiting: str | None = None
    flags = ""
    for word in words:
        if waiting is not None:
            separator, waiting = waiting, None
            yield from _value(word, 0, separator)
            continue
        option, equals, _ = word.text.partition("=")
        if equals and (option in rule.value or option in rule.pair):
            yield from _value(word, len(option) + 1, rule.pair.get(option, ""))
        elif word.text in rule.value or word.text in rule.pair:
            waiting = rule.pair.get(word.text, "")
        elif (colon := word.text.partition(":")[0]) in rule.pair and colon.startswith("/"):
            yield from _value(word, len(colon) + 1, "")
        elif word.text[:1] == "-" and word.text[1:2] != "-":
            flags += word.text[1:]
            found = _glued(rule, word)
            if found is not None:
                at, separator, ends = found
                if ends:
                    waiting = separator
                else:
                    yield from _value(word, at, separator)
        elif "" in rule.pair and not plain:
            plain.append(word)
            yield from _value(word, 0, rule.pair[""])
        elif not (word.text[:1] == "/" and word.text[1:].isalpha()):  # `/add`: an option of Windows
            plain.append(word)
    if rule.positional is not None and len(plain) >= 2 and rule.needs in flags:
        yield from _value(plain[rule.positional], 0, "")


def _glued(rule: _Program, word: Word) -> tuple[int, str, bool] | None:
    """Where the value begins that is glued to a short option, how it is cut, and whether it is the next word."""
    text = word.text
    for option in (*rule.glued, *(o for o in rule.value if len(o) == 2)):
        if text.startswith(option) and len(text) > len(option):
            return len(option), "", False
    for option, separator in rule.pair.items():
        if len(option) != 2 or option[0] != "-":
            continue
        if text.startswith(option):
            return 2, separator, False
        if text.endswith(option[1]) and text[1:].isalpha() and len(text) <= 8:  # flags in one word: -sSu
            return len(text), separator, True
    return None


def _value(word: Word, at: int, separator: str) -> Iterator[tuple[int, int]]:
    """The secret in a word, from `at`; behind the separator, where user and secret stand in one word."""
    text = word.text[at:]
    if len(separator) > 1:  # `pass:...`
        if not text.startswith(separator):
            return
        at, text = at + len(separator), text[len(separator) :]
    elif separator:
        user, found, secret = text.partition(separator)
        if not found:
            return
        if secret in _NO_PASSWORD:
            if len(user) >= 12 and looks_random(user):
                yield word.start + at, word.start + at + len(user)
            return
        if separator == "/":  # sqlplus bob/secret@host
            secret = secret.rpartition("@")[0] or secret
        at, text = at + len(user) + 1, secret
    quote = text[:1]
    if quote in ("'", '"') and len(text) > 1:
        text = text[1:].removesuffix(quote)
        at += 1
    if text and is_secret_of_command(text):
        yield word.start + at, word.start + at + len(text)


def is_secret_of_command(value: str) -> bool:
    """Whether a value that stands where a command takes a secret is one, and no reference to where it is."""
    if value.startswith(("-", "@", "file:", "env:", "stdin", "$", "%")):
        return False
    return len(value) >= 3 and not is_no_secret(value) and worth_masking("password", value, "assigned")


def _piped(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """`echo ... | docker login --password-stdin`: what is echoed."""
    for reader in _READS_SECRET.finditer(text, start, min(len(text), end + 320)):
        if reader.start() >= end:
            break
        first = max(0, reader.start() - 512)
        head = text[first : reader.start()]
        head = head[max(head.rfind("\n"), head.rfind("|"), head.rfind(";"), head.rfind("&")) + 1 :]
        echo = _ECHO.search(head)
        if echo is None:
            continue
        at = reader.start() - len(head) + echo.end()
        words = list(_shell_words(text, at, reader.start(), spaced=False))
        if words:
            yield from _value(words[-1], 0, ":" if reader["pairs"] else "")


def _words(text: str, at: int, limit: int) -> Iterable[Word]:
    """The words of a command line from `at` on; or the strings of a list of arguments, where it is one."""
    if text[at : at + 1] in ("'", '"'):
        return _strings(text, at + 1, limit)
    return _shell_words(text, at, limit, spaced=True)


def _strings(text: str, at: int, limit: int) -> Iterator[Word]:
    """`"curl", "-u", "..."`: what stands in the quotes, one after the other."""
    for _ in range(_MOST_WORDS):
        comma = _COMMA.match(text, at, limit)
        if comma is None:
            return
        quote = text[comma.end() : comma.end() + 1]
        if quote not in ("'", '"'):
            return
        start = comma.end() + 1
        end = text.find(quote, start, limit)
        while end > 0 and text[end - 1] == "\\":
            end = text.find(quote, end + 1, limit)
        if end < 0:
            return
        yield Word(start, end, text[start:end])
        at = end + 1


def _shell_words(text: str, at: int, limit: int, *, spaced: bool) -> Iterator[Word]:
    in_json = text[:32].lstrip()[:1] in ("{", "[")
    for _ in range(_MOST_WORDS):
        space = _SPACE.match(text, at, limit)
        if space is None and spaced:
            return
        start = at if space is None else space.end()
        spaced = True
        end = _end_of_word(text, start, limit, in_json)
        if end <= start:
            return
        inner, outer = start, end
        opening = _ESCAPED_QUOTE.match(text, start, end)
        size = len(opening.group()) if opening else int(text[start] in "'\"")
        if size and end - start >= 2 * size and text[end - size : end] == text[start : start + size]:
            inner, outer = start + size, end - size
        yield Word(inner, outer, text[inner:outer])
        at = end


def _end_of_word(text: str, at: int, limit: int, in_json: bool) -> int:
    """Where the word ends that begins at `at`: at a space or an operator that stands in no quotes."""
    while at < limit:
        char = text[at]
        if char == "\\":
            escaped = _ESCAPED_QUOTE.match(text, at, limit)
            if escaped is not None and in_json:
                close = text.find(escaped.group(), escaped.end(), limit)
                at = escaped.end() if close < 0 else close + len(escaped.group())
                continue
            if in_json and text[at + 1 : at + 2] in ("n", "r", "t"):
                return at
            if text[at + 1 : at + 2] in ("\n", "\r"):
                return at
            at += 2
        elif char == '"' and in_json:
            return at
        elif char in "'\"":
            close = text.find(char, at + 1, limit)
            while char == '"' and close > 0 and text[close - 1] == "\\":
                close = text.find(char, close + 1, limit)
            if close < 0 or "\n" in text[at:close]:
                return at
            at = close + 1
        elif char in " \t" or char in _ENDS:
            return at
        else:
            at += 1
    return min(at, limit)
