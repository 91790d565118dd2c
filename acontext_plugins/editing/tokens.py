"""How many tokens a message takes: counted with o200k_base where its vocabulary is on this machine, else estimated."""

from __future__ import annotations

import functools
import logging
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path

from acontext_store.types import Message, Part

log = logging.getLogger("acontext")

Counter = Callable[[str], int]
#: What a picture, a recording or a file counts. Providers differ (85 to 1,600 for an image); a round middle.
MEDIA = 1_000
#: The name that tiktoken gives to the vocabulary of o200k_base in its caches.
_VOCABULARY = "fb374d419588a4632f3f557e76b4b70aebbca790"
#: Longer texts are counted in pieces of this many characters: their tokens add up to a little more than the whole's.
_PIECE = 32_768
#: Texts whose counts are remembered: about 10 MB.
_REMEMBERED = 100_000


def estimate(text: str) -> int:
    """A quarter of a token for each ASCII character, two thirds for any other; rounded up.

    Against o200k_base that is within about 20 % for English prose and code, and an upper bound for most scripts.
    """
    if text.isascii():
        return -(-len(text) // 4)
    plain = sum(map(str.isascii, text))
    return -(-(3 * plain + 8 * (len(text) - plain)) // 12)


@functools.cache
def counter() -> Counter:
    """The best way to count that this machine has. Never reaches for the network."""
    if find_spec("tiktoken") is None:
        return estimate
    for place in _places():
        if (place / _VOCABULARY).is_file():
            try:
                return _exact(place / _VOCABULARY)
            except Exception:
                log.warning("acontext: tokens are estimated: %s cannot be used", place / _VOCABULARY, exc_info=True)
    return estimate


def _places() -> Iterator[Path]:
    """Where tiktoken keeps vocabularies, and where LiteLLM ships them."""
    for name in ("TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR"):
        if os.environ.get(name):
            yield Path(os.environ[name])
    yield Path(tempfile.gettempdir()) / "data-gym-cache"
    litellm = find_spec("litellm")
    if litellm is not None and litellm.origin:
        yield Path(litellm.origin).parent / "litellm_core_utils" / "tokenizers"


def _exact(vocabulary: Path) -> Counter:
    import base64

    import tiktoken

    ranks = {
        base64.b64decode(token): int(rank)
        for token, rank in (line.split() for line in vocabulary.read_bytes().splitlines() if line)
    }
    encoding = tiktoken.Encoding("o200k_base", pat_str=_PATTERN, mergeable_ranks=ranks, special_tokens={})

    def count(text: str) -> int:
        pieces = (text[at : at + _PIECE] for at in range(0, len(text), _PIECE))
        return sum(len(encoding.encode_ordinary(piece)) for piece in pieces)

    return _remembering(count)


def _remembering(count: Counter) -> Counter:
    """The same, but a text that comes again is not counted again: a conversation is counted at each of its turns.

    Kept are hashes, not texts. They are keyed by process, so nobody can make two texts of one hash.
    """
    known: dict[int, int] = {}

    def counted(text: str) -> int:
        found = known.get(key := hash(text))
        if found is None:
            if len(known) >= _REMEMBERED:
                known.clear()
            found = known[key] = count(text)
        return found

    return counted


#: How o200k_base cuts text into words (tiktoken, `tiktoken_ext/openai_public.py`).
_LETTERS = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_SHORT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
_PATTERN = "|".join(
    (
        rf"[^\r\n\p{{L}}\p{{N}}]?{_LETTERS[0]}*{_LETTERS[1]}+{_SHORT}",
        rf"[^\r\n\p{{L}}\p{{N}}]?{_LETTERS[0]}+{_LETTERS[1]}*{_SHORT}",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    )
)


def part_tokens(part: Part, count: Counter | None = None) -> int:
    """What one part takes: its words, the name and arguments of a call, a flat rate for media."""
    count = count or counter()
    if part.type in ("text", "tool-result", "thinking"):
        return count(part.text or "")
    meta = part.meta or {}
    if part.type == "tool-call":
        arguments = meta.get("arguments")
        return count(f"{meta.get('name') or ''}{arguments if isinstance(arguments, str) else arguments or ''}")
    if part.type == "data":
        return count(str(meta))
    return MEDIA


def message_tokens(message: Message, count: Counter | None = None) -> int:
    """What one message takes."""
    return sum(part_tokens(part, count) for part in message.parts)


def total_tokens(messages: Iterable[Message], count: Counter | None = None) -> int:
    """What all of them take together."""
    count = count or counter()
    return sum([part_tokens(part, count) for message in messages for part in message.parts])
