"""JSON shapes: what kind of value an argument was, in words of ours. Says nothing of the value itself (T1, T2).

Lets a pitfall say "a decimal as text failed, a whole number worked" where the values may not be kept.
"""

from __future__ import annotations

import json
import re

_DIGITS = re.compile(r"[+-]?\d+")
_DECIMAL = re.compile(r"[+-]?\d+[.,]\d+")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_STAMP = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}.*")
_OTHER_DATE = re.compile(r"\d{1,4}[/.]\d{1,2}[/.]\d{1,4}")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.\w+")
_URL = re.compile(r"[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE)
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_FRONT = re.compile(r"[^\w\s]{1,2}")


def shape_of(value: object) -> str:
    """The kind of a JSON value, in words."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int):
        return "a whole number"
    if isinstance(value, float):
        return "a decimal number"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    if isinstance(value, dict):
        return "an object" if value else "an empty object"
    return _shape_of_text(str(value).strip())


def _shape_of_text(text: str) -> str:
    if not text:
        return "empty text"
    for pattern, words in (
        (_DIGITS, "digits as text"),
        (_DECIMAL, "a decimal as text"),
        (_DATE, "a date like YYYY-MM-DD"),
        (_STAMP, "a date with a time"),
        (_OTHER_DATE, "a date in another notation"),
        (_EMAIL, "an e-mail address"),
        (_URL, "a URL"),
        (_UUID, "a UUID"),
    ):
        if pattern.fullmatch(text):
            return words
    if text[0] in "[{" and _is_json(text):
        return "JSON as text"
    if "," in text and " " not in text.replace(", ", ","):
        return "names with commas"
    return "text" if " " in text else "one word"


def _is_json(text: str) -> bool:
    if len(text) > 10_000:
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def change_of(before: object, after: object) -> str:
    """How the value that worked differs from the one that failed; "" where only the value itself does."""
    if before is None or after is None:
        return ""
    one, other = shape_of(before), shape_of(after)
    if isinstance(before, str) and isinstance(after, str):
        first, second = before.strip(), after.strip()
        if first != second and first and second.endswith(first) and _FRONT.fullmatch(second[: -len(first)]):
            return f"with {second[: -len(first)]} in front"
        if first != second and second and first.endswith(second) and _FRONT.fullmatch(first[: -len(second)]):
            return f"without {first[: -len(second)]} in front"
        if first != second and first.lower() == second.lower():
            return "in lower case" if second.islower() else "in capitals" if second.isupper() else "in other case"
    return f"{one} failed, {other} worked" if one != other else ""
