"""What went wrong at an endpoint, as our exceptions: one sentence each, with the way out.

Nothing that an endpoint says is quoted: it may repeat the prompt, or the key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from acontext_store.errors import InvalidInput, LearningUnavailable, PromptTooLong, Refused

from .base import Usage

#: An endpoint's own word for what is wrong: never a sentence.
_WORD = re.compile(r"[a-z]{2,20}(_[a-z]{2,20}){1,4}")
_POLICY = re.compile(r"content[ _](policy|filter|management)|safety|moderation", re.IGNORECASE)
_QUOTA = re.compile(r"quota|billing|credit|balance", re.IGNORECASE)
_CONNECTION = re.compile(r"connect|refused|resolve|unreachable|payload is not completed", re.IGNORECASE)
_GARBAGE = re.compile(
    r"invalid response|unable to get json|expecting (value|property|.,. delimiter)|unterminated string|'choices'",
    re.IGNORECASE,
)
_TOO_LONG = re.compile(r"context[ _](length|window)|maximum context|too many tokens|too long", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Who was asked, as sentences name him, and by which settings he is set."""

    model: str
    base_url: str
    timeout: float
    #: "llm" or "embedding".
    section: str

    @property
    def where(self) -> str:
        """The host, and nothing else of the URL: it may hold a key."""
        return _host_of(self.base_url) or f"{self.section}.base_url" if self.base_url else "its provider"

    def check(self) -> None:
        """Raises InvalidInput for a base URL that is none."""
        if self.base_url and not (self.base_url.startswith(("http://", "https://")) and _host_of(self.base_url)):
            raise InvalidInput(
                f"{self.section}.base_url is no URL of an endpoint: give one like http://127.0.0.1:8000/v1"
            )


def _host_of(url: str) -> str:
    """With its port; "" where there is none."""
    try:
        parts = urlsplit(url)
        return (parts.hostname or "") + (f":{parts.port}" if parts.hostname and parts.port else "")
    except ValueError:
        return ""


class NotTaken(LearningUnavailable):
    """The endpoint does not take what it was asked; in other words it may."""


class Declined(Refused):
    """The model, or the filter before it, will not. It may have to be paid for."""

    def __init__(self, message: str, usage: Usage | None = None) -> None:
        super().__init__(message)
        self.usage = usage or Usage()


def trouble(error: BaseException, endpoint: Endpoint) -> tuple[LearningUnavailable, bool]:
    """The exception that stands for it, and whether it is worth trying again at once."""
    model, section = endpoint.model, endpoint.section
    status = getattr(error, "status_code", None)
    kind, words = type(error).__name__, str(error)
    if isinstance(error, TimeoutError) or kind == "Timeout" or status in (408, 504):
        return _said(f"{model} did not answer within {endpoint.timeout:g} s: raise {section}.timeout"), True
    if kind == "BudgetExceededError":
        return _said("litellm.max_budget of this process is spent: raise it where it is set"), False
    if status == 429:
        if _QUOTA.search(words):
            return _said(f"the account of {model} has no credit left: add some at {endpoint.where}"), False
        wait = retry_after(error)
        return _said(
            f"{model} takes no more requests for now (429): it is asked again later; "
            "llm.requests_per_minute and llm.concurrency keep within its limits",
            wait,
        ), True
    if status == 401:
        return _said(
            f"{model} refuses the key: set {section}.api_key, or the environment variable of its provider"
        ), False
    if status == 403:
        return _said(f"the key may not use {model}: allow it at {endpoint.where}, or take another model"), False
    if kind == "ContextWindowExceededError" or (status in (400, 413) and _TOO_LONG.search(words)):
        return PromptTooLong(
            f"what it was shown is too long for {model}: take a model with a longer context, or lower observe.buffer"
        ), False
    if kind == "ContentPolicyViolationError" or (status in (400, 422) and _POLICY.search(words)):
        return declined_by(endpoint), False
    if status == 404:
        return _said(
            f"{endpoint.where} does not know {model}{_word(error)}: name it as LiteLLM does, like "
            f'"openai/gpt-4.1" or "ollama_chat/llama3.1", and check {section}.base_url'
        ), False
    if status in (400, 405, 415, 422):
        if "provider not provided" in words.lower():
            return _said(
                f"LiteLLM does not know the provider of {model!r}: put it before the name, like "
                f'"openai/{model}" for an OpenAI-compatible endpoint'
            ), False
        return NotTaken(
            f"{model} does not take the request ({status}{_word(error)}): check {section}.model and llm.options"
        ), False
    garbage = _GARBAGE.search(words) is not None
    if not garbage and (_CONNECTION.search(words) or isinstance(error, OSError)):
        return _said(
            f"{model} cannot be reached at {endpoint.where}: look whether it is up, and check {section}.base_url",
            retry_after(error),
        ), True
    if isinstance(status, int) and 500 <= status < 600 and not garbage:
        return _said(f"{model} is out of order at the moment ({status})", retry_after(error)), True
    return _said(
        f"{model} answered what is no answer ({kind}): check that {section}.base_url is that of an "
        "OpenAI-compatible endpoint"
    ), True


def declined_by(endpoint: Endpoint, usage: Usage | None = None) -> Declined:
    """The model, or the filter before it, will not."""
    return Declined(f"{endpoint.model} declined to answer this (its content policy): another model may", usage)


def retry_after(error: BaseException) -> float | None:
    """The seconds that the endpoint asks for, where it does."""
    headers = getattr(error, "litellm_response_headers", None)
    if headers is None:
        headers = getattr(getattr(error, "response", None), "headers", None)
    if not isinstance(headers, Mapping):
        return None
    text = str(headers.get("retry-after") or headers.get("Retry-After") or "").strip()
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return None
    return min(seconds, 86_400.0) if 0 < seconds < float("inf") else None


def _word(error: BaseException) -> str:
    """The endpoint's code for it, where it is a code and no sentence."""
    code = getattr(error, "code", None)
    return f" {code}" if isinstance(code, str) and _WORD.fullmatch(code) else ""


def _said(words: str, wait: float | None = None) -> LearningUnavailable:
    return LearningUnavailable(words, retry_after=wait)
