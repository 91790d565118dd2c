"""A model observes sessions: few calls, the whole backlog, and nothing that it was not shown."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

from acontext_plugins.llm import Request
from acontext_plugins.settings import ObserveSettings, WorkerSettings
from acontext_store.errors import BudgetSpent, LearningUnavailable, PromptTooLong, Refused
from acontext_store.types import Json, LearningStatus, Message, Outcome, Part

from .observing import Watch, one_task, read, watching

#: The conversation of the README's "Observe" example.
IPHONE: list[Json] = [
    {"role": "user", "content": "I need to write a landing page of iPhone 15 pro max"},
    {
        "role": "assistant",
        "content": "Sure, my plan is below:\n1. Search for the latest news about iPhone 15 pro max\n"
        "2. Init Next.js project for the landing page\n3. Deploy the landing page to the website",
    },
    {
        "role": "user",
        "content": "That sounds good. Let's first collect the message and report to me before any landing page coding.",
    },
    {
        "role": "assistant",
        "content": "Sure, I will first collect the message then report to you before any landing page coding.",
        "tool_calls": [
            {
                "id": "call_001",
                "type": "function",
                "function": {"name": "search_news", "arguments": '{"query": "iPhone news"}'},
            }
        ],
    },
]
WISH = "user expects a report on the iPhone 15 pro max before any coding of the landing page"


def task_agent(request: Request) -> Json:
    """What a good model answers to it."""
    shown = read(request)
    plan, wish, goes = (shown.saying(words) for words in ("my plan is", "sounds good", "calls"))
    steps = [
        "Search for the latest news about iPhone 15 Pro Max and report to the user before any coding.",
        "Initialize a Next.js project for the landing page.",
        "Deploy the landing page to the website.",
    ]
    inserts = [
        {"task": f"n{n}", "after": f"n{n - 1}" if n > 1 else "start", "description": text, "cites": [plan]}
        for n, text in enumerate(steps, 1)
    ]
    return {
        "planning": [shown.ids[0], plan],
        "insert": inserts,
        "link": [{"task": "n1", "messages": [wish, goes]}],
        "progress": [{"task": "n1", "note": "I confirmed that I report before any coding.", "cites": [goes]}],
        "preferences": [
            {
                "task": "n1",
                "preference": WISH,
                "cites": [wish],
                "quote": "report to me before any landing page coding",
            }
        ],
    }


async def test_the_observe_example_gives_three_tasks_in_plan_order_with_the_preference(tmp_path: Path) -> None:
    async with watching(tmp_path, task_agent) as watch:
        await watch.send(*IPHONE)
        await watch.observe()
        tasks = await watch.tasks()
        assert [task.order for task in tasks] == [1, 2, 3]
        assert [task.status for task in tasks] == ["running", "pending", "pending"]
        for task, word in zip(tasks, ("news", "Next", "Deploy"), strict=True):
            assert word in task.data["task_description"]
        assert [task.data.get("user_preferences") for task in tasks] == [[WISH], [], []]
        assert tasks[0].data.get("progresses") == ["I confirmed that I report before any coding."]
        assert watch.calls == 1


async def test_the_planning_is_kept_apart_and_never_shown_or_learned(tmp_path: Path) -> None:
    async with watching(tmp_path, task_agent) as watch:
        await watch.begin(space="pages")
        await watch.send(*IPHONE)
        await watch.observe()
        owners = [message.task_id for message in await watch.messages()]
        assert owners[0] == owners[1] is not None
        planning = await watch.engine.store.task(str(owners[0]))
        assert (planning.is_planning, planning.order, planning.first_seq, planning.last_seq) == (True, 0, 1, 2)
        assert planning.id not in [task.id for task in await watch.tasks()]
        await watch.told(Outcome(status="success", source="report"))
        await watch.observe()
        assert [task.status for task in await watch.tasks()] == ["success", "pending", "pending"]
        assert await watch.engine.learning_status(watch.session_id) == LearningStatus(
            space_digested_count=0, not_space_digested_count=1
        )
        assert (await watch.engine.store.task(planning.id)).status == "pending"
        assert watch.calls == 1


# --------------------------------------------------------------------------------------- batches and calls


async def test_each_batch_takes_one_call_and_the_whole_backlog_is_worked_off(tmp_path: Path) -> None:
    observe = ObserveSettings(model_quiet=3600, model_max_wait=3600)
    for running in (False, True):
        folder = tmp_path / str(running)
        folder.mkdir()
        async with watching(folder, one_task, observe=observe, running=running) as watch:
            await watch.send(*({"role": "user", "content": f"message {n}"} for n in range(200)))
            await watch.observe()
            (task,) = await watch.tasks()
            assert (task.first_seq, task.last_seq) == (1, 200)
            assert {message.task_id for message in await watch.messages()} == {task.id}
            seen = [len(read(request).new) for request in watch.llm.requests]
            assert seen == [32] * 6 + [8]
            assert await watch.engine.store.lanes() == []


async def test_a_message_is_new_once(tmp_path: Path) -> None:
    async with watching(tmp_path, one_task) as watch:
        for n in range(5):
            await watch.send({"role": "user", "content": f"turn {n}"})
            await watch.observe()
        assert [[line["text"] for line in read(r).new] for r in watch.llm.requests] == [[f"turn {n}"] for n in range(5)]
        (task,) = await watch.tasks()
        assert task.data.get("progresses") == [f"I saw turn {n}" for n in range(5)]


async def test_an_answer_that_cannot_be_taken_is_asked_for_once_more(tmp_path: Path) -> None:
    answers = ["no JSON", {"planning": []}]
    async with watching(tmp_path, answers) as watch:
        await watch.send({"role": "user", "content": "hello"})
        await watch.observe()
        assert watch.calls == 2


async def test_earlier_messages_of_a_running_task_are_shown_again(tmp_path: Path) -> None:
    """A call and its result are seen together, also where a batch ended between them (W8)."""
    call = {"id": "c1", "type": "function", "function": {"name": "book_table", "arguments": '{"for": 2}'}}
    async with watching(tmp_path, one_task, observe=ObserveSettings(buffer=1, overflow=1)) as watch:
        await watch.send({"role": "user", "content": "book"}, {"role": "assistant", "tool_calls": [call]})
        await watch.send({"role": "tool", "tool_call_id": "c1", "content": "Error: full"})
        await watch.observe()
        first, second = (read(request) for request in watch.llm.requests)
        assert first.new[1]["calls"] == [{"tool": "book_table", "arguments": '{"for": 2}'}]
        assert [line["task"] for line in second.earlier] == ["t1", "t1"]
        assert second.earlier[1]["calls"] == first.new[1]["calls"]
        assert second.new[0]["results"] == [{"tool": "book_table", "error": True, "text": "Error: full"}]


async def test_far_earlier_messages_of_a_task_that_goes_on_are_shown_and_others_are_not(tmp_path: Path) -> None:
    def script(request: Request) -> Json:
        shown = read(request)
        if not shown.tasks:
            return one_task(request)
        return {"link": [{"task": "t1", "messages": [line["id"] for line in shown.new if "my" in line["text"]]}]}

    async with watching(tmp_path, script) as watch:
        await watch.send({"role": "user", "content": "my booking"})
        await watch.observe()
        for n in range(3):
            await watch.send(*({"role": "user", "content": f"small talk {n} {k}"} for k in range(20)))
            await watch.observe()
        earlier = [line["text"] for line in read(watch.llm.requests[-1]).earlier]
        assert earlier == ["my booking", *(f"small talk 1 {k}" for k in range(12, 20))]


async def test_an_untracked_session_is_never_observed(tmp_path: Path) -> None:
    async with watching(tmp_path, []) as watch:
        await watch.begin(disable_task_tracking=True)
        await watch.send(*({"role": "user", "content": "private"} for _ in range(40)))
        await watch.observe()
        assert await watch.tasks() == []


# -------------------------------------------------------------------------------------------- when it is due


def due_in(watch: Watch) -> float:
    (lane,) = watch.engine.store.lanes().result()
    return lane.due_at - time.time()


async def test_a_session_waits_until_it_is_quiet_or_sixteen_messages_wait(tmp_path: Path) -> None:
    async with watching(tmp_path, one_task, observe=ObserveSettings()) as watch:
        for n in range(15):
            await watch.send({"role": "user", "content": f"{n}"})
        assert 7 < due_in(watch) <= 8.5
        assert await watch.engine.worker.work_once() == 0
        await watch.send({"role": "user", "content": "the sixteenth"})
        assert due_in(watch) <= 0
        assert await watch.engine.worker.work_once() == 1
        assert watch.calls == 1
        await watch.send({"role": "user", "content": "one more"})
        assert 7 < due_in(watch) <= 8.5


async def test_what_is_recorded_without_waiting_fills_the_buffer_too(tmp_path: Path) -> None:
    from acontext_plugins.service import Recording, SessionRef

    async with watching(tmp_path, one_task, observe=ObserveSettings(model_quiet=3600, model_max_wait=3600)) as watch:
        for n in range(16):
            message = Message(role="user", parts=(Part(type="text", text=f"{n}"),))
            watch.engine.record(Recording(SessionRef("talk"), [message]))
        watch.engine.recorder.flush()
        assert due_in(watch) <= 0


async def test_what_waits_outlives_a_restart(tmp_path: Path) -> None:
    """Timers are rows (W2)."""
    observe = ObserveSettings(model_quiet=1000, model_max_wait=2000)
    async with watching(tmp_path, [], observe=observe) as watch:
        session_id = await watch.begin()
        await watch.send({"role": "user", "content": "hello"})
        before = due_in(watch)
    async with watching(tmp_path, one_task, observe=observe) as watch:
        watch.session_id = session_id
        assert before - 60 < due_in(watch) <= before
        await watch.engine.store.schedule_now("observe", session_id, at=time.time())
        assert await watch.engine.worker.work_once() == 1
        assert len(await watch.tasks()) == 1


# ------------------------------------------------------------------------------------------------- failures


async def test_an_outage_loses_nothing_and_is_told(tmp_path: Path) -> None:
    away = [True]

    def script(request: Request) -> Any:
        return LearningUnavailable("the model is away") if away[0] else one_task(request)

    async with watching(tmp_path, script) as watch:
        await watch.send({"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi"})
        result = await watch.engine.flush_session(watch.session_id)
        assert (result.status, "the model is away" in result.errmsg) == (500, True)
        assert [m.session_task_process_status for m in await watch.messages()] == ["pending", "pending"]
        away[0] = False
        await watch.engine.store.schedule_now("observe", watch.session_id)
        await watch.observe()
        (task,) = await watch.tasks()
        assert task.data.get("progresses") == ["I saw hello", "I saw hi"]
        assert [m.session_task_process_status for m in await watch.messages()] == ["success", "success"]


async def test_a_model_that_never_answers_well_leaves_a_sentence_and_the_messages_for_later(tmp_path: Path) -> None:
    good = [False]

    def script(request: Request) -> Any:
        return one_task(request) if good[0] else {"nonsense": 1}

    settings = WorkerSettings(backoff=0.001, idle=0.01, max_attempts=3)
    async with watching(tmp_path, script, worker=settings) as watch:
        await watch.send(*({"role": "user", "content": f"m {n}"} for n in range(20)))
        store = watch.engine.store
        while not (dead := await store.lanes(dead=True)):
            await store.schedule_now("observe", watch.session_id)
            await watch.engine.worker.work_once()
        assert "gave no answer that can be taken" in str(dead[0].last_error).splitlines()[-1]
        assert "m 1" not in str(dead[0].last_error)
        assert await watch.tasks() == []
        good[0] = True
        await store.schedule_now("observe", watch.session_id)
        await watch.observe()
        (task,) = await watch.tasks()
        assert task.last_seq == 20
        assert len(task.data.get("progresses", [])) == 20


async def test_a_prompt_that_is_too_long_is_made_shorter(tmp_path: Path) -> None:
    def script(request: Request) -> Any:
        if len(json.dumps(request.messages)) > 9_000:
            return PromptTooLong("too long")
        return one_task(request)

    async with watching(tmp_path, script) as watch:
        await watch.send(*({"role": "user", "content": f"{n} " + "word " * 400} for n in range(12)))
        await watch.observe()
        (task,) = await watch.tasks()
        assert (task.first_seq, task.last_seq) == (1, 12)
        assert [note.split()[2] for note in task.data.get("progresses", [])] == [str(n) for n in range(12)]


async def test_a_prompt_that_is_always_too_long_is_a_failure_that_is_told(tmp_path: Path) -> None:
    async with watching(tmp_path, lambda request: PromptTooLong("too long")) as watch:
        await watch.send({"role": "user", "content": "hello"})
        result = await watch.engine.flush_session(watch.session_id)
        assert (result.status, "too long" in result.errmsg) == (500, True)


async def test_a_message_that_the_model_refuses_is_withheld_alone(tmp_path: Path) -> None:
    def script(request: Request) -> Any:
        return Refused("no") if "forbidden" in str(request.messages[1]["content"]) else one_task(request)

    async with watching(tmp_path, script) as watch:
        words = ["a", "b", "c", "forbidden", "e", "f"]
        await watch.send(*({"role": "user", "content": word} for word in words))
        await watch.observe()
        (task,) = await watch.tasks()
        seen = ["[this message is withheld]" if word == "forbidden" else word for word in words]
        assert task.data.get("progresses") == [f"I saw {word}" for word in seen]
        assert {message.task_id for message in await watch.messages()} == {task.id}
        assert watch.observer.dropped == {"refused message": 1}


async def test_a_model_that_refuses_everything_leaves_the_messages_for_later(tmp_path: Path) -> None:
    async with watching(tmp_path, lambda request: Refused("no")) as watch:
        await watch.send(*({"role": "user", "content": word} for word in "abcd"))
        await watch.engine.worker.work_once()
        assert await watch.tasks() == []
        assert (await watch.engine.observing_status(watch.session_id)).observed == 0
        assert watch.calls == 5


async def test_where_the_model_refuses_what_came_earlier_it_is_asked_without(tmp_path: Path) -> None:
    willing = [True]

    def script(request: Request) -> Any:
        told = "forbidden" in str(request.messages[1]["content"])
        return Refused("no") if told and not willing[0] else one_task(request, progress=[])

    async with watching(tmp_path, script) as watch:
        await watch.send({"role": "user", "content": "forbidden"})
        await watch.observe()
        willing[0] = False
        await watch.send(*({"role": "user", "content": word} for word in "abcd"))
        await watch.observe()
        assert watch.calls == 3
        assert {message.task_id for message in await watch.messages()} == {(await watch.tasks())[0].id}


async def test_where_the_budget_is_spent_the_rules_observe(tmp_path: Path) -> None:
    spent = [False]

    def script(request: Request) -> Any:
        return BudgetSpent("spent") if spent[0] else one_task(request)

    async with watching(tmp_path, script) as watch:
        await watch.send({"role": "user", "content": "book a table"}, {"role": "assistant", "content": "Booked."})
        await watch.told(Outcome(status="success", source="report"))
        await watch.observe()
        spent[0] = True
        for n in range(3):
            await watch.send(
                {"role": "user", "content": f"Now cancel order {n} please"}, {"role": "assistant", "content": "Done."}
            )
            await watch.observe()
        tasks = await watch.tasks()
        said = [task.data["task_description"] for task in tasks]
        assert said == ["the whole work", *(f"Now cancel order {n} please" for n in range(3))]
        assert [task.order for task in tasks] == [1, 2, 3, 4]
        owners = [message.task_id for message in await watch.messages()]
        assert owners == [task.id for task in tasks for _ in range(2)]
        spent[0] = False
        await watch.send({"role": "user", "content": "and more"})
        await watch.observe()
        assert [task.id for task in await watch.tasks()] == [task.id for task in tasks]


# ---------------------------------------------------------------------------------- outcomes and learning


async def test_an_outcome_without_new_messages_needs_no_call(tmp_path: Path) -> None:
    async with watching(tmp_path, one_task) as watch:
        await watch.begin(space="ops")
        said = Message(role="user", parts=(Part(type="text", text="book"),), run_id="r1")
        await watch.send(said)
        await watch.observe()
        await watch.told(Outcome(status="failed", source="verifier", run_id="r1"))
        await watch.observe()
        assert [task.status for task in await watch.tasks()] == ["failed"]
        assert watch.calls == 1


async def test_a_late_report_finds_the_tasks_of_its_run(tmp_path: Path) -> None:
    async with watching(tmp_path, one_task_a_run) as watch:
        for n in range(4):
            message = Message(role="user", parts=(Part(type="text", text=f"job {n}"),), run_id=f"r{n}")
            await watch.send(message, *({"role": "assistant", "content": "busy"} for _ in range(40)))
            await watch.observe()
        calls = watch.calls
        await watch.told(Outcome(status="success", source="report", run_id="r1"))
        await watch.observe()
        assert [task.status for task in await watch.tasks()] == ["running", "success", "running", "running"]
        assert watch.calls == calls


def one_task_a_run(request: Request) -> Json:
    shown = read(request)
    jobs = [line for line in shown.new if line.get("text", "").startswith("job")]
    return {
        "insert": [{"task": f"n{n}", "description": job["text"], "cites": [job["id"]]} for n, job in enumerate(jobs)],
        "link": [{"task": f"n{n}", "messages": [job["id"]]} for n, job in enumerate(jobs)],
    }


async def test_a_finished_task_teaches_with_its_own_messages_only(tmp_path: Path) -> None:
    """Two tasks that take turns: each has its own messages."""

    def script(request: Request) -> Json:
        shown = read(request)
        ids = {name: [line["id"] for line in shown.new if name in str(line)] for name in ("red", "blue")}
        return {
            "insert": [{"task": name, "description": name, "cites": ids[name][:1]} for name in ids],
            "link": [{"task": name, "messages": found} for name, found in ids.items()],
        }

    async with watching(tmp_path, script) as watch:
        await watch.begin(space="ops")
        for n, name in enumerate(["red", "blue", "blue", "red"]):
            call = {"id": f"c{n}", "type": "function", "function": {"name": f"paint_{name}", "arguments": "{}"}}
            result = {"role": "tool", "tool_call_id": f"c{n}", "content": f"{name} it is"}
            await watch.send(
                {"role": "user", "content": f"{name} {n}"}, {"role": "assistant", "tool_calls": [call]}, result
            )
        await watch.told(Outcome(status="success", source="report"))
        assert await watch.engine.flush()
        space_id = (await watch.engine.space_by_name("ops")).id
        episodes = await watch.engine.store.episodes(space_id)
        assert sorted(step["tool"] for episode in episodes for step in episode.body["steps"]) == [
            "paint_blue",
            "paint_red",
        ]
        assert [len(episode.body["steps"]) for episode in episodes] == [1, 1]
        assert len(await watch.engine.store.skills(space_id)) == 2


async def test_a_flush_leaves_what_is_recorded_meanwhile_its_own_time(tmp_path: Path) -> None:
    """Else each message of every conversation that goes on would be read, and paid for, alone."""
    reading, go = asyncio.Event(), asyncio.Event()

    async def script(request: Request) -> Json:
        reading.set()
        await go.wait()
        return one_task(request)

    later = ObserveSettings(model_quiet=3600, model_max_wait=3600)
    async with watching(tmp_path, script, observe=later, running=True) as watch:
        await watch.send(*says("first"))
        flushing = asyncio.create_task(watch.engine.flush(60))
        await reading.wait()
        await watch.send(*says("more"))
        await watch.begin()
        for word in ("another", "conversation", "goes on"):
            await watch.send(*says(word))
        go.set()
        assert await flushing
        assert watch.calls == 1
        assert [lane.due_at > time.time() + 3000 for lane in await watch.engine.store.lanes(dead=False)] == [True, True]
        assert await watch.engine.flush(60)
        assert watch.calls == 3
        read_first, *together = [len(read(request).new) for request in watch.llm.requests]
        assert read_first == 1
        assert sorted(together) == [1, 3]  # the two conversations are read at the same time


async def test_a_conversation_that_comes_in_pieces_is_read_in_one_call(tmp_path: Path) -> None:
    """However often the worker looks in between."""
    later = ObserveSettings(model_quiet=3600, model_max_wait=3600)
    async with watching(tmp_path, one_task, observe=later) as watch:
        for blob in IPHONE:
            await watch.send(blob)
            assert await watch.engine.worker.work_once() == 0
        await watch.told(Outcome(status="success", source="report"))
        assert await watch.engine.flush(60)
        assert watch.calls == 1


def says(words: str) -> list[Json]:
    return [{"role": "user", "content": words}]
