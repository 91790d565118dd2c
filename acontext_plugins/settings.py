"""Settings: argument > environment (`ACONTEXT_*`, nested with `__`) > `.env` > `acontext.toml` > default.

Read only where a program begins (client, CLI); everything below gets values.
"""

from __future__ import annotations

import ipaddress
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from acontext_store.errors import InvalidInput
from acontext_store.open import database_url

__all__ = [
    "EmbeddingSettings",
    "LLMSettings",
    "LearnSettings",
    "ObserveSettings",
    "RecorderSettings",
    "RedactionSettings",
    "RemoteSettings",
    "ScoringRule",
    "SearchSettings",
    "ServerSettings",
    "Settings",
    "WorkerSettings",
    "load_settings",
]

PREFIX = "ACONTEXT_"
#: Environment variables with our prefix that are not settings of the library.
_OTHER_PROGRAMS = frozenset({"ACONTEXT_REQUIRE", "ACONTEXT_KILLS", "ACONTEXT_BASE_URL", "ACONTEXT_USER_AGENT"})


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RecorderSettings(_Section):
    """Recordings that wait in memory until they are written to the database."""

    max_pending: int = Field(50_000, gt=0, description="recordings; more are dropped, counted and logged")
    max_bytes: int = Field(
        128 * 1024 * 1024, gt=0, description="bytes of recordings (estimated); more are dropped, counted and logged"
    )
    linger: float = Field(
        0.025,
        ge=0,
        description="seconds that a recording waits for others to be written with it; the agent does not wait",
    )
    inline_bytes: int = Field(256 * 1024, gt=0, description="bytes of a text; longer texts go to the blob store")
    close_timeout: float = Field(10.0, gt=0, description="seconds that closing waits for the database")


class RedactionSettings(_Section):
    """Secrets are scrubbed before anything reaches the disk."""

    enabled: bool = Field(True, description="false: secrets are stored as they are")
    pii: bool = Field(False, description="e-mail addresses, phone numbers and IBANs too")


class DebounceWindow(NamedTuple):
    """How long new messages wait until they are observed."""

    #: Seconds without another message.
    quiet: float
    #: Seconds after the first of them, at the latest.
    max_wait: float
    #: The number of waiting messages at which they are observed at once; 0 = no number.
    buffer: int


class ObserveSettings(_Section):
    """When a conversation is observed."""

    quiet: float = Field(1.0, ge=0, description="seconds without a new message")
    max_wait: float = Field(8.0, ge=0, description="seconds after the first new message, at the latest")
    model_quiet: float = Field(8.0, ge=0, description="the same as `quiet`, where a model observes: fewer calls")
    model_max_wait: float = Field(60.0, ge=0, description="the same as `max_wait`, where a model observes")
    buffer: int = Field(
        16, gt=0, description="new messages that are observed together; when so many wait, the model is called at once"
    )
    overflow: int = Field(16, ge=0, description="messages beyond `buffer` that go into the same call, at most")
    progresses: int = Field(6, ge=0, description="notes on earlier progress in the prompt of the observing model")
    shown: int = Field(
        60_000, ge=8_000, description="characters of messages in one prompt, about; long texts lose their middle"
    )

    def patience(self, *, model: bool) -> DebounceWindow:
        """How long new messages wait, where a model observes or where rules do."""
        if model:
            return DebounceWindow(self.model_quiet, self.model_max_wait, self.buffer)
        return DebounceWindow(self.quiet, self.max_wait, 0)


class ScoringRule(_Section):
    """A reason for which a task is worth learning in this project, judged by the model."""

    description: str = Field(min_length=1)
    level: Literal["normal", "critical"] = Field("normal", description="1 point, or 3")

    @property
    def points(self) -> int:
        """The points that a task gets for it."""
        return 3 if self.level == "critical" else 1


class LearnSettings(_Section):
    """When and how skills are made."""

    quiet: float = Field(
        5.0, ge=0, description="seconds from a finished task to learning; tasks that end meanwhile are learned with it"
    )
    tasks: Literal["hard", "all"] = Field(
        "hard", description="with a model: learn steps from hard tasks (2 points), or from all; preferences from all"
    )
    confirm: bool = Field(
        False, description="new skills wait for a person, in spaces whose configs do not say otherwise"
    )
    scoring_rules: tuple[ScoringRule, ...] = Field(
        (), description="with a model: further rules that make a task worth learning, as a JSON list"
    )
    batch: int = Field(64, gt=0, description="with a model: tasks that are learned from together, in one transaction")


class WorkerSettings(_Section):
    """Background work."""

    enabled: bool = Field(True, description="false: this process leaves background jobs to other processes")
    lease: float = Field(30.0, gt=0, description="seconds without a heartbeat after which another worker gets the job")
    concurrency: int = Field(4, gt=0, description="jobs at a time; with a model, `llm.concurrency` at least")
    max_attempts: int = Field(8, gt=0, description="attempts; then the job waits for a person (`acontext retry`)")
    backoff: float = Field(1.0, gt=0, description="seconds before the second attempt; doubles, with jitter")
    longest_backoff: float = Field(300.0, gt=0, description="seconds between two attempts, at most")
    longest_probe: float = Field(
        60.0, gt=0, description="seconds between two calls to a model that does not answer, at most"
    )
    longest_outage: float = Field(
        7 * 86_400.0,
        gt=0,
        description="seconds that a job waits for a model that does not answer; then it waits for a person",
    )
    idle: float = Field(1.0, gt=0, description="seconds between looks for jobs that other processes have made due")


class LLMSettings(_Section):
    """The model that observes and learns, by LiteLLM. Without one, rules do."""

    model: str = Field("", description='as LiteLLM names it, like "openai/gpt-4.1"; "" = rules only')
    api_key: SecretStr | None = Field(None, description="or the variable of the provider, like OPENAI_API_KEY")
    base_url: str = Field("", description="an OpenAI-compatible endpoint instead of the provider's own")
    timeout: float = Field(60.0, gt=0, description="seconds for one call")
    retries: int = Field(2, ge=0, description="further tries within a call, with jitter; after that the job waits")
    concurrency: int = Field(8, gt=0, description="calls at a time")
    requests_per_minute: int = Field(0, ge=0, description="0 = no limit")
    tokens_per_minute: int = Field(0, ge=0, description="0 = no limit")
    daily_tokens: int = Field(
        0, ge=0, description="tokens of each space; then rules go on until the next day (UTC). 0 = no limit"
    )
    daily_cost: float = Field(
        0.0, ge=0, description="US dollars of each space; then rules go on until the next day (UTC). 0 = no limit"
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="further arguments of litellm.acompletion, as JSON"
    )


class EmbeddingSettings(_Section):
    """The model that makes vectors of skills and queries, by LiteLLM. Without one, search goes by words."""

    model: str = Field("", description='as LiteLLM names it, like "openai/text-embedding-3-small"; "" = words only')
    api_key: SecretStr | None = Field(None, description="or the variable of the provider, like OPENAI_API_KEY")
    base_url: str = Field("", description="an OpenAI-compatible endpoint instead of the provider's own")
    dimensions: int | None = Field(
        None, gt=0, description="numbers of a vector, where the model can be asked for fewer"
    )
    timeout: float = Field(30.0, gt=0, description="seconds for one call")
    batch: int = Field(64, gt=0, description="texts of one call")
    threshold: float = Field(0.3, ge=-1, le=1, description="cosine similarity below which a skill does not fit")


class SearchSettings(_Section):
    """Searches of a space with `mode="agentic"`."""

    iterations: int = Field(16, gt=0, le=100, description="turns of the model, unless the search names another number")
    timeout: float = Field(25.0, gt=0, description="seconds of an agentic search; then a fast search answers instead")


class RemoteSettings(_Section):
    """Recordings that wait on the disk while a server does not answer."""

    spool: str = Field("~/.acontext/spool", description="the folder in which recordings wait")
    spool_bytes: int = Field(1024 * 1024 * 1024, ge=0, description="bytes; more are dropped, counted and logged")
    retry: float = Field(0.5, gt=0, description="seconds before the server is tried again; doubles, with jitter")
    longest_retry: float = Field(30.0, gt=0, description="seconds between two tries, at most")


class ServerSettings(_Section):
    """`acontext serve`."""

    host: str = Field("127.0.0.1", description="the address to listen on; any but this machine's own needs API keys")
    port: int = Field(8029, ge=0, le=65535, description="0 = any that is free")
    workers: int = Field(1, gt=0, le=64, description="processes")
    api_key: SecretStr | None = Field(None, description="a key of your own, beside those in the database")
    max_body: int = Field(16 * 1024 * 1024, gt=0, description="bytes of a JSON body")
    max_upload: int = Field(2 * 1024 * 1024 * 1024, gt=0, description="bytes of a body with files")
    body_grace: float = Field(30.0, gt=0, description="seconds after which a body must have come at `body_rate`")
    body_rate: int = Field(1_000, gt=0, description="bytes a second that a body must come at, at least")
    header_timeout: float = Field(15.0, gt=0, description="seconds that a connection has for the head of a request")
    flush_timeout: float = Field(25.0, gt=0, description="seconds that a flush is waited for; work goes on after that")


class Settings(BaseSettings):
    """All settings. Unknown keys are errors."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        env_file=".env",
        extra="forbid",
        frozen=True,
        toml_file="acontext.toml",
    )

    url: str = Field(
        "",
        description='"" = ~/.acontext/acontext.db; sqlite:///path; http(s)://host:8029/api/v1; the URL of a backend',
    )
    api_key: SecretStr | None = Field(None, description="with a server's URL: the key that opens the project there")
    timeout: float = Field(32.0, gt=0, description="seconds that a request to a server may take")
    project: str = Field("default", description="whose data it is: projects do not see each other")
    space: str | None = Field(None, description="the space of the LiteLLM proxy for requests that name none")
    durability: Literal["normal", "full"] = Field(
        "normal", description='"normal": written data survives a crash of the process; "full": of the machine, too'
    )
    public_url: str = Field(
        "",
        description="the address of this server for others, with which links to files begin: https://host/api/v1",
    )
    recorder: RecorderSettings = RecorderSettings()
    redaction: RedactionSettings = RedactionSettings()
    observe: ObserveSettings = ObserveSettings()
    learn: LearnSettings = LearnSettings()
    worker: WorkerSettings = WorkerSettings()
    llm: LLMSettings = LLMSettings()
    embedding: EmbeddingSettings = EmbeddingSettings()
    search: SearchSettings = SearchSettings()
    prompts: str = Field("", description="a folder with prompts of your own, `NAME.md`; a prompt that it lacks is ours")
    server: ServerSettings = ServerSettings()
    remote: RemoteSettings = RemoteSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then the environment, `.env` and `acontext.toml`; pydantic-settings calls this."""
        return init_settings, env_settings, _OurLines(dotenv_settings), TomlConfigSettingsSource(settings_cls)

    @property
    def is_remote(self) -> bool:
        """Whether the URL names a server."""
        return self.url.startswith(("http://", "https://"))

    @property
    def store_url(self) -> str:
        """The URL of the database, the default filled in."""
        return self.url or database_url(Path.home() / ".acontext" / "acontext.db")


class _OurLines(PydanticBaseSettingsSource):
    """A `.env` file is shared with other programs: only lines with our prefix are ours to judge."""

    def __init__(self, inner: PydanticBaseSettingsSource) -> None:
        super().__init__(inner.settings_cls)
        self._inner = inner

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        return self._inner.get_field_value(field, field_name)

    def __call__(self) -> dict[str, Any]:
        known = set(self.settings_cls.model_fields)
        found = self._inner()
        unknown = {key for key in found if key not in known and key.upper().startswith(PREFIX)}
        return {key: value for key, value in found.items() if key in known or key in unknown}


def load_settings(*, environ: Mapping[str, str] | None = None, **given: Any) -> Settings:
    """The settings for this process; `given` values that are None count as not given.

    Raises InvalidInput that names the key, where it stands and what is accepted.
    """
    environment = os.environ if environ is None else environ
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    for name in environment:
        upper = name.upper()
        if upper.startswith(PREFIX) and upper not in _OTHER_PROGRAMS and upper.split("__")[0] not in known:
            accepted = ", ".join(sorted(known))
            raise InvalidInput(f"unknown setting {name} in the environment; accepted are {accepted}")
    try:
        return Settings(**{key: value for key, value in given.items() if value is not None})
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in item['loc'])}: {item['msg'].lower()}" for item in error.errors()
        )
        raise InvalidInput(f"settings: {problems}") from None
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput(f"settings cannot be read: {Path('acontext.toml').absolute()}: {error}") from None
    except (ValueError, OSError) as error:
        raise InvalidInput(f"settings cannot be read: {error}") from None


def is_loopback(host: str) -> bool:
    """Whether the name or address is this machine, as it sees itself."""
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
