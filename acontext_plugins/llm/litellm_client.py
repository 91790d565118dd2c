"""Models by LiteLLM: any provider that it knows, or an OpenAI-compatible endpoint of your own."""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

from pydantic import SecretStr

from acontext_store.backoff import Backoff, as_asked
from acontext_store.errors import InvalidAnswer, InvalidInput, LearningUnavailable
from acontext_store.records import valid
from acontext_store.types import Json

from ..settings import EmbeddingSettings, LLMSettings
from . import lazy_import
from .base import Job, Purpose, Reply, Request, ToolCall, Usage
from .errors import Endpoint, NotTaken, declined_by, trouble
from .rate_limit import Limits
from .schemas import calls_in, strict, unfenced, with_schema, with_tools

T = TypeVar("T")
#: Arguments that this library gives itself: not to be set as options.
_OURS = frozenset(
    "model messages input response_format tools stream n timeout api_key api_base base_url num_retries max_retries "
    "caching cache metadata callbacks".split()
)
#: Seconds between tries: the first, and the longest that a call waits; what takes longer, the job waits for.
_BACKOFF, _LONGEST_PAUSE = Backoff(0.5), 20.0
#: Characters of a text that is embedded; models that take more are few.
_LONGEST_TEXT = 24_000
_THOUGHTS = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)
_CHARACTERS_PER_TOKEN = 4


#: The schema as `response_format`, any JSON object (the schema in the prompt), or only the prompt.
_Answer = Literal["schema", "object", "prompt"]
_LESS: dict[_Answer, tuple[_Answer, ...]] = {"schema": ("object", "prompt"), "object": ("prompt",), "prompt": ()}


@dataclass(frozen=True, slots=True)
class _Way:
    """How something is asked of an endpoint that may not take every way of asking."""

    answer: _Answer = "schema"
    #: Tools as tools, or in the prompt.
    tools: bool = True

    def downwards(self, request: Request) -> Iterator[_Way]:
        """This way, and those that ask for less; only where it makes a difference to this request."""
        yield self
        way = self
        for answer in _LESS[self.answer] if request.answer is not None else ():
            way = replace(way, answer=answer)
            yield way
        if request.tools and way.tools:
            yield replace(way, tools=False)


class _Door:
    """What completions and embeddings have in common: loading, limits, tries, and what is said of trouble."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        api_key: SecretStr | None,
        retries: int,
        options: Mapping[str, Any],
        limits: Limits,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        lazy_import.check_installed()
        endpoint.check()
        for name in sorted(options.keys() & _OURS):
            raise InvalidInput(f"llm.options cannot have {name!r}: it is set elsewhere, or by the library itself")
        self.endpoint = endpoint
        self._api_key = api_key
        self._retries = retries
        self._options = dict(options)
        self._limits = limits
        self._sleep = sleep

    async def module(self) -> Any:
        return lazy_import.loaded() or await asyncio.to_thread(lazy_import.load)

    async def ask(self, function: Callable[..., Awaitable[Any]], job: Job, tokens: int, **arguments: Any) -> Any:
        """The endpoint's answer. Raises LearningUnavailable when it has been tried `retries` times more."""
        for left in range(self._retries, -1, -1):
            try:
                async with self._limits.slot(tokens) as admission:
                    answer = await self._once(function, job, arguments)
                    admission.tokens = _tokens(getattr(answer, "usage", None), "total_tokens") or tokens
                    return answer
            except Exception as error:
                found, again = trouble(error, self.endpoint)
            pause = max(_BACKOFF.pause(self._retries - left), as_asked(found.retry_after or 0.0))
            if not left or not again or pause > _LONGEST_PAUSE:
                raise found from None
            await self._sleep(pause)
        raise AssertionError("not reached")

    async def _once(self, function: Callable[..., Awaitable[Any]], job: Job, arguments: Mapping[str, Any]) -> Any:
        given: Json = {
            **self._options,
            "model": self.endpoint.model,
            "timeout": self.endpoint.timeout,
            "num_retries": 0,
            "max_retries": 0,
            "caching": False,
            "cache": {"no-cache": True, "no-store": True},
            "metadata": {"acontext": job},
            **arguments,
        }
        if self.endpoint.base_url:
            given["api_base"] = self.endpoint.base_url
        if self._api_key is not None:
            given["api_key"] = self._api_key.get_secret_value()
        with lazy_import.unlogged() as quietly:
            async with asyncio.timeout(self.endpoint.timeout):
                return await function(**given, **quietly)


class LiteLLMClient:
    """The model that `settings.llm` names. It belongs to one event loop: its limits and connections do.

    What an endpoint does not take (strict schemas, tools) is asked in other words from then on.
    """

    def __init__(self, settings: LLMSettings, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Raises InvalidInput where LiteLLM is missing, the base URL is none, or an option is not one to be set."""
        options, price = _priced(settings.options)
        self._door = _Door(
            Endpoint(settings.model, settings.base_url, settings.timeout, "llm"),
            api_key=settings.api_key,
            retries=settings.retries,
            options=options,
            limits=Limits(
                concurrency=settings.concurrency,
                requests_per_minute=settings.requests_per_minute,
                tokens_per_minute=settings.tokens_per_minute,
            ),
            sleep=sleep,
        )
        #: What the endpoint took, by what was asked: the schema's name, and whether there were tools.
        self._ways: dict[tuple[str, bool], _Way] = {}
        self._price = price

    @property
    def model(self) -> str:
        return self._door.endpoint.model

    async def complete(self, request: Request) -> Reply:
        module = await self._door.module()
        kind = request.answer_name if request.answer is not None else "", bool(request.tools)
        way = self._ways.get(kind) or _first_way(module, self._door.endpoint)
        refused: NotTaken | None = None
        for lower in way.downwards(request):
            try:
                reply = await self._ask(module, request, lower)
            except NotTaken as error:
                refused = refused or error
                continue
            if request.answer is not None and lower.answer == "schema" and _is_prose(reply):
                lower = replace(lower, answer="object")  # it was ignored, so the model has not seen the schema
            self._ways[kind] = lower
            return reply
        assert refused is not None
        raise refused from None

    async def aclose(self) -> None:
        """Close the connections of this loop: give the model one that nobody else uses LiteLLM on."""
        await lazy_import.close_connections()

    async def _ask(self, module: Any, request: Request, way: _Way) -> Reply:
        messages = list(request.messages)
        asked: Json = {}
        if request.tools and way.tools:
            asked["tools"] = list(request.tools)
        elif request.tools:
            messages = with_tools(messages, request.tools)
        if request.answer is not None:
            if way.answer == "schema":
                asked["response_format"] = _format(request.answer_name, request.answer)
            else:
                messages = with_schema(messages, request.answer)
                if way.answer == "object":
                    asked["response_format"] = {"type": "json_object"}
        messages = valid(messages)
        size = len(json.dumps([messages, asked], ensure_ascii=False)) // _CHARACTERS_PER_TOKEN
        answer = await self._door.ask(module.acompletion, request.purpose.job, size, messages=messages, **asked)
        reply = self._reply(module, answer, size)
        if request.tools and not way.tools and (calls := calls_in(reply.text)):
            return reply.model_copy(update={"tool_calls": calls, "text": "", "finish": "tool_calls"})
        return reply

    def _reply(self, module: Any, answer: Any, size: int) -> Reply:
        choices = getattr(answer, "choices", None)
        if not choices:
            raise LearningUnavailable(f"{self.model} answered nothing at all: try again, or take another model")
        message, finish = choices[0].message, str(choices[0].finish_reason or "stop")
        text = _THOUGHTS.sub("", _words(message.content)).strip()
        calls = tuple(_call(call) for call in message.tool_calls or ())
        declined = getattr(message, "refusal", None) or (getattr(message, "provider_specific_fields", None) or {}).get(
            "refusal"
        )
        usage = _usage(getattr(answer, "usage", None), size, len(text) + sum(len(call.arguments) for call in calls))
        usage = usage.model_copy(update={"cost": _cost(module, answer, self.model, self._price)})
        if not text and not calls and (declined or finish == "content_filter"):
            raise declined_by(self._door.endpoint, usage)
        return Reply(
            text=text,
            tool_calls=calls,
            finish=finish,
            model=str(getattr(answer, "model", None) or self.model),
            usage=usage,
        )


class LiteLLMEmbedder:
    """The model that `settings.embedding` names. `llm` has the limits; they hold for each of the two by itself."""

    def __init__(
        self,
        settings: EmbeddingSettings,
        llm: LLMSettings,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._settings = settings
        self._door = _Door(
            Endpoint(settings.model, settings.base_url, settings.timeout, "embedding"),
            api_key=settings.api_key,
            retries=llm.retries,
            options={},
            limits=Limits(
                concurrency=llm.concurrency,
                requests_per_minute=llm.requests_per_minute,
                tokens_per_minute=llm.tokens_per_minute,
            ),
            sleep=sleep,
        )

    @property
    def model(self) -> str:
        return self._door.endpoint.model

    async def embed(self, texts: Sequence[str], *, purpose: Purpose) -> list[list[float]]:
        return (await self.embed_with_usage(texts, purpose=purpose))[0]

    async def embed_with_usage(self, texts: Sequence[str], *, purpose: Purpose) -> tuple[list[list[float]], Usage]:
        """The vectors, and what they took."""
        vectors: list[list[float]] = []
        usage = Usage()
        for start in range(0, len(texts), self._settings.batch):
            batch = [valid(text[:_LONGEST_TEXT]) or " " for text in texts[start : start + self._settings.batch]]
            made, taken = await self._batch(batch, purpose.job)
            vectors += made
            usage = usage + taken
        if len({len(vector) for vector in vectors}) > 1:
            raise InvalidAnswer(f"{self.model} made vectors of different sizes: take another model")
        return vectors, usage

    async def aclose(self) -> None:
        """See `LiteLLMClient.aclose`."""
        await lazy_import.close_connections()

    async def _batch(self, texts: list[str], job: Job) -> tuple[list[list[float]], Usage]:
        module = await self._door.module()
        size = sum(len(text) for text in texts) // _CHARACTERS_PER_TOKEN
        asked: Json = {"input": texts, "encoding_format": "float"}
        if self._settings.dimensions is not None:
            asked["dimensions"] = self._settings.dimensions
        asked["allowed_openai_params"] = ["dimensions", "encoding_format"]
        answer = await self._door.ask(module.aembedding, job, size, **asked)
        usage = _usage(getattr(answer, "usage", None), size, 0).model_copy(
            update={"cost": _cost(module, answer, self.model, None)}
        )
        return [self._unit(vector) for vector in self._in_order(answer, len(texts))], usage

    def _in_order(self, answer: Any, count: int) -> list[Any]:
        data = [item if isinstance(item, dict) else item.model_dump() for item in getattr(answer, "data", None) or ()]
        if len(data) != count:
            raise InvalidAnswer(f"{self.model} made {len(data)} vectors of {count} texts: take another model")
        if sorted(item.get("index", -1) for item in data) == list(range(count)):
            data.sort(key=lambda item: item["index"])
        return [item.get("embedding") for item in data]

    def _unit(self, vector: Any) -> list[float]:
        try:
            found = [float(value) for value in vector]
            length = math.sqrt(sum(value * value for value in found))
        except (TypeError, ValueError, OverflowError):
            found, length = [], 0.0
        wanted = self._settings.dimensions
        if not math.isfinite(length) or not length:
            raise InvalidAnswer(f"{self.model} made an invalid vector (all zeros, or not finite): take another model")
        if wanted is not None and len(found) != wanted:
            raise InvalidAnswer(
                f"{self.model} made vectors of {len(found)} dimensions, not {wanted}: set embedding.dimensions to that"
            )
        return [value / length for value in found]


def _first_way(module: Any, endpoint: Endpoint) -> _Way:
    """What LiteLLM's table says of the model; of models that it does not know, the best is hoped."""
    table = getattr(module, "model_cost", None)
    if endpoint.base_url or not isinstance(table, dict):
        return _Way()
    known = table.get(endpoint.model) or table.get(endpoint.model.partition("/")[2]) or {}
    schemas = known.get("supports_response_schema") if known else True
    tools = known.get("supports_function_calling") if known else True
    return _Way("schema" if schemas else "object", bool(tools))


def _format(name: str, schema: Json) -> Json:
    exact = strict(schema)
    wanted = {"name": name, "schema": schema if exact is None else exact, "strict": exact is not None}
    return {"type": "json_schema", "json_schema": wanted}


def _is_prose(reply: Reply) -> bool:
    """An answer that cannot come of a schema: no object, and none that was cut off either."""
    return not reply.tool_calls and not unfenced(reply.text).startswith("{")


def _call(call: Any) -> ToolCall:
    function = call.function
    return ToolCall(id=str(call.id or ""), name=str(function.name or ""), arguments=str(function.arguments or "{}"))


def _words(content: Any) -> str:
    if isinstance(content, list):
        return "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _tokens(usage: Any, name: str) -> int:
    found = getattr(usage, name, None)
    return found if isinstance(found, int) and found > 0 else 0


def _usage(given: Any, size: int, answered: int) -> Usage:
    """What the endpoint says, and an estimate where it says nothing: a budget must not think it free."""
    asked, said = _tokens(given, "prompt_tokens"), _tokens(given, "completion_tokens")
    return Usage(
        prompt_tokens=asked or max(size, 1),
        completion_tokens=said if asked or said else answered // _CHARACTERS_PER_TOKEN,
        cached_tokens=_tokens(getattr(given, "prompt_tokens_details", None), "cached_tokens"),
    )


def _priced(options: Mapping[str, Any]) -> tuple[Json, dict[str, float] | None]:
    """The options without a price among them, which LiteLLM would take for all calls of the process; and the price."""
    names = ("input_cost_per_token", "output_cost_per_token")
    price = {name: options[name] for name in names if name in options}
    if not price:
        return dict(options), None
    if len(price) < len(names) or not all(isinstance(one, int | float) and one >= 0 for one in price.values()):
        raise InvalidInput(f"llm.options: a price is {' and '.join(names)}, in US dollars, both of them")
    return {name: value for name, value in options.items() if name not in names}, price


def _cost(module: Any, answer: Any, model: str, price: Mapping[str, float] | None) -> float | None:
    """US dollars by LiteLLM's prices; None where it does not know the model."""
    try:
        cost = module.completion_cost(completion_response=answer, model=model, custom_cost_per_token=price)
    except Exception:  # it has an exception of its own in each version
        return None
    return float(cost) if isinstance(cost, int | float) and math.isfinite(cost) and cost >= 0 else None
