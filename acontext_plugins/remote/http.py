"""HTTP: requests to a server, and its answers as values or as our exceptions."""

from __future__ import annotations

import asyncio
import encodings.idna  # noqa: F401 # looked up with the first host name, where a forked child or an ending process cannot
import json
import logging
from collections.abc import Mapping
from typing import Any

import httpx

from acontext_store import errors
from acontext_store.backoff import Backoff, as_asked
from acontext_store.errors import AcontextError, NotFound, StoreUnavailable, Unauthorized
from acontext_store.urls import without_secrets

log = logging.getLogger("acontext")

#: What a server, or something between us, answers when it can do nothing at the moment.
AWAY = frozenset({429, 502, 503, 504})
_KINDS: dict[str, type[AcontextError]] = {
    kind.code: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, AcontextError) and kind is not NotFound
}
_BY_STATUS = {401: "unauthorized", 403: "unauthorized", 409: "conflict"} | dict.fromkeys(
    (400, 414, 422, 431), "invalid_input"
)
_BACKOFF = Backoff(0.2, 5.0)


class Api:
    """What is asked of one server with one key. Its coroutines belong to one event loop."""

    def __init__(
        self,
        url: str,
        api_key: str,
        *,
        timeout: float,
        attempts: int = 4,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self._attempts = attempts
        self._client = httpx.AsyncClient(
            base_url=self.url,
            headers=headers_of(api_key),
            timeout=httpx.Timeout(timeout, connect=min(timeout, 5.0)),
            transport=transport,
            follow_redirects=False,
        )

    async def aclose(self) -> None:
        await self._client.aclose()

    async def get(self, path: str, /, **params: Any) -> Any:
        """`data` of the answer; parameters that are None are left out."""
        return await self.ask("GET", path, params=params)

    async def ask(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        params: Mapping[str, Any] | None = None,
        again: bool | None = None,
        timeout: float | None = None,
        attempts: int | None = None,
        **more: Any,
    ) -> Any:
        """`data` of the answer.

        What was not answered is asked again where that changes nothing (`again`; None = all but POST), what was
        certainly not done always is. Raises StoreUnavailable where the server is away, else what the server says.
        """
        again = method != "POST" if again is None else again
        most = attempts or self._attempts
        for attempt in range(1, most + 1):
            try:
                response = await self._client.request(
                    method,
                    path,
                    content=None if body is None else encoded(body),
                    headers=None if body is None else {"content-type": "application/json"},
                    params={key: said(value) for key, value in (params or {}).items() if value is not None},
                    timeout=httpx.USE_CLIENT_DEFAULT if timeout is None else timeout,
                    **more,
                )
            except httpx.HTTPError as error:
                done_nothing = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
                if attempt == most or not (again or done_nothing):
                    raise away(self.url, error) from error
                asked = 0.0
            else:
                if response.status_code not in AWAY or attempt == most:
                    return data_of(self.url, response)
                asked = min(retry_after(response), _BACKOFF.longest)
            await asyncio.sleep(max(_BACKOFF.pause(attempt - 1), as_asked(asked)))
        raise AssertionError("not reached")

    def stream(self, method: str, path: str, **more: Any) -> Any:
        """A response that is read piece by piece."""
        return self._client.stream(method, path, **more)


def headers_of(api_key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {api_key}", "accept": "application/json"}


def encoded(body: Any) -> bytes:
    """JSON as ASCII, so that any text can be said."""
    return json.dumps(body, separators=(",", ":")).encode()


def said(value: Any) -> Any:
    """A value of a query as the server reads it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value


def retry_after(response: httpx.Response) -> float:
    """The seconds that the server asks for; 0 where it does not say."""
    text = response.headers.get("retry-after", "")
    return float(text) if text.replace(".", "", 1).isdigit() else 0.0


def away(url: str, error: Exception) -> StoreUnavailable:
    """A server that cannot be reached, or does not answer."""
    why = "did not answer in time" if isinstance(error, httpx.TimeoutException) else f"cannot be reached ({error})"
    return StoreUnavailable(
        f"the server at {without_secrets(url)} {why}: start it with `acontext serve`, check ACONTEXT_URL, or raise "
        "ACONTEXT_TIMEOUT"
    )


def data_of(url: str, response: httpx.Response) -> Any:
    """`data` of an answer. Raises what the server says, as the exception that it is embedded."""
    try:
        body = response.json()
    except ValueError:
        body = None
    if response.status_code < 400 and isinstance(body, dict) and not _refused(body):
        return body.get("data")
    if not isinstance(body, dict):
        raise StoreUnavailable(
            f"{without_secrets(url)} answered {response.status_code} and no JSON: is it an acontext server? Its "
            "address ends in /api/v1"
        )
    raise error_of(body, response.status_code)


def _refused(body: Mapping[str, Any]) -> bool:
    code = body.get("code")
    return isinstance(code, int) and code >= 400


def error_of(body: Mapping[str, Any], status: int) -> AcontextError:
    """The exception that a server answered with."""
    code, words = str(body.get("error") or ""), str(body.get("msg") or f"the server answered {status}")
    if code == "not_found" and isinstance(body.get("kind"), str) and isinstance(body.get("id"), str):
        return NotFound(body["kind"], body["id"])
    if code == "not_found" or status == 404:
        error = NotFound("page", "")
        error.args = (words,)
        return error
    if status in (401, 403) and code not in _KINDS:
        return Unauthorized(words)
    kind = _KINDS.get(code) or _KINDS.get(_BY_STATUS.get(status, ""))
    if kind is None:
        kind = StoreUnavailable if status in AWAY else AcontextError
    return kind(words)
