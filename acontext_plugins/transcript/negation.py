"""Negation: whether words say that something is to be, or not to be.

Half of a sentence is verbatim too: "refund without asking" stands in "Never refund without asking". What words a wish
anew must say no where the user did, and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from .user_turns import sentences

#: Words of languages in which one of them says no (of "ne ... pas", the second one).
_NO = re.compile(
    r"\b(?:no|not|never|none|nobody|nothing|nowhere|neither|nor|cannot|without|avoid|stop|refuse|kein\w*|nicht|nie"
    r"|niemals|ohne|pas|jamais|sans|aucun\w*|nunca|jam[aá]s|sin|n[aã]o|sem|senza|не|нет|без|никогда)\b"
    r"|n['’]t\b|\b(?:do|does|did|is|are|ca|wo|should|must)nt\b|[不别別勿未没沒无無非]|ない|なし|ません|禁",
    re.IGNORECASE,
)
#: Where a sentence goes on with something else; what comes before is no mere "Never," or "Please don't,".
_CLAUSE = re.compile(
    r"(?:(?<=\w[,;:])|(?<=[，；、]))(?=\s*\S)|\s+(?=(?:and|but|und|aber|y|pero|et|mais|e|ma|mas)\s)", re.IGNORECASE
)
_FEWEST_WORDS = 3
_WORD = re.compile(r"[\u3040-\u9fff\uac00-\ud7af]|\w+")
_SPACE = re.compile(r"\s+")


def negates(text: str) -> bool:
    """Whether it says no; to say no to a no is to say yes. Short lists of the commonest words, as in `user_turns`."""
    return len(_NO.findall(text)) % 2 == 1


def turns(text: str, quote: str, said: str) -> bool:
    """Whether `text` says no where neither the clause nor the sentence of the quote does, or the other way round."""
    return negates(text) not in {negates(_around(quote, _clauses(said))), negates(_around(quote, sentences(said)))}


def unturned(quote: str, said: str) -> str:
    """The quote, or the whole clause that it was taken from, where it says something else than that does."""
    clause = _around(quote, _clauses(said))
    return clause if negates(clause) != negates(quote) else quote


def _around(quote: str, parts: Sequence[str]) -> str:
    """The part that holds the quote, or the parts that it holds; the quote itself, where there are none."""
    wanted = _plain(quote)
    within = [part for part in parts if wanted and wanted in _plain(part)]
    found = within[:1] or [part for part in parts if (plain := _plain(part)) and plain in wanted]
    return " ".join(found) or quote


def _clauses(said: str) -> list[str]:
    found: list[str] = []
    for sentence in sentences(said):
        clause = ""
        for piece in _CLAUSE.split(sentence):
            if len(_WORD.findall(clause)) >= _FEWEST_WORDS:
                found.append(clause)
                clause = ""
            clause = f"{clause} {piece.strip()}".strip()
        found.append(clause)
    return found


def _plain(text: str) -> str:
    return _SPACE.sub(" ", text).strip(" .!?。！？\"'“”‘’").casefold()
