"""What a user's turn says without what we put into it, and what it is for: a request, an answer, a correction ...

Lists of the commonest wordings, not a language model: what they miss is taken for a request. A list that finds too
little costs a segmentation; one that finds too much would invent an outcome, so they err on the side of too little. A
word alone decides nothing ("Stop the staging server" may be a new request): what a turn speaks of is held against what
was asked for and done before it, and where it may be either, it is in doubt.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Literal

from acontext_store.tokenizer import words
from acontext_store.types import Message

from .objections import COMPLAINT, NO, OBJECTION, OPENER

#: The longest turn that is taken for a person's own words.
MOST_SPOKEN = 2000
Turn = Literal["request", "answer", "thanks", "correction", "confirmation", "doubt"]
#: How much of a text is read for what it is about, in characters.
_MOST_READ = 2000

_OPEN = "<acontext-skills"
#: Our own injected text: from an opening marker, whatever its attributes, to the next closing one or else to the end.
_INJECTED = re.compile(r"<acontext-skills\b.*?(?:</acontext-skills\s*>|\Z)", re.DOTALL | re.IGNORECASE)
_CLOSING = re.compile(r"</acontext-skills\s*>", re.IGNORECASE)
#: A full stop inside a word ("report.txt", "3.5") ends nothing.
_SENTENCE = re.compile(r"(?:[^.!?\n。！？]|[.!?](?=[^\s.!?]))+[.!?。！？]*")
_LEAD = r"^\s*(?:(?:hi|hello|hey|ok|okay|well|so|oh|hmm|um|sorry|but|and|also|wait|actually)\b[\s,.!-]*){0,6}"
#: "No problem", "No, that's all": nothing is wrong.
_NOTHING_WRONG = re.compile(
    _LEAD + r"(?:no|nope)[\s,.!-]+(?:problem|worries|thanks|thank|need|more|other|rush"
    r"|that(?:['’]s| is| will be) (?:all|it|everything)|nothing|i(?:['’]m| am) (?:good|fine|all set)"
    r"|it(?:['’]s| is) (?:fine|ok|okay))\b",
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
#: Words of every request, and of what agents say of any.
_COMMON = frozenset(
    word
    for text in (
        "please want need like would could can you your the and for with that this have has had was were will now too",
        "also just get got make made done let see know thing one again back from into out off not don still instead",
        "bitte und der die das den ein eine ist por favor que los las una merci les des une est per favore",
        "null true false none name value",
    )
    for word in words(text)
)
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


class TurnReader:
    """Reads the users' turns of a conversation, each by what was asked for and done before it.

    Feed it the messages in order: `agent` what the agent says and does, `user` what users say.
    """

    def __init__(self) -> None:
        self.agent_said = ""
        #: Whether the agent has called a tool.
        self.acted = False
        #: The telling words of the request that is being worked on, of the agent's words, and of its calls.
        self._about: set[str] = set()

    def agent(self, message: Message) -> None:
        """The agent speaks, or calls tools."""
        text = strip_injected(message.text)
        calls = message.tool_calls
        self.agent_said = text or ("" if calls else self.agent_said)
        self.acted = self.acted or bool(calls)
        self._about.update(_telling(text))
        for part in calls:
            meta = part.meta or {}
            self._about.update(_telling(f"{meta.get('name')} {meta.get('arguments')}".replace("_", " ")))

    def user(self, text: str) -> Turn:
        """A user speaks, in words of their own: what for."""
        kind: Turn = "request"
        if self.acted or self.agent_said:
            kind = kind_of_turn(text, asked=asks(self.agent_said), about=self._about)
            if kind in ("request", "doubt"):
                self._about = set()
        self._about.update(_telling(text))
        return kind


def kind_of_turn(text: str, *, asked: bool, about: Collection[str] | None = None) -> Turn:
    """What `text` is for, after an agent's turn that did or did not ask something.

    `about` are the telling words (`TurnReader`) of what was asked for and done before; None = unknown. They decide
    what an opener such as "Stop" or "Undo" speaks of: of what was done (a correction), of something else (a request),
    or of both ("doubt": a request after which it is not sure that what was done before was right).
    """
    head = text.strip()[:2000]
    short = len(head) <= 160
    objects = OBJECTION.search(head[:400]) is not None
    if not _NOTHING_WRONG.match(head):
        if objects or NO.match(head):
            # "No" to a question is an answer, unless it also says what was wrong.
            return "answer" if asked and not objects else "correction"
        if not asked and OPENER.match(head):
            kind = _of_what(head, about)
            if kind != "request":
                return kind
    wants_more = _MORE.search(head) is not None
    if _THANKS.search(head) and not wants_more and len(head) <= 300 and not (asked and _CONFIRMATION.match(head)):
        return "thanks"
    if _CONFIRMATION.match(head) and (asked or short):
        return "confirmation"
    if asked:
        return "answer"
    if about and short and COMPLAINT.search(head) and not _telling(head).isdisjoint(about):
        return "doubt"
    return "request"


def _of_what(head: str, about: Collection[str] | None) -> Turn:
    """What an opener speaks of."""
    own = _telling(OPENER.sub("", head[:400]))
    if about is None or not own or own <= set(about):
        return "correction"
    return "request" if own.isdisjoint(about) else "doubt"


def _telling(text: str) -> set[str]:
    """The words of a text that tell what it is about, stemmed; of its beginning."""
    return {word for word in words(text[:_MOST_READ]) if len(word) >= 3 or not word.isascii()} - _COMMON


def is_thankful(text: str) -> bool:
    """Whether it says that what was done is good, even if it then asks for something else."""
    head = text.strip()[:300]
    return bool(_THANKS.search(head)) and not _is_objection(head)


def _is_objection(text: str) -> bool:
    return not _NOTHING_WRONG.match(text) and bool(NO.match(text) or OBJECTION.search(text))


def corrections(text: str) -> list[str]:
    """The sentences of a correcting turn that say what was wrong, or what is wanted instead; at most two."""
    found: list[str] = []
    wrong = False
    for sentence in sentences(text[:2000]):
        wrong = wrong or _is_objection(sentence) or OPENER.match(sentence) is not None
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
