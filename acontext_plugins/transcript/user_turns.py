"""What a user's turn says without what we put into it, and what it is for: a request, an answer, a correction ...

Short lists of the commonest wordings, not a language model: what they miss is taken for a request. A list that finds
too little costs a segmentation; one that finds too much would invent an outcome, so they err on the side of too little.
"""

from __future__ import annotations

import re
from typing import Literal

#: The longest turn that is taken for a person's own words.
MOST_SPOKEN = 2000
Turn = Literal["request", "answer", "thanks", "correction", "confirmation"]

_OPEN = "<acontext-skills"
#: Our own injected text: from an opening marker, whatever its attributes, to the next closing one or else to the end.
_INJECTED = re.compile(r"<acontext-skills\b.*?(?:</acontext-skills\s*>|\Z)", re.DOTALL | re.IGNORECASE)
_CLOSING = re.compile(r"</acontext-skills\s*>", re.IGNORECASE)
#: A full stop inside a word ("report.txt", "3.5") ends nothing.
_SENTENCE = re.compile(r"(?:[^.!?\n。！？]|[.!?](?=[^\s.!?]))+[.!?。！？]*")
_LEAD = r"^\s*(?:(?:hi|hello|hey|ok|okay|well|so|oh|hmm|um|sorry|but|and|also|wait|actually)\b[\s,.!-]*)*"
_CORRECTION = re.compile(
    _LEAD + r"(?:no\b(?![\s,.!-]+(?:problem|worries|thanks|thank|need|more|other|rush|that(?:['’]s| is"
    r"| will be) (?:all|it|everything)"
    r"|nothing|i(?:['’]m| am) (?:good|fine|all set)|it(?:['’]s| is) (?:fine|ok|okay)))[\s,.!-]"
    r"|no$|nope\b|that(?:['’]s| is| was)(?: still)? (?:wrong|not (?:right|correct|what|it)|incorrect|a mistake)"
    r"|(?:this|it)(?:['’]s| is| was)(?: still)? (?:wrong|not (?:right|correct|what|working)|incorrect|broken)"
    r"|not what i (?:asked|wanted|meant)|wrong\b|incorrect\b|you (?:forgot|missed|misunderstood|got it wrong"
    r"|didn['’]?t)\b"
    r"|you (?:should(?:n['’]t| not)? have|were supposed to|used the wrong|did the wrong)"
    r"|i (?:said|meant|asked for)\b|undo\b|revert\b|stop\b|that didn['’]?t work|(?:it|this|that) (?:doesn"
    r"|didn)['’]?t work"
    r"|still (?:wrong|broken|failing|not working)|try again\b|redo\b|please fix\b|falsch\b|nein\b|nicht richtig"
    r"|incorrecto\b|eso no\b|mal\b|c['’]est faux|non,|不对|错了|違い?ます|ちがう)",
    re.IGNORECASE,
)
_CORRECTION_ANYWHERE = re.compile(
    r"\b(?:that(?:['’]s| is| was) (?:wrong|incorrect|not (?:right|correct|what i (?:asked|wanted|meant)))"
    r"|not what i (?:asked|wanted|meant)|you (?:used|picked|chose|did|cancelled|booked) the wrong"
    r"|(?:still|it) (?:doesn|didn)['’]?t work|you (?:forgot|misunderstood)|you should(?:n['’]t| not)? have)\b",
    re.IGNORECASE,
)
_THANKS = re.compile(
    r"\b(?:thanks|thank you|thx|cheers|perfect|awesome|excellent|well done|great (?:job|work)|(?:that|it"
    r"|this) work(?:s|ed)"
    r"|works (?:now|great|fine|perfectly)|looks (?:good|great)|exactly what i (?:wanted|needed)|lgtm"
    r"|that(?:['’]s| is) (?:all|it|right"
    r"|correct|great|perfect)|danke|gracias|merci|obrigad[oa]|grazie|спасибо)\b|谢谢|多谢|ありがとう|감사|👍|🎉",
    re.IGNORECASE,
)
_CONFIRMATION = re.compile(
    _LEAD + r"(?:yes|yeah|yep|yup|sure|correct|right|confirmed?|i confirm|go ahead|proceed"
    r"|please (?:do|proceed|go ahead|continue)|do it|continue|(?:that |it |this |all )?sounds (?:good|great"
    r"|fine|perfect)|that works|that would be"
    r"|agreed|approved?|fine|ok(?:ay)?[.!,]?$"
    r"|ja\b|s[ií]\b|oui\b|是的?|好的?|はい)",
    re.IGNORECASE,
)
_MORE = re.compile(
    r"\b(?:can|could|would|will) you\b|\bi(?:['’]d| would| also| want| need)\b.{0,12}\b(?:like|want|need|to)\b"
    r"|\balso\b|\bnext\b|\banother\b|\bone more\b|\bplease (?!do\b|proceed|go ahead|continue)\w+|\bhow (?:do"
    r"|can|much|many)\b",
    re.IGNORECASE,
)
_STANDING = re.compile(
    r"^\s*(?:and|also|but|so|oh|well|please|pls|ok|okay|by the way|btw|important|note)?[\s,:]*(?:please\s+)?"
    r"(?:always|never|remember(?:\s+(?:that|to|this))?\b(?!\?)|from now on|in (?:the )?future|going forward"
    r"|every time|whenever"
    r"|next time|don['’]?t ever|do not ever|make sure (?:to always|you always|to never|you never)|keep in mind"
    r"|you (?:must|should|have to|need to) (?:always|never)|we always|we never)\b",
    re.IGNORECASE,
)
_WISH = re.compile(
    r"\bi(?:['’]d| would)? (?:always |generally |usually |really )?prefer\b|\bmy preference is\b"
    r"|\bi(?:['’]d| would) (?:like|want|love|need)\b.{2,120}\b(?:before|first|beforehand)\b"
    r"|\b(?:report|ask|tell|show|check|confirm|consult|wait)\b.{0,20}\bme\b.{0,60}\b(?:before|first|beforehand)\b"
    r"|\bbefore (?:you|any|doing|starting)\b.{1,80}\b(?:report|ask|tell|show|check|confirm)\b"
    r"|\bi (?:always|never) want\b|\bplease (?:always|never)\b|\b(?:use|write|keep|answer|reply"
    r"|respond)\b.{1,60}\b(?:from now on|in future|every time)\b",
    re.IGNORECASE,
)
#: "that is not complete": says that something is wrong, and not what.
_JUDGED = re.compile(r"\b(?:that|this|it)(?:['’]s| is| was)(?: still)? (?:not \w+|wrong|incorrect)\b", re.IGNORECASE)
_NO = re.compile(r"^\s*(?:no|nope|nein|non)\b[\s,.!-]*", re.IGNORECASE)
#: What makes a correction worth keeping: it says what to do, or what not to.
_INSTRUCTION = re.compile(
    r"\b(?:not|don['’]?t|never|always|only|instead|rather|should|must|need to|have to|use|wrong|forgot|missed"
    r"|without|first|before"
    r"|i (?:said|meant|asked|wanted|want)|make sure|nicht|immer|nur|siempre|nunca|solo)\b|不要|应该|必须",
    re.IGNORECASE,
)
#: "Anything else?" ends a task; whatever follows is no answer to it.
_OFFER = re.compile(
    r"\b(?:anything else|something else|any other|further (?:assistance|help|questions)|need (?:more|further"
    r"|additional) "
    r"(?:help|assistance)|else i can|other questions)\b",
    re.IGNORECASE,
)
_ASKING = re.compile(r"\?\s*[\"'”’)*_`]*\s*$|[?？]")


def strip_injected(text: str) -> str:
    """`text` without what we had put into it, before anything is learned of it (T6).

    An opening marker that is never closed hides all that follows.
    """
    if _OPEN not in text and "acontext-skills" not in text.lower():
        return text
    return _CLOSING.sub("", _INJECTED.sub("", text)).strip()


def sentences(text: str) -> list[str]:
    """The sentences of `text`, trimmed."""
    return [piece for found in _SENTENCE.findall(text) if (piece := found.strip())]


def asks(text: str) -> bool:
    """Whether the agent's turn ends by asking the user something."""
    tail = text.rstrip()[-300:]
    if _OFFER.search(tail):
        return False
    return bool(_ASKING.search(tail)) or bool(
        re.search(
            r"\b(?:please (?:provide|confirm|share|specify|let me know)|could you|let me know)\b", tail, re.IGNORECASE
        )
    )


def kind_of_turn(text: str, *, asked: bool) -> Turn:
    """What `text` is for, after an agent's turn that did or did not ask something."""
    head = text.strip()[:2000]
    short = len(head) <= 160
    if _CORRECTION.match(head) or _CORRECTION_ANYWHERE.search(head[:400]):
        # "No" to a question is an answer, unless it also says what was wrong.
        if asked and not _CORRECTION_ANYWHERE.search(head[:400]):
            return "answer"
        return "correction"
    wants_more = _MORE.search(head) is not None
    if _THANKS.search(head) and not wants_more and len(head) <= 300 and not (asked and _CONFIRMATION.match(head)):
        return "thanks"
    if _CONFIRMATION.match(head) and (asked or short):
        return "confirmation"
    if asked:
        return "answer"
    return "request"


def is_thankful(text: str) -> bool:
    """Whether it says that what was done is good, even if it then asks for something else."""
    head = text.strip()[:300]
    return bool(_THANKS.search(head)) and not _CORRECTION.match(head) and not _CORRECTION_ANYWHERE.search(head)


def corrections(text: str) -> list[str]:
    """The sentences of a correcting turn that say what was wrong, or what is wanted instead; at most two."""
    found: list[str] = []
    wrong = False
    for sentence in sentences(text[:2000]):
        wrong = wrong or bool(_CORRECTION.match(sentence) or _CORRECTION_ANYWHERE.search(sentence))
        telling = _INSTRUCTION.search(_JUDGED.sub("", _NO.sub("", sentence))) is not None
        if wrong and telling and not _THANKS.search(sentence) and len(sentence) >= 16:
            found.append(sentence)
    return found[:2]


def standing_wishes(text: str) -> list[tuple[str, bool]]:
    """Sentences that wish something beyond this task, verbatim, each with whether it is an explicit teaching.

    Nobody types pages: what is longer than `MOST_SPOKEN` is a prompt template or a pasted document, not a wish.
    """
    found: list[tuple[str, bool]] = []
    if len(text) > MOST_SPOKEN:
        return found
    for sentence in sentences(text):
        if len(sentence) > 300 or sentence.endswith("?"):
            continue
        if _STANDING.match(sentence):
            found.append((sentence, True))
        elif _WISH.search(sentence):
            found.append((sentence, False))
    return found
