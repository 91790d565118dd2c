"""What an endpoint does wrong is one sentence with the way out; nothing that was said, and no key, is ever in it."""

from __future__ import annotations

import asyncio
import logging
import re
import traceback
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acontext_plugins.llm.errors import Endpoint, retry_after, trouble
from acontext_plugins.llm.litellm_client import LiteLLMClient, LiteLLMEmbedder
from acontext_plugins.settings import EmbeddingSettings, LLMSettings
from acontext_plugins.testing.scripted_server import Cut, Hang, Raw, Refusal, ScriptedServer, Status, Step
from acontext_store.errors import InvalidInput, LearningUnavailable, PromptTooLong, Refused

from .asking import KEY, PROMPT, asks, asks_for_a_city, settings

ECHO = f"you said: {PROMPT}, with the key {KEY}"
STEPS: dict[str, tuple[Step, str, type[LearningUnavailable]]] = {
    "away": (Cut(), r"cannot be reached at 127\.0\.0\.1:\d+.*llm\.base_url", LearningUnavailable),
    "cut": (Cut(9), r"cannot be reached|no answer", LearningUnavailable),
    "slow": (Hang(), r"did not answer within 0\.5 s: raise llm\.timeout", LearningUnavailable),
    "many": (Status(429, ECHO), r"no more requests.*llm\.requests_per_minute", LearningUnavailable),
    "broke": (Status(429, f"exceeded your quota. {ECHO}"), r"no credit left", LearningUnavailable),
    "key": (Status(401, ECHO, code=KEY), r"refuses the key: set llm\.api_key", LearningUnavailable),
    "rights": (Status(403, ECHO), r"may not use openai/gpt-4\.1", LearningUnavailable),
    "name": (Status(404, ECHO), r"does not know openai/gpt-4\.1.*llm\.base_url", LearningUnavailable),
    "odd": (Status(400, ECHO), r"does not take the request \(400\).*llm\.options", LearningUnavailable),
    "long": (Status(400, f"maximum context length {ECHO}"), r"too long for openai/gpt-4\.1", PromptTooLong),
    "filter": (Status(400, f"content management policy {ECHO}"), r"declined.*another model", Refused),
    "refusal": (Refusal(ECHO), r"declined.*another model", Refused),
    "error": (Status(500, ECHO), r"out of order at the moment \(500\)", LearningUnavailable),
    "overloaded": (Status(529, ECHO), r"out of order|no answer", LearningUnavailable),
    "page": (Raw(f"<html>{ECHO}".encode(), "text/html"), r"no answer.*llm\.base_url", LearningUnavailable),
    "half": (Raw(f'{{"choices": [{{"{ECHO}'.encode()), r"no answer.*llm\.base_url", LearningUnavailable),
    "other": (Raw(f'{{"detail": "{ECHO}"}}'.encode()), r"no answer|out of order", LearningUnavailable),
    "nothing": (Raw(b'{"object": "chat.completion", "choices": []}'), r"answered nothing", LearningUnavailable),
}


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("model", ["openai/gpt-4.1", "hosted_vllm/gpt-4.1"])
async def test_each_trouble_is_one_sentence(
    name: str, model: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    step, sentence, kind = STEPS[name]
    if isinstance(step, Hang):
        step = Hang()
    caplog.set_level(logging.INFO)
    with ScriptedServer(lambda asked: step) as server:
        llm = LiteLLMClient(settings(server, model=model, timeout=0.5 if name == "slow" else 20.0))
        with pytest.raises(kind) as caught:
            await llm.complete(asks_for_a_city())
        await llm.aclose()
    error = caught.value
    assert isinstance(error, kind)
    assert error.code == kind.code
    text = str(error)
    assert re.search(sentence.replace("openai/", r"\w+/"), text), text
    told = "".join(traceback.format_exception(error)) + caplog.text + "".join(capfd.readouterr())
    assert "\n" not in text
    assert "canary" not in told
    assert KEY[:8] not in told


async def test_an_endpoint_that_is_not_there(server: ScriptedServer) -> None:
    llm = LiteLLMClient(settings(server, base_url="http://127.0.0.1:9/v1"))
    with pytest.raises(LearningUnavailable, match=r"cannot be reached at 127\.0\.0\.1:9:"):
        await llm.complete(asks())
    await llm.aclose()


def test_a_password_in_an_address_is_not_said() -> None:
    assert Endpoint("m", "http://user:canary@127.0.0.1:9/v1", 1.0, "llm").where == "127.0.0.1:9"


async def test_a_provider_that_nobody_knows(server: ScriptedServer) -> None:
    llm = LiteLLMClient(settings(server, model="mine", base_url=""))
    with pytest.raises(LearningUnavailable, match=r'put it before the name, like "openai/mine"'):
        await llm.complete(asks())


async def test_without_litellm_it_is_said_how_to_install_it(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InvalidInput, match=r'pip install "acontext-plugins\[litellm\]"'):
        LiteLLMClient(settings(server))


async def test_a_call_that_does_not_end_is_left_at_the_timeout(server: ScriptedServer) -> None:
    """Also where bytes keep coming, so that no read ever times out."""

    async def never(**given: Any) -> None:
        await asyncio.Event().wait()

    llm = LiteLLMClient(settings(server, timeout=0.1))
    with pytest.raises(LearningUnavailable, match="did not answer within"):
        await llm._door.ask(never, "learn", 1)


class _Error(Exception):
    def __init__(self, status: object, words: str, **fields: object) -> None:
        super().__init__(words)
        self.status_code = status
        self.__dict__.update(fields)


@given(
    st.one_of(st.none(), st.integers(0, 999), st.text()),
    st.text(),
    st.one_of(st.none(), st.text(), st.integers()),
    st.one_of(st.none(), st.text(), st.dictionaries(st.sampled_from(["retry-after", "x"]), st.text())),
)
def test_whatever_is_raised_becomes_one_of_ours(status: object, words: str, code: object, headers: object) -> None:
    error = _Error(status, words + KEY, code=code, litellm_response_headers=headers)
    found, again = trouble(error, Endpoint("m", "http://[bad", 1.0, "llm"))
    assert isinstance(found, LearningUnavailable)
    assert isinstance(again, bool)
    assert KEY not in str(found)
    assert found.retry_after is None or 0 < found.retry_after <= 86_400


@pytest.mark.parametrize(
    "url", ["http://[bad", "http://host:port", "127.0.0.1:8000/v1", "ftp://host/v1", "http://", "x"]
)
def test_a_base_url_that_is_none_is_said_at_once_without_what_it_holds(url: str) -> None:
    with pytest.raises(InvalidInput, match=r"^llm\.base_url is no URL of an endpoint"):
        LiteLLMClient(LLMSettings(model="openai/m", base_url=url))
    with pytest.raises(InvalidInput, match=r"^embedding\.base_url is no URL of an endpoint"):
        LiteLLMEmbedder(EmbeddingSettings(model="openai/m", base_url=url), LLMSettings())


def test_where_an_endpoint_is_says_no_more_than_its_host() -> None:
    urls = ["", "http://user:secret@127.0.0.1:8000/v1?key=secret", "https://example.org/v1", "http://[bad"]
    found = [Endpoint("m", url, 1.0, "embedding").where for url in urls]
    assert found == ["its provider", "127.0.0.1:8000", "example.org", "embedding.base_url"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7", 7.0), ("0.5", 0.5), ("", None), ("-3", None), ("nan", None), ("inf", None), ("soon", None), ("1e9", 86_400)],
)
def test_how_long_to_wait(text: str, seconds: float | None) -> None:
    assert retry_after(_Error(429, "", litellm_response_headers={"retry-after": text})) == seconds


def test_how_long_to_wait_may_be_a_date() -> None:
    found = retry_after(_Error(429, "", litellm_response_headers={"Retry-After": "Fri, 31 Dec 2100 23:59:59 GMT"}))
    assert found == 86_400
    assert (
        retry_after(_Error(429, "", litellm_response_headers={"retry-after": "Fri, 31 Dec 1999 23:59:59 GMT"})) is None
    )
