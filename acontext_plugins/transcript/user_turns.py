"""What a user's turn says: whose words stand in it, and what it is for: a request, an answer, a correction ...

Lists of the commonest wordings, not a language model: what they miss is taken for a request. A list that finds too
little costs a segmentation; one that finds too much would invent an outcome, so they err on the side of too little. A
word alone decides nothing ("Stop the staging server" may be a new request): what a turn speaks of is held against what
was asked for and done before it, and where it may be either, it is in doubt.

Agents and their hosts put much into the turns of users: reminders, the state of an editor, files, search results.
Nobody wished or asked for that, so nothing is learned from it as a wish, a request or a correction. What a person
quotes (a mail, a ticket, a document) is somebody else's word.

Known wrappers by source: Claude Code 2.1, Codex CLI 0.60, Cline 3.x, Roo Code 3.x, Cursor 2.x, Gemini CLI 0.9, GitHub
Copilot Chat 0.33, OpenHands 1.x, Agno 2.9, LlamaIndex 0.14, LangChain's and LangGraph's prompts for retrieval, OpenAI
Agents SDK 0.24. Others are told by their form: a block of markup at an edge of the turn.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache
from typing import Literal, NamedTuple

from acontext_store.records import visible
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


# ----------------------------------------------------------------------------------------------- whose words


class TurnWords(NamedTuple):
    """A user's turn, by whose words it holds. None of them holds what we injected."""

    #: What the person says in words of their own.
    own: str
    #: Mails, documents, code and the like that the person quotes or pastes.
    quoted: str
    #: What the host or another program wrote.
    program: str

    @property
    def asked(self) -> str:
        """What the turn asks for: the person's own words, or else what they pasted."""
        return self.own or self.quoted


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Elements that hold what the person typed: only their marks go.
_PERSONS = _words(
    "task feedback user_message usermessage user_query userquery userrequest user_request user_input userinput query "
    "question request prompt message instruction_from_user answer input user human"
)
#: Elements that programs write, by name (see the sources above).
_PROGRAMS = _words(
    "system-reminder system_reminder systemreminder system system_message system-message command-name command-message "
    "command-args command-contents local-command-stdout local-command-stderr local-command-caveat bash-input "
    "bash-stdout bash-stderr user-prompt-submit-hook post-tool-use-hook pre-tool-use-hook session-start-hook "
    "ide_selection ide_opened_file ide-selection ide-opened-file new-diagnostics ide_diagnostics task-notification "
    "teammate-message background-task-output user-memory-input environment_context environment-context "
    "user_instructions instructions agents_md turn_aborted user_shell_command permissions collaboration_mode skill "
    "skills skills_instructions environment_details environmentdetails explicit_instructions additional_data "
    "additional_context additional-context attached_files attached-files manually_attached_skills current_file "
    "open_and_recently_viewed_files recently_viewed_files user_info user_rules rules project_layout git_status "
    "workspace_info workspaceinfo session_context editorcontext editor_context reminderinstructions reminder "
    "repository_info repocontext repo_context runtime_information extra_info project_context memory memories "
    "conversation_history conversation-history custom_instructions customizations modeinstructions todo_list todos "
    "tool_preferences hidden context_window cwd environment persona system_prompt metadata untrusted_context"
)
#: Elements that hold what somebody else wrote: documents, mails, results.
_DOCUMENTS = _words(
    "document documents doc docs context contexts source sources search_results searchresults search_result results "
    "result ticket tickets email e-mail mail mails thread file files file_content filecontent attachment attachments "
    "page web_page webpage article quote blockquote transcript tool_result tool_output tool_response function_results "
    "observation observations reference references passage passages chunk chunks snippet snippets excerpt text content "
    "html body log logs output data record records review reviews comment comments issue post posts knowledge "
    "knowledge_base retrieved_context retrieved_documents note notes chat_history history conversation selection code"
)
#: Marks that people use for emphasis; what stands in them is theirs.
_EMPHASIS = _words("b i u s p a em strong span br hr code kbd mark small sub sup div li ul ol h1 h2 h3 h4 h5 h6 pre")

_OPENING = re.compile(r"<([A-Za-z][\w.:\-]{0,63})(?:\s[^<>]{0,400})?>")
_SELF_CLOSED = re.compile(r"<[A-Za-z][\w.:\-]{0,63}(?:\s[^<>]{0,400})?/>")
#: The most elements that are looked at in one turn.
_MOST_ELEMENTS = 200

#: Whole turns, or what follows to their end, that programs write without marks.
_PROGRAM_TURN = re.compile(
    r"\s*(?:Caveat: The messages below were generated by the user while running local commands"
    r"|This session is being continued from a previous conversation"
    r"|\[Request interrupted by user|# AGENTS\.md instructions for |# CLAUDE\.md\b|Contents of \S{1,300}"
    r"(?:CLAUDE|AGENTS)\.md"
    r"|This is the Gemini CLI\. We are setting up the context|\[TASK RESUMPTION\]"
    r"|\[ERROR\] You did not use a tool in your previous response|\[System[: ]|\[SYSTEM|System: |System note: "
    r"|For context, here is the conversation so far between the user and the previous agent"
    r"|As you answer the user's questions, you can use the following context)"
)
#: A frame of retrieval around a question: what stands before the label is the program's, what stands behind it is
#: asked. `answer` ends it.
_RAG_START = re.compile(
    r"\s*(?:Context information is below|Use the following (?:pieces of |)(?:retrieved |)(?:context|references)"
    r"|Given the (?:following|context)|Answer the (?:question|query|user)[^\n]{0,120}(?:context|documents|references)"
    r"|You are (?:a|an) [^\n]{3,200}|(?:Retrieved |Relevant |Background |Additional |)"
    r"(?:Context|Documents|Passages|References|Search results|Knowledge|Sources|Memories)\s{0,2}:)",
    re.IGNORECASE,
)
_ASKED_LABEL = re.compile(
    r"(?:^|\n)[ \t]{0,4}(?:\*\*|#{1,4} |)(?:(?:User(?:'s)? |My |Current |The |)(?:Question|Query|Request"
    r"|Task|Message|Input)|User|Human|Q)"
    r"(?:\*\*|)[ \t]{0,2}:(?:\*\*|)[ \t]{0,4}",
    re.IGNORECASE,
)
_ANSWER_LABEL = re.compile(
    r"\n[ \t]{0,4}(?:\*\*|#{1,4} |)(?:(?:Helpful |Final |Your |)Answer|Assistant|AI|Response)(?:\*\*|)[ \t]{0,2}:"
    r"[^\n]{0,200}\s*\Z",
    re.IGNORECASE,
)


_FENCE = re.compile(r"^[ \t]{0,3}(```+|~~~+)")
_QUOTE_LINE = re.compile(r"[ \t]{0,3}>")
_MAIL_HEADER = re.compile(
    r"[ \t]{0,3}(?:\*{0,2})(?:From|To|Cc|Bcc|Sent|Date|Subject|Reply-To|Von|An|Gesendet|Betreff|Datum|De"
    r"|Para|À|Envoyé|Objet|Asunto|Enviado"
    r"|Fecha|Da|A|Inviato|Oggetto|Van|Aan|Verzonden|Onderwerp|Assunto|От|Кому|Дата|Тема|发件人|收件人|发送时间|主题|差出人"
    r"|宛先|件名|日時)\*{0,2}[ \t]{0,2}[:：]",
    re.IGNORECASE,
)
_FORWARDED = re.compile(
    r"[ \t]{0,3}(?:-{2,}[ \t]{0,3}(?:Original Message|Forwarded message|Ursprüngliche Nachricht"
    r"|Weitergeleitete Nachricht|Mensaje original"
    r"|Message d'origine|Messaggio originale|Oorspronkelijk bericht|Mensagem original)|Begin forwarded message"
    r"|(?:On|Am|Le|El|Il|Op|Em) .{6,120}(?:wrote|schrieb|a écrit|escribió|ha scritto|schreef"
    r"|escreveu)[ \t\w@.<>]{0,80}:[ \t]*$)",
    re.IGNORECASE,
)
#: A line that announces somebody else's text, to its end or to a label of the person's own.
_LABEL = re.compile(
    r"[ \t]{0,3}(?:[#*]{0,4}[ \t]?|)(?:(?:here(?:'s| is| are)|this is|see|below is|attached is"
    r"|pasted?)\b.{0,40}|(?:the|full|support|customer|their|his|her|my|original|forwarded|web) |)"
    r"(?:document|docs?|ticket|e-?mail|mail|message thread|thread|transcript|article|web ?page|page"
    r"|search results?|results?|context"
    r"|log(?:s| file| output)?|output|file|attachment|review|issue|post|dump|stack ?trace|traceback"
    r"|error message|policy|contract|letter"
    r"|knowledge base|reference|excerpt|quote|dokument|documento|documentaci[oó]n|correo|courriel|facture|rechnung)"
    r"(?:[ \t]{0,2}#?\w{0,16}|(?: from| by| of| says?| said| reads?)\b.{0,60}|)[ \t]{0,2}(?:\*{0,2})[:：]"
    r"(?:\*{0,2})[ \t]*",
    re.IGNORECASE,
)
_LETTERS = re.compile(r"[^\W\d_]")
#: More than this in one turn is a page that a program or a paste put there: no wishes stand in it.
_MOST_LINES = 5_000


def visible_words(text: str) -> str:
    """What a message says, as far as a person can see it, without what we put into it."""
    return strip_injected(visible(text))


def own_words(text: str) -> str:
    """What a person says in a user's turn in words of their own."""
    return turn_of(text).own


@lru_cache(maxsize=256)
def turn_of(text: str) -> TurnWords:
    """Whose words a user's turn holds. Linear in its length."""
    left = visible_words(text)
    if _PROGRAM_TURN.match(left):
        return TurnWords("", "", left)
    program: list[str] = []
    quoted: list[str] = []
    if "<" in left:
        left = _without_elements(left, program, quoted)
    left = _without_frame(left, program, quoted)
    own = _without_quotes(left, quoted)
    return TurnWords(own.strip(), "\n".join(quoted).strip(), "\n".join(program).strip())


# ------------------------------------------------------------------------------------------------------- markup


def _without_elements(text: str, program: list[str], quoted: list[str]) -> str:
    """Takes out the elements that programs and documents fill, wherever they stand, and unknown ones at the edges."""
    lower = text.lower()
    kept: list[str] = []
    at = 0
    blocks: list[tuple[int, int, str]] = []  # unknown elements: where they stand in what is kept, and their text
    size = 0
    for _ in range(_MOST_ELEMENTS):
        opening = _OPENING.search(text, at)
        if opening is None:
            break
        name = opening[1].lower()
        end = lower.find(f"</{name}", opening.end())
        before = text[at : opening.start()]
        kept.append(before)
        size += len(before)
        if name in _EMPHASIS or (end < 0 and name not in _PROGRAMS):
            kept.append(opening.group())
            size += len(opening.group())
            at = opening.end()
            continue
        inner = text[opening.end() : len(text) if end < 0 else end]
        close = len(text) if end < 0 else text.find(">", end) + 1 or len(text)
        if name in _PERSONS:
            inner = _without_elements(inner, program, quoted)
            kept.append("\n" + inner + "\n")
            size += len(inner) + 2
        elif name in _PROGRAMS:
            program.append(inner)
        elif name in _DOCUMENTS:
            quoted.append(inner)
        else:
            whole = text[opening.start() : close]
            blocks.append((size, size + len(whole), inner))
            kept.append(whole)
            size += len(whole)
        at = close
    kept.append(text[at:])
    return _without_edges("".join(kept), blocks, program)


def _without_edges(text: str, blocks: list[tuple[int, int, str]], program: list[str]) -> str:
    """Unknown elements go where they open or close the turn and words stand outside of them."""
    start, end = 0, len(text)
    taken: list[str] = []
    for first, last, inner in blocks:
        if text[start:first].strip():
            break
        taken.append(inner)
        start = last
    for first, last, inner in reversed(blocks):
        if first < start or text[last:end].strip():
            break
        taken.append(inner)
        end = first
    left = _SELF_CLOSED.sub("", text[start:end])
    if not _LETTERS.search(left):
        return text
    program += taken
    return left


def _without_frame(text: str, program: list[str], quoted: list[str]) -> str:
    """The question inside a prompt template for retrieval."""
    if not _RAG_START.match(text):
        return text
    labels = list(_ASKED_LABEL.finditer(text))
    if not labels:
        return text
    asked = text[labels[-1].end() :]
    answer = _ANSWER_LABEL.search(asked)
    if answer is not None:
        asked = asked[: answer.start()]
    if not _LETTERS.search(asked):
        return text
    quoted.append(text[: labels[-1].start()])
    return asked


# ------------------------------------------------------------------------------------------------------- quotes


def _without_quotes(text: str, quoted: list[str]) -> str:
    """Takes out quoted lines, fenced blocks, mails from their header on, and what a label announces."""
    lines = text.split("\n")
    if len(lines) == 1:
        return _behind_label(text, quoted)
    own: list[str] = []
    fence = ""
    taken: list[str] = []
    at = 0
    while at < len(lines):
        line = lines[at]
        mark = _FENCE.match(line)
        if fence:
            taken.append(line)
            if mark is not None and line.strip().startswith(fence):
                fence = ""
        elif at >= _MOST_LINES or _is_mail(lines, at):
            taken += lines[at:]
            break
        elif mark is not None:
            fence = mark[1]
            taken.append(line)
        elif _QUOTE_LINE.match(line):
            taken.append(line)
        elif (label := _LABEL.match(line)) is not None:
            rest = _to_own_label(lines, at + 1)
            taken += [line[label.end() :], *lines[at + 1 : rest]]
            own.append(line[: label.end()])
            at = rest
            continue
        else:
            own.append(_unlabelled(line))
        at += 1
    if taken:
        quoted.append("\n".join(taken))
    return "\n".join(own)


def _unlabelled(line: str) -> str:
    label = _ASKED_LABEL.match(line)
    return line if label is None else line[label.end() :]


def _behind_label(line: str, quoted: list[str]) -> str:
    if _QUOTE_LINE.match(line):
        quoted.append(line)
        return ""
    label = _LABEL.match(line)
    if label is None or len(line) - label.end() < 24:
        return line
    quoted.append(line[label.end() :])
    return line[: label.end()]


def _is_mail(lines: list[str], at: int) -> bool:
    """Whether a mail begins here: a forward, or two lines of a header one after the other."""
    if _FORWARDED.match(lines[at]):
        return True
    return (
        _MAIL_HEADER.match(lines[at]) is not None
        and at + 1 < len(lines)
        and _MAIL_HEADER.match(lines[at + 1]) is not None
    )


def _to_own_label(lines: list[str], at: int) -> int:
    """The line at which the person speaks again: a label of their own; the end where there is none."""
    while at < len(lines):
        if _ASKED_LABEL.match(lines[at]):
            return at
        at += 1
    return at
