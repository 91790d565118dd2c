"""Executed calls: what answers and requests tell of calls that a provider, or LiteLLM, runs itself. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from acontext_plugins.formats.tool_status import anthropic_result_failed, hosted_status
from acontext_plugins.transcript.result_texts import known_text
from acontext_store.types import CallFate, FateStatus, Json

from ..shared.resent_history import item
from .format import Piece, dicts, text_at

_RESPONSES, _MESSAGES = "OpenAI Responses API", "Anthropic Messages API"


def run_by_provider(one: Json) -> CallFate | None:
    """What an item of the Responses API tells: a hosted tool that ran or failed, an approval that is asked or refused.

    A call that was approved is run as another item (`mcp_call`), so that nothing more becomes of the request itself.
    """
    kind = one.get("type")
    if kind == "mcp_approval_request":
        return _fate(text_at(one, "id"), "requested")
    if kind == "mcp_approval_response":
        if one.get("approve") is not False:
            return None
        reason = text_at(one, "reason")
        return _fate(text_at(one, "approval_request_id"), "refused", by="person", reason=reason)
    status = hosted_status(one)
    if status is None:
        return None
    error = one.get("error")
    reason = error if isinstance(error, str) else text_at(error, "message")
    return _fate(text_at(one, "call_id") or text_at(one, "id"), status, reason=reason)


def run_in_blocks(blocks: Sequence[Json]) -> Iterator[CallFate]:
    """What an answer of Anthropic's tells: tools that it runs, or calls on MCP servers, with their results."""
    for block in blocks:
        kind, id = text_at(block, "type"), text_at(block, "tool_use_id")
        if id and kind.endswith("tool_result") and kind != "tool_result":
            status: FateStatus = "failed" if anthropic_result_failed(block) else "executed"
            yield _fate(id, status, told_by=_MESSAGES)


def run_by_litellm(message: Json) -> tuple[tuple[Piece, ...], tuple[CallFate, ...]]:
    """The calls of MCP tools that LiteLLM has run before this answer, with their results, and what became of them.

    LiteLLM gives the last answer alone, with all that it did before in `provider_specific_fields`. What went wrong it
    tells in words of its own (`transcript/result_texts`). The host's history never shows these calls.
    """
    notes = message.get("provider_specific_fields")
    notes = notes if isinstance(notes, dict) else {}
    calls = [call for call in dicts(notes.get("mcp_tool_calls")) if text_at(call.get("function"), "name")]
    results = {text_at(one, "tool_call_id"): one for one in dicts(notes.get("mcp_call_results"))}
    if not calls:
        return (), ()
    kept = [{name: call[name] for name in ("id", "type", "function") if name in call} for call in calls]
    pieces = [Piece(item("host"), {"role": "assistant", "content": None, "tool_calls": kept})]
    fates = []
    for call in calls:
        id = text_at(call, "id")
        result = results.get(id)
        if result is None:
            fates.append(_fate(id, "requested", told_by=""))
            continue
        text = text_at(result, "result")
        pieces.append(Piece(item("host"), {"role": "tool", "tool_call_id": id, "content": text}))
        known = known_text(text)
        if known is None:
            fates.append(_fate(id, "executed", told_by=""))
        else:
            fates.append(_fate(id, known.status, by=known.by, reason=known.reason or text, told_by=""))
    return tuple(pieces), tuple(fates)


def _fate(id: str, status: FateStatus, *, by: str = "", reason: str = "", told_by: str = _RESPONSES) -> CallFate:
    return CallFate(call_id=id, status=status, by=by, reason=reason[:2000], told_by=told_by)
