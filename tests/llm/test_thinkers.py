"""From settings to an engine that thinks with a model: over real HTTP, with a ledger, within a budget."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from acontext_plugins import Acontext
from acontext_plugins.engine.embedded import open_engine, thinkers_of
from acontext_plugins.learn.answer import Learned
from acontext_plugins.learn.model import ModelLearner
from acontext_plugins.llm import Purpose, Request
from acontext_plugins.llm.schemas import strict
from acontext_plugins.observe.answer import TaskAnswer
from acontext_plugins.observe.model import ModelObserver
from acontext_plugins.observe.rules import RulesObserver
from acontext_plugins.settings import (
    EmbeddingSettings,
    LearnSettings,
    LLMSettings,
    ObserveSettings,
    Settings,
    WorkerSettings,
)
from acontext_plugins.testing import ScriptedEmbedder, ScriptedLLM
from acontext_plugins.testing.scripted_server import Asked, ScriptedServer, Status, Step
from acontext_store.errors import InvalidInput

from ..models.observing import one_task
from ..models.school import experience, read
from .asking import KEY

TALK: list[dict[str, Any]] = [
    {"role": "user", "content": "Archive the project apollo, please. Always tell the owner."},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "archive", "arguments": '{"project": "apollo"}'}},
            {"id": "c2", "type": "function", "function": {"name": "mail", "arguments": '{"to": "owner"}'}},
        ],
    },
    {"role": "tool", "tool_call_id": "c1", "content": "archived"},
    {"role": "tool", "tool_call_id": "c2", "content": "sent"},
    {"role": "assistant", "content": "The project apollo is archived, and its owner knows."},
]


def answer(asked: Asked) -> Step:
    """As a model would that reads what it is shown."""
    request = Request(messages=tuple(asked.messages), purpose=Purpose(job="observe"))
    if asked.answer_name == "taskanswer":
        return one_task(request)
    if asked.answer_name == "learned":
        return {"experiences": [experience(read(request))]}
    return Status(400, f"no words for {asked.answer_name}")


def the_settings(tmp_path: Path, *, llm: LLMSettings | None = None, **fields: Any) -> Settings:
    """A conversation waits for a flush: else what is there of it when the worker looks is read, and paid for, alone."""
    return Settings(
        url=f"sqlite:///{tmp_path}/a.db",
        llm=llm or LLMSettings(),
        observe=ObserveSettings(model_quiet=3600, model_max_wait=3600, quiet=3600, max_wait=3600),
        learn=LearnSettings(quiet=0.0, tasks="all"),
        worker=WorkerSettings(backoff=0.01, idle=0.05, concurrency=2),
        **fields,
    )


def model(server: ScriptedServer, **fields: Any) -> LLMSettings:
    return LLMSettings(model="openai/gpt-4.1", base_url=server.url, api_key=KEY, retries=0, **fields)


def tell(client: Acontext) -> tuple[str, str]:
    """A conversation that went well, in a space. The ids of both."""
    space = client.spaces.create(name="ops")
    session = client.sessions.create(space_id=space.id)
    for blob in TALK:
        client.sessions.send_message(session.id, blob=blob)
    client.sessions.report(session.id, status="success")
    return space.id, session.id


@pytest.mark.parametrize("schema", [TaskAnswer, Learned])
def test_our_own_answers_are_asked_for_strictly(schema: Any) -> None:
    assert strict(schema.model_json_schema()) is not None


def test_a_conversation_is_learned_from_in_two_calls(tmp_path: Path) -> None:
    with ScriptedServer(answer) as server, Acontext(settings=the_settings(tmp_path, llm=model(server))) as client:
        space_id, session_id = tell(client)
        assert client.flush(60)
        (skill,) = client.spaces.skills(space_id)
        assert skill.origin == "model"
        assert [step.tool_name for step in skill.body.tool_sops] == ["archive", "mail"]
        calls = client.spaces.costs(space_id, by=["job", "prompt", "session", "model"])
        assert [(cost.job, cost.model, cost.calls, cost.failed) for cost in calls] == [
            ("learn", "openai/gpt-4.1", 1, 0),
            ("observe", "openai/gpt-4.1", 1, 0),
        ]
        assert {cost.job: cost.session_id for cost in calls}["observe"] == session_id
        assert all(cost.prompt and "@" in cost.prompt for cost in calls)
        assert all(cost.tokens > 100 and cost.cost > 0 for cost in calls)
        (whole,) = client.spaces.costs()
        assert whole.cost == pytest.approx(sum(cost.cost for cost in calls))
        assert len(server.seen) == 2


def test_a_spent_budget_leaves_learning_to_the_rules(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    with ScriptedServer(answer) as server:
        settings = the_settings(tmp_path, llm=model(server, daily_tokens=1))
        with Acontext(settings=settings) as client:
            space_id, session_id = tell(client)
            assert client.flush(60)
            (skill,) = client.spaces.skills(space_id, candidates=True)
            assert skill.origin == "rules"
            assert client.sessions.get_learning_status(session_id).space_digested_count == 1
            assert client.spaces.costs() == []
        assert server.seen == []
    assert caplog.text.count("is spent for today") == 1


def test_a_space_with_a_budget_of_its_own_goes_on(tmp_path: Path) -> None:
    with (
        ScriptedServer(answer) as server,
        Acontext(settings=the_settings(tmp_path, llm=model(server, daily_tokens=1))) as client,
    ):
        space = client.spaces.create(name="rich", configs={"budget": {"daily_tokens": 0}})
        session = client.sessions.create(space_id=space.id)
        client.sessions.send_message(session.id, blob=TALK[0])
        assert client.flush(60)
        assert [cost.calls for cost in client.spaces.costs(space.id)] == [1]


def test_an_endpoint_that_is_away_is_waited_for(tmp_path: Path) -> None:
    """Nothing is lost, and nobody who records is told."""
    away = True

    def sometimes(asked: Asked) -> Step:
        return Status(503, "down for a while") if away else answer(asked)

    with ScriptedServer(sometimes) as server, Acontext(settings=the_settings(tmp_path, llm=model(server))) as client:
        space_id, session_id = tell(client)
        client.flush(0.5)
        assert client.spaces.skills(space_id) == []
        away = False
        client.jobs.retry()
        assert client.flush(60)
        assert len(client.spaces.skills(space_id)) == 1
        (whole,) = client.spaces.costs()
        assert whole.failed == whole.calls - 2 > 0
        assert client.sessions.get_learning_status(session_id).not_space_digested_count == 0


def test_without_a_model_rules_think(tmp_path: Path) -> None:
    embedded = open_engine(the_settings(tmp_path))
    try:
        assert (embedded.models.llm, embedded.models.embedder, embedded.engine.settings.worker.concurrency) == (
            None,
            None,
            2,
        )
        assert isinstance(thinkers_of(embedded.engine.settings, None)[0], RulesObserver)
    finally:
        embedded.close()


def test_a_model_has_as_many_lanes_as_calls(tmp_path: Path) -> None:
    llm = LLMSettings(model="openai/mine", concurrency=9)
    embedded = open_engine(the_settings(tmp_path, llm=llm, embedding=EmbeddingSettings(model="openai/vectors")))
    try:
        assert embedded.engine.settings.worker.concurrency == 9
        assert embedded.models.llm is not None
        assert embedded.models.embedder is not None
        assert (embedded.models.llm.model, embedded.models.embedder.model) == ("openai/mine", "openai/vectors")
        observer, learner = thinkers_of(embedded.engine.settings, embedded.models.llm)
        assert isinstance(observer, ModelObserver)
        assert isinstance(learner, ModelLearner)
    finally:
        embedded.close()


def test_models_of_ones_own_stand_in_for_those_of_the_settings(tmp_path: Path) -> None:
    llm, embedder = ScriptedLLM([], model="mine"), ScriptedEmbedder(model="vectors")
    embedded = open_engine(the_settings(tmp_path, llm=LLMSettings(model="openai/x")), llm=llm, embedder=embedder)
    try:
        assert embedded.models.llm is not None
        assert embedded.models.embedder is not None
        assert (embedded.models.llm.model, embedded.models.embedder.model) == ("mine", "vectors")
        assert embedded.models.opened == ()
    finally:
        embedded.close()


def test_a_model_without_litellm_is_refused_when_it_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("acontext_plugins.llm.lazy_import.check_installed", _missing)
    with pytest.raises(InvalidInput, match="pip install"):
        open_engine(the_settings(tmp_path, llm=LLMSettings(model="openai/x")))


def _missing() -> None:
    raise InvalidInput('pip install "acontext-plugins[litellm]"')
