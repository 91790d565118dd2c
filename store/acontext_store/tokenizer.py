"""Tokenizer: how text becomes search terms, and how a search text names tools.

One for indexes, queries, learners and rankers, so that they agree.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

#: Runs of letters and digits; runs of Han, kana and Hangul apart, since those are written without spaces.
_IDEOGRAPHS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
_WORD = re.compile(rf"[{_IDEOGRAPHS}]+|(?:(?![{_IDEOGRAPHS}])[^\W_])+", re.UNICODE)
_IDEOGRAPH = re.compile(rf"[{_IDEOGRAPHS}]")
_STOPWORDS = frozenset(
    """
    a able about across actually after again against ago all along already also always am an and another any anyone
    anything are aren around as ask at away back be because been before being best better between both bring but by
    came can come could couldn d did didn do does doesn doing don down during each either else enough even ever
    every everything far feel few first for from gave get give given go goes going gone good got great had happen
    happy has hasn have haven having he hello her here hey hi him his hope how however i if in into is isn it its
    just kind know known later least less let like ll lot lots m made make makes making maybe me mean might mine
    more most much must my myself need needed needs never next no none not nothing now of off often oh ok okay on
    once one only onto or other others otherwise our out over own per perhaps please possible quite rather re really
    right s said same say saying see seem seems sense she should shouldn since so some someone something soon still
    such sure t take taken tell than thank thanks that the their them then there these they thing things think this
    those though thought through thus to today together told too took toward tried trying two under unless until up
    upon us usually ve very via wait want was wasn way ways we well went were what whatever when where whether which
    while who whole why will wish with within without won wonder working worry worth would wouldn yeah yes yet you
    your yours yourself
    """.split()
)


def words(text: str) -> list[str]:
    """Lower-cased stems of the words of `text` in order, stop words left out, repeated words kept.

    Words of scripts without spaces become their overlapping pairs of characters.
    """
    found: list[str] = []
    for word in _WORD.findall(text.lower()):
        if word in _STOPWORDS:
            continue
        if len(word) > 1 and _IDEOGRAPH.match(word):
            found.extend(word[i : i + 2] for i in range(len(word) - 1))
        else:
            found.append(stem(word))
    return found


@lru_cache(maxsize=65536)
def stem(word: str) -> str:
    """`word` without its commonest English endings, so that "cancelled" finds "cancel".

    Steps 1a and 1b of Porter's stemmer (An algorithm for suffix stripping, 1980) plus -ation and a final e;
    words with anything but a-z and words of up to three letters stay as they are.
    """
    if len(word) <= 3 or not (word.isascii() and word.isalpha()):
        return word
    if word.endswith(("sses", "shes", "ches", "xes", "zes")):
        word = word[:-2]
    elif word.endswith(("ies", "ied")):
        word = word[:-3] + "y"
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending in ("ellation", "ing", "ed"):
        if word.endswith(ending) and _has_vowel(word[: -len(ending)]) and len(word) - len(ending) >= 3:
            word = word[: -len(ending)] + ("el" if ending == "ellation" else "")
            if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "sz":
                word = word[:-1]
            break
    if len(word) > 4 and word[-1] == "e":
        word = word[:-1]
    return word


def _has_vowel(text: str) -> bool:
    return any(letter in "aeiouy" for letter in text)


def searchable(text: str, tools: Iterable[str]) -> str:
    """A search text that also names tools: found under their words, read again by `parts_of`."""
    return f"{' '.join(text.split())}\n{' '.join(dict.fromkeys(tools))}"


def parts_of(text: str) -> tuple[str, tuple[str, ...]]:
    """What was said, and the tools that a search text names."""
    said, line, tools = text.rpartition("\n")
    return (said, tuple(tools.split())) if line else (text, ())
