"""`acontext bench --learning`: what learning with a model costs in calls and tokens, and how fast it drains.

The model is scripted: it reads the fenced material of each request as a model would, and writes a plausible answer
from it. So figures on calls and tokens are of the machinery, not of any model's wits. Beside them stands a
re-enactment of the loops of the service that the seed describes: how often those call a model, and how much they send.
"""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from acontext_plugins.engine.embedded import thinkers_of, with_lanes_for
from acontext_plugins.engine.engine import Engine
from acontext_plugins.formats import to_message
from acontext_plugins.formats.jsonl import Conversation, ConversationReader
from acontext_plugins.llm import Reply, Request
from acontext_plugins.prompts import load_prompt
from acontext_plugins.record.redaction import Redactor
from acontext_plugins.service import SessionRef
from acontext_plugins.settings import LearnSettings, LLMSettings, ObserveSettings, Settings, WorkerSettings
from acontext_plugins.testing import ScriptedLLM
from acontext_store.errors import InvalidInput
from acontext_store.open import database_url, open_blobs, open_store
from acontext_store.types import Json, Message, Outcome, OutcomeStatus, new_id

from .figures import Figure

#: Conversations of the file that are taken, evenly spread over it.
TRAJECTORIES = 50
#: The drain: sessions, seconds that the model takes for an answer, and the share of the ideal throughput.
SESSIONS, LATENCY, SHARE = 1000, 0.2, 0.8
_DATA = re.compile(r"<data-(\w+)>\n(.*?)\n</data-\1>", re.DOTALL)
_HEAD = re.compile(r"^\[(m\d+)\] (.*):$", re.MULTILINE)


def figures(quick: bool, data: str | None, outcome_field: str) -> Iterator[Figure]:
    """Calls and tokens of a learned task, then the drain."""
    talks = [("the seed's iPhone conversation", [iphone()])]
    if data is not None:
        talks.append((f"{TRAJECTORIES} trajectories", trajectories(data, outcome_field, TRAJECTORIES)))
    for name, conversations in talks:
        peers = [loops(conversation) for conversation in conversations if conversation.outcome == "success"]
        for tasks in ("hard", "all"):
            spent = asyncio.run(_learn(conversations, tasks))
            yield from spent.figures(f'{name}, tasks = "{tasks}"', peers)
    yield from _drain(100 if quick else SESSIONS)


# ------------------------------------------------------------------------------------- the scripted model


class Counted:
    """The scripted model behind a client for so many calls at a time, each of which takes `latency` seconds."""

    model = "scripted"

    def __init__(self, *, latency: float = 0.0) -> None:
        self._latency = latency
        self._slots = asyncio.Semaphore(LLMSettings().concurrency)
        self.calls: Counter[str] = Counter()
        self.tokens = 0

    async def complete(self, request: Request) -> Reply:
        async with self._slots:
            begin = time.perf_counter()
            reply = await ScriptedLLM([answer(request)]).complete(request)
            await asyncio.sleep(max(0.0, self._latency - (time.perf_counter() - begin)))
        self.calls[request.purpose.job] += 1
        self.tokens += reply.usage.prompt_tokens + reply.usage.completion_tokens
        return reply


def answer(request: Request) -> Json:
    """What a plain model would say: one task a conversation; each call that worked is a step."""
    sections = [text for _, text in _DATA.findall(str(request.messages[1]["content"]))]
    return _observed(sections) if request.purpose.job == "observe" else _learned(sections)


def _observed(sections: Sequence[str]) -> Json:
    tasks, _, new = ([json.loads(x) for x in text.splitlines() if x.startswith("{")] for text in sections)
    ids = [line["id"] for line in new]
    known = [task["id"] for task in tasks if "status" in task]
    said = next((str(line["text"]) for line in new if line["role"] == "user" and line.get("text")), "go on")
    insert = [] if known else [{"task": "n1", "description": said[:200], "cites": ids[:1]}]
    wishes = [
        {"task": "n1", "preference": f"user wants: {wish}", "cites": [line["id"]], "quote": wish}
        for line in new
        if line["role"] == "user" and (wish := _wish(str(line.get("text") or "")))
    ]
    task = known[-1] if known else "n1"
    return {
        "insert": insert,
        "link": [{"task": task, "messages": ids}],
        "progress": [{"task": task, "note": f"I went on: {len(ids)} messages", "cites": ids[-1:]}],
        "preferences": [{**wish, "task": task} for wish in wishes],
    }


def _wish(text: str) -> str:
    found = re.search(r"[^.!?\n]*\b(?:always|never|before any|first)\b[^.!?\n]*[.!?]?", text)
    return found.group().strip()[:150] if found else ""


def _learned(sections: Sequence[str]) -> Json:
    text = sections[-1]
    steps: dict[str, Json] = {}
    wishes = []
    heads = [*_HEAD.finditer(text)]
    failed = {label.split()[2] for _, label in (head.groups() for head in heads) if label.endswith("(error)")}
    for head, following in zip(heads, [*heads[1:], None], strict=True):
        message, label = head.groups()
        if (words := label.split())[0] == "call" and words[1] not in failed:
            action = f"call {words[2]} with what the user named"
            steps[words[2]] = {"call": words[1], "tool_name": words[2], "action": action}
        said = text[head.end() : following.start() if following else None]
        if label == "user" and (wish := _wish(said)):
            wishes.append({"text": f"the user wants: {wish}", "message": message, "quote": wish})
    asked = re.search(r"^asked for:\n  (.*)$", text, re.MULTILINE)
    words = re.findall(r"[a-z]{3,}", asked.group(1).lower() if asked else "")[:8]
    tools = " ".join(steps).replace("_", " ")
    experience = {
        "runs": re.findall(r"^run (r\d+):", text, re.MULTILINE),
        "relation": "new",
        "use_when": " ".join(dict.fromkeys([*words, *tools.split()][:8])) or "the same is asked for",
        "tool_sops": list(steps.values()),
        "preferences": wishes[:4],
        "place": tools[:30] or "learned",
    }
    return {"experiences": [experience]}


# ------------------------------------------------------------------------------------------ conversations


def iphone() -> Conversation:
    """The seed's conversation, until its first task is done."""
    plan = (
        "Sure, my plan is below:\n1. Search for the latest news about iPhone 15 pro max\n2. Init Next.js project for"
        " the landing page\n3. Deploy the landing page to the website"
    )
    call = {"id": "call_001", "type": "function",
            "function": {"name": "search_news", "arguments": '{"query": "iPhone news"}'}}  # fmt: skip
    report = "Sure, I will first collect the message then report to you before any landing page coding."
    wish = "That sounds good. Let's first collect the message and report to me before any landing page coding."
    said: list[Json] = [
        {"role": "user", "content": "I need to write a landing page of iPhone 15 pro max"},
        {"role": "assistant", "content": plan},
        {"role": "user", "content": wish},
        {"role": "assistant", "content": report, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_001", "content": "Titanium frame, USB-C, A17 Pro, 5x camera."},
        {"role": "assistant", "content": "This is the news: it has a titanium frame, USB-C and a 5x camera."},
        {"role": "user", "content": "Perfect, thank you."},
    ]
    messages = tuple(to_message(item, "openai") for item in said)
    return Conversation("iphone", messages, "success", None, None, "", 0)


def trajectories(path: str, outcome_field: str, count: int) -> list[Conversation]:
    """So many labelled conversations of a file, evenly spread over it. Raises InvalidInput where it has none."""
    found = [
        item
        for item in ConversationReader([path], outcome_field=outcome_field)
        if isinstance(item, Conversation) and item.outcome in ("success", "failed")
    ]
    if not found:
        raise InvalidInput(
            f"{path} has no conversation with an outcome in {outcome_field!r}: name another --outcome-field"
        )
    return [found[place * len(found) // count] for place in range(count)] if len(found) > count else found


# ------------------------------------------------------------------------------------- calls and tokens


@dataclass
class Spent:
    """What learning took."""

    tasks: int = 0
    calls: Counter[str] = field(default_factory=Counter)
    tokens: int = 0
    skills: int = 0

    def figures(self, name: str, peers: Sequence[Loops]) -> Iterator[Figure]:
        """Ours beside the loops' good case."""
        calls = sum(self.calls.values()) / max(1, self.tasks)
        parts = " + ".join(f"{count} {job}" for job, count in sorted(self.calls.items()))
        few, many = (sum(getattr(loop, end).calls for loop in peers) / len(peers) for end in ("best", "worst"))
        raw = f"the loops, {few:.1f} to {many:.1f}; {self.tasks} tasks, {parts}, {self.skills} skills"
        yield Figure(f"calls: {name}", calls, "a task", few, raw, "<= 2", calls <= 2)
        tokens = self.tokens / max(1, self.tasks)
        least = sum(loop.best.tokens for loop in peers) / len(peers)
        yield Figure(f"tokens: {name}", tokens, "a task", least, "the loops in their good case")


async def _learn(conversations: Sequence[Conversation], tasks: Any) -> Spent:
    llm = Counted()
    spent = Spent()
    async with _engine(llm, LearnSettings(quiet=0, tasks=tasks)) as engine:
        for conversation in conversations:
            await _record(engine, conversation)
        await engine.drain()
        space = await engine.find_space("bench")
        for session in (await engine.sessions(space_id=space.id, limit=200)).items:
            spent.tasks += (await engine.learning_status(session.id)).space_digested_count
        spent.skills = len(await engine.store.skills(space.id))
    spent.calls, spent.tokens = llm.calls, llm.tokens
    return spent


async def _record(engine: Engine, conversation: Conversation) -> None:
    status: OutcomeStatus = conversation.outcome or "unknown"
    outcome = Outcome(id=new_id(), status=status, source="import")
    session = SessionRef(key=conversation.id, space="bench")
    await engine.recorder.append(session, conversation.messages, (outcome,))


@asynccontextmanager
async def _engine(llm: Counted, learn: LearnSettings) -> AsyncIterator[Engine]:
    """An engine over a new database, which this model observes and learns for."""
    with tempfile.TemporaryDirectory(prefix="acontext-bench-") as folder:
        chosen = Settings(
            url=database_url(Path(folder) / "bench.db"),
            learn=learn,
            observe=ObserveSettings(model_quiet=0.0, model_max_wait=0.0),
            worker=WorkerSettings(enabled=False),
            llm=LLMSettings(model="scripted"),
        )
        settings = with_lanes_for(llm, chosen)
        observer, learner = thinkers_of(settings, llm)
        store = open_store(settings.store_url, project_id="bench")
        engine = Engine(
            store,
            open_blobs(settings.store_url, project_id="bench"),
            scrubber=Redactor(),
            observer=observer,
            learner=learner,
            settings=settings,
        )
        await engine.start()
        try:
            yield engine
        finally:
            await engine.aclose()


# --------------------------------------------------------------------------- the loops of the seed's service


@dataclass(frozen=True)
class Sum:
    """Calls, and tokens of what is sent and answered."""

    calls: int = 0
    tokens: int = 0


@dataclass(frozen=True)
class Loops:
    """What loops take for a conversation, as few and as many rounds as they may have."""

    best: Sum
    worst: Sum


#: Messages of a batch; rounds of the task agent, the SOP agent and the space agent: the fewest that do the work, and
#: the limits. Tokens of a tool call and its result; characters of a part that are shown.
_BATCH, _ROUNDS, _TURN, _PART = 32, ((2, 6), (1, 4), (4, 16)), 150, 1024


def loops(conversation: Conversation) -> Loops:
    """A re-enactment by count: each agent sends its prompt and its material again in every round, and all before it.

    Prompts count as long as ours of the same purpose, and tool schemas count nothing: the true figures are higher.
    """
    whole = sum(map(_shown, conversation.messages)) // 4
    batches = [conversation.messages[at : at + _BATCH] for at in range(0, len(conversation.messages), _BATCH)]
    sums = []
    for end in (0, 1):
        task, sop, space = (rounds[end] for rounds in _ROUNDS)
        observing = [_loop("task_agent", sum(map(_shown, batch)) // 4, task) for batch in batches]
        learning = [_loop("experience_agent", whole, sop), _loop("experience_agent", _TURN, space)]
        parts = [*observing, *learning]
        sums.append(Sum(sum(part.calls for part in parts), sum(part.tokens for part in parts)))
    return Loops(*sums)


def _loop(prompt: str, material: int, rounds: int) -> Sum:
    system = len(load_prompt(prompt).system) // 4
    return Sum(rounds, sum(system + material + turn * _TURN for turn in range(1, rounds + 1)))


def _shown(message: Message) -> int:
    return sum(min(_PART, len(part.text or json.dumps(part.meta, default=str))) for part in message.parts)


# ------------------------------------------------------------------------------------------------- drain


def _drain(sessions: int) -> Iterator[Figure]:
    calls, seconds, busy = asyncio.run(_drained(sessions))
    limit = LLMSettings().concurrency
    ideal = calls * LATENCY / limit
    name = f"drain of {sessions:,} sessions in one space, {limit} calls at a time"
    raw = f"{calls:,} calls of {LATENCY * 1000:.0f} ms; {busy:.1f} at a time on average"
    yield Figure(name, seconds, "s", ideal, raw, f"<= {1 / SHARE:.2f}x", seconds * SHARE <= ideal)


async def _drained(sessions: int) -> tuple[int, float, float]:
    """Calls, seconds until all was learned, and how many calls were under way on average."""
    llm = Counted(latency=LATENCY)
    async with _engine(llm, LearnSettings(quiet=0.0)) as engine:
        await asyncio.gather(*(_record(engine, _chore(number)) for number in range(sessions)))
        space = await engine.find_space("bench")
        begin = time.perf_counter()
        work = asyncio.create_task(engine.worker.run())
        while await engine.store.lanes(limit=1):  # of a thousand, each look would cost as much as an answer
            if engine.worker.failed:
                broken = next(lane for lane in await engine.store.lanes(limit=10_000) if lane.failing)
                raise RuntimeError(f"{broken.kind}: {broken.reason}")
            await asyncio.sleep(0.05)
        seconds = time.perf_counter() - begin
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        left = await engine.store.undigested(space.id)
        skills = len(await engine.store.skills(space.id))
        if left or skills != sessions:
            raise RuntimeError(f"{skills} skills of {sessions} sessions, {len(left)} tasks left")
    calls = llm.calls.total()
    return calls, seconds, calls * LATENCY / seconds


def _chore(number: int) -> Conversation:
    """A task of its own kind, worth learning: each asks for a call of its own."""
    name = "".join("abcdefghij"[int(digit)] for digit in f"{number:04}")
    call = {"id": "c1", "type": "function", "function": {"name": f"make_{name}", "arguments": '{"size": 2}'}}
    said: list[Json] = [
        {"role": "user", "content": f"Please make the {name} for me. Always ask me first."},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "made"},
        {"role": "assistant", "content": "It is made."},
    ]
    messages = tuple(to_message(item, "openai") for item in said)
    return Conversation(name, messages, "success", None, None, "", 0)
