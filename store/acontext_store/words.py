"""Words: how text becomes search terms. One function for indexes, queries and rankers, so that they agree."""

from __future__ import annotations

import re
from functools import lru_cache

#: Runs of letters and digits; runs of Han, kana and Hangul apart, since those are written without spaces.
_IDEOGRAPHS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
_WORD = re.compile(rf"[{_IDEOGRAPHS}]+|(?:(?![{_IDEOGRAPHS}])[^\W_])+", re.UNICODE)
_IDEOGRAPH = re.compile(rf"[{_IDEOGRAPHS}]")
_STOPWORDS = frozenset(
    """
    a about also am an and any are as at be because been but by can could did do does doing don for from get
    had has have having he her here him his how i if in into is it its just let like ll m me my no not now
    of off on or our out please re s she should so some such t that the their them then there these they
    this those to too up us ve very want was we were what when where which who why will with would yes yet
    you your yours
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
