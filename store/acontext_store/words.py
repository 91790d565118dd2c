"""Words: how text becomes search terms. One function for indexes, queries and rankers, so that they agree."""

from __future__ import annotations

import re

_WORD = re.compile(r"[^\W_]+", re.UNICODE)
_STOPWORDS = frozenset(
    "a an and are as at be been but by can could did do does for from had has have he her him his i if in into is it "
    "its just me my no not of on or our please she should so some that the their them then there these they this to "
    "us was we were what when where which who will with would you your".split()
)


def words(text: str) -> list[str]:
    """Lower-cased words of `text` in order, stop words left out, repeated words kept."""
    return [word for word in _WORD.findall(text.lower()) if word not in _STOPWORDS]
