"""What an item or a block says itself of how its call ended: the status of hosted tools, exit codes, time limits."""

from __future__ import annotations

import json
from typing import Any, Literal

from acontext_store.types import Json

from .blob import as_text

#: Calls of the Responses API that the provider runs.
HOSTED = frozenset("web_search_call file_search_call code_interpreter_call image_generation_call mcp_call".split())


def hosted_status(item: Json) -> Literal["executed", "failed"] | None:
    """How a hosted tool of the Responses API ended; None where the item does not say, or is no such call."""
    if item.get("type") not in HOSTED:
        return None
    status = item.get("status")
    if item.get("error") or status in ("failed", "incomplete"):
        return "failed"
    return "executed" if status == "completed" or item.get("output") is not None else None


def how_it_failed(item: Json) -> str | None:
    """Why the result of a call is none of success, where its item says so: "exit code 2", "timeout", or its words."""
    for end in _ends(item):
        if end:
            return end
    output = item.get("output")
    if item.get("status") in ("failed", "incomplete"):
        return as_text(output) if output else str(item["status"])
    return None


def says_how_it_ended(item: Json) -> bool:
    """Whether it is the result of a command, with the code that it ended with, or the time that it took too long."""
    return bool(_ends(item))


def _ends(item: Json) -> list[str]:
    """How commands ended: "" for a code of 0.

    `shell_call_output` holds an outcome for each command, `local_shell_call_output` JSON with an exit code.
    """
    kind, output = item.get("type"), item.get("output")
    if kind == "local_shell_call_output" and isinstance(output, str) and output.lstrip()[:1] == "{":
        try:
            output = [json.loads(output)]
        except (ValueError, RecursionError):
            return []
    if kind not in ("shell_call_output", "local_shell_call_output") or not isinstance(output, list):
        return []
    return [end for one in output if (end := _end(one)) is not None]


def _end(output: Any) -> str | None:
    if not isinstance(output, dict):
        return None
    for end in (output.get("outcome"), output, output.get("metadata")):
        if end == "timeout":
            return "timeout"
        if not isinstance(end, dict):
            continue
        if end.get("type") == "timeout" or end.get("timed_out") is True:
            return "timeout"
        code = end.get("exit_code")
        if isinstance(code, int):
            return f"exit code {code}" if code else ""
    return None


def anthropic_result_failed(block: Json) -> bool | None:
    """Whether a result in Anthropic's format says that its call failed; None where it does not say."""
    if "is_error" in block:
        return bool(block["is_error"])
    content = block.get("content")
    if not isinstance(content, dict):
        return None
    if str(content.get("type", "")).endswith("_error"):
        return True
    code = content.get("return_code")
    return code != 0 if isinstance(code, int) else None
